//! `lichen.toml`: the settings that a device reads from its card. Parsing reports all problems at once, each with its
//! line, its key and what is allowed.
//!
//! ```toml
//! hostname = "rack7"
//! timezone = "Europe/Berlin"
//! [wifi]
//! ssid = "attic"
//! passphrase = "correct horse"        # left out: an open network
//! country = "DE"
//! hidden = true                       # it does not announce its name; left out: it does
//! [ssh]
//! authorized_keys = ["ssh-ed25519 AAAA… me@laptop"]    # root's
//! [secrets]
//! "climate.bearer-token" = "…"        # the credential a unit imports by this name
//! ```
//!
//! Secrets and passphrases never appear in messages, which go to the console and the journal. For this reason the tree
//! is checked here and not by serde, whose messages quote the values that they reject.

mod keys;

use crate::zones;
use serde::{Deserialize, Serialize, Serializer};
use std::collections::BTreeMap;
use std::collections::btree_map::Entry;
use std::fmt;
use std::fs::File;
use std::io::Read;
use std::path::Path;
use toml::Spanned;
use toml::de::{DeTable, DeValue};

/// The largest file that is parsed, in bytes.
pub const LIMIT: u64 = 64 * 1024;

/// A text that must not be shown.
#[derive(Clone, PartialEq, Eq)]
pub struct Secret(String);

impl Secret {
    /// The text.
    pub fn reveal(&self) -> &str {
        &self.0
    }
}

impl From<String> for Secret {
    fn from(text: String) -> Self {
        Secret(text)
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Secret(…)")
    }
}

impl Serialize for Secret {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&self.0)
    }
}

/// The content of a `lichen.toml`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Provision {
    /// The host name.
    pub hostname: Option<String>,
    /// A name of the time zone database.
    pub timezone: Option<String>,
    /// The Wi-Fi to join.
    pub wifi: Option<Wifi>,
    /// The SSH keys that may log in.
    pub ssh: Option<Ssh>,
    /// Credentials by name. Each is a file of its own on DATA, not part of the stored `provision.toml`.
    #[serde(skip)]
    pub secrets: BTreeMap<String, Secret>,
}

/// `[wifi]`
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Wifi {
    /// The name of the network.
    pub ssid: String,
    /// Its passphrase, or the key itself as 64 hex digits; none for an open network.
    pub passphrase: Option<Secret>,
    /// The country whose rules for radio apply, as ISO 3166's two letters.
    pub country: Option<String>,
    /// Whether it does not announce its name.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub hidden: bool,
}

/// `[ssh]`
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Ssh {
    /// Root's keys, one line each.
    pub authorized_keys: Vec<String>,
}

/// A problem with a `lichen.toml`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Problem {
    /// The line, counted from 1; none if the problem concerns the whole file.
    pub line: Option<usize>,
    /// The key with its tables; empty if the problem concerns no particular key.
    pub key: String,
    /// What is wrong, and what is allowed.
    pub message: String,
}

impl Problem {
    /// A problem that concerns the whole file.
    pub fn of_file(message: impl Into<String>) -> Self {
        Self {
            line: None,
            key: String::new(),
            message: message.into(),
        }
    }
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some(line) = self.line {
            write!(f, "line {line}: ")?;
        }
        if !self.key.is_empty() {
            write!(f, "{}: ", self.key)?;
        }
        f.write_str(&self.message)
    }
}

/// Parses the bytes of a `lichen.toml`, or returns all problems. `zone_exists` checks time zones.
pub fn read(bytes: &[u8], zone_exists: &dyn Fn(&str) -> bool) -> Result<Provision, Vec<Problem>> {
    let (provision, problems) = read_in_part(bytes, zone_exists);
    if problems.is_empty() {
        Ok(provision)
    } else {
        Err(problems)
    }
}

