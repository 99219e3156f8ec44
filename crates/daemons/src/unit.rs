//! A unit file of the device, as far as it says what runs.

use std::path::Path;

use anyhow::{Context, Result};

/// What a unit runs, and as whom.
#[derive(Debug, Clone)]
pub struct Unit {
    /// Its name, without `.service`.
    pub name: String,
    /// Who it runs as.
    pub user: String,
    /// `Environment=`, as names and values.
    pub environment: Vec<(String, String)>,
    /// Where its data are, below `/var/lib`.
    pub state: String,
    /// What it keeps below `/run`.
    pub runtime: Option<String>,
    /// The file without which it does not start.
    pub condition: Option<String>,
    /// The script before the start.
    pub before: Option<String>,
    /// The program with its arguments.
    pub start: String,
    /// The script after the end.
    pub after: Option<String>,
}

impl Unit {
    /// Reads the unit of this name below `etc`.
    pub fn read(etc: &Path, name: &str) -> Result<Self> {
        let file = etc.join(format!("systemd/system/{name}.service"));
        let text = std::fs::read_to_string(&file)
            .with_context(|| format!("the page has no {}", file.display()))?;
        let all = |key: &str| -> Vec<String> {
            let lines = text.lines().filter_map(|line| line.split_once('='));
            let of_key = lines.filter(|(name, _)| *name == key);
            of_key.map(|(_, value)| value.to_owned()).collect()
        };
        let one = |key: &str| all(key).pop();
        let must = |key: &str| one(key).with_context(|| format!("{name}.service has no {key}"));
        let environment = all("Environment").into_iter().filter_map(|line| {
            let line = line.trim_matches('"');
            let (name, value) = line.split_once('=')?;
            Some((name.to_owned(), value.to_owned()))
        });
        Ok(Unit {
            name: name.to_owned(),
            user: must("User")?,
            environment: environment.collect(),
            state: must("StateDirectory")?,
            runtime: one("RuntimeDirectory"),
            condition: one("ConditionPathExists"),
            before: one("ExecStartPre"),
            start: must("ExecStart")?,
            after: one("ExecStopPost"),
        })
    }
}
