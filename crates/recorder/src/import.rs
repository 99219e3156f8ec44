//! `recorder import-env FILE`: maps the variables of an installation's `.env` to settings.
//!
//! Known are the names that AWS, Google's samples and POSIX give to what this service needs, and those that the other
//! services of this project have. Whatever else is in the file is reported, with its name.

use kit::import::{Becomes, Variable};

/// Maps a variable to a setting.
pub fn take(variable: &Variable) -> Result<Becomes, String> {
    let (section, key, value) = match variable.name {
        "BEARER_TOKEN" => return Ok(Becomes::Secret("bearer-token")),
        "UPLOAD_TOKEN" => return Ok(Becomes::Secret("upload-token")),
        "YOUTUBE_CLIENT_ID" => return Ok(Becomes::Secret("youtube-client-id")),
        "YOUTUBE_CLIENT_SECRET" => return Ok(Becomes::Secret("youtube-client-secret")),
        "YOUTUBE_REFRESH_TOKEN" => return Ok(Becomes::Secret("youtube-refresh-token")),
        "AWS_ACCESS_KEY_ID" => return Ok(Becomes::Secret("s3-access-key-id")),
        "AWS_SECRET_ACCESS_KEY" => return Ok(Becomes::Secret("s3-secret-access-key")),
        "AWS_ENDPOINT_URL" | "AWS_ENDPOINT_URL_S3" => return Ok(write("s3.endpoint", variable)),
        "AWS_REGION" | "AWS_DEFAULT_REGION" => return Ok(write("s3.region", variable)),
        "PORT" => ("http", "port", variable.whole()?),
        "METRICS_PORT" => ("http", "metrics_port", variable.whole()?),
        "TZ" => {
            let zone = variable.value.trim_start_matches(':');
            ("schedule", "time_zone", zone.into())
        }
        "LOG_FILE" => {
            let why = "logs are in the journal (journalctl -u recorder), kept for 30 days";
            return Ok(Becomes::Nothing(why.into()));
        }
        _ => return Ok(variable.unknown()),
    };
    Ok(Becomes::Setting(section, key, value))
}

/// Where to upload to is decided by whoever writes the appliance's page: a file with keys need not mean that this
/// service should use them.
fn write(key: &str, variable: &Variable) -> Becomes {
    Becomes::Nothing(format!(
        "if recordings are to go there: services.recorder.uploads = {{ target = \"s3\"; {key} = \"{}\"; }};",
        variable.value
    ))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::config::Config;

    const ENV: &str = r#"
# The camera in the gym
export TZ=:Europe/Berlin
PORT=8080
METRICS_PORT=9101
BEARER_TOKEN='let me in'
YOUTUBE_CLIENT_ID=1.apps.example
YOUTUBE_CLIENT_SECRET="GOCSPX-x"  # of the console
YOUTUBE_REFRESH_TOKEN=1//04x
AWS_SECRET_ACCESS_KEY=s3cret
AWS_REGION=eu-central-1
LOG_FILE=recorder.log
RECORDINGS=/mnt/usb
"#;

    #[test]
    fn an_env_file_becomes_configuration_and_secrets() {
        let import = |text| kit::import::import::<Config>("recorder", text, take);
        let imported = import(ENV).unwrap();
        assert_eq!(
            imported.config,
            json!({
                "http": { "port": 8080, "metrics_port": 9101 },
                "schedule": { "time_zone": "Europe/Berlin" },
            })
        );
        assert_eq!(
            imported.lichen_toml(),
            "[secrets]\n\"recorder.bearer-token\" = \"let me in\"\n\
             \"recorder.s3-secret-access-key\" = \"s3cret\"\n\
             \"recorder.youtube-client-id\" = \"1.apps.example\"\n\
             \"recorder.youtube-client-secret\" = \"GOCSPX-x\"\n\
             \"recorder.youtube-refresh-token\" = \"1//04x\"\n"
        );
        let nix = imported.nix();
        assert!(nix.contains("    http.port = 8080;\n"), "{nix}");
        for secret in ["let me in", "GOCSPX", "1//04x", "s3cret"] {
            assert!(
                !nix.contains(secret),
                "a secret must not get into the configuration"
            );
        }
        let [region, log, unknown] = imported.notes.as_slice() else {
            panic!("{:?}", imported.notes);
        };
        assert!(region.contains("uploads = { target = \"s3\"; s3.region = \"eu-central-1\"; };"));
        assert!(log.contains("journalctl -u recorder"), "{log}");
        assert!(unknown.starts_with("RECORDINGS: not known"), "{unknown}");
        let problem = import("TZ=Mars").unwrap_err();
        assert!(
            problem.starts_with("schedule.time_zone: `Mars` is not a time zone"),
            "{problem}"
        );
    }
}