/// Parses the bytes of a `lichen.toml`: what is right in it, and all problems.
pub fn read_in_part(bytes: &[u8], zone_exists: &dyn Fn(&str) -> bool) -> (Provision, Vec<Problem>) {
    let nothing = |message: String| (Provision::default(), vec![Problem::of_file(message)]);
    if bytes.len() as u64 > LIMIT {
        return nothing(format!("is too large; allowed: {} kB", LIMIT / 1024));
    }
    match std::str::from_utf8(bytes) {
        Ok(text) if !text.contains('\0') => parse(text, zone_exists),
        _ => nothing("is not plain text; save it as UTF-8 (not UTF-16 or “Unicode”)".into()),
    }
}

/// Whether the time zone exists in the database in `folder`, /usr/share/zoneinfo.
pub fn zone_exists(folder: &Path, zone: &str) -> bool {
    let inside = !zone.is_empty()
        && zone
            .split('/')
            .all(|part| !part.is_empty() && !part.starts_with('.'));
    let mut magic = [0; 4];
    inside
        && File::open(folder.join(zone)).is_ok_and(|mut file| file.read_exact(&mut magic).is_ok())
        && &magic == b"TZif"
}

/// Parses what is valid, and reports the problems. Of a line that is not TOML nothing is valid: what the parser makes of it
/// is a guess. The valid part is used of the stored file, which another version may have written, and of a first file.
pub fn parse(text: &str, zone_exists: &dyn Fn(&str) -> bool) -> (Provision, Vec<Problem>) {
    let text = text.strip_prefix('\u{feff}').unwrap_or(text);
    let (table, errors) = DeTable::parse_recoverable(text);
    let mut reader = Reader {
        text,
        zone_exists,
        problems: Vec::new(),
        broken: Vec::new(),
    };
    for error in errors {
        let at = error.span().map_or(0, |span| span.start);
        // One typo often causes several problems on the same line; only the first one is reported.
        if reader.problems.last().and_then(|p| p.line) != Some(reader.line(at)) {
            reader.problem(at, "", error.message());
        }
        reader.broken.push(reader.line(at));
    }
    let provision = reader.provision(table.get_ref());
    reader.problems.sort_by_key(|problem| problem.line);
    (provision, reader.problems)
}

impl Provision {
    /// These settings, with those in `newer` taking precedence.
    pub fn merge(mut self, newer: Provision) -> Provision {
        self.secrets.extend(newer.secrets);
        Provision {
            hostname: newer.hostname.or(self.hostname),
            timezone: newer.timezone.or(self.timezone),
            wifi: newer.wifi.or(self.wifi),
            ssh: newer.ssh.or(self.ssh),
            secrets: self.secrets,
        }
    }
}

type Value<'a> = Spanned<DeValue<'a>>;

struct Reader<'a> {
    text: &'a str,
    zone_exists: &'a dyn Fn(&str) -> bool,
    problems: Vec<Problem>,
    /// The lines that are not TOML.
    broken: Vec<usize>,
}

