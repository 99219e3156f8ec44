//! Exchanges: their protocols, and the configuration of a source.
//!
//! To add an exchange, create a file here with the name that a source's `kind` should have, implement [`Exchange`] in
//! it, and add the type to [`EXCHANGES`]. The configuration, the streams, the feed and the options of the service's
//! module then support it. Add one of its messages, as shown in its documentation, to `tests/formats.rs`.

mod binance;
mod coinbase;
mod json;
mod kraken;
mod simulated;

use std::time::Duration;

use serde::de::Error;
use serde::{Deserialize, Deserializer};

use super::decode::{Decoded, Garbage, Table};
use crate::record::{Kind, NumberedBy, Record};

/// All exchanges.
static EXCHANGES: &[&dyn Exchange] = &[
    &binance::Binance,
    &coinbase::Coinbase,
    &json::Json,
    &kraken::Kraken,
    &simulated::Simulated,
];

/// An exchange, or another message format of sources.
pub trait Exchange: Sync {
    /// The `kind` of its sources.
    fn name(&self) -> &'static str;

    /// The public address of its feed; without one, each source must set an address.
    fn url(&self) -> &'static str {
        ""
    }

    /// The supported channels, and the content of their messages.
    fn channels(&self) -> &'static [(&'static str, Nature)];

    /// The content of the messages in a channel of `source`; none if the channel is not supported.
    fn nature(&self, _source: &SourceSettings, channel: &str) -> Option<Nature> {
        let mut channels = self.channels().iter();
        channels.find_map(|(name, nature)| (*name == channel).then_some(*nature))
    }

    /// Checks the settings of `source` that only this exchange has.
    fn check(&self, _source: &SourceSettings) -> Result<(), String> {
        Ok(())
    }

    /// The address to connect to; none if trades are simulated instead.
    fn address(&self, source: &SourceSettings) -> Option<String> {
        Some(source.url())
    }

    /// The messages to send after connecting.
    fn subscribe(&self, _source: &SourceSettings) -> Vec<String> {
        Vec::new()
    }

    /// A message to send periodically, and its period, for exchanges that close silent connections. WebSocket pings are
    /// always answered.
    fn keep_alive(&self) -> Option<(Duration, &'static str)> {
        None
    }

    /// The name that messages use for `symbol` in `channel`.
    fn symbol_name(&self, _channel: &str, symbol: &str) -> String {
        symbol.to_owned()
    }

    /// Creates the decoder for messages of `source`, whose streams are in `table`.
    fn decoder(&self, source: &SourceSettings, table: Table) -> Decode;
}

/// Decodes a message that was received at a time (µs since 1970), and appends its records. It is called for each
/// message, so it allocates nothing on the heap: the exchanges here read what they need with a `Reader`.
pub type Decode =
    Box<dyn Fn(&[u8], i64, &mut Vec<Record>) -> Result<Decoded, Garbage> + Send + Sync>;

/// The content of a channel's messages, according to the exchange's documentation.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Nature {
    /// The columns of its files.
    pub kind: Kind,
    /// Which number reveals duplicates and gaps, if there is one.
    pub numbered: Option<NumberedBy>,
    /// Whether the numbers are consecutive, so that a missing number is a gap.
    pub contiguous: bool,
    /// Whether the numbers go on over connections; otherwise they begin anew with each.
    pub lasting: bool,
}

impl Nature {
    /// Trades with consecutive numbers.
    pub const TRADES: Nature = Nature {
        kind: Kind::Trade,
        numbered: Some(NumberedBy::TradeId),
        contiguous: true,
        lasting: true,
    };
    /// Prices whose sequence numbers also count other messages.
    pub const QUOTES: Nature = Nature {
        kind: Kind::Quote,
        numbered: Some(NumberedBy::Sequence),
        contiguous: false,
        lasting: true,
    };
    /// Prices without numbers.
    pub const UNNUMBERED_QUOTES: Nature = Nature {
        kind: Kind::Quote,
        numbered: None,
        contiguous: false,
        lasting: true,
    };
}

