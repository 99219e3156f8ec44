//! A recorder that uploads: a folder with recordings, the database, and the queue's thread.

use std::fs;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::time::Duration;

use kit::testing::eventually;
use kit::{Credentials, HttpSettings, Kit, Service};
use recorder::clock::Clock;
use recorder::session::create_database;
use recorder::upload::{Settings, Snapshot, Status, Uploads, Video};
use rusqlite::Connection;
use serde_json::{Value, json};
use sha2::{Digest, Sha256};
use tokio::net::TcpListener;

use crate::{put_server, youtube_server};

pub const KIB: u64 = 1 << 10;
pub const MIB: u64 = 1 << 20;
/// The length of parts in these tests, and the shortest that YouTube takes.
pub const CHUNK: u64 = 256 * KIB;

/// A folder as a recorder has it.
pub struct Scene {
    folder: PathBuf,
    settings: Settings,
}

/// A recorder's uploads while they run.
pub struct Running {
    pub uploads: Uploads,
    pub kit: Kit,
    pub clock: Clock,
    _runtime: tokio::runtime::Runtime,
}

impl Scene {
    /// A recorder in `folder` with these settings and the credentials of every fake.
    pub fn new(folder: &Path, settings: &Value) -> Self {
        let settings: Settings = serde_json::from_value(settings.clone()).unwrap();
        settings.check().unwrap();
        let secrets = folder.join("secrets");
        fs::create_dir_all(&secrets).unwrap();
        for (name, secret) in [
            ("upload-token", put_server::TOKEN),
            ("s3-access-key-id", fake_s3::KEY),
            ("s3-secret-access-key", fake_s3::SECRET),
            ("youtube-client-id", youtube_server::CLIENT_ID),
            ("youtube-client-secret", youtube_server::CLIENT_SECRET),
            ("youtube-refresh-token", youtube_server::REFRESH_TOKEN),
        ] {
            fs::write(secrets.join(format!("recorder.{name}")), secret).unwrap();
        }
        Scene {
            folder: folder.to_owned(),
            settings,
        }
    }

    /// Takes a credential away.
    pub fn without(self, secret: &str) -> Self {
        fs::remove_file(self.folder.join(format!("secrets/recorder.{secret}"))).unwrap();
        self
    }

    /// A recording of this length, the same each time.
    pub fn video(&self, session: i64, bytes: u64) -> Video {
        let path = self.folder.join(format!("{session}.mp4"));
        let mut random = fastrand::Rng::with_seed(session as u64);
        let mut content = vec![0; bytes as usize];
        random.fill(&mut content);
        if !path.exists() {
            fs::write(&path, &content).unwrap();
        }
        let sum = Sha256::digest(&content);
        Video {
            session,
            path,
            bytes,
            sha256: sum.iter().map(|byte| format!("{byte:02x}")).collect(),
            title: format!("Court <{session}>, Monday"),
            recorded_at_ms: 1_790_000_000_000,
            duration_ms: 60_000,
        }
    }

    /// Creates the recorder's database, if it is not there.
    pub fn create_database(&self) -> PathBuf {
        create_database(&self.folder).unwrap()
    }

    /// Makes everything due that waits for its own time, as if that had come.
    pub fn its_time_comes(&self) {
        let database = Connection::open(self.folder.join("recorder.sqlite")).unwrap();
        database.busy_timeout(Duration::from_secs(10)).unwrap();
        let set = "UPDATE uploads SET due_ms = 0";
        database.execute(set, []).unwrap();
    }

    /// Starts the uploads.
    pub fn start(&self) -> Running {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()
            .unwrap();
        let listener = runtime.block_on(TcpListener::bind("127.0.0.1:0")).unwrap();
        let secrets = Some(self.folder.join("secrets"));
        let credentials = Credentials::in_directory("recorder", secrets);
        let service = Service {
            name: "recorder",
            version: "test",
        };
        let kit = Kit::new(service, HttpSettings::default(), credentials, listener);
        let database = self.create_database();
        let settings = self.settings.clone();
        let second = Duration::from_millis(5);
        let clock = Clock::new();
        let started = Uploads::start_with(&kit, settings, &database, clock.clone(), second);
        Running {
            uploads: started.unwrap(),
            kit,
            clock,
            _runtime: runtime,
        }
    }
}

impl Running {
    /// Waits until `is_so` of the state.
    pub fn until(&self, what: &str, is_so: impl Fn(&Snapshot) -> bool) -> Snapshot {
        eventually(what, || {
            Some(self.uploads.snapshot()).filter(|snapshot| is_so(snapshot))
        })
    }

    /// Waits until a session's upload is complete.
    pub fn completed(&self, session: i64) -> Snapshot {
        self.until("the upload is complete", |snapshot| {
            snapshot.statuses.get(&session) == Some(&Status::Completed)
        })
    }

    /// Waits until a session's upload has failed; why.
    pub fn failed(&self, session: i64) -> String {
        self.failure(session).0
    }

    /// Waits until a session's upload has failed; why, and the state at that moment. It is soon tried again.
    pub fn failure(&self, session: i64) -> (String, Snapshot) {
        let snapshot = self.until("the upload fails", |snapshot| {
            matches!(snapshot.statuses.get(&session), Some(Status::Failed { .. }))
        });
        match &snapshot.statuses[&session] {
            Status::Failed { why } => (why.clone(), snapshot),
            other => panic!("{other:?}"),
        }
    }
}

/// The settings for a target whose address is `url`.
pub fn settings(target: &str, url: &str) -> Value {
    let of_target = match target {
        "s3" => json!({ "endpoint": url, "bucket": fake_s3::BUCKET, "prefix": "gym/" }),
        "youtube" => json!({ "api": url, "token_url": format!("{url}/token") }),
        "tus" => json!({ "url": format!("{url}/files") }),
        _ => json!({ "url": format!("{url}/videos/") }),
    };
    json!({ "target": target, target: of_target, "chunk_bytes": CHUNK })
}

/// Changes a byte in the middle of a file, and neither its length nor its time.
pub fn damage(path: &Path) {
    let modified = fs::metadata(path).unwrap().modified().unwrap();
    let mut content = fs::read(path).unwrap();
    let middle = content.len() / 2;
    content[middle] ^= 1;
    let mut file = fs::OpenOptions::new().write(true).open(path).unwrap();
    file.write_all(&content).unwrap();
    file.set_modified(modified).unwrap();
}
