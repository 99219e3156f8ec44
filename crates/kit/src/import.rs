//! `import-env FILE`: turns the `.env` file of an existing installation into configuration and credentials.
//!
//! Secrets go into the `[secrets]` of lichen.toml, the rest into the appliance's configuration. Unknown variables are
//! reported, not silently dropped.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use anyhow::Context;
use serde_json::{Map, Value, json};

use crate::config::Configuration;

/// The result of importing an `.env` file.
#[derive(Debug, PartialEq)]
pub struct Imported {
    service: &'static str,
    /// The service's config.json.
    pub config: Value,
    /// Secrets by the names of their credentials.
    pub secrets: BTreeMap<String, String>,
    /// The variables that were not imported, with the reasons.
    pub notes: Vec<String>,
}

/// One variable of the file.
#[derive(Debug)]
pub struct Variable<'a> {
    /// Its name.
    pub name: &'a str,
    /// Its value, without quotes.
    pub value: &'a str,
}

/// What a variable is turned into.
#[derive(Debug)]
pub enum Becomes {
    /// The value of a key in a section of config.json.
    Setting(&'static str, &'static str, Value),
    /// The secret of this name.
    Secret(&'static str),
    /// Nothing, for this reason.
    Nothing(String),
}

/// Parses the text of an `.env` file; `take` knows the service's variables.
pub fn import<C: Configuration>(
    service: &'static str,
    text: &str,
    take: impl Fn(&Variable) -> Result<Becomes, String>,
) -> Result<Imported, String> {
    let mut imported = Imported {
        service,
        config: Value::Object(Map::new()),
        secrets: BTreeMap::new(),
        notes: Vec::new(),
    };
    for (index, line) in text.lines().enumerate() {
        let line = line.trim();
        let line = line.strip_prefix("export ").unwrap_or(line);
        if line.is_empty() || line.starts_with('#') {
            continue;
        }
        let in_line = |problem: &str| format!("line {}: {problem}", index + 1);
        let (name, value) = line
            .split_once('=')
            .ok_or_else(|| in_line("expected NAME=value"))?;
        let (name, value) = (name.trim(), unquoted(value.trim()));
        match take(&Variable { name, value }).map_err(|problem| in_line(&problem))? {
            Becomes::Setting(section, key, value) => imported.config[section][key] = value,
            Becomes::Secret(_) if value.is_empty() => {}
            Becomes::Secret(name) => {
                let name = format!("{service}.{name}");
                imported.secrets.insert(name, value.to_owned());
            }
            Becomes::Nothing(why) => imported.notes.push(format!("{name}: {why}")),
        }
    }
    let config: C =
        serde_json::from_value(imported.config.clone()).map_err(|error| error.to_string())?;
    config.check()?;
    Ok(imported)
}

impl Variable<'_> {
    /// A number.
    pub fn number(&self) -> Result<Value, String> {
        let number = self.value.parse::<f64>();
        number.map(Value::from).map_err(|_| self.is("not a number"))
    }

    /// A whole number, not negative.
    pub fn whole(&self) -> Result<Value, String> {
        let number = self.value.parse::<u64>();
        number
            .map(Value::from)
            .map_err(|_| self.is("not a whole number"))
    }

    /// A boolean, in the usual spellings.
    pub fn truth(&self) -> Result<Value, String> {
        match self.value.to_ascii_lowercase().as_str() {
            "true" | "1" | "yes" | "on" => Ok(true.into()),
            "false" | "0" | "no" | "off" => Ok(false.into()),
            _ => Err(self.is("neither true nor false")),
        }
    }

    /// The result for a variable that the service does not know.
    pub fn unknown(&self) -> Becomes {
        Becomes::Nothing("not known to this service, not imported".into())
    }

    fn is(&self, what: &str) -> String {
        format!("{}: `{}` is {what}", self.name, self.value)
    }
}

impl Imported {
    /// Lines for lichen.toml on the SD card.
    pub fn lichen_toml(&self) -> String {
        let mut text = String::from("[secrets]\n");
        for (name, value) in &self.secrets {
            // JSON's strings are a subset of TOML's basic strings.
            text.push_str(&format!("{} = {}\n", json!(name), json!(value)));
        }
        text
    }