impl Reader<'_> {
    fn line(&self, at: usize) -> usize {
        self.text.bytes().take(at).filter(|b| *b == b'\n').count() + 1
    }

    /// Whether the value is on a line that is not TOML.
    fn is_guess(&self, value: &Value<'_>) -> bool {
        let span = value.span();
        let lines = self.line(span.start)..=self.line(span.end);
        self.broken.iter().any(|line| lines.contains(line))
    }

    fn problem(&mut self, at: usize, key: &str, message: impl Into<String>) {
        self.problems.push(Problem {
            line: Some(self.line(at)),
            key: key.into(),
            message: message.into(),
        });
    }

    fn provision(&mut self, table: &DeTable<'_>) -> Provision {
        self.only(
            table,
            "",
            &["hostname", "timezone", "wifi", "ssh", "secrets"],
        );
        let mut secrets = BTreeMap::new();
        if let Some(found) = self.table(table, "secrets") {
            self.secrets("", found, &mut secrets);
        }
        Provision {
            hostname: self.text(table, "", "hostname", |text| {
                is_hostname(text).then_some(()).ok_or(format!(
                    "`{text}` is not a host name; allowed: 1 to 63 letters, digits and inner hyphens"
                ))
            }),
            timezone: {
                let exists = self.zone_exists;
                self.text(table, "", "timezone", |text| {
                    exists(text).then_some(()).ok_or_else(|| {
                        let today = zones::name_of_today(text);
                        let allowed = today.unwrap_or("names like Europe/Berlin or UTC");
                        format!("`{text}` is not a time zone that devices know; allowed: {allowed}")
                    })
                })
            },
            wifi: self
                .table(table, "wifi")
                .and_then(|wifi| self.wifi(wifi, table)),
            ssh: self.table(table, "ssh").and_then(|ssh| self.ssh(ssh)),
            secrets,
        }
    }

    fn wifi(&mut self, wifi: &DeTable<'_>, parent: &DeTable<'_>) -> Option<Wifi> {
        self.only(wifi, "wifi", &["ssid", "passphrase", "country", "hidden"]);
        let ssid = self.text(wifi, "wifi", "ssid", |text| {
            let fits = (1..=32).contains(&text.len()) && !text.chars().any(char::is_control);
            fits.then_some(())
                .ok_or("must have 1 to 32 bytes, and no control characters".into())
        });
        let passphrase = self.text(wifi, "wifi", "passphrase", |text| {
            is_passphrase(text).then_some(()).ok_or(
                "must have 8 to 63 characters of ASCII (or be the key itself as 64 hex digits); \
                 leave it out for an open network"
                    .into(),
            )
        });
        let country = self.text(wifi, "wifi", "country", |text| {
            let fits = text.len() == 2 && text.bytes().all(|b| b.is_ascii_alphabetic());
            fits.then_some(()).ok_or(format!(
                "`{text}` is not a country; allowed: two letters, like DE"
            ))
        });
        let hidden = self.flag(wifi, "wifi", "hidden");
        if wifi.get("passphrase").is_some() && passphrase.is_none() {
            return None; // and not taken for an open network
        }
        if wifi.get("ssid").is_none() {
            let at = parent
                .iter()
                .find(|(key, _)| key.get_ref() == "wifi")
                .map_or(0, |(key, _)| key.span().start);
            self.problem(
                at,
                "wifi.ssid",
                "is missing: [wifi] needs the name of the network",
            );
        }
        Some(Wifi {
            ssid: ssid?,
            passphrase: passphrase.map(Secret),
            country: country.map(|c| c.to_ascii_uppercase()),
            hidden,
        })
    }

    fn ssh(&mut self, ssh: &DeTable<'_>) -> Option<Ssh> {
        self.only(ssh, "ssh", &["authorized_keys"]);
        let found = ssh.get("authorized_keys")?;
        let Some(array) = found.get_ref().as_array() else {
            self.wrong_type(found, "ssh.authorized_keys", "a list of strings in [ ]");
            return None;
        };
        let mut authorized_keys = Vec::new();
        for (n, value) in array.iter().enumerate() {
            let key = format!("ssh.authorized_keys[{n}]");
            if self.is_guess(value) {
                continue;
            }
            match value
                .get_ref()
                .as_str()
                .map(|text| (text.trim(), keys::check(text.trim())))
            {
                None => self.wrong_type(value, &key, "a string in quotes"),
                Some((text, Ok(()))) => authorized_keys.push(text.to_owned()),
                Some((_, Err(message))) => self.problem(value.span().start, &key, message),
            }
        }
        // A list of nothing but mistakes is not the wish to have no key.
        (array.is_empty() || !authorized_keys.is_empty()).then_some(Ssh { authorized_keys })
    }

    /// `"climate.token" = …` and `climate.token = …` name the same secret: TOML parses the second as a table, which its
    /// author did not intend.
    fn secrets(&mut self, prefix: &str, table: &DeTable<'_>, into: &mut BTreeMap<String, Secret>) {
        for (key, value) in table {
            let name = join(prefix, key.get_ref());
            let path = format!("secrets.{name}");
            let at = key.span().start;
            match value.get_ref() {
                DeValue::Table(table) => self.secrets(&name, table, into),
                _ if self.is_guess(value) => {}
                DeValue::String(_) if !is_credential(&name) => self.problem(
                    at,
                    &path,
                    "is not a valid name for a secret; allowed: up to 200 letters, digits, `-`, `_` and inner `.`",
                ),
                DeValue::String(text) if text.is_empty() => self.problem(at, &path, "may not be empty"),
                DeValue::String(text) => match into.entry(name) {
                    Entry::Vacant(entry) => drop(entry.insert(Secret(text.clone().into_owned()))),
                    Entry::Occupied(_) => self.problem(at, &path, "is given twice"),
                },
                _ => self.wrong_type(value, &path, "a string in quotes"),
            }
        }
    }

    fn only(&mut self, table: &DeTable<'_>, path: &str, allowed: &[&str]) {
        for (key, _) in table {
            if !allowed.contains(&key.get_ref().as_ref()) {
                let message = format!("is not known here; allowed: {}", allowed.join(", "));
                self.problem(key.span().start, &join(path, key.get_ref()), message);
            }
        }
    }

    fn table<'t, 'i>(&mut self, parent: &'t DeTable<'i>, key: &str) -> Option<&'t DeTable<'i>> {
        let value = parent.get(key)?;
        if value.get_ref().as_table().is_none() {
            self.wrong_type(
                value,
                key,
                &format!("a table: a line [{key}] with its keys below"),
            );
        }
        value.get_ref().as_table()
    }

    fn text(
        &mut self,
        table: &DeTable<'_>,
        path: &str,
        key: &str,
        check: impl Fn(&str) -> Result<(), String>,
    ) -> Option<String> {
        let value = table.get(key)?;
        let path = join(path, key);
        if self.is_guess(value) {
            return None;
        }
        let Some(text) = value.get_ref().as_str() else {
            self.wrong_type(value, &path, "a string in quotes");
            return None;
        };
        match check(text) {
            Ok(()) => Some(text.to_owned()),
            Err(message) => {
                self.problem(value.span().start, &path, message);
                None
            }
        }
    }

    /// Whether it is `true`; false if it is not there.
    fn flag(&mut self, table: &DeTable<'_>, path: &str, key: &str) -> bool {
        match table.get(key).map(|value| (value, value.get_ref())) {
            None => false,
            Some((_, DeValue::Boolean(flag))) => *flag,
            Some((value, _)) => {
                self.wrong_type(value, &join(path, key), "true or false, without quotes");
                false
            }
        }
    }

    fn wrong_type(&mut self, value: &Value<'_>, path: &str, wanted: &str) {
        let found = value.get_ref().type_str();
        self.problem(
            value.span().start,
            path,
            format!("must be {wanted}, and is of type {found}"),
        );
    }
}

fn join(path: &str, key: &str) -> String {
    if path.is_empty() {
        key.to_owned()
    } else {
        format!("{path}.{key}")
    }
}

/// A host name is one label of RFC 1123. The network provides the domain.
fn is_hostname(text: &str) -> bool {
    (1..=63).contains(&text.len())
        && text.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-')
        && !text.starts_with('-')
        && !text.ends_with('-')
}

/// A name that systemd accepts for a credential, without names that would be hidden or are confusing in a shell.
pub fn is_credential(name: &str) -> bool {
    (1..=200).contains(&name.len())
        && name
            .bytes()
            .all(|b| b.is_ascii_alphanumeric() || b"-_.".contains(&b))
        && !name.starts_with('.')
        && !name.ends_with('.')
}

fn is_passphrase(text: &str) -> bool {
    is_raw_key(text)
        || ((8..=63).contains(&text.len()) && text.bytes().all(|b| (b' '..=b'~').contains(&b)))
}

/// WPA's pre-shared key itself, instead of the passphrase that it is derived from.
pub fn is_raw_key(text: &str) -> bool {
    text.len() == 64 && text.bytes().all(|b| b.is_ascii_hexdigit())
}
