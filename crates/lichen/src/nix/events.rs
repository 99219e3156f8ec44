//! Nix's `--log-format internal-json`: one JSON object a line, about activities that start, report and stop.

use crate::ui;
use serde::Deserialize;
use std::collections::{BTreeMap, VecDeque};
use std::path::Path;
use std::time::{Duration, Instant};

// Kinds of activities, and of their results: `logging.hh` of Nix, where two of them have the same number.
const BUILDS: u64 = 104;
const BUILD: u64 = 105;
const LOG_LINE: u64 = 101;
const PROGRESS: u64 = 105;
const KEPT_LINES: usize = 20;

/// What a line told.
#[derive(Debug, PartialEq, Eq)]
pub enum Event {
    /// A build step ended, well or badly.
    Finished {
        /// Its name.
        name: String,
        /// How long it took.
        took: Duration,
        /// How many steps have ended.
        done: Count,
    },
    /// A warning of the configuration.
    Warning(String),
    /// Nothing worth showing.
    Other,
}

/// How many steps have ended, and of how many, once Nix has said so.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Count {
    done: usize,
    all: usize,
}

impl std::fmt::Display for Count {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self.all > self.done {
            true => write!(f, "{} of {} steps", self.done, self.all),
            false => f.write_str(&ui::count(self.done, "step", "steps")),
        }
    }
}

/// A build step under way.
#[derive(Debug)]
struct Step {
    name: String,
    started: Instant,
    lines: VecDeque<String>,
}

/// An error message of Nix.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Message {
    /// Its text, without colours.
    pub text: String,
    /// The file it is about.
    pub file: Option<String>,
    /// The line there.
    pub line: Option<usize>,
}

/// Everything learnt so far.
#[derive(Debug, Default)]
pub struct Steps {
    running: BTreeMap<u64, Step>,
    count: Count,
    /// The activity that tells how many steps there are.
    builds: Option<u64>,
    evaluated: bool,
    last_line: Option<String>,
    /// Error messages, in order.
    pub errors: Vec<Message>,
    /// The last lines of each finished step, by name.
    pub tails: BTreeMap<String, Vec<String>>,
}

#[derive(Deserialize)]
struct Line {
    action: String,
    #[serde(default)]
    id: u64,
    #[serde(rename = "type", default)]
    kind: u64,
    #[serde(default)]
    level: u64,
    #[serde(default)]
    fields: Vec<serde_json::Value>,
    msg: Option<String>,
    raw_msg: Option<String>,
    file: Option<String>,
    line: Option<usize>,
}

impl Steps {
    /// Takes one line of standard error.
    pub fn take(&mut self, text: &str) -> Event {
        self.last_line = None;
        let Some(json) = text.strip_prefix("@nix ") else {
            self.last_line = Some(plain(text)).filter(|t| !t.is_empty());
            return Event::Other;
        };
        let Ok(line) = serde_json::from_str::<Line>(json) else {
            return Event::Other;
        };
        let field = line.fields.first().and_then(serde_json::Value::as_str);
        match (line.action.as_str(), line.kind) {
            ("start", BUILD) => {
                self.evaluated = true;
                let name = step_name(Path::new(field.unwrap_or_default()));
                self.last_line = Some(format!("=== {name}"));
                self.running.insert(
                    line.id,
                    Step {
                        name,
                        started: Instant::now(),
                        lines: VecDeque::new(),
                    },
                );
                Event::Other
            }
            ("start", kind) => {
                self.evaluated = true;
                if kind == BUILDS {
                    self.builds = Some(line.id);
                }
                Event::Other
            }
            ("result", PROGRESS) if self.builds == Some(line.id) => {
                // Done, expected, running, failed. More may turn out to be needed, so the total may grow.
                if let Some(all) = line.fields.get(1).and_then(serde_json::Value::as_u64) {
                    self.count.all = usize::try_from(all).unwrap_or(usize::MAX);
                }
                Event::Other
            }
            ("result", LOG_LINE) => {
                let said = plain(field.unwrap_or_default());
                if let Some(step) = self.running.get_mut(&line.id) {
                    self.last_line = Some(format!("{}: {said}", step.name));
                    step.lines.push_back(said);
                    if step.lines.len() > KEPT_LINES {
                        step.lines.pop_front();
                    }
                }
                Event::Other
            }
            ("stop", _) => self.stop(line.id),
            ("msg", _) => self.message(line),
            _ => Event::Other,
        }
    }

    fn stop(&mut self, id: u64) -> Event {
        let Some(step) = self.running.remove(&id) else {
            return Event::Other;
        };
        let took = step.started.elapsed();
        self.count.done += 1;
        self.tails.insert(step.name.clone(), step.lines.into());
        Event::Finished {
            name: step.name,
            took,
            done: self.count,
        }
    }

    fn message(&mut self, line: Line) -> Event {
        let shown = plain(line.msg.as_deref().unwrap_or_default());
        if let Some(warning) = shown
            .strip_prefix("trace: ")
            .or_else(|| shown.strip_prefix("evaluation warning: "))
        {
            self.last_line = Some(shown.clone());
            return Event::Warning(
                warning
                    .strip_prefix("warning: ")
                    .unwrap_or(warning)
                    .to_owned(),
            );
        }
        if line.level == 0 && !shown.starts_with("(use '--show-trace'") {
            let text = line.raw_msg.map_or_else(
                || shown.trim_start_matches("error: ").to_owned(),
                |m| plain(&m),
            );
            self.errors.push(Message {
                text,
                file: line.file,
                line: line.line,
            });
            self.last_line = Some(shown);
        }
        Event::Other
    }

