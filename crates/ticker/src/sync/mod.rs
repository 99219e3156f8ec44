//! `ready/` → S3, each file as one object.
//!
//! **Exactly once.** A record is in one file; a file never changes, and its name is its key ([`key`]); storing the
//! same bytes under the same key again changes nothing. So whatever is repeated after a lost answer, a kill or a
//! power cut, the bucket ends with every record once.
//!
//! Nothing is deleted here that was not compared there: when it was uploaded, and once more before it goes.

mod bucket;
mod ledger;

use std::fs::File;
use std::io::Read;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};

use anyhow::Context;
use kit::{Credentials, clock};
use md5::{Digest, Md5};
use serde::{Deserialize, Serialize};

pub use bucket::S3Error;
use bucket::{Bucket, Object, hex, md5};
pub use ledger::{Entry, Ledger};

use crate::config::{Config, SyncSettings};
use crate::store::{Place, age, hour, key};

const DAY: f64 = 86_400.0 * 1e6;

/// What to do.
#[derive(Debug, Clone, Copy, Default, clap::Args)]
pub struct Wishes {
    /// Say what would be uploaded and deleted, and do nothing
    #[arg(long)]
    pub dry_run: bool,
    /// Also upload the complete files of the hour that is not over yet
    #[arg(long)]
    pub include_raw: bool,
}

/// What a run came to; kept in `raw/sync.json` for health, metrics and `ticker status`.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct Report {
    /// When the run ended, in ms since 1970.
    pub at: i64,
    /// When a run last left nothing undone, in ms since 1970.
    pub complete_at: i64,
    /// Files uploaded in this run.
    pub uploaded: u64,
    /// Files deleted in this run.
    pub deleted: u64,
    /// Files that wait.
    pub pending_files: u64,
    /// Their size.
    pub pending_bytes: u64,
    /// Why something was left undone.
    pub problem: Option<String>,
}

impl Report {
    /// That of the last run, if there was one.
    pub fn read(directory: &Path) -> Option<Self> {
        serde_json::from_slice(&std::fs::read(report_path(directory)).ok()?).ok()
    }

