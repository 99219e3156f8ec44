//! One document of YAML as a value, within budgets, and errors in plain words.

use serde::de::DeserializeOwned;
use serde_saphyr::{DefaultMessageFormatter, Error, MessageFormatter, Options};

use super::Problem;

/// How deep collections may be nested: the library needs four.
const DEPTH: usize = 16;
/// The most anchors, and the most uses of them. Real files have none; people who write by hand have a few.
const ALIASES: usize = 200;
/// The longest message of the parser that is passed on, in characters: it may repeat what is in the file.
const MESSAGE: usize = 200;

/// Reads a document that is not empty; none if it says nothing. `nodes` is the most values that it may have, also after its
/// aliases were expanded, which is what stops small files that unfold to large ones.
pub fn document<T: DeserializeOwned>(text: &str, nodes: usize) -> Result<Option<T>, Problem> {
    let text = text.strip_prefix('\u{feff}').unwrap_or(text);
    serde_saphyr::from_str_with_options(text, options(nodes)).map_err(|error| problem(text, &error))
}

fn options(nodes: usize) -> Options {
    serde_saphyr::options! {
        budget: serde_saphyr::budget! {
            max_depth: DEPTH,
            flow_nesting_limit: DEPTH,
            max_documents: 1,
            max_nodes: nodes,
            max_events: 3 * nodes,
            max_aliases: ALIASES,
            max_anchors: ALIASES,
            max_merge_keys: ALIASES,
            max_recorded_anchor_events: nodes,
        },
        alias_limits: serde_saphyr::alias_limits! {
            max_total_replayed_events: nodes,
            max_replay_stack_depth: DEPTH,
        },
        with_snippet: false,
    }
}

fn problem(text: &str, error: &Error) -> Problem {
    let line = error.location().map(|at| at.line()).filter(|&n| n > 0);
    let mut what = words(error);
    if let Some(line) = line {
        if indented_by_tab(text, line) {
            what = "a tab at the beginning of the line, where YAML wants spaces".into();
        }
        if let Some(field) = field_at(text, line) {
            what = format!("{field}: {what}");
        }
    }
    Problem { line, what }
}

/// The parser's message; what people meet most often, and what it says in the words of its own options, in others.
fn words(error: &Error) -> String {
    match error {
        Error::AliasError { error, .. } | Error::WithSnippet { error, .. } => return words(error),
        Error::InvalidScalar { ty, .. } if *ty == "floating point" => return "not a number".into(),
        Error::DuplicateMappingKey { key: Some(key), .. } => {
            return shortened(&format!("`{key}` is there twice"));
        }
        Error::MultipleDocuments { .. } => return "more than one document".into(),
        Error::Budget { .. }
        | Error::AliasReplayLimitExceeded { .. }
        | Error::AliasExpansionLimitExceeded { .. }
        | Error::AliasReplayStackDepthExceeded { .. } => {
            return "too deep, too many values, or too many aliases".into();
        }
        _ => {}
    }
    shortened(&DefaultMessageFormatter.format_message(error))
}

fn shortened(message: &str) -> String {
    let clean = message
        .chars()
        .map(|c| if c.is_control() { ' ' } else { c });
    clean.take(MESSAGE).collect()
}

/// The field of the document that a line belongs to: the last one that begins at the left edge.
fn field_at(text: &str, line: u64) -> Option<&str> {
    let until = usize::try_from(line).ok()?;
    let before: Vec<&str> = text.lines().take(until).collect();
    let name = before.into_iter().rev().find_map(|line| {
        let first = line.chars().next()?;
        let begins = first.is_ascii_alphanumeric() || first == '_';
        line.split_once(':')
            .filter(|_| begins)
            .map(|(name, _)| name)
    })?;
    (name.len() <= 40 && !name.contains(char::is_whitespace)).then_some(name)
}

fn indented_by_tab(text: &str, line: u64) -> bool {
    let at = usize::try_from(line)
        .unwrap_or(usize::MAX)
        .saturating_sub(1);
    text.lines()
        .nth(at)
        .is_some_and(|line| line.trim_start_matches(' ').starts_with('\t'))
}
