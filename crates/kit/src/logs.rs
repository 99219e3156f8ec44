//! Logs: structured fields to the journal under systemd, readable lines on a terminal.
//!
//! tracing-journald rather than systemd-journal-logger: it speaks the journal's own protocol (no
//! libsystemd to link), and takes fields from `tracing`, which the HTTP side needs for request ids.

use std::io::IsTerminal;
use std::os::linux::fs::MetadataExt;

use tracing_subscriber::filter::Targets;
use tracing_subscriber::prelude::*;

/// Sets up logs for a service; $LOG is a filter as `info,climate=debug`.
pub(crate) fn set_up(service: &str) {
    let filter = std::env::var("LOG").ok();
    let filter = filter.and_then(|filter| filter.parse().ok());
    let filter = filter.unwrap_or_else(|| Targets::new().with_default(tracing::Level::INFO));
    if stderr_is_the_journal()
        && let Ok(journal) = tracing_journald::layer()
    {
        let journal = journal
            .with_field_prefix(None)
            .with_syslog_identifier(service.into());
        let _ = tracing_subscriber::registry()
            .with(filter)
            .with(journal)
            .try_init();
        return;
    }
    let colours = std::io::stderr().is_terminal() && std::env::var_os("NO_COLOR").is_none();
    let lines = tracing_subscriber::fmt::layer()
        .with_writer(std::io::stderr)
        .with_ansi(colours)
        .with_target(false);
    let _ = tracing_subscriber::registry()
        .with(filter)
        .with(lines)
        .try_init();
}

/// systemd names the journal's stream as device:inode, so a redirected stderr can be recognised.
fn stderr_is_the_journal() -> bool {
    let Ok(stream) = std::env::var("JOURNAL_STREAM") else {
        return false;
    };
    let Ok(stderr) = std::fs::metadata("/proc/self/fd/2") else {
        return false;
    };
    stream == format!("{}:{}", stderr.st_dev(), stderr.st_ino())
}
