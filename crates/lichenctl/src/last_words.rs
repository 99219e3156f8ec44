//! What a unit said last: the line of its own that tells best why it ended.

use crate::systemd;

/// How much of a line is quoted, in characters.
const LONGEST: usize = 300;
/// How many of its last lines are looked at: what ends a program may be followed by a backtrace, or by advice.
const LINES: &str = "20";

/// The last words of a unit in this boot, if it has said anything.
pub fn of(unit: &str) -> Option<String> {
    let own = format!("_SYSTEMD_UNIT={unit}");
    let arguments = ["-b", "--no-pager", "-o", "cat", "-n", LINES, &own];
    telling(&systemd::run("journalctl", &arguments).ok()?)
}

/// The last line that calls itself an error, or else the last one.
fn telling(said: &str) -> Option<String> {
    let lines = said.lines().map(str::trim).filter(|line| !line.is_empty());
    let is_error = |line: &&str| {
        let line = line.to_lowercase();
        ["error", "fatal", "failed", "panicked", "cannot ", "refused"]
            .iter()
            .any(|word| line.contains(word))
    };
    let line = lines
        .clone()
        .rfind(is_error)
        .or_else(|| lines.clone().next_back())?;
    let plain = line.chars().filter(|c| !c.is_control());
    Some(plain.take(LONGEST).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_error_tells_more_than_what_comes_after_it() {
        for (said, words) in [
            (
                "starting\nerror: the bell is broken\n",
                "error: the bell is broken",
            ),
            (
                "thread 'main' panicked at src/main.rs:3:5:\nnote: run with `RUST_BACKTRACE=1`\n",
                "thread 'main' panicked at src/main.rs:3:5:",
            ),
            (
                "FATAL:  database \"x\" does not exist\n\n",
                "FATAL:  database \"x\" does not exist",
            ),
            ("one\ntwo\n", "two"),
            ("\u{1b}[31mError\u{1b}[0m: no\n", "[31mError[0m: no"),
        ] {
            assert_eq!(telling(said).as_deref(), Some(words));
        }
        assert_eq!(telling(" \n\n"), None);
        assert_eq!(
            telling(&"x".repeat(1000)).map(|words| words.len()),
            Some(LONGEST)
        );
    }
}