    /// What the log file gets of the last line.
    pub fn log_line(&self) -> Option<&str> {
        self.last_line.as_deref()
    }

    /// "building base-layer, rust-deps (12 of 31 steps done)".
    pub fn summary(&self) -> String {
        if !self.evaluated {
            return "evaluating".into();
        }
        let running: Vec<&str> = self.running.values().map(|s| s.name.as_str()).collect();
        match (running.is_empty(), self.count.done) {
            (true, 0) => "checking what there is to do".into(),
            (true, _) => format!("{} done", self.count),
            (false, _) => format!("building {} ({} done)", running.join(", "), self.count),
        }
    }
}

/// Text without terminal colours and control characters.
fn plain(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    let mut chars = text.chars();
    while let Some(c) = chars.next() {
        match c {
            '\x1b' => drop(chars.by_ref().find(char::is_ascii_alphabetic)),
            '\n' | '\t' => out.push(c),
            c if c.is_control() => {}
            c => out.push(c),
        }
    }
    out
}

/// "base-layer" of /nix/store/…-base-layer.drv.
pub fn step_name(derivation: &Path) -> String {
    let name = derivation
        .file_name()
        .unwrap_or_default()
        .to_string_lossy()
        .into_owned();
    let name = name.strip_suffix(".drv").unwrap_or(&name).to_owned();
    match name.split_once('-') {
        Some((hash, rest)) if hash.len() == 32 => rest.to_owned(),
        _ => name,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_step_starts_speaks_and_ends() {
        let mut steps = Steps::default();
        assert_eq!(steps.summary(), "evaluating");
        steps.take(r#"@nix {"action":"start","fields":["/nix/store/9xcrm99q63m00a3wccxazxxxp1s5r63j-base-layer.drv","",1,1],"id":7,"level":3,"text":"building","type":105}"#);
        assert_eq!(steps.summary(), "building base-layer (0 steps done)");
        steps.take(
            r#"@nix {"action":"result","fields":["\u001b[1mhello\u001b[0m"],"id":7,"type":101}"#,
        );
        assert_eq!(steps.log_line(), Some("base-layer: hello"));
        let event = steps.take(r#"@nix {"action":"stop","id":7}"#);
        assert!(matches!(event, Event::Finished { name, .. } if name == "base-layer"));
        assert_eq!(steps.tails["base-layer"], ["hello"]);
        assert_eq!(steps.summary(), "1 step done");
    }

    #[test]
    fn steps_are_counted_against_all_that_nix_expects() {
        // As Nix 2.8 and 2.26 say it: one activity for all builds, with how many are done, expected, running, failed.
        let mut steps = Steps::default();
        steps.take(r#"@nix {"action":"start","id":1,"level":0,"text":"","type":104}"#);
        steps.take(r#"@nix {"action":"start","id":2,"level":0,"text":"","type":103}"#);
        steps.take(r#"@nix {"action":"result","fields":[0,3,1,0],"id":1,"type":105}"#);
        // Copies, which are no steps.
        steps.take(r#"@nix {"action":"result","fields":[0,9,0,0],"id":2,"type":105}"#);
        steps.take(r#"@nix {"action":"start","fields":["/nix/store/9xcrm99q63m00a3wccxazxxxp1s5r63j-base-layer.drv","",1,1],"id":7,"level":3,"text":"building","type":105}"#);
        assert_eq!(steps.summary(), "building base-layer (0 of 3 steps done)");
        let Event::Finished { done, .. } = steps.take(r#"@nix {"action":"stop","id":7}"#) else {
            panic!("the step has not ended");
        };
        assert_eq!(done.to_string(), "1 of 3 steps");
    }

    #[test]
    fn errors_keep_their_place_and_lose_their_colours() {
        let mut steps = Steps::default();
        steps.take(r#"@nix {"action":"msg","column":3,"file":"/nix/store/x-source/appliances/a.nix","level":0,"line":12,"msg":"\u001b[31;1merror:\u001b[0m attribute 'ffmpeg' missing","raw_msg":"attribute '\u001b[35;1mffmpeg\u001b[0m' missing"}"#);
        let expected = Message {
            text: "attribute 'ffmpeg' missing".into(),
            file: Some("/nix/store/x-source/appliances/a.nix".into()),
            line: Some(12),
        };
        assert_eq!(steps.errors, [expected]);
    }

    #[test]
    fn warnings_of_the_configuration_are_shown_and_nix_chatter_is_not() {
        let mut steps = Steps::default();
        let event =
            steps.take(r#"@nix {"action":"msg","level":0,"msg":"trace: warning: swap is small"}"#);
        assert_eq!(event, Event::Warning("swap is small".into()));
        assert_eq!(
            steps.take(r#"@nix {"action":"msg","level":1,"msg":"warning: Git tree is dirty"}"#),
            Event::Other
        );
    }
}
