//! The OpenMetrics format, in which services pass on what the device tells of itself.

use std::fmt::{Display, Write};

/// Families of metrics, without the end of the format.
#[derive(Debug, Default)]
pub(crate) struct Families(String);

impl Families {
    /// Values that go up and down: each with its labels, see [`labels`].
    pub(crate) fn gauges<V: Display>(
        &mut self,
        name: &str,
        help: &str,
        samples: impl IntoIterator<Item = (String, V)>,
    ) {
        self.family(name, "gauge", help, samples);
    }

    /// Values that only grow.
    pub(crate) fn counters<V: Display>(
        &mut self,
        name: &str,
        help: &str,
        samples: impl IntoIterator<Item = (String, V)>,
    ) {
        self.family(name, "counter", help, samples);
    }

    /// One value, if it is known.
    pub(crate) fn gauge<V: Display>(&mut self, name: &str, help: &str, value: Option<V>) {
        self.gauges(name, help, value.map(|value| (String::new(), value)));
    }

    /// One value that only grows, if it is known.
    pub(crate) fn counter<V: Display>(&mut self, name: &str, help: &str, value: Option<V>) {
        self.counters(name, help, value.map(|value| (String::new(), value)));
    }

    /// The text.
    pub(crate) fn text(self) -> String {
        self.0
    }

    fn family<V: Display>(
        &mut self,
        name: &str,
        kind: &str,
        help: &str,
        samples: impl IntoIterator<Item = (String, V)>,
    ) {
        let mut samples = samples.into_iter().peekable();
        if samples.peek().is_none() {
            return;
        }
        let _ = writeln!(self.0, "# HELP {name} {help}\n# TYPE {name} {kind}");
        let suffix = if kind == "counter" { "_total" } else { "" };
        for (labels, value) in samples {
            let _ = writeln!(self.0, "{name}{suffix}{labels} {value}");
        }
    }
}

/// `[("reason", "power")]` → `{reason="power"}`
pub(crate) fn labels(labels: &[(&str, &str)]) -> String {
    let quoted = labels.iter().map(|(name, value)| {
        let value = value.replace('\\', "\\\\").replace('"', "\\\"");
        format!("{name}=\"{}\"", value.replace('\n', "\\n"))
    });
    format!("{{{}}}", quoted.collect::<Vec<_>>().join(","))
}
