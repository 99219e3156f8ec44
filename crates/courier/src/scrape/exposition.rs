//! What a target tells: Prometheus' text format 0.0.4 and OpenMetrics 1.0, read line by line.
//!
//! Only samples count. Comments, types, units and help texts are skipped, as are exemplars. A line that is none of these is
//! an error for the whole text, as it is for Prometheus: a text that is partly wrong is no measurement.

use std::borrow::Cow;

use crate::labels::{is_label_name, is_metric_name};

/// The format of a text.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Format {
    /// Prometheus' text format.
    Text,
    /// OpenMetrics, which ends with `# EOF` and has times in seconds.
    OpenMetrics,
}

impl Format {
    /// What to ask a target for.
    pub const ACCEPT: &'static str = "application/openmetrics-text;version=1.0.0;q=0.75,text/plain;version=0.0.4;q=0.5,*/*;q=0.1";

    /// The format that a content type names; whatever is unknown is text, as for Prometheus.
    pub fn of(content_type: &str) -> Self {
        let kind = content_type.split(';').next().unwrap_or_default().trim();
        match kind.eq_ignore_ascii_case("application/openmetrics-text") {
            true => Format::OpenMetrics,
            false => Format::Text,
        }
    }
}

/// A sample as a target tells it.
#[derive(Debug, Clone, PartialEq)]
pub struct Exposed<'t> {
    /// The metric's name.
    pub name: &'t str,
    /// Its labels, in the target's order.
    pub labels: Vec<(&'t str, Cow<'t, str>)>,
    /// The value.
    pub value: f64,
    /// When it was measured, in milliseconds since 1970, if the target says so.
    pub at_ms: Option<i64>,
}

/// Why a text cannot be understood.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Garbage {
    /// A line is not UTF-8.
    #[error("it is not UTF-8")]
    NotText,
    /// A line is neither a sample nor a comment.
    #[error("{what} is expected at `{at}`")]
    Unexpected {
        /// What would be right.
        what: &'static str,
        /// The rest of the line, shortened.
        at: String,
    },
    /// A label is there twice.
    #[error("the label {0} is there twice")]
    Twice(String),
    /// A text of OpenMetrics has no end.
    #[error("there is no `# EOF` at its end")]
    NoEnd,
    /// There is something after the end.
    #[error("there is something after `# EOF`")]
    AfterEnd,
}

/// Reads a text of one format.
#[derive(Debug)]
pub struct Exposition {
    format: Format,
    ended: bool,
}

impl Exposition {
    /// Begins a text.
    pub fn new(format: Format) -> Self {
        let ended = false;
        Exposition { format, ended }
    }

    /// Reads the next line, given without its end; none if it is no sample.
    pub fn line<'t>(&mut self, line: &'t [u8]) -> Result<Option<Exposed<'t>>, Garbage> {
        let line = std::str::from_utf8(line).map_err(|_| Garbage::NotText)?;
        if self.ended {
            return Err(Garbage::AfterEnd);
        }
        if self.format == Format::OpenMetrics {
            if line == "# EOF" {
                self.ended = true;
                return Ok(None);
            }
            return match line.strip_prefix('#') {
                Some(comment) if comment.starts_with(' ') => Ok(None),
                Some(_) => Err(unexpected("a comment", line)),
                None => self.sample(line).map(Some),
            };
        }
        let line = line.trim_matches(BLANKS).trim_end_matches('\r');
        match line.is_empty() || line.starts_with('#') {
            true => Ok(None),
            false => self.sample(line).map(Some),
        }
    }

    /// Ends the text.
    pub fn end(self) -> Result<(), Garbage> {
        match self.format == Format::OpenMetrics && !self.ended {
            true => Err(Garbage::NoEnd),
            false => Ok(()),
        }
    }

    fn sample<'t>(&self, line: &'t str) -> Result<Exposed<'t>, Garbage> {
        let until = line.find(|c| BLANKS.contains(&c) || c == '{');
        let (name, rest) = line.split_at(until.unwrap_or(line.len()));
        if !is_metric_name(name) {
            return Err(unexpected("the name of a metric", line));
        }
        let rest = rest.trim_start_matches(BLANKS);
        let (labels, rest) = match rest.strip_prefix('{') {
            Some(rest) => labels(rest)?,
            None => (Vec::new(), rest),
        };
        let (text, rest) = word(rest);
        let value = text.parse().map_err(|_| unexpected("a number", text))?;
        let (at_ms, rest) = match rest {
            "" => (None, rest),
            _ if rest.starts_with('#') && self.format == Format::OpenMetrics => (None, rest),
            _ => {
                let (text, rest) = word(rest);
                (Some(self.time(text)?), rest)
            }
        };
        let exemplar = self.format == Format::OpenMetrics && rest.starts_with("# {");
        match rest.is_empty() || exemplar {
            true => Ok(Exposed {
                name,
                labels,
                value,
                at_ms,
            }),
            false => Err(unexpected("the end of the line", rest)),
        }
    }

    fn time(&self, text: &str) -> Result<i64, Garbage> {
        let time = match self.format {
            Format::Text => text.parse().ok(),
            Format::OpenMetrics => {
                let seconds = text.parse::<f64>().ok();
                let seconds = seconds.filter(|seconds| seconds.abs() < 1e15);
                seconds.map(|seconds| (seconds * 1000.0) as i64)
            }
        };
        time.ok_or_else(|| unexpected("a time", text))
    }
}