    fn write(&self, directory: &Path) -> anyhow::Result<()> {
        let path = report_path(directory);
        let folder = path.parent().context("no folder")?;
        let file = tempfile::NamedTempFile::new_in(folder)?;
        serde_json::to_writer(&file, self)?;
        file.persist(&path)?;
        Ok(())
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
        anyhow::bail!("nothing says where to: set sync.endpoint and sync.bucket");
    };
    let place =
        Place::open(directory).with_context(|| format!("cannot use {}", directory.display()))?;
    #[expect(clippy::disallowed_methods, reason = "nothing is in it")]
    let lock = File::create(directory.join("raw/sync.lock"))?;
    if rustix::fs::flock(&lock, rustix::fs::FlockOperation::NonBlockingLockExclusive).is_err() {
        anyhow::bail!("another sync is running");
    }
    let ledger = Ledger::of(&place);
    let now = clock::now_ms() * 1000;
    let mut work = Work::find(&place, &ledger, settings, now, wishes.include_raw)?;
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
        let full = credentials.full_name(name);
        let secret = credentials.get(name).with_context(|| full.clone())?;
        secret.with_context(|| format!("the credential {full} is missing"))
    };
    let (id, secret) = (secret("s3-access-key-id")?, secret("s3-secret-access-key")?);
    let bucket = Bucket::new(settings, endpoint, &id, &secret)?;
    ledger.tidy()?;

    let mut report = Report::default();
    let syncer = Syncer {
        place,
        ledger,
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
    let waiting = Work::find(&syncer.place, &syncer.ledger, settings, now, true)?;
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

/// What there is to do, oldest first.
#[derive(Debug, Default)]
struct Work {
    upload: Vec<String>,
    delete: Vec<(String, Object)>,
}

impl Work {
    fn find(
        place: &Place,
        ledger: &Ledger,
        settings: &SyncSettings,
        now: i64,
        this_hour: bool,
    ) -> anyhow::Result<Self> {
        let at = clock::rfc3339(now / 1000);
        let current = format!("date={},hour={}", &at[..10], &at[11..13]);
        let expired = now - (settings.retention_days * DAY) as i64;
        let mut work = Work::default();
        for name in Place::files(&place.ready())? {
            match ledger.get(&name) {
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
    ledger: Ledger,
    bucket: Bucket,
    settings: &'s SyncSettings,
}

impl Syncer<'_> {
    /// Does all that can be done. What the storage refuses does not keep the rest; what it does not answer does.
    fn work(&self, work: &mut Work, report: &mut Report) -> anyhow::Result<()> {
        let mut problem = None;
        for name in &work.upload {
            match self.upload(name) {
                Ok(()) => report.uploaded += 1,
                Err(error) => {
                    let refused = matches!(
                        error.downcast_ref(),
                        Some(S3Error::Refused { .. } | S3Error::Damaged)
                    );
                    let error = error.context(format!("{name} is not uploaded"));
                    tracing::error!("{error:#}");
                    problem.get_or_insert(error);
                    if !refused {
                        break;
                    }
                }
            }
        }
        for (name, object) in &work.delete {
            match self.bucket.head(&key(&self.settings.prefix, name)) {
                Ok(there) if there == *object => {
                    self.ledger.forget(name)?;
                    report.deleted += 1;
                }
                Ok(_) => self.again(name, "is another one")?,
                Err(error) if error.is_missing() => self.again(name, "is gone")?,
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
            "its object {what}: the file is kept, and uploaded again"
        );
        Ok(self.ledger.clear(name)?)
    }

    fn upload(&self, name: &str) -> anyhow::Result<()> {
        let key = key(&self.settings.prefix, name);
        let file = File::open(self.file(name))?;
        let bytes = file.metadata()?.len();
        let part_bytes = self.settings.part_bytes;
        let expected = if bytes <= part_bytes as u64 {
            let mut all = Vec::with_capacity(bytes as usize);
            (&file).read_to_end(&mut all)?;
            self.bucket.put(&key, &all)?;
            hex(&md5(&all))
        } else {
            self.upload_in_parts(name, &key, &file, bytes)?
        };
        let object = self.bucket.head(&key)?;
        // Not every storage's tags can be computed here; then all of it is read back.
        if object.etag != expected && self.bucket.read_md5(&key)? != md5_of(&file)?
            || object.bytes != bytes
        {
            return Err(S3Error::Damaged.into());
        }
        tracing::info!(key, bytes, "uploaded");
        let etag = object.etag;
        Ok(self.ledger.set(name, &Entry::Synced { etag, bytes })?)
    }

    /// Uploads the parts that are not there yet; the tag that AWS gives the whole.
    fn upload_in_parts(
        &self,
        name: &str,
        key: &str,
        file: &File,
        bytes: u64,
    ) -> anyhow::Result<String> {
        let part_bytes = self.settings.part_bytes;
        let begin = || -> anyhow::Result<_> { Ok((self.bucket.begin(key)?, Vec::new())) };
        let (upload_id, mut parts) = match self.ledger.get(name) {
            Some(Entry::Uploading {
                upload_id,
                part_bytes: then,
                parts,
            }) if then == part_bytes => {
                tracing::info!(key, parts = parts.len(), "an upload goes on");
                (upload_id, parts)
            }
            _ => begin()?,
        };
        let mut sums = Md5::new();
        let mut buffer = vec![0; part_bytes];
        let outcome = (|| -> anyhow::Result<()> {
            for (index, start) in (0..bytes).step_by(part_bytes).enumerate() {
                let part = &mut buffer[..(bytes - start).min(part_bytes as u64) as usize];
                file.read_exact_at(part, start)?;
                sums.update(md5(part));
                if index < parts.len() {
                    continue;
                }
                let number = u16::try_from(index + 1).context("too many parts")?;
                parts.push(self.bucket.part(key, &upload_id, number, part)?);
                let entry = Entry::Uploading {
                    upload_id: upload_id.clone(),
                    part_bytes,
                    parts: parts.clone(),
                };
                self.ledger.set(name, &entry)?;
            }
            Ok(())
        })();
        let whole = format!("{}-{}", hex(&sums.finalize()), parts.len());
        let outcome = outcome.and_then(|()| Ok(self.bucket.complete(key, &upload_id, &parts)?));
        let Err(error) = outcome else {
            return Ok(whole);
        };
        if !matches!(error.downcast_ref(), Some(S3Error::Refused { .. })) {
            return Err(error);
        }
        // It may have been completed already, and the answer lost. Else the storage has forgotten the upload or does
        // not like its parts: the next run begins anew.
        if self.bucket.head(key).is_ok_and(|there| there.etag == whole) {
            return Ok(whole);
        }
        self.ledger.clear(name)?;
        Err(error)
    }

    fn file(&self, name: &str) -> PathBuf {
        self.place.ready().join(name)
    }
}

fn md5_of(file: &File) -> std::io::Result<[u8; 16]> {
    let (mut hash, mut buffer, mut at) = (Md5::new(), vec![0; 64 << 10], 0);
    loop {
        match file.read_at(&mut buffer, at)? {
            0 => return Ok(hash.finalize().into()),
            length => {
                hash.update(&buffer[..length]);
                at += length as u64;
            }
        }
    }
}
