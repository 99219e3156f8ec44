//! `lichen.toml` as the host writes it: what one device is told by the card it boots from.
//!
//! The device's own parser judges it before any card is touched: what it refuses would only be found at the
//! first boot, on the console of a machine that nobody can log in to.

use anyhow::{Context, Result};
use protocol::lichen_toml::{self, Problem, Provision};
use protocol::zones;

/// The file's name in the root of BOOT.
pub const NAME: &str = "lichen.toml";

/// The file's text. It holds secrets in the clear, as the card will.
pub fn text(wanted: &Provision) -> Result<String> {
    let context = "cannot write lichen.toml as TOML";
    let mut table = toml::Table::try_from(wanted).context(context)?;
    if !wanted.secrets.is_empty() {
        let secrets = toml::Value::try_from(&wanted.secrets).context(context)?;
        table.insert("secrets".into(), secrets);
    }
    toml::to_string(&table).context(context)
}

/// Everything the device would find wrong with it. Names no secret's value.
pub fn problems(text: &str) -> Vec<Problem> {
    // Not by this machine's zones: older systems know names that devices do not know any more.
    lichen_toml::read(text.as_bytes(), &zones::is_known)
        .err()
        .unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;
    use protocol::lichen_toml::{Secret, Ssh, Wifi};

    const KEY: &str = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIG1lCyLg8uNLwgEd7CM/8mxZGPTlWUQ9F5OG9JYyqUVn me@\"here\"";

    fn everything() -> Provision {
        Provision {
            hostname: Some("rack7".into()),
            timezone: Some("UTC".into()),
            wifi: Some(Wifi {
                ssid: "the \"attic\"".into(),
                passphrase: Some(Secret::from("correct \\ horse".to_owned())),
                country: Some("DE".into()),
                hidden: true,
            }),
            ssh: Some(Ssh {
                authorized_keys: vec![KEY.into()],
            }),
            secrets: [(
                "climate.bearer-token".into(),
                Secret::from("line 1\nline 2".to_owned()),
            )]
            .into(),
        }
    }

    #[test]
    fn the_device_understands_what_the_host_writes() {
        for wanted in [everything(), Provision::default()] {
            let text = text(&wanted).unwrap();
            let read = lichen_toml::read(text.as_bytes(), &|_| true);
            assert_eq!(read.as_ref(), Ok(&wanted), "{text}");
            assert_eq!(problems(&text), []);
        }
    }

    #[test]
    fn a_time_zone_is_judged_by_those_that_devices_have() {
        let mut wanted = everything();
        wanted.timezone = Some("US/Pacific".into());
        let problems = problems(&text(&wanted).unwrap());
        let [problem] = &problems[..] else {
            panic!("{problems:?}");
        };
        assert!(
            problem.message.ends_with("allowed: America/Los_Angeles"),
            "{problem}"
        );
    }

    #[test]
    fn the_device_s_complaints_are_known_beforehand_and_give_no_secret_away() {
        let mut wanted = everything();
        wanted.hostname = Some("rack 7".into());
        wanted.wifi.as_mut().unwrap().passphrase = Some(Secret::from("short".to_owned()));
        let problems = problems(&text(&wanted).unwrap());
        let keys: Vec<&str> = problems.iter().map(|p| p.key.as_str()).collect();
        assert_eq!(keys, ["hostname", "wifi.passphrase"]);
        assert!(!format!("{problems:?}").contains("short"));
    }
}
