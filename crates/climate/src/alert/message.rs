//! The text of messages, in Slack's format, which many receivers understand.

use kit::clock;
use serde_json::{Value, json};

use super::machine::{Change, Level, Subject};
use crate::reading::Reading;

/// A message to deliver. The key lets a receiver recognise a repeated delivery.
#[derive(Debug, Clone, PartialEq)]
pub struct Message {
    /// Unique for each event.
    pub key: String,
    /// The time of the event, in milliseconds since 1970.
    pub at: i64,
    /// The request body.
    pub body: String,
}

/// Creates the messages of one device.
#[derive(Debug, Clone)]
pub struct Texts {
    host: String,
}

const RED: &str = "#d03b3b";
const GREEN: &str = "#0ca30c";
const BLUE: &str = "#2a78d6";

impl Texts {
    /// Creates messages of the device `host`.
    pub fn new(host: impl Into<String>) -> Self {
        Texts { host: host.into() }
    }

    /// Creates messages of this device.
    pub fn of_this_host() -> Self {
        Texts::new(rustix::system::uname().nodename().to_string_lossy())
    }

    /// The message about a change.
    pub fn change(&self, change: &Change) -> Message {
        let (sign, colour) = match change.level {
            Level::Normal => ("✅", GREEN),
            Level::Low => ("❄️", RED),
            Level::High if change.subject == Subject::Humidity => ("💧", RED),
            Level::High => ("🔥", RED),
            Level::Failing => ("⚠️", RED),
        };
        let name = change.subject.name();
        let unit = if change.subject == Subject::Humidity {
            "%"
        } else {
            "°C"
        };
        let told = match (change.level, change.value) {
            (Level::Failing, _) => format!("the sensor cannot be read: {}", change.detail),
            (Level::Normal, None) => "the sensor can be read again".into(),
            (Level::Normal, Some(value)) => {
                format!(
                    "{name} is back to normal: {value:.1} {unit} ({})",
                    change.detail
                )
            }
            (level, value) => {
                let value = value.unwrap_or_default();
                format!(
                    "{name} is too {}: {value:.1} {unit} ({})",
                    level.name(),
                    change.detail
                )
            }
        };
        let key = format!("{}-{name}-{}", change.at, change.level.name());
        self.message(
            key,
            change.at,
            &format!("{sign} {}: {told}", self.host),
            colour,
            &[],
        )
    }

    /// The periodic message, whether all is well or not.
    pub fn status(&self, reading: &Reading, active: &[(Subject, Level)]) -> Message {
        let mut fields = vec![("Temperature", format!("{:.1} °C", reading.temperature))];
        fields.extend(
            reading
                .humidity
                .map(|humidity| ("Humidity", format!("{humidity:.1} %"))),
        );
        fields.extend(
            reading
                .pressure
                .map(|pressure| ("Pressure", format!("{pressure:.1} hPa"))),
        );
        fields.extend(
            reading
                .soc_temperature
                .map(|soc| ("Processor", format!("{soc:.1} °C"))),
        );
        let wrong: Vec<String> = active
            .iter()
            .map(|(subject, level)| format!("{} {}", subject.name(), level.name()))
            .collect();
        let told = if wrong.is_empty() {
            "all is well".into()
        } else {
            wrong.join(", ")
        };
        let colour = if wrong.is_empty() { BLUE } else { RED };
        let key = format!("{}-status", reading.at);
        self.message(
            key,
            reading.at,
            &format!("ℹ️ {}: {told}", self.host),
            colour,
            &fields,
        )
    }

    /// A test message that someone requested.
    pub fn test(&self, at: i64) -> Message {
        let text = format!("🔔 {}: this is a test, alerts arrive here", self.host);
        self.message(format!("{at}-test"), at, &text, BLUE, &[])
    }

    fn message(
        &self,
        key: String,
        at: i64,
        text: &str,
        colour: &str,
        fields: &[(&str, String)],
    ) -> Message {
        let fields: Value = fields
            .iter()
            .map(|(title, value)| json!({ "title": title, "value": value, "short": true }))
            .collect();
        let attachment = json!({
            "color": colour,
            "fields": fields,
            "footer": format!("{} · {}", self.host, clock::rfc3339(at)),
            "ts": at / 1000,
        });
        let body = json!({ "text": text, "attachments": [attachment] }).to_string();
        Message { key, at, body }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn text(change: Change) -> String {
        let message = Texts::new("rack7").change(&change);
        serde_json::from_str::<Value>(&message.body).unwrap()["text"]
            .as_str()
            .unwrap()
            .to_owned()
    }

    #[test]
    fn a_message_says_who_what_and_which_limit() {
        let change = Change {
            at: 1,
            subject: Subject::Temperature,
            level: Level::High,
            value: Some(28.44),
            detail: "limit 27 °C".into(),
        };
        assert_eq!(
            text(change.clone()),
            "🔥 rack7: temperature is too high: 28.4 °C (limit 27 °C)"
        );
        assert_eq!(
            Texts::new("rack7").change(&change).key,
            "1-temperature-high"
        );
        let back = Change {
            level: Level::Normal,
            value: Some(26.0),
            detail: "15 to 27 °C".into(),
            ..change
        };
        assert_eq!(
            text(back),
            "✅ rack7: temperature is back to normal: 26.0 °C (15 to 27 °C)"
        );
    }

    #[test]
    fn a_silent_sensor_is_told_with_its_reason() {
        let change = Change {
            at: 1,
            subject: Subject::Sensor,
            level: Level::Failing,
            value: None,
            detail: "no Sense HAT found".into(),
        };
        assert_eq!(
            text(change),
            "⚠️ rack7: the sensor cannot be read: no Sense HAT found"
        );
    }
}