    /// Lines for the appliance's configuration.
    pub fn nix(&self) -> String {
        let mut text = format!(
            "services.{} = {{\n  enable = true;\n  settings = {{\n",
            self.service
        );
        for (section, values) in self.config.as_object().into_iter().flatten() {
            for (key, value) in values.as_object().into_iter().flatten() {
                // JSON's strings are valid Nix strings, except for `${`, which Nix would interpolate.
                let value = value.to_string().replace("${", "\\${");
                text.push_str(&format!("    {section}.{key} = {value};\n"));
            }
        }
        text.push_str("  };\n};\n");
        text
    }
}

/// The arguments of `import-env`.
#[derive(Debug, clap::Args)]
pub struct ImportEnv {
    /// The .env file
    file: PathBuf,
    /// Write the lines for lichen.toml, which are secret, to FILE instead of naming them only
    #[arg(long, value_name = "FILE")]
    secrets: Option<PathBuf>,
    /// Print the lines for the appliance's configuration instead of config.json
    #[arg(long)]
    nix: bool,
}

impl ImportEnv {
    /// Executes the command with a service's own import.
    pub fn run(&self, import: impl FnOnce(&str) -> Result<Imported, String>) -> anyhow::Result<()> {
        let file = self.file.display();
        let text = std::fs::read_to_string(&self.file).with_context(|| file.to_string())?;
        let imported = import(&text).map_err(|problem| anyhow::anyhow!("{file}: {problem}"))?;
        match self.nix {
            true => print!("{}", imported.nix()),
            false => println!("{:#}", imported.config),
        }
        for note in &imported.notes {
            eprintln!("note: {note}");
        }
        match &self.secrets {
            Some(path) => {
                write_secrets(path, &imported.lichen_toml())?;
                eprintln!(
                    "secrets written to {}: put these lines into lichen.toml on the BOOT partition",
                    path.display()
                );
            }
            None if !imported.secrets.is_empty() => {
                let names: Vec<&str> = imported.secrets.keys().map(String::as_str).collect();
                eprintln!("not printed because they are secret: {}", names.join(", "));
                eprintln!(
                    "hint: {} import-env {file} --secrets FILE",
                    imported.service
                );
            }
            None => {}
        }
        Ok(())
    }
}

/// Writes a file that only its owner can read from the first byte on; never overwrites an existing file.
fn write_secrets(path: &Path, text: &str) -> anyhow::Result<()> {
    use std::io::Write;
    use std::os::unix::fs::OpenOptionsExt;
    let mut file = std::fs::OpenOptions::new()
        .write(true)
        .create_new(true)
        .mode(0o600)
        .open(path)
        .with_context(|| format!("cannot write {}", path.display()))?;
    file.write_all(text.as_bytes())?;
    file.sync_all()?;
    Ok(())
}

/// The value without its quotes, or without a trailing comment.
fn unquoted(value: &str) -> &str {
    for quote in ['"', '\''] {
        if let Some(inner) = value.strip_prefix(quote)
            && let Some(end) = inner.find(quote)
        {
            return &inner[..end];
        }
    }
    value.split(" #").next().unwrap_or(value).trim()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::Bare;

    #[test]
    fn a_mistake_is_named_by_line_and_name() {
        let take = |variable: &Variable| match variable.name {
            "PORT" => Ok(Becomes::Setting("http", "port", variable.whole()?)),
            "DEBUG" => variable.truth().map(|_| Becomes::Nothing("no need".into())),
            "FACTOR" => Ok(Becomes::Setting("sensor", "factor", variable.number()?)),
            _ => Ok(variable.unknown()),
        };
        for (text, problem) in [
            ("\nhello", "line 2: expected NAME=value"),
            ("PORT=http", "line 1: PORT: `http` is not a whole number"),
            ("FACTOR=x # y", "line 1: FACTOR: `x` is not a number"),
            (
                "DEBUG=maybe",
                "line 1: DEBUG: `maybe` is neither true nor false",
            ),
        ] {
            assert_eq!(import::<Bare>("hello", text, take).unwrap_err(), problem);
        }
        let notes = import::<Bare>("hello", "export DEBUG='no'\nOTHER=1", take)
            .unwrap()
            .notes;
        let other = "OTHER: not known to this service, not imported";
        assert_eq!(notes, ["DEBUG: no need", other]);
    }
}
