//! The series and labels that a PromQL expression refers to.
//!
//! Not a parser: Prometheus itself says whether an expression is one. This finds, in one that is, which series it
//! asks for and which labels it groups by, since to Prometheus a misspelt name is merely nothing.

use anyhow::{Context, Result, ensure};

/// Series that an expression asks for: `name{label="value"}`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Selector {
    /// The metric; empty where only labels are given.
    pub metric: String,
    /// The labels, each with its operator (`=`, `!=`, `=~`, `!~`) and its value as written between the quotes.
    pub matchers: Vec<(String, String, String)>,
}

/// What an expression refers to.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct References {
    /// The series it asks for.
    pub selectors: Vec<Selector>,
    /// The labels that it groups or joins by.
    pub labels: Vec<String>,
}

/// Followed by a list of labels.
const LISTS: [&str; 6] = [
    "by",
    "without",
    "on",
    "ignoring",
    "group_left",
    "group_right",
];
/// Neither a metric nor followed by a parenthesis.
const WORDS: [&str; 9] = [
    "and", "or", "unless", "bool", "offset", "atan2", "inf", "nan", "end",
];
/// Functions that may have a list of labels before their parenthesis.
const AGGREGATIONS: [&str; 14] = [
    "sum",
    "min",
    "max",
    "avg",
    "group",
    "stddev",
    "stdvar",
    "count",
    "count_values",
    "bottomk",
    "topk",
    "quantile",
    "limitk",
    "limit_ratio",
];

/// What `expression` refers to.
pub fn references(expression: &str) -> Result<References> {
    let mut rest = Rest(expression);
    let mut found = References::default();
    while let Some(first) = rest.0.chars().next() {
        match first {
            '"' | '\'' | '`' => drop(rest.string()?),
            '[' => rest.through(']')?,
            '{' => found.selectors.push(rest.selector(String::new())?),
            // A number, or a duration such as 5m.
            '0'..='9' | '.' => drop(rest.take(|c| c.is_ascii_alphanumeric() || c == '.')),
            c if is_name(c) => {
                let name = rest.take(is_name);
                let word = name.to_ascii_lowercase();
                rest.space();
                if LISTS.contains(&word.as_str()) && rest.0.starts_with('(') {
                    found.labels.extend(rest.labels()?);
                } else if !(rest.0.starts_with('(')
                    || WORDS.contains(&word.as_str())
                    || LISTS.contains(&word.as_str())
                    || AGGREGATIONS.contains(&word.as_str()))
                {
                    found.selectors.push(rest.selector(name.to_owned())?);
                }
            }
            c => rest.0 = &rest.0[c.len_utf8()..],
        }
    }
    Ok(found)
}

fn is_name(c: char) -> bool {
    c.is_ascii_alphanumeric() || c == '_' || c == ':'
}

/// What is still to be read.
struct Rest<'a>(&'a str);

impl<'a> Rest<'a> {
    fn take(&mut self, belongs: impl Fn(char) -> bool) -> &'a str {
        let end = self.0.find(|c| !belongs(c)).unwrap_or(self.0.len());
        let (taken, rest) = self.0.split_at(end);
        self.0 = rest;
        taken
    }

    fn space(&mut self) {
        self.take(char::is_whitespace);
    }

    fn through(&mut self, end: char) -> Result<()> {
        let (_, rest) = self
            .0
            .split_once(end)
            .with_context(|| format!("no {end} in {:?}", self.0))?;
        self.0 = rest;
        Ok(())
    }

    /// A string in quotes of any kind; what was between them.
    fn string(&mut self) -> Result<&'a str> {
        let quote = self.0.chars().next().filter(|c| "\"'`".contains(*c));
        let quote = quote.with_context(|| format!("no string at {:?}", self.0))?;
        let text = &self.0[1..];
        let mut escaped = false;
        let end = text.find(|c| {
            let ends = c == quote && !escaped;
            escaped = c == '\\' && !escaped && quote != '`';
            ends
        });
        let end = end.with_context(|| format!("the string does not end: {:?}", self.0))?;
        self.0 = &text[end + 1..];
        Ok(&text[..end])
    }

    /// `(one, another)`
    fn labels(&mut self) -> Result<Vec<String>> {
        let list = &self.0[1..];
        self.through(')')?;
        let list = &list[..list.len() - self.0.len() - 1];
        let names = list
            .split(',')
            .map(str::trim)
            .filter(|name| !name.is_empty());
        Ok(names.map(str::to_owned).collect())
    }

    /// What may follow a metric's name: `{label="value", …}`.
    fn selector(&mut self, metric: String) -> Result<Selector> {
        let mut matchers = Vec::new();
        if self.0.starts_with('{') {
            self.0 = &self.0[1..];
            loop {
                self.take(|c| c.is_whitespace() || c == ',');
                if self.0.starts_with('}') {
                    self.0 = &self.0[1..];
                    break;
                }
                let label = self.take(is_name).to_owned();
                self.space();
                let operator = self.take(|c| "=!~".contains(c)).to_owned();
                self.space();
                ensure!(
                    !label.is_empty() && !operator.is_empty(),
                    "not a label at {:?}",
                    self.0
                );
                matchers.push((label, operator, self.string()?.to_owned()));
            }
        }
        Ok(Selector { metric, matchers })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn names(expression: &str) -> (Vec<String>, Vec<String>) {
        let References { selectors, labels } = references(expression).unwrap();
        let label = |(label, operator, value)| format!("{label}{operator}{value}");
        let selector = |s: Selector| {
            let matchers: Vec<String> = s.matchers.into_iter().map(label).collect();
            format!("{}{{{}}}", s.metric, matchers.join(","))
        };
        (selectors.into_iter().map(selector).collect(), labels)
    }

    #[test]
    fn series_are_told_from_functions_words_and_numbers() {
        for (expression, series) in [
            (r#"up{job="climate"} == 0"#, &["up{job=climate}"][..]),
            (
                "time() - a_seconds > 6e2 or b offset 5m",
                &["a_seconds{}", "b{}"],
            ),
            (
                r#"rate(a:b{x=~"4..|5\"}",y!=''}[5m:30s]) > bool 1e-3 unless Inf"#,
                &[r#"a:b{x=~4..|5\"},y!=}"#],
            ),
            (r#"label_replace(up, "a", "$1", "b", "(.*)")"#, &["up{}"]),
            (r#"{__name__="up"} @ end()"#, &["{__name__=up}"]),
        ] {
            assert_eq!(names(expression).0, series, "{expression}");
        }
    }

    #[test]
    fn labels_to_group_by_are_no_series() {
        let expression =
            "sum by (instance, le) (a) / on(job) group_left (service) max(b) without (c)";
        let (series, labels) = names(expression);
        assert_eq!(series, ["a{}", "b{}"]);
        assert_eq!(labels, ["instance", "le", "job", "service", "c"]);
    }

    #[test]
    fn what_does_not_end_is_refused() {
        for expression in [r#"up{job="x"#, "up{job=", "rate(a[5m", "sum by (a"] {
            assert!(references(expression).is_err(), "{expression}");
        }
    }
}
