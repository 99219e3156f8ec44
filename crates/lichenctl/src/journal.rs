//! Messages: important ones go to the journal as well as to the caller's terminal or program.
//!
//! Nothing here returns an error: a switch must continue when the connection that started it is lost.

use protocol::progress::{self, Event};
use std::io::Write;
use std::os::unix::net::UnixDatagram;
use std::sync::LazyLock;

const SOCKET: &str = "/run/systemd/journal/socket";

/// Whether the caller is a program that asked for JSON.
static EVENTS: LazyLock<bool> = LazyLock::new(|| {
    let asked = std::env::var(progress::VARIABLE).ok();
    progress::is_asked(asked.as_deref())
});

/// Reports progress to the caller only.
pub fn say(text: &str) {
    tell(&Event::Said {
        text: text.to_owned(),
    });
}

/// Writes to the caller: prose for people, a line of JSON for a program that asked for it.
pub fn tell(event: &Event) {
    let line = if *EVENTS {
        event.json()
    } else {
        event.to_string()
    };
    let _ = writeln!(std::io::stderr(), "{line}");
}

/// Reports to the journal and to the caller.
pub fn note(text: &str) {
    send(5, text);
    say(text);
}

/// Reports to the journal only: for what runs all the time, whose output is in the journal, too.
pub fn log(text: &str) {
    send(5, text);
}

/// Reports an error to the journal only: the caller of this function prints it.
pub fn error(text: &str) {
    send(3, text);
}

/// Uses the journal's native protocol, because the output of a unit that writes to a pipe is not recorded otherwise.
fn send(priority: u8, text: &str) {
    let mut entry =
        format!("PRIORITY={priority}\nSYSLOG_IDENTIFIER=lichenctl\nMESSAGE\n").into_bytes();
    entry.extend((text.len() as u64).to_le_bytes());
    entry.extend(text.as_bytes());
    entry.push(b'\n');
    if let Ok(socket) = UnixDatagram::unbound() {
        let _ = socket.send_to(&entry, SOCKET);
    }
}
