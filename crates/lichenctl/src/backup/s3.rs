//! The backups in a bucket: whatever is on DATA is brought there. A device never removes anything from it, and its key need
//! not allow that, so that nobody who takes over the device can; the bucket's own rules remove what is old.

use super::{BackupRefused, FOLDER, shelf};
use crate::journal::say;
use crate::root::Root;
use anyhow::{Context, Result};
use bucket::{Bucket, Keys, Settings, Upload};
use serde::Deserialize;
use std::fs;
use std::path::Path;

const SECRETS: &str = "var/lib/lichen/credentials";
/// How many characters of the machine's id tell two cards of one name apart.
const ID: usize = 8;

/// Where backups are brought to.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct S3 {
    endpoint: String,
    bucket: String,
    region: String,
    prefix: String,
}

impl S3 {
    /// Brings what is on DATA after the number `brought`, also what earlier attempts could not bring, and advances that
    /// number. What was brought once is not brought again when the bucket has removed it. Each object is compared with its
    /// file.
    pub(super) fn bring(&self, root: &Root, hostname: &str, brought: &mut u64) -> Result<()> {
        let secret = |name: &str| {
            let text = fs::read_to_string(root.at(SECRETS).join(name));
            let text = text.map(|text| text.trim().to_owned());
            text.map_err(|_| BackupRefused::NoSecret(name.to_owned()))
        };
        let keys = Keys::new(
            &secret("backup.s3-access-key-id")?,
            &secret("backup.s3-secret-access-key")?,
        );
        let bucket = Bucket::new(
            Settings {
                region: self.region.clone(),
                on_retry: |error| say(&format!("{error}; trying again")),
                ..Settings::new("lichenctl", &self.endpoint, &self.bucket)
            },
            keys,
        )?;
        let id = fs::read_to_string(root.at("etc/machine-id")).unwrap_or_default();
        let id = id.trim().get(..ID).unwrap_or("unknown").to_owned();
        let on_data = shelf::on(&root.at(FOLDER))?.into_iter();
        for (number, file) in on_data
            .filter(|(number, _)| *number > *brought)
            .collect::<Vec<_>>()
        {
            let name = file.file_name().unwrap_or_default().to_string_lossy();
            let key = format!("{}{hostname}/{id}/{name}", self.prefix);
            self.bring_one(&bucket, &key, &file)
                .with_context(|| format!("cannot bring {name} to the bucket {}", self.bucket))?;
            *brought = number;
        }
        Ok(())
    }

    fn bring_one(&self, bucket: &Bucket, key: &str, file: &Path) -> Result<()> {
        let length = fs::metadata(file)?.len();
        if bucket.head(key)?.is_some_and(|there| there.bytes == length) {
            return Ok(());
        }
        bucket.upload(key, file, &Upload::default())?;
        say(&format!("{key} is in the bucket {}", self.bucket));
        Ok(())
    }
}
