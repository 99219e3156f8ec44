//! Why no backup was made, or none was restored.

use crate::hint::Hint;
use backup::BackupError;

/// Why no backup was made, or none was restored.
#[derive(Debug, thiserror::Error)]
pub enum BackupRefused {
    /// Nobody could read it.
    #[error("no key is known to encrypt a backup to")]
    NoKeys,
    /// No service declares data.
    #[error("no service of this appliance declares data, so there is nothing to back up")]
    NothingDeclared,
    /// What was written is not what is read.
    #[error("{0} does not read as it was written")]
    Unreliable(String),
    /// Some services could not copy their data.
    #[error("{file} is a backup without the data of {missing}")]
    Incomplete {
        /// What there is.
        file: String,
        /// The services.
        missing: String,
    },
    /// The bucket's key is not there.
    #[error("this device has no secret {0}, so that no backup can be brought to the bucket")]
    NoSecret(String),
    /// It is of another appliance.
    #[error("it is a backup of the appliance {backup}, and this device runs {here}")]
    AnotherAppliance {
        /// That of the backup.
        backup: String,
        /// That of the device.
        here: String,
    },
    /// The service is not there.
    #[error("it has data of {0}, which the running generation does not declare")]
    Unknown(String),
    /// The service may not be able to read its data.
    #[error(
        "it has data of {service} in version {backup}, and the running generation knows version {here}"
    )]
    Later {
        /// The service.
        service: String,
        /// The version in the backup.
        backup: String,
        /// The version of the running generation.
        here: String,
    },
    /// Nobody owns the data yet.
    #[error("{0} has never run here, so that it is not known whose its data are to be")]
    NeverRan(String),
    /// Another generation might still bring back its own copies.
    #[error("the running generation changed the version of data, and is not good yet")]
    OnTrial,
    /// Its blessing must not have to wait.
    #[error("the running generation is on trial, and not good yet")]
    BeforeItIsGood,
    /// A restore was decided, and is not complete.
    #[error("an earlier restore was interrupted while directories were exchanged")]
    Unfinished,
    /// What was restored does not run.
    #[error("the data were restored, and the services do not start with them: {0}")]
    DoesNotStart(String),
}

impl Hint for BackupRefused {
    fn hint(&self) -> &'static str {
        match self {
            Self::NoKeys => {
                "`lichen key backup` on your machine makes one, and `lichen backup HOST` uses it; lichen.backup.recipients names it for good"
            }
            Self::NothingDeclared => {
                "lichen.state.SERVICE in the appliance's configuration declares them"
            }
            Self::Unreliable(_) => "the card may be dying: `lichenctl status` counts its errors",
            Self::Incomplete { .. } => {
                "what it has can be restored; mend the service, and `lichenctl backup` makes a whole one"
            }
            Self::NoSecret(_) => {
                "name it in [secrets] of lichen.toml, copy that to BOOT and reboot"
            }
            Self::AnotherAppliance { .. } => {
                "restore it on a device that runs its appliance, or deploy that appliance here first"
            }
            Self::Unknown(_) => "deploy a generation that has this service, and restore then",
            Self::Later { .. } => "deploy a newer generation, and restore then",
            Self::NeverRan(_) => "start it once, and restore then",
            Self::OnTrial => {
                "its next boot makes it good, if it is healthy; `lichenctl status` tells when it is, and restore then"
            }
            Self::BeforeItIsGood => "`lichenctl status` tells when it is good; back up then",
            Self::Unfinished => {
                "a reboot completes it; if it does not, `journalctl -u lichen-restore-state` says why"
            }
            Self::DoesNotStart(_) => {
                "`journalctl -e` says why; the data from before are in /var/lib/lichen/state/SERVICE/replaced-N"
            }
        }
    }
}

/// What to do about an archive that cannot be read.
pub fn hint_of_archive(error: &BackupError) -> Option<&'static str> {
    Some(match error {
        BackupError::Encrypted | BackupError::AnotherKey(_) => {
            "`lichen restore HOST FILE` decrypts it on your machine"
        }
        BackupError::NotABackup => {
            "`lichen backup` writes backups, and `lichen restore` sends them"
        }
        BackupError::Newer(_) => "deploy a newer generation, and restore then",
        BackupError::Damaged { .. } => "take another backup",
    })
}
