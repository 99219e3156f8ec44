//! What a story that passes has to tell.

use std::io::{Write, stdout};

/// Tells figures that are worth knowing though all is well: `lichen test` shows such lines. What a passing test
/// prints is swallowed; what it writes itself is not.
pub fn figures(line: impl std::fmt::Display) {
    // On a line of its own, whatever the runner has begun. That nobody listens is no reason to fail.
    let _ = writeln!(stdout().lock(), "\nfigures: {line}");
}
