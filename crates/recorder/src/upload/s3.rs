//! The target `s3`: a bucket of an S3-compatible storage. The shared client uploads parts, remembers each in its ledger,
//! and compares the object with the file at the end.

use std::path::PathBuf;

use bucket::{
    Bucket, Entry, Error, Keys, Ledger, Object, Patience, Reason, Settings, Style, Upload,
};
use jiff::Timestamp;
use kit::Secret;

use super::config::S3Settings;
use super::target::{Job, Target};
use super::trouble::Trouble;

/// A bucket.
pub struct S3 {
    bucket: Bucket,
    prefix: String,
    ledger: Ledger,
    part_bytes: u64,
}

impl S3 {
    /// The bucket of these settings; `folder` is where the progress of uploads is recorded.
    pub fn new(
        settings: &S3Settings,
        (id, secret): (Secret, Secret),
        folder: PathBuf,
        part_bytes: u64,
    ) -> anyhow::Result<Self> {
        std::fs::create_dir_all(&folder)?;
        let style = match settings.path_style {
            true => Style::Path,
            false => Style::Host,
        };
        let settings_of_bucket = Settings {
            region: settings.region.clone(),
            style,
            // The queue tries again by itself, and an upload can be ended meanwhile.
            patience: Patience {
                attempts: 2,
                ..Patience::default()
            },
            clock: || {
                Timestamp::from_millisecond(kit::clock::now_ms()).unwrap_or(Timestamp::UNIX_EPOCH)
            },
            ..Settings::new("lichen-recorder", &settings.endpoint, &settings.bucket)
        };
        Ok(S3 {
            bucket: Bucket::new(settings_of_bucket, Keys::new(id.expose(), secret.expose()))?,
            prefix: settings.prefix.clone(),
            ledger: Ledger::new(folder),
            part_bytes,
        })
    }
}

impl Target for S3 {
    fn upload(&self, job: &Job) -> Result<String, Trouble> {
        let video = job.video;
        let key = format!("{}{}", self.prefix, video.name());
        // Another content of the same session is another upload.
        let entry = format!("session-{}-{}", video.session, video.sha256);
        let is_needed = |name: &str| name == entry || !self.ledger.is_synced(name);
        self.ledger
            .tidy(is_needed)
            .map_err(|why| Trouble::target(Error::Ledger(why.into()).to_string()))?;
        if self.is_there(&key, &entry) {
            return Ok(key);
        }
        let upload = Upload {
            part_bytes: self.part_bytes,
            ledger: Some((&self.ledger, &entry)),
            progress: Some(job.pace.watch(0)),
        };
        let uploaded = self.bucket.upload(&key, &video.path, &upload);
        if job.pace.has_ended() {
            return Err(Trouble::Ended);
        }
        match uploaded {
            Ok(_) => Ok(key),
            Err(error) => Err(trouble(&self.bucket.server(), &error)),
        }
    }
}

impl S3 {
    /// Whether the object was uploaded and compared before a power cut, which kept the queue from recording it.
    fn is_there(&self, key: &str, entry: &str) -> bool {
        let Some(Entry::Synced { etag, bytes }) = self.ledger.get(entry) else {
            return false;
        };
        let object = self.bucket.head(key).ok().flatten();
        object == Some(Object { etag, bytes })
    }
}

fn trouble(server: &str, error: &Error) -> Trouble {
    let hint = error
        .hint()
        .map_or_else(String::new, |hint| format!(": {hint}"));
    let why = format!("{server}: {error}{hint}");
    match error {
        Error::Damaged | Error::Unreadable { .. } => Trouble::Video(why),
        Error::Strange { .. } => Trouble::target(format!(
            "{server} did not answer as a storage does: a login page of the network there stands before it, or the endpoint is wrong"
        )),
        Error::Refused(refusal) if (300..400).contains(&refusal.status) => {
            Trouble::target(format!(
                "{server} redirects uploads ({why}), and nothing is sent there: set the endpoint to where they belong"
            ))
        }
        Error::Refused(refusal) if refusal.reason == Reason::Other && refusal.status != 507 => {
            Trouble::Video(why)
        }
        _ => Trouble::target(why),
    }
}
