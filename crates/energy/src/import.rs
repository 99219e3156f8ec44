//! `energy import-env FILE`: maps the variables of an installation's `.env` to settings.

use kit::import::{Becomes, Variable};

use crate::config::CACHE_FILE;

/// The usual place of the old database.
pub const STATE_DIRECTORY: &str = "/var/lib/home-energy-analysis";

/// Maps a variable to a setting.
pub fn take(variable: &Variable) -> Result<Becomes, String> {
    let (section, key, value) = match variable.name {
        "AMBER_TOKEN" => return Ok(Becomes::Secret(crate::sync::TOKEN)),
        "AMBER_SITE_ID" => ("amber", "site_id", variable.value.into()),
        "PORT" => ("http", "port", variable.whole()?),
        "RETENTION_DAYS" => ("cache", "retention_days", variable.whole()?),
        "SQLITE_PATH" => {
            let why = format!(
                "the cache is always {STATE_DIRECTORY}/{CACHE_FILE}; to take over the old one, copy {} to the device, under \
                 another name, and run `energy restore COPY` there",
                variable.value
            );
            return Ok(Becomes::Nothing(why));
        }
        "DEBUG" => {
            variable.truth()?;
            let why = "set LOG=debug in the environment of home-energy-dashboard.service";
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

    #[test]
    fn an_env_file_becomes_configuration_and_secrets() {
        let import = |text| kit::import::import::<Config>("energy", text, take);
        let imported = import(
            "AMBER_TOKEN=psk_0123456789abcdef0123456789abcdef\nAMBER_SITE_ID=\"01F5A5CRKMZ5BCX9P1S4V990AM\"\n\
             PORT=5050\nSQLITE_PATH=/home/pi/energy/cache.sqlite\nRETENTION_DAYS=365 # a year\nDEBUG=false\nFLASK_ENV=x\n",
        )
        .unwrap();
        assert_eq!(
            imported.config,
            json!({
                "amber": { "site_id": "01F5A5CRKMZ5BCX9P1S4V990AM" },
                "http": { "port": 5050 },
                "cache": { "retention_days": 365 },
            })
        );
        assert_eq!(
            imported.lichen_toml(),
            "[secrets]\n\"energy.amber-token\" = \"psk_0123456789abcdef0123456789abcdef\"\n"
        );
        assert!(
            imported
                .nix()
                .contains("    amber.site_id = \"01F5A5CRKMZ5BCX9P1S4V990AM\";\n")
        );
        assert!(
            !imported.nix().contains("psk_"),
            "a secret must not get into the configuration"
        );
        assert_eq!(imported.notes.len(), 3);
        assert!(imported.notes[0].contains("copy /home/pi/energy/cache.sqlite to the device"));
        let problem = import("AMBER_SITE_ID=../../etc").unwrap_err();
        assert_eq!(problem, "amber.site_id: must consist of letters and digits");
    }
}