const BLANKS: [char; 2] = [' ', '\t'];

/// The first word, and what follows it.
fn word(text: &str) -> (&str, &str) {
    let text = text.trim_start_matches(BLANKS);
    let until = text.find(BLANKS).unwrap_or(text.len());
    let (word, rest) = text.split_at(until);
    (word, rest.trim_start_matches(BLANKS))
}

type Pairs<'t> = Vec<(&'t str, Cow<'t, str>)>;

/// Labels up to the closing brace, and what follows it.
fn labels(mut rest: &str) -> Result<(Pairs<'_>, &str), Garbage> {
    let mut pairs = Pairs::new();
    loop {
        rest = rest.trim_start_matches(BLANKS);
        if let Some(rest) = rest.strip_prefix('}') {
            return Ok((pairs, rest));
        }
        let until = rest.find(|c: char| c == '=' || BLANKS.contains(&c));
        let (name, after) = rest.split_at(until.unwrap_or(rest.len()));
        if !is_label_name(name) {
            return Err(unexpected("the name of a label", rest));
        }
        if pairs.iter().any(|pair| pair.0 == name) {
            return Err(Garbage::Twice(name.to_owned()));
        }
        let equal = after.trim_start_matches(BLANKS).strip_prefix('=');
        let value = equal.map(|value| value.trim_start_matches(BLANKS));
        let value = value.and_then(|value| value.strip_prefix('"'));
        let value = value.ok_or_else(|| unexpected("=\"", after))?;
        let (value, after) = quoted(value)?;
        pairs.push((name, value));
        let after = after.trim_start_matches(BLANKS);
        rest = match after.strip_prefix(',') {
            Some(rest) => rest,
            None if after.starts_with('}') => after,
            None => return Err(unexpected("a comma or }", after)),
        };
    }
}

/// A text up to the closing quotation mark, and what follows it.
fn quoted(text: &str) -> Result<(Cow<'_, str>, &str), Garbage> {
    let end = text.find(['"', '\\']);
    let end = end.ok_or_else(|| unexpected("\"", text))?;
    if text.as_bytes()[end] == b'"' {
        return Ok((Cow::Borrowed(&text[..end]), &text[end + 1..]));
    }
    let mut value = String::with_capacity(text.len());
    let mut characters = text.char_indices();
    while let Some((at, character)) = characters.next() {
        match character {
            '"' => return Ok((Cow::Owned(value), &text[at + 1..])),
            '\\' => match characters.next() {
                Some((_, 'n')) => value.push('\n'),
                Some((_, escaped @ ('"' | '\\'))) => value.push(escaped),
                // Prometheus takes it literally, too.
                Some((_, other)) => value.extend(['\\', other]),
                None => break,
            },
            other => value.push(other),
        }
    }
    Err(unexpected("\"", text))
}

fn unexpected(what: &'static str, at: &str) -> Garbage {
    let at = at.chars().take(40).collect();
    Garbage::Unexpected { what, at }
}

#[cfg(test)]
#[path = "exposition_tests.rs"]
mod tests;
