//! A PostgreSQL for the stories of this crate, and a database of its own for each of them.

use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::mpsc::{Sender, channel};
use std::sync::{Arc, Mutex, PoisonError, Weak};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use daemons::{Device, Postgres};
use rack::config::DatabaseSettings;
use rack::plan::model::{
    Airflow, COLUMNS, Device as Thing, DeviceFields, Face, Id, Kind, KindFields, Place, Rack,
    RackFields,
};
use rack::store::{Store, Who};
use rustix::process::Signal;
use testbed::{Context, Result, ensure};
use tokio_postgres::NoTls;

/// The server that the stories which run at the same time share. The last one stops it.
pub struct Shared {
    folder: PathBuf,
    stop: Option<Sender<()>>,
    keeper: Option<JoinHandle<Result<()>>>,
}

impl Shared {
    fn get() -> Result<Arc<Shared>> {
        static SHARED: Mutex<Weak<Shared>> = Mutex::new(Weak::new());
        let mut shared = SHARED.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(shared) = shared.upgrade() {
            return Ok(shared);
        }
        let started = Arc::new(Shared::start()?);
        *shared = Arc::downgrade(&started);
        Ok(started)
    }

    /// The server ends with the thread that has started it, which must not be that of one story.
    fn start() -> Result<Shared> {
        let (ready, is_ready) = channel();
        let (stop, is_over) = channel::<()>();
        let keeper = std::thread::spawn(move || {
            let device = Device::new("postgresql", &[])?;
            let up = device.up(|| Postgres::connect(&device.runtime()))?;
            let _ = ready.send(device.runtime());
            let _ = is_over.recv();
            up.server.stop(Signal::INT)?;
            Ok(())
        });
        match is_ready.recv() {
            Ok(folder) => Ok(Shared {
                folder,
                stop: Some(stop),
                keeper: Some(keeper),
            }),
            Err(_) => {
                keeper.join().expect("it does not panic")?;
                testbed::bail!("the server has ended")
            }
        }
    }
}

impl Drop for Shared {
    fn drop(&mut self) {
        drop(self.stop.take());
        if let Some(keeper) = self.keeper.take() {
            let _ = keeper.join();
        }
    }
}

/// A database of a story.
pub struct Db {
    /// The store that the story looks at, with the newest schema.
    pub store: Store,
    /// Where it is.
    pub settings: DatabaseSettings,
    _server: Option<Arc<Shared>>,
}

/// Runs a story on an empty database of the newest schema.
pub fn story<F: Future<Output = Result<()>>>(tell: impl FnOnce(Db) -> F) -> Result<()> {
    bare(|db| async move {
        db.store.migrate().await?;
        tell(db).await
    })
}

/// Runs a story on an empty database without a schema.
pub fn bare<F: Future<Output = Result<()>>>(tell: impl FnOnce(Db) -> F) -> Result<()> {
    static NUMBER: AtomicU32 = AtomicU32::new(0);
    let server = Shared::get()?;
    let name = format!("story_{}", NUMBER.fetch_add(1, Ordering::Relaxed));
    let settings = settings(&server.folder, &name);
    runtime()?.block_on(async {
        let first = client(&settings, "postgres").await?;
        first
            .batch_execute(&format!("CREATE DATABASE {name}"))
            .await?;
        let db = Db {
            store: Store::open(&settings, None)?,
            settings,
            _server: Some(server),
        };
        tell(db).await
    })
}

/// Threads for the tasks of a story.
pub fn runtime() -> Result<tokio::runtime::Runtime> {
    let mut builder = tokio::runtime::Builder::new_multi_thread();
    Ok(builder.worker_threads(4).enable_all().build()?)
}

/// A database of the server with its socket in this folder.
pub fn settings(folder: &Path, name: &str) -> DatabaseSettings {
    DatabaseSettings {
        host: folder.to_str().expect("a path of a test").into(),
        user: "postgres".into(),
        name: name.into(),
        ..DatabaseSettings::default()
    }
}

/// A connection that knows nothing of the store.
pub async fn client(settings: &DatabaseSettings, name: &str) -> Result<tokio_postgres::Client> {
    let mut config = tokio_postgres::Config::new();
    config
        .host(&settings.host)
        .port(settings.port)
        .user(&settings.user)
        .dbname(name);
    let (client, connection) = config.connect(NoTls).await?;
    tokio::spawn(connection);
    Ok(client)
}

impl Db {
    /// A connection to the database that knows nothing of the store.
    pub async fn client(&self) -> Result<tokio_postgres::Client> {
        client(&self.settings, &self.settings.name).await
    }

    /// What a statement gives: one number.
    pub async fn count(&self, sql: &str) -> Result<i64> {
        let row = self.client().await?.query_one(sql, &[]).await;
        Ok(row.with_context(|| sql.to_owned())?.try_get(0)?)
    }

    /// Waits until a statement gives this number.
    pub async fn wait_for(&self, sql: &str, count: i64) -> Result<()> {
        let deadline = Instant::now() + Duration::from_secs(60);
        let client = self.client().await?;
        loop {
            let found: i64 = client.query_one(sql, &[]).await?.try_get(0)?;
            if found == count {
                return Ok(());
            }
            ensure!(
                Instant::now() < deadline,
                "{sql} is {found} and not {count}"
            );
            tokio::task::yield_now().await;
        }
    }

    /// A rack of so many units.
    pub async fn rack(&self, name: &str, units: u8) -> Result<Rack> {
        Ok(self.store.create_rack(&who(), &rack(name, units)).await?)
    }

    /// A kind of so many halves of a unit.
    pub async fn kind(&self, model: &str, halves: u8) -> Result<Kind> {
        Ok(self.store.create_kind(&who(), &kind(model, halves)).await?)
    }

    /// A device, nowhere yet.
    pub async fn device(&self, name: &str, kind: &Kind) -> Result<Thing> {
        let fields = device(name, kind.id);
        Ok(self.store.create_device(&who(), &fields, None).await?)
    }
}

/// Somebody.
pub fn who() -> Who {
    Who {
        user: "ann".into(),
        request: "r1".into(),
    }
}

/// What is said of a rack.
pub fn rack(name: &str, units: u8) -> RackFields {
    RackFields {
        name: name.into(),
        location: "cellar".into(),
        units,
        watts: None,
        kilograms: None,
        inlet_celsius: 22.0,
        notes: String::new(),
    }
}

/// What is said of a kind.
pub fn kind(model: &str, halves: u8) -> KindFields {
    KindFields {
        manufacturer: "Acme".into(),
        model: model.into(),
        halves,
        columns: COLUMNS,
        full_depth: true,
        shelf: false,
        watts: 100.0,
        kilograms: 5.0,
        airflow: Airflow::FrontToRear,
        category: "server".into(),
    }
}

/// What is said of a device.
pub fn device(name: &str, kind: Id) -> DeviceFields {
    DeviceFields {
        name: name.into(),
        kind,
        watts: None,
        kilograms: None,
        pinned: false,
        notes: String::new(),
        tags: Vec::new(),
    }
}

/// At the front, from this unit on.
pub fn at(rack: Id, unit: u8) -> Place {
    Place::Units {
        rack,
        face: Face::Front,
        bottom: 2 * (unit - 1),
        left: 0,
    }
}

/// The error of what must not succeed.
pub fn refusal<T: std::fmt::Debug>(outcome: Result<T, rack::store::Error>) -> rack::store::Error {
    match outcome {
        Err(error) => error,
        Ok(value) => panic!("it was not refused: {value:?}"),
    }
}