/// The exchange of a source, as the configuration names it.
#[derive(Clone, Copy)]
pub struct SourceKind(pub &'static dyn Exchange);

impl std::fmt::Debug for SourceKind {
    fn fmt(&self, f: &mut std::fmt::Formatter) -> std::fmt::Result {
        f.write_str(self.0.name())
    }
}

impl<'de> Deserialize<'de> for SourceKind {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let wanted = String::deserialize(deserializer)?;
        let exchange = EXCHANGES.iter().find(|it| it.name() == wanted);
        exchange.map(|it| SourceKind(*it)).ok_or_else(|| {
            let known = EXCHANGES.iter().map(|it| format!("`{}`", it.name()));
            let known: Vec<String> = known.collect();
            let known = known.join(", ");
            D::Error::custom(format!(
                "unknown variant `{wanted}`, expected one of {known}"
            ))
        })
    }
}

/// A source: one connection.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SourceSettings {
    /// Its name in file names, keys, metrics and logs.
    pub name: String,
    /// The exchange, or the format of its messages.
    pub kind: SourceKind,
    /// `wss://…` or `ws://…` [default: the exchange's public address].
    #[serde(default)]
    pub url: Option<String>,
    /// The channels to subscribe to.
    pub channels: Vec<String>,
    /// The symbols to subscribe to, as the exchange writes them.
    pub symbols: Vec<String>,
    /// Without a message for this long, the connection counts as dead and is replaced.
    #[serde(default = "silence")]
    pub silence_seconds: f64,
    /// Without a record of one symbol and channel for this long, the source counts as degraded: an exchange that sends
    /// heartbeats may have stopped to send that one.
    #[serde(default = "quiet")]
    pub quiet_seconds: f64,
    /// Pause after the first failure to connect, doubled with each further one, up to a minute.
    #[serde(default = "retry")]
    pub retry_seconds: f64,
    /// Messages sent after connecting (`json` only; exchanges have their own).
    #[serde(default)]
    pub subscribe: Vec<serde_json::Value>,
    /// Where the values are (`json` only).
    #[serde(default)]
    pub fields: FieldNames,
}

fn silence() -> f64 {
    60.0
}

fn quiet() -> f64 {
    3600.0
}

fn retry() -> f64 {
    1.0
}

/// Where a `json` source has its values: names, or paths such as `data.price`.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct FieldNames {
    /// The channel; without it every message belongs to the source's first channel.
    pub channel: Option<String>,
    /// The symbol; without it every message belongs to the source's first symbol.
    pub symbol: Option<String>,
    /// A number that increases with every message of a symbol and channel.
    pub sequence: Option<String>,
    /// Whether the numbers are consecutive, so that a missing number is a gap.
    pub contiguous: bool,
    /// Whether the numbers go on over connections, so that a number seen before is a duplicate; otherwise they are
    /// expected to begin anew with each connection.
    pub lasting: bool,
    /// The time of the event: RFC 3339, or seconds, milliseconds, microseconds or nanoseconds since 1970.
    pub time: Option<String>,
    /// The price.
    pub price: Option<String>,
    /// The size.
    pub size: Option<String>,
    /// `buy` or `sell`.
    pub side: Option<String>,
    /// The best bid.
    pub bid: Option<String>,
    /// The size at the best bid.
    pub bid_size: Option<String>,
    /// The best ask.
    pub ask: Option<String>,
    /// The size at the best ask.
    pub ask_size: Option<String>,
}

impl SourceSettings {
    /// A source with these channels and symbols, and defaults for all other settings.
    pub fn new(name: &str, kind: SourceKind, channels: &[&str], symbols: &[&str]) -> Self {
        let owned = |list: &[&str]| list.iter().map(ToString::to_string).collect();
        SourceSettings {
            name: name.to_owned(),
            kind,
            url: None,
            channels: owned(channels),
            symbols: owned(symbols),
            silence_seconds: silence(),
            quiet_seconds: quiet(),
            retry_seconds: retry(),
            subscribe: Vec::new(),
            fields: FieldNames::default(),
        }
    }

