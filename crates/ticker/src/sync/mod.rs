//! Uploads `ready/` to S3, each file as one object.
//!
//! **Exactly once.** A record is in one file; a file never changes, and its name is its key ([`key`]); storing the same
//! bytes under the same key again changes nothing. So after any retry because of a lost answer, a kill or a power cut,
//! the bucket still contains every record once.
//!
//! A file is deleted only after its object was compared: once when it was uploaded, and again just before the deletion.

mod ledger;

use std::fs::File;
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::Context;
use bucket::{Bucket, Entry, Error, Keys, Object, Patience, Settings, Style, Upload};
use kit::{Credentials, clock};
use serde::{Deserialize, Serialize};

pub use ledger::Synced;

use crate::config::{Config, SyncSettings};
use crate::store::{Place, age, hour, key};

const DAY: f64 = 86_400.0 * 1e6;

/// The arguments of `ticker sync`.
#[derive(Debug, Clone, Copy, Default, clap::Args)]
pub struct Wishes {
    /// Print what would be uploaded and deleted, and do nothing
    #[arg(long)]
    pub dry_run: bool,
    /// Also upload complete files of the current hour
    #[arg(long)]
    pub include_raw: bool,
}

/// The result of a run; kept in `raw/sync.json` for health, metrics and `ticker status`.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct Report {
    /// When the run ended, in ms since 1970.
    pub at: i64,
    /// When a run last finished everything, in ms since 1970.
    pub complete_at: i64,
    /// The number of files uploaded in this run.
    pub uploaded: u64,
    /// The number of files deleted in this run.
    pub deleted: u64,
    /// The number of files waiting to be uploaded.
    pub pending_files: u64,
    /// Their total size in bytes.
    pub pending_bytes: u64,
    /// Why the run did not finish everything.
    pub problem: Option<String>,
}

impl Report {
    /// The report of the last run, if there was one.
    pub fn read(directory: &Path) -> Option<Self> {
        serde_json::from_slice(&std::fs::read(report_path(directory)).ok()?).ok()
    }

    fn write(&self, directory: &Path) -> anyhow::Result<()> {
        let text = serde_json::to_vec(self)?;
        durable::atomic_write(&report_path(directory), &text, 0o600)
    }
}

fn report_path(directory: &Path) -> PathBuf {
    directory.join("raw/sync.json")
}

/// Runs once.
pub fn run(
    config: &Config,
    directory: &Path,
    credentials: &Credentials,
    wishes: Wishes,
) -> anyhow::Result<Report> {
    let settings = &config.sync;
    let Some(endpoint) = &settings.endpoint else {
        anyhow::bail!("there is no upload destination: set sync.endpoint and sync.bucket");
    };
    let place =
        Place::open(directory).with_context(|| format!("cannot use {}", directory.display()))?;
    #[expect(clippy::disallowed_methods, reason = "nothing is in it")]
    let lock = File::create(directory.join("raw/sync.lock"))?;
    if rustix::fs::flock(&lock, rustix::fs::FlockOperation::NonBlockingLockExclusive).is_err() {
        anyhow::bail!("another sync is running");
    }
    let synced = Synced::of(&place);
    let now = clock::now_ms() * 1000;
    let mut work = Work::find(&place, &synced, settings, now, wishes.include_raw)?;
    if wishes.dry_run {
        for name in &work.upload {
            println!("upload {}", key(&settings.prefix, name));
        }
        for (name, _) in &work.delete {
            println!("delete {name}");
        }
        return Ok(Report::default());
    }
    let secret = |name: &str| {
        let missing = || format!("the credential {} is missing", credentials.full_name(name));
        credentials.get(name)?.with_context(missing)
    };
    let (id, secret) = (secret("s3-access-key-id")?, secret("s3-secret-access-key")?);
    let keys = Keys::new(id.expose(), secret.expose());
    let bucket = Bucket::new(storage(settings, endpoint), keys)?;
    synced.tidy()?;

    let mut report = Report::default();
    let syncer = Syncer {
        place,
        synced,
        bucket,
        settings,
    };
    let outcome = syncer.work(&mut work, &mut report);
    let previous = Report::read(directory).unwrap_or_default();
    report.at = clock::now_ms();
    report.problem = outcome.as_ref().err().map(|error| format!("{error:#}"));
    report.complete_at = match &report.problem {
        None => report.at,
        Some(_) => previous.complete_at,
    };
    let waiting = Work::find(&syncer.place, &syncer.synced, settings, now, true)?;
    report.pending_files = waiting.upload.len() as u64;
    for name in &waiting.upload {
        report.pending_bytes += syncer.file(name).metadata().map_or(0, |m| m.len());
    }
    report.write(directory)?;
    tracing::info!(
        uploaded = report.uploaded,
        deleted = report.deleted,
        pending = report.pending_files,
        "synced"
    );
    outcome.map(|()| report)
}

