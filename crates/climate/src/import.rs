//! `climate import-env FILE`: maps the variables of an installation's `.env` to settings.

use kit::import::{Becomes, Variable};

/// Maps a variable to a setting.
pub fn take(variable: &Variable) -> Result<Becomes, String> {
    let (section, key, value) = match variable.name {
        "SLACK_WEBHOOK_URL" => return Ok(Becomes::Secret("slack-webhook-url")),
        "BEARER_TOKEN" => return Ok(Becomes::Secret("bearer-token")),
        "WEBHOOK_ENABLED" => ("webhook", "enabled", variable.truth()?),
        "WEBHOOK_RETRY_COUNT" => ("webhook", "retry_count", variable.whole()?),
        "WEBHOOK_RETRY_DELAY" => ("webhook", "retry_delay", variable.whole()?),
        "WEBHOOK_TIMEOUT" => ("webhook", "timeout", variable.whole()?),
        "ALERT_TEMP_MIN_C" => ("alerts", "temp_min_c", variable.number()?),
        "ALERT_TEMP_MAX_C" => ("alerts", "temp_max_c", variable.number()?),
        "ALERT_HUMIDITY_MIN" => ("alerts", "humidity_min", variable.number()?),
        "ALERT_HUMIDITY_MAX" => ("alerts", "humidity_max", variable.number()?),
        "STATUS_UPDATE_ENABLED" => ("status", "enabled", variable.truth()?),
        "STATUS_UPDATE_INTERVAL" => ("status", "interval_seconds", variable.whole()?),
        "LOG_FILE" => {
            let why = "logs are in the journal (journalctl -u climate), kept for 30 days";
            return Ok(Becomes::Nothing(why.into()));
        }
        _ => return Ok(variable.unknown()),
    };
    Ok(Becomes::Setting(section, key, value))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::config::Config;

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
        let import = |text| kit::import::import::<Config>("climate", text, take);
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
        let problem = import("ALERT_TEMP_MIN_C=30").unwrap_err();
        assert!(
            problem.starts_with("alerts.temp_min_c: must be less"),
            "{problem}"
        );
    }
}
