//! Progress, on standard error only: results belong to standard output.

use std::io::{IsTerminal, Write};
use std::time::{Duration, Instant};

/// Text that does nothing to a terminal but to be shown. What devices, servers and files say may have escape codes in it, and
/// characters that turn the direction of writing: each of them becomes a replacement character.
pub fn harmless(text: &str) -> String {
    let shown = |c: char| match c {
        '\n' | '\t' => c,
        '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}' => char::REPLACEMENT_CHARACTER,
        c if c.is_control() => char::REPLACEMENT_CHARACTER,
        c => c,
    };
    text.chars().map(shown).collect()
}

/// One line that says what happens now.
pub fn say(text: impl AsRef<str>) {
    eprintln!("lichen: {}", harmless(text.as_ref()));
}

/// A result, on standard output.
pub fn result(text: impl std::fmt::Display) {
    println!("{}", harmless(&text.to_string()));
}

/// Something the user must not miss.
pub fn warn(text: impl AsRef<str>) {
    let (on, off) = if std::io::stderr().is_terminal() {
        ("\x1b[1;33m", "\x1b[0m")
    } else {
        ("", "")
    };
    eprintln!("{on}warning: {}{off}", harmless(text.as_ref()));
}

/// A line that is rewritten in place on a terminal, and repeated now and then in a log.
pub struct Live {
    started: Instant,
    shown: Option<Instant>,
    terminal: bool,
    width: usize,
}

impl Live {
    /// Starts the clock.
    pub fn new() -> Self {
        let terminal = std::io::stderr().is_terminal();
        let width = std::env::var("COLUMNS")
            .ok()
            .and_then(|c| c.parse().ok())
            .unwrap_or(80);
        Live {
            started: Instant::now(),
            shown: None,
            terminal,
            width,
        }
    }

    /// Time since the start.
    pub fn elapsed(&self) -> Duration {
        self.started.elapsed()
    }

    /// Shows the present state, if it is time to.
    pub fn update(&mut self, text: &str) {
        let pause = Duration::from_millis(if self.terminal { 150 } else { 30_000 });
        if self.shown.unwrap_or(self.started).elapsed() < pause {
            return;
        }
        self.shown = Some(Instant::now());
        let text = harmless(text);
        let line: String = format!("lichen: {text}")
            .chars()
            .take(self.width - 1)
            .collect();
        if self.terminal {
            eprint!("\r\x1b[K{line}");
            let _ = std::io::stderr().flush();
        } else {
            eprintln!("lichen: {text}");
        }
    }

    /// Clears the live line and leaves a lasting one.
    pub fn line(&mut self, text: &str) {
        self.clear();
        say(text);
    }

    /// Removes the live line.
    pub fn clear(&mut self) {
        if self.terminal && self.shown.is_some() {
            eprint!("\r\x1b[K");
            let _ = std::io::stderr().flush();
        }
    }
}

/// A count of things as one says it: `1 story`, `2 stories`.
pub fn count(n: usize, one: &str, several: &str) -> String {
    format!("{n} {}", if n == 1 { one } else { several })
}

/// "12.3 MB", in the units disks and networks are sold in.
pub fn bytes(n: u64) -> String {
    match n {
        0..1_000 => format!("{n} B"),
        1_000..1_000_000 => format!("{} kB", n / 1_000),
        1_000_000..1_000_000_000 => format!("{}.{} MB", n / 1_000_000, n / 100_000 % 10),
        _ => format!("{}.{} GB", n / 1_000_000_000, n / 100_000_000 % 10),
    }
}

/// "1m07s".
pub fn duration(d: Duration) -> String {
    let s = d.as_secs();
    if s < 60 {
        format!("{}.{}s", s, d.subsec_millis() / 100)
    } else {
        format!("{}m{:02}s", s / 60, s % 60)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_shown_moves_no_cursor_and_sets_no_title() {
        let hostile = "a\x1b]0;owned\x07b\u{9b}2Jc\u{202e}d\r\n\te";
        let shown = "a\u{fffd}]0;owned\u{fffd}b\u{fffd}2Jc\u{fffd}d\u{fffd}\n\te";
        assert_eq!(harmless(hostile), shown);
        assert_eq!(harmless("21.5 °C – größer"), "21.5 °C – größer");
    }

    #[test]
    fn sizes_and_times_read_well() {
        assert_eq!(bytes(999), "999 B");
        assert_eq!(bytes(479_812_345), "479.8 MB");
        assert_eq!(bytes(1_250_000_000), "1.2 GB");
        assert_eq!(duration(Duration::from_millis(4_260)), "4.2s");
        assert_eq!(duration(Duration::from_secs(67)), "1m07s");
    }
}
