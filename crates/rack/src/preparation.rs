//! What has to be done before the database is used: its schema, the kinds that come with the planner, and somebody who may log in.
//!
//! It goes on in the background until it is done, because a database on another machine may come later than the planner. Until then
//! every request is told why it has to wait.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use kit::{Component, Kit, Secret, back_off, jittered};

use crate::password;
use crate::store::{self, Error, Role, Store, Who};

/// The name of the first administrator.
pub const ADMIN: &str = "admin";
/// As whom the audit log writes down what the planner does by itself.
const ITSELF: &str = "(rack)";

const FIRST_PAUSE: Duration = Duration::from_millis(200);
const LONGEST_PAUSE: Duration = Duration::from_secs(10);

/// Whether it is done; clones know the same.
#[derive(Debug, Clone)]
pub struct Preparation(Arc<Mutex<Option<String>>>);

impl Preparation {
    /// Begins, and goes on until it is done. The service counts as started after the first attempt, and as usable once it is done.
    pub fn start(kit: &Kit, store: Store, admin: Option<Secret>) -> Self {
        let preparation = Preparation(Arc::new(Mutex::new(Some("it was just started".into()))));
        let (kit, latch) = (kit.clone(), kit.latch("database"));
        let (schema, access) = (kit.component("schema"), kit.component("access"));
        let known = preparation.clone();
        tokio::spawn(async move {
            let mut latch = Some(latch);
            for attempt in 1.. {
                let outcome = prepare(&store, admin.as_ref(), &access).await;
                let why = outcome.as_ref().err().map(ToString::to_string);
                match &why {
                    None => schema.ok(),
                    Some(why) => schema.failed(why.clone()),
                }
                known.set(why);
                latch.take();
                if outcome.is_ok() {
                    return;
                }
                let pause = jittered(back_off(FIRST_PAUSE, attempt, LONGEST_PAUSE));
                tokio::select! {
                    () = tokio::time::sleep(pause) => {}
                    () = kit.shutdown().requested() => return,
                }
            }
        });
        preparation
    }

    fn set(&self, why: Option<String>) {
        *self.0.lock().expect("no panic while held") = why;
    }

    /// Why the database cannot be used yet, if it cannot.
    pub fn missing(&self) -> Option<String> {
        self.0.lock().expect("no panic while held").clone()
    }
}

async fn prepare(
    store: &Store,
    admin: Option<&Secret>,
    access: &Component,
) -> Result<(), store::Error> {
    store.migrate().await?;
    match admin {
        Some(password) => follow(store, password).await?,
        None if store.users().await?.is_empty() => {
            let hint = "nobody can log in: set the secret rack.admin-password in lichen.toml";
            access.degraded(hint);
        }
        None => {}
    }
    Ok(())
}

/// Makes the first administrator, or gives it the password of the credential if that is another one than it was.
async fn follow(store: &Store, credential: &Secret) -> Result<(), store::Error> {
    let who = Who {
        user: ITSELF.into(),
        request: String::new(),
    };
    let secret = credential.clone();
    let keep = move || password::keep_followed(secret.expose());
    match store.user_by_name(ADMIN).await? {
        None => {
            let kept = hashed(keep).await;
            match store.create_user(&who, ADMIN, Role::Admin, &kept).await {
                // Another process on the same database was quicker.
                Ok(_) | Err(Error::Taken { .. }) => Ok(()),
                Err(error) => Err(error),
            }
        }
        Some((user, kept)) => {
            let secret = credential.clone();
            if hashed(move || password::follows(secret.expose(), &kept)).await {
                return Ok(());
            }
            tracing::info!("the password of {ADMIN} is that of the credential from now on");
            let kept = hashed(keep).await;
            let changed = store
                .change_user(&who, user.id, user.version, ADMIN, Role::Admin, Some(&kept))
                .await;
            match changed {
                Ok(_) | Err(Error::Changed { .. }) => Ok(()),
                Err(error) => Err(error),
            }
        }
    }
}

/// A hash keeps a processor busy for too long for a thread that answers requests.
async fn hashed<V: Send + 'static>(work: impl FnOnce() -> V + Send + 'static) -> V {
    let done = tokio::task::spawn_blocking(work).await;
    done.expect("hashing does not panic")
}