    /// A source of simulated trades.
    pub fn simulated() -> Self {
        let kind = SourceKind(&simulated::Simulated);
        SourceSettings::new("simulated", kind, &["trade"], &["AAA-BBB", "CCC-DDD"])
    }

    /// The configured address, or else the exchange's.
    pub fn url(&self) -> String {
        let public = || self.kind.0.url().to_owned();
        self.url.clone().unwrap_or_else(public)
    }

    /// The silence after which the connection counts as dead.
    pub fn silence(&self) -> Duration {
        Duration::from_secs_f64(self.silence_seconds)
    }

    /// The content of the messages in `channel`.
    pub fn nature(&self, channel: &str) -> Option<Nature> {
        self.kind.0.nature(self, channel)
    }

    /// Creates the decoder for its messages; its first stream is `first`.
    pub fn decoder(&self, first: u32) -> Decode {
        let name = |channel: &str, symbol: &str| self.kind.0.symbol_name(channel, symbol);
        let table = Table::new(&self.channels, &self.symbols, first, name);
        self.kind.0.decoder(self, table)
    }

    /// Checks the settings; the error names the setting.
    pub fn check(&self) -> Result<(), String> {
        let named = |what: &str| format!("{what} (source {:?})", self.name);
        let plain = |c: char| c.is_ascii_alphanumeric() || "._-".contains(c);
        if self.name.is_empty() || !self.name.chars().all(plain) {
            return Err(named("name: must consist of letters, digits and ._-"));
        }
        for (list, name) in [(&self.channels, "channels"), (&self.symbols, "symbols")] {
            if list.is_empty() || list.iter().any(String::is_empty) {
                return Err(named(&format!("{name}: must list at least one")));
            }
        }
        let mut channels = self.channels.iter();
        if let Some(channel) = channels.find(|channel| self.nature(channel).is_none()) {
            let known = self.kind.0.channels().iter().map(|(name, _)| *name);
            let known = known.collect::<Vec<_>>().join(", ");
            return Err(named(&format!("channels: {channel:?} is none of {known}")));
        }
        if let Some(address) = self.kind.0.address(self)
            && !address.starts_with("wss://")
            && !address.starts_with("ws://")
        {
            return Err(named("url: must begin with wss:// or ws://"));
        }
        let seconds = kit::within([
            ("silence_seconds", self.silence_seconds, 0.1..=86_400.0),
            ("quiet_seconds", self.quiet_seconds, 0.1..=31_536_000.0),
            ("retry_seconds", self.retry_seconds, 0.01..=60.0),
        ]);
        let checked = seconds.and_then(|()| self.kind.0.check(self));
        checked.map_err(|problem| named(&problem))
    }
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;

    #[test]
    fn each_exchange_is_the_file_of_its_name_and_each_file_is_in_the_table() {
        // The options of the service's module are generated from the names of these files.
        let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("src/feed/exchange");
        let names = folder.read_dir().expect("the folder").map(|entry| {
            let name = entry.expect("an entry").file_name();
            name.into_string().expect("a name in ASCII")
        });
        let mut files: Vec<String> = names.filter(|name| name != "mod.rs").collect();
        files.sort();
        let known = EXCHANGES.iter().map(|it| format!("{}.rs", it.name()));
        assert_eq!(files, known.collect::<Vec<_>>());
    }

    #[test]
    fn the_readme_tells_of_every_exchange_and_channel() {
        let readme = include_str!("../../../README.md");
        for exchange in EXCHANGES {
            let row = format!("| `{}`", exchange.name());
            let row = readme.lines().find(|line| line.starts_with(&row));
            let row = row.unwrap_or_else(|| panic!("README.md has no row of {}", exchange.name()));
            for (channel, _) in exchange.channels() {
                assert!(row.contains(&format!("`{channel}`")), "{channel}: {row}");
            }
        }
    }
}