/// The bucket with these settings.
fn storage(settings: &SyncSettings, endpoint: &str) -> Settings {
    let within = Duration::from_secs_f64(settings.timeout_seconds);
    Settings {
        region: settings.region.clone(),
        style: match settings.path_style {
            true => Style::Path,
            false => Style::Host,
        },
        patience: Patience {
            attempts: settings.attempts,
            first: Duration::from_secs_f64(settings.retry_seconds),
            ..Patience::default()
        },
        connect: within,
        whole: Some(within),
        idle: within,
        on_retry: |error| tracing::warn!("{error}; trying again"),
        ..Settings::new("lichen-ticker", endpoint, &settings.bucket)
    }
}

/// The work to do, oldest first.
#[derive(Debug, Default)]
struct Work {
    upload: Vec<String>,
    delete: Vec<(String, Object)>,
}

impl Work {
    fn find(
        place: &Place,
        synced: &Synced,
        settings: &SyncSettings,
        now: i64,
        this_hour: bool,
    ) -> anyhow::Result<Self> {
        let at = clock::rfc3339(now / 1000);
        let current = format!("date={},hour={}", &at[..10], &at[11..13]);
        let expired = now - (settings.retention_days * DAY) as i64;
        let mut work = Work::default();
        for name in Place::files(&place.ready())? {
            match synced.get(&name) {
                Some(Entry::Synced { etag, bytes }) => {
                    let begun = age(&name).split('-').next().and_then(|at| at.parse().ok());
                    if begun.is_some_and(|begun: i64| begun < expired) {
                        work.delete.push((name, Object { etag, bytes }));
                    }
                }
                _ if this_hour || hour(&name) != current => work.upload.push(name),
                _ => {}
            }
        }
        Ok(work)
    }
}

struct Syncer<'s> {
    place: Place,
    synced: Synced,
    bucket: Bucket,
    settings: &'s SyncSettings,
}

impl Syncer<'_> {
    /// Does as much as possible. If the storage refuses one file, the others follow; if it does not answer, the run
    /// ends.
    fn work(&self, work: &mut Work, report: &mut Report) -> anyhow::Result<()> {
        let mut problem = None;
        for name in &work.upload {
            match self.upload(name) {
                Ok(()) => report.uploaded += 1,
                Err(error) => {
                    let refused = matches!(error, Error::Refused(_) | Error::Damaged);
                    let hint = error.hint();
                    let error = anyhow::Error::new(error).context(format!("cannot upload {name}"));
                    tracing::error!(hint, "{error:#}");
                    problem.get_or_insert(error);
                    if !refused {
                        break;
                    }
                }
            }
        }
        for (name, object) in &work.delete {
            match self.bucket.head(&key(&self.settings.prefix, name)) {
                Ok(Some(there)) if there == *object => {
                    self.synced.forget(name)?;
                    report.deleted += 1;
                }
                Ok(Some(_)) => self.again(name, "is another one")?,
                Ok(None) => self.again(name, "is gone")?,
                Err(error) => {
                    problem.get_or_insert(
                        anyhow::Error::new(error).context(format!("{name} is kept")),
                    );
                    break;
                }
            }
        }
        match problem {
            None => Ok(()),
            Some(error) => Err(error),
        }
    }

    fn again(&self, name: &str, what: &str) -> anyhow::Result<()> {
        tracing::error!(
            file = name,
            "its object {what}: the file is kept and will be uploaded again"
        );
        self.synced.clear(name)
    }

    fn upload(&self, name: &str) -> Result<(), Error> {
        let key = key(&self.settings.prefix, name);
        if let Some(Entry::Uploading { parts, .. }) = self.synced.get(name) {
            tracing::info!(key, parts = parts.len(), "resuming an upload");
        }
        let how = Upload {
            part_bytes: self.settings.part_bytes as u64,
            ledger: Some((self.synced.ledger(), name)),
            progress: None,
        };
        let object = self.bucket.upload(&key, &self.file(name), &how)?;
        tracing::info!(key, bytes = object.bytes, "uploaded");
        Ok(())
    }

    fn file(&self, name: &str) -> PathBuf {
        self.place.ready().join(name)
    }
}
