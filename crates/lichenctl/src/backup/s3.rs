//! The backups in a bucket: whatever is on DATA is brought there. A device never removes anything from it, and its key need
//! not allow that, so that nobody who takes over the device can; the bucket's own rules remove what is old.

use super::record::{self, Brought};
use super::{BackupRefused, FOLDER, shelf};
use crate::journal::say;
use crate::root::Root;
use crate::service_data::copy;
use anyhow::{Context, Result};
use bucket::{Bucket, Keys, Ledger, Reason, Settings, Upload};
use serde::Deserialize;
use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

const SECRETS: &str = "var/lib/lichen/credentials";
/// How far the uploads have come.
const UPLOADS: &str = "var/lib/lichen/backup/uploads";
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
    /// Brings what is on DATA and was not brought there yet. What was brought once is not brought again when the bucket has
    /// removed it. Each object is compared with its file. An upload that is interrupted goes on with the next run.
    pub(super) fn bring(&self, root: &Root, hostname: &str) -> Result<()> {
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
        let on_data: BTreeMap<_, _> = shelf::on(&root.at(FOLDER))?
            .into_iter()
            .map(|(number, file)| (shelf::name_of(&file), (number, file)))
            .collect();
        let uploads = root.at(UPLOADS);
        let to = format!("{}/{}/{}", self.endpoint, self.bucket, self.prefix);
        let mut brought = record::brought(root);
        if brought.to != to {
            copy::remove(&uploads)?;
            brought = Brought {
                to,
                ..Brought::default()
            };
            record::note_brought(root, &brought)?;
        }
        brought.names.retain(|name| on_data.contains_key(name));
        durable::directory(&uploads, 0o700)?;
        let ledger = Ledger::new(&uploads);
        ledger.tidy(|name| on_data.contains_key(name))?;
        let mut missing: Vec<_> = on_data
            .iter()
            .filter(|(name, _)| !brought.names.contains(*name))
            .collect();
        missing.sort_by_key(|(_, (number, _))| *number);
        for (name, (_, file)) in missing {
            let key = format!("{}{hostname}/{id}/{name}", self.prefix);
            self.bring_one(&bucket, &key, file, (&ledger, name))
                .with_context(|| format!("cannot bring {name} to the bucket {}", self.bucket))?;
            brought.names.insert(name.clone());
            record::note_brought(root, &brought)?;
            ledger.clear(name)?;
        }
        Ok(())
    }

    fn bring_one(
        &self,
        bucket: &Bucket,
        key: &str,
        file: &Path,
        ledger: (&Ledger, &str),
    ) -> Result<()> {
        let length = fs::metadata(file)?.len();
        let there = match bucket.head(key) {
            // That is how Amazon says that there is no such object, to a key that may not list the bucket.
            Err(error) if error.reason() == Some(&Reason::NotAllowed) => None,
            there => there?,
        };
        if there.is_some_and(|there| there.bytes == length) {
            return Ok(());
        }
        let how = Upload {
            ledger: Some(ledger),
            ..Upload::default()
        };
        bucket.upload(key, file, &how)?;
        say(&format!("{key} is in the bucket {}", self.bucket));
        Ok(())
    }
}
