//! Figures that a story reports although it passes.

use std::io::{Write, stdout};

/// Reports figures that are worth knowing although the story passes: `lichen test` shows such lines. The test runner
/// swallows what a passing test prints with `println!`, but not what it writes to standard output itself.
pub fn figures(line: impl std::fmt::Display) {
    // The runner may have begun a line. If nobody reads the output, that is no reason to fail.
    let _ = writeln!(stdout().lock(), "\nfigures: {line}");
}
