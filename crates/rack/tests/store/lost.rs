//! Answers that are lost on their way: what was certainly not carried out is done again, and what may have been is not.

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use rack::config::DatabaseSettings;
use rack::store::{Error, Store};
use testbed::{Result, ensure};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{UnixListener, UnixStream};

use crate::support::{Db, rack, refusal, story, who};

const SOCKET: &str = ".s.PGSQL.5432";

/// When a connection is cut.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Cut {
    /// When this is said, and before the server hears it.
    Before(&'static str),
    /// When the server has answered this, and before the answer arrives.
    After(&'static str),
}

/// Something between the store and the server, which cuts one connection.
struct Between {
    folder: tempfile::TempDir,
    connections: Arc<AtomicUsize>,
    has_cut: Arc<AtomicBool>,
}

impl Between {
    fn start(db: &Db, cut: Cut) -> Result<Self> {
        let folder = tempfile::tempdir()?;
        let listener = UnixListener::bind(folder.path().join(SOCKET))?;
        let server = Path::new(&db.settings.host).join(SOCKET);
        let (connections, has_cut) = (Arc::<AtomicUsize>::default(), Arc::<AtomicBool>::default());
        let between = Between {
            folder,
            connections: connections.clone(),
            has_cut: has_cut.clone(),
        };
        tokio::spawn(async move {
            while let Ok((client, _)) = listener.accept().await {
                connections.fetch_add(1, Ordering::Relaxed);
                let Ok(server) = UnixStream::connect(&server).await else {
                    return;
                };
                tokio::spawn(pass(client, server, cut, has_cut.clone()));
            }
        });
        Ok(between)
    }

    fn store(&self, db: &Db) -> Result<Store> {
        let settings = DatabaseSettings {
            host: self
                .folder
                .path()
                .to_str()
                .expect("a path of a test")
                .into(),
            ..db.settings.clone()
        };
        Ok(Store::open(&settings, None)?)
    }
}

/// Passes on what both say, until the connection is cut or ends.
async fn pass(
    mut client: UnixStream,
    mut server: UnixStream,
    cut: Cut,
    has_cut: Arc<AtomicBool>,
) -> std::io::Result<()> {
    let (mut asked, mut answered) = (vec![0; 1 << 16], vec![0; 1 << 16]);
    let said = |bytes: &[u8], words: &str| {
        bytes
            .windows(words.len())
            .any(|part| part == words.as_bytes())
    };
    let mut swallows = false;
    loop {
        tokio::select! {
            count = client.read(&mut asked) => {
                let count = count?;
                if count == 0 {
                    return Ok(());
                }
                let bytes = &asked[..count];
                let (Cut::Before(words) | Cut::After(words)) = cut;
                if said(bytes, words) && !has_cut.swap(true, Ordering::Relaxed) {
                    if cut == Cut::Before(words) {
                        return Ok(());
                    }
                    swallows = true;
                }
                server.write_all(bytes).await?;
            }
            count = server.read(&mut answered) => {
                let count = count?;
                if count == 0 || swallows {
                    return Ok(());
                }
                client.write_all(&answered[..count]).await?;
            }
        }
    }
}

async fn made(db: &Db) -> Result<i64> {
    let racks = db.count("SELECT count(*) FROM racks").await?;
    let log = "SELECT count(*) FROM audit WHERE what = 'rack' AND action = 'create'";
    ensure!(db.count(log).await? == racks);
    Ok(racks)
}

#[test]
fn a_connection_lost_before_the_commit_costs_nothing_but_time() -> Result<()> {
    story(async |db| {
        for (number, cut) in [
            Cut::Before("START TRANSACTION"),
            Cut::After("START TRANSACTION"),
            Cut::Before("INSERT INTO racks"),
            Cut::After("INSERT INTO racks"),
            Cut::After("INSERT INTO audit"),
        ]
        .into_iter()
        .enumerate()
        {
            let between = Between::start(&db, cut)?;
            let store = between.store(&db)?;
            store
                .create_rack(&who(), &rack(&format!("R{number}"), 4))
                .await?;
            ensure!(
                between.has_cut.load(Ordering::Relaxed),
                "{cut:?} did not come"
            );
            ensure!(between.connections.load(Ordering::Relaxed) == 2);
            ensure!(made(&db).await? == number as i64 + 1);
        }
        Ok(())
    })
}

#[test]
fn a_commit_whose_answer_is_lost_is_never_made_twice() -> Result<()> {
    story(async |db| {
        for (number, (cut, is_made)) in [(Cut::After("COMMIT"), 1), (Cut::Before("COMMIT"), 1)]
            .into_iter()
            .enumerate()
        {
            let between = Between::start(&db, cut)?;
            let store = between.store(&db)?;
            let gone = refusal(
                store
                    .create_rack(&who(), &rack(&format!("R{number}"), 4))
                    .await,
            );
            ensure!(matches!(gone, Error::Gone(_)), "{gone}");
            ensure!(
                gone.to_string().contains("it is unknown whether it was"),
                "{gone}"
            );
            ensure!(between.connections.load(Ordering::Relaxed) == 1, "{cut:?}");
            // The first was made, and the second was not; the caller could know neither.
            ensure!(made(&db).await? == is_made);
            store.racks().await?;
        }
        Ok(())
    })
}

#[test]
fn a_read_whose_answer_is_lost_is_asked_again() -> Result<()> {
    story(async |db| {
        db.rack("A", 4).await?;
        let between = Between::start(&db, Cut::After("FROM racks"))?;
        let store = between.store(&db)?;
        ensure!(store.racks().await?.len() == 1);
        ensure!(between.connections.load(Ordering::Relaxed) == 2);
        Ok(())
    })
}
