//! `climate import-env FILE`: an installation's `.env` becomes configuration and credentials.
//!
//! What is secret goes into lichen.toml's `[secrets]`, the rest into the appliance's configuration. What is
//! not known is named, not dropped in silence.

use std::collections::BTreeMap;

use appliance::Configuration;
use serde_json::{Map, Value, json};

use crate::config::Config;

/// What an `.env` file becomes.
#[derive(Debug, PartialEq)]
pub struct Imported {
    /// The service's config.json.
    pub config: Value,
    /// Secrets by the names of their credentials.
    pub secrets: BTreeMap<&'static str, String>,
    /// What was not taken over, and why.
    pub notes: Vec<String>,
}

/// Reads the text of an `.env` file.
pub fn import(text: &str) -> Result<Imported, String> {
    let mut imported = Imported {
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
        let value = unquoted(value.trim());
        imported
            .take(name.trim(), value)
            .map_err(|problem| in_line(&problem))?;
    }
    let config: Config =
        serde_json::from_value(imported.config.clone()).map_err(|error| error.to_string())?;
    config.check()?;
    Ok(imported)
}

impl Imported {
    fn take(&mut self, name: &str, value: &str) -> Result<(), String> {
        let number = || {
            value
                .parse::<f64>()
                .map_err(|_| format!("{name}: `{value}` is not a number"))
        };
        let whole = || {
            value
                .parse::<u64>()
                .map_err(|_| format!("{name}: `{value}` is not a whole number"))
        };
        let truth = || match value.to_ascii_lowercase().as_str() {
            "true" | "1" | "yes" | "on" => Ok(true),
            "false" | "0" | "no" | "off" => Ok(false),
            _ => Err(format!("{name}: `{value}` is neither true nor false")),
        };
        let (section, key, value): (_, _, Value) = match name {
            "SLACK_WEBHOOK_URL" => return self.secret("climate.slack-webhook-url", value),
            "BEARER_TOKEN" => return self.secret("climate.bearer-token", value),
            "WEBHOOK_ENABLED" => ("webhook", "enabled", truth()?.into()),
            "WEBHOOK_RETRY_COUNT" => ("webhook", "retry_count", whole()?.into()),
            "WEBHOOK_RETRY_DELAY" => ("webhook", "retry_delay", whole()?.into()),
            "WEBHOOK_TIMEOUT" => ("webhook", "timeout", whole()?.into()),
            "ALERT_TEMP_MIN_C" => ("alerts", "temp_min_c", number()?.into()),
            "ALERT_TEMP_MAX_C" => ("alerts", "temp_max_c", number()?.into()),
            "ALERT_HUMIDITY_MIN" => ("alerts", "humidity_min", number()?.into()),
            "ALERT_HUMIDITY_MAX" => ("alerts", "humidity_max", number()?.into()),
            "STATUS_UPDATE_ENABLED" => ("status", "enabled", truth()?.into()),
            "STATUS_UPDATE_INTERVAL" => ("status", "interval_seconds", whole()?.into()),
            "LOG_FILE" => {
                self.notes.push(
                    "LOG_FILE: logs are in the journal (journalctl -u climate), kept for 30 days"
                        .into(),
                );
                return Ok(());
            }
            _ => {
                self.notes
                    .push(format!("{name}: not known to this service, not taken over"));
                return Ok(());
            }
        };
        self.config[section][key] = value;
        Ok(())
    }

    fn secret(&mut self, name: &'static str, value: &str) -> Result<(), String> {
        if !value.is_empty() {
            self.secrets.insert(name, value.to_owned());
        }
        Ok(())
    }

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
        let mut text = String::from("services.climate = {\n  enable = true;\n  settings = {\n");
        for (section, values) in self.config.as_object().into_iter().flatten() {
            for (key, value) in values.as_object().into_iter().flatten() {
                text.push_str(&format!("    {section}.{key} = {value};\n"));
            }
        }
        text.push_str("  };\n};\n");
        text
    }
}

/// The value without its quotes, or without what follows it as a comment.
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

    const ENV: &str = r#"
# Slack
SLACK_WEBHOOK_URL="https://hooks.slack.com/services/T0/B0/x"  # ours
WEBHOOK_ENABLED=true
WEBHOOK_RETRY_COUNT=5
export ALERT_TEMP_MAX_C=25.5 # racks are new
STATUS_UPDATE_ENABLED=False
BEARER_TOKEN='abc#123'
LOG_FILE=temp_monitor.log
CLOUDFLARE_TOKEN=zzz
"#;

    #[test]
    fn an_env_file_becomes_configuration_and_secrets() {
        let imported = import(ENV).unwrap();
        assert_eq!(
            imported.config,
            json!({
                "webhook": { "enabled": true, "retry_count": 5 },
                "alerts": { "temp_max_c": 25.5 },
                "status": { "enabled": false },
            })
        );
        assert_eq!(
            imported.lichen_toml(),
            "[secrets]\n\"climate.bearer-token\" = \"abc#123\"\n\
             \"climate.slack-webhook-url\" = \"https://hooks.slack.com/services/T0/B0/x\"\n"
        );
        assert!(
            imported.nix().contains("    alerts.temp_max_c = 25.5;\n"),
            "{}",
            imported.nix()
        );
        assert_eq!(imported.notes.len(), 2);
        assert!(
            !imported.nix().contains("hooks.slack.com"),
            "a secret must not get into the configuration"
        );
    }

    #[test]
    fn a_mistake_is_named_by_line_and_name() {
        let problem = import("WEBHOOK_TIMEOUT=soon").unwrap_err();
        assert_eq!(
            problem,
            "line 1: WEBHOOK_TIMEOUT: `soon` is not a whole number"
        );
        assert_eq!(
            import("\nhello").unwrap_err(),
            "line 2: expected NAME=value"
        );
        assert!(
            import("ALERT_TEMP_MIN_C=30")
                .unwrap_err()
                .starts_with("alerts.temp_min_c: must be less")
        );
    }
}
