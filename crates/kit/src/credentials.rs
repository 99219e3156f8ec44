//! Secrets come only from systemd credentials, never from the configuration, which anyone can read.

use std::io;
use std::path::PathBuf;

use anyhow::Context;

/// The credentials that systemd passed to this service, named `<service>.<name>`.
#[derive(Debug, Clone)]
pub struct Credentials {
    service: String,
    directory: Option<PathBuf>,
}

/// A secret: never printed, compared in constant time.
#[derive(Clone, PartialEq, Eq)]
pub struct Secret(String);

impl Credentials {
    /// The credentials of `service` in `$CREDENTIALS_DIRECTORY`.
    pub fn from_environment(service: &str) -> Self {
        let directory = std::env::var_os("CREDENTIALS_DIRECTORY").map(PathBuf::from);
        Credentials {
            service: service.into(),
            directory,
        }
    }

    /// The credentials of `service` in `directory`, if any.
    pub fn in_directory(service: &str, directory: Option<PathBuf>) -> Self {
        Credentials {
            service: service.into(),
            directory,
        }
    }

    /// The secret `<service>.<name>`, or none if it was not passed or is empty.
    pub fn get(&self, name: &str) -> anyhow::Result<Option<Secret>> {
        let Some(directory) = &self.directory else {
            return Ok(None);
        };
        let name = self.full_name(name);
        let text = match std::fs::read_to_string(directory.join(&name)) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            read => read.with_context(|| format!("credential {name}"))?,
        };
        let text = text.trim();
        Ok((!text.is_empty()).then(|| Secret::new(text)))
    }

    /// The full name of the secret `name` in `lichen.toml` and for systemd.
    pub fn full_name(&self, name: &str) -> String {
        format!("{}.{name}", self.service)
    }
}

impl Secret {
    /// Wraps a secret that did not come from a credential.
    pub fn new(text: impl Into<String>) -> Self {
        Secret(text.into())
    }

    /// The secret value, for the one place that needs it.
    pub fn expose(&self) -> &str {
        &self.0
    }

    /// Compares with `guess` in a time that depends only on the length.
    pub fn matches(&self, guess: &str) -> bool {
        let (ours, theirs) = (self.0.as_bytes(), guess.as_bytes());
        if ours.is_empty() {
            return false;
        }
        let mut difference = ours.len() ^ theirs.len();
        for (index, byte) in theirs.iter().enumerate() {
            difference |= usize::from(byte ^ ours[index % ours.len()]);
        }
        std::hint::black_box(difference) == 0
    }
}

impl std::fmt::Debug for Secret {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Secret(…)")
    }
}

#[cfg(test)]
#[expect(
    clippy::disallowed_methods,
    reason = "what a test writes need not survive a cut"
)]
mod tests {
    use super::*;

    #[test]
    fn a_credential_is_read_by_its_full_name_and_trimmed() {
        let directory = tempfile::tempdir().unwrap();
        std::fs::write(directory.path().join("climate.token"), "s3cret\n").unwrap();
        std::fs::write(directory.path().join("climate.empty"), "\n").unwrap();
        let credentials = Credentials::in_directory("climate", Some(directory.path().into()));
        assert_eq!(
            credentials.get("token").unwrap().unwrap().expose(),
            "s3cret"
        );
        assert_eq!(credentials.get("empty").unwrap(), None);
        assert_eq!(credentials.get("other").unwrap(), None);
        assert_eq!(
            Credentials::in_directory("climate", None)
                .get("token")
                .unwrap(),
            None
        );
    }

    #[test]
    fn only_the_whole_secret_matches_and_it_is_never_printed() {
        let secret = Secret::new("s3cret");
        assert!(secret.matches("s3cret"));
        for guess in ["", "s", "s3cre", "s3crets", "S3cret", "s3crets3cret"] {
            assert!(!secret.matches(guess), "{guess}");
        }
        assert!(!Secret::new("").matches("x"));
        assert!(!Secret::new("").matches(""));
        assert_eq!(format!("{secret:?}"), "Secret(…)");
    }
}
