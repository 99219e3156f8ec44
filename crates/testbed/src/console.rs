//! What a machine prints on its serial line.

use std::fs;
use std::path::{Path, PathBuf};

/// The serial line of a machine, kept in a file from its first power-on to its last.
#[derive(Debug, Clone)]
pub struct Console {
    path: PathBuf,
}

impl Console {
    pub(crate) fn new(path: PathBuf) -> Self {
        Self { path }
    }

    /// The file it is kept in.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// All of it so far, without the control sequences that terminals act on.
    pub fn text(&self) -> String {
        plain(&String::from_utf8_lossy(
            &fs::read(&self.path).unwrap_or_default(),
        ))
    }

    /// Its last `count` lines that are not empty.
    pub fn last_lines(&self, count: usize) -> String {
        let text = self.text();
        let lines: Vec<&str> = text
            .lines()
            .filter(|line| !line.trim().is_empty())
            .collect();
        lines[lines.len().saturating_sub(count)..].join("\n")
    }

    /// What errors append: how it ended and where to read the rest.
    pub(crate) fn evidence(&self) -> String {
        format!(
            "--- the console's last lines ({})\n{}",
            self.path.display(),
            self.last_lines(25)
        )
    }
}

fn plain(raw: &str) -> String {
    let mut text = String::with_capacity(raw.len());
    let mut chars = raw.chars().peekable();
    while let Some(c) = chars.next() {
        match c {
            '\x1b' if chars.peek() == Some(&'[') => {
                while chars
                    .next()
                    .is_some_and(|c| !('@'..='~').contains(&c) || c == '[')
                {}
            }
            // The title of a window, and the like: until the bell, or the next escape.
            '\x1b' if chars.peek() == Some(&']') => {
                while chars
                    .next_if(|c| !matches!(c, '\x07' | '\x1b' | '\n'))
                    .is_some()
                {}
            }
            '\x1b' => {
                chars.next();
            }
            '\n' | '\t' => text.push(c),
            c if c.is_control() => {}
            c => text.push(c),
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn control_sequences_are_left_out() {
        assert_eq!(
            plain("\x1b[0;32m  OK  \x1b[0m] up\r\n\x1b]104\x1b\\\x1b7\x1b[999;999Hx"),
            "  OK  ] up\nx"
        );
    }

    #[test]
    fn the_last_lines_are_those_that_say_something() {
        let directory = tempfile::tempdir().unwrap();
        let console = Console::new(directory.path().join("console.log"));
        assert_eq!(
            console.last_lines(2),
            "",
            "a console that has not said anything yet"
        );
        fs::write(console.path(), "one\r\n\r\ntwo\r\nthree\r\n\r\n").unwrap();
        assert_eq!(console.last_lines(2), "two\nthree");
    }
}
