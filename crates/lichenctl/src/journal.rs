//! What everybody has to be able to find later goes to the journal, and to whoever is looking on.
//!
//! Nothing here fails: a switch goes on when the connection that started it is gone.

use protocol::progress::{self, Event};
use std::io::Write;
use std::os::unix::net::UnixDatagram;
use std::sync::LazyLock;

const SOCKET: &str = "/run/systemd/journal/socket";

/// Whether it is a program that looks on.
static EVENTS: LazyLock<bool> = LazyLock::new(|| {
    let asked = std::env::var(progress::VARIABLE).ok();
    progress::is_asked(asked.as_deref())
});

/// For those who look on: progress.
pub fn say(text: &str) {
    tell(&Event::Said {
        text: text.to_owned(),
    });
}

/// For those who look on: prose for people, a line of JSON for a program that asked for it.
pub fn tell(event: &Event) {
    let line = if *EVENTS {
        event.json()
    } else {
        event.to_string()
    };
    let _ = writeln!(std::io::stderr(), "{line}");
}

/// For the journal, and for those who look on.
pub fn note(text: &str) {
    send(5, text);
    say(text);
}

/// An error, for the journal alone: the caller passes it on to those who look on.
pub fn error(text: &str) {
    send(3, text);
}

/// The journal's native protocol. What is started by systemd with its output on a pipe is not recorded otherwise.
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
