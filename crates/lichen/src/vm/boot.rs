//! What the owner would do at the first boot: keys on BOOT, and then waiting until the appliance answers.

use crate::command::run;
use crate::ui::{Live, duration};
use anyhow::{Context, Result, bail};
use emulator::Tools;
use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::path::{Path, PathBuf};
use std::time::Duration;

/// The user's own public keys, and one made for this machine, whose private half is returned.
pub fn keys(tools: &Tools, folder: &Path) -> Result<(Vec<String>, PathBuf)> {
    let private = folder.join("key");
    if !private.exists() {
        let mut command = tools.command("ssh-keygen");
        command
            .args(["-q", "-t", "ed25519", "-N", "", "-C", "lichen-vm", "-f"])
            .arg(&private);
        let output = run(&mut command)?;
        if !output.status.success() {
            bail!("ssh-keygen: {}", crate::command::last_words(&output));
        }
    }
    let mut files = vec![private.with_extension("pub")];
    let home = PathBuf::from(std::env::var_os("HOME").unwrap_or_default()).join(".ssh");
    files.extend(["id_ed25519.pub", "id_ecdsa.pub", "id_rsa.pub"].map(|f| home.join(f)));
    let keys: Vec<String> = files
        .iter()
        .filter_map(|f| Some(std::fs::read_to_string(f).ok()?.trim().to_owned()))
        .collect();
    Ok((keys, private))
}

/// ssh's configuration for the machine: `ssh -F FILE NAME`.
pub fn ssh_config(name: &str, port: u16, folder: &Path) -> String {
    let folder = folder.display();
    format!(
        "Host {name}\n  HostName 127.0.0.1\n  Port {port}\n  User root\n  IdentityFile \"{folder}/key\"\n  \
         UserKnownHostsFile \"{folder}/known_hosts\"\n  StrictHostKeyChecking accept-new\n"
    )
}

/// Waits until something answers, telling how long it has been; fails once `alive` says that the machine has ended.
pub fn wait(
    what: &str,
    deadline: Duration,
    mut there: impl FnMut() -> bool,
    alive: impl Fn() -> bool,
) -> Result<bool> {
    let mut live = Live::new();
    while live.elapsed() < deadline {
        if there() {
            live.clear();
            return Ok(true);
        }
        if !alive() {
            live.clear();
            bail!("the virtual machine has ended");
        }
        live.update(&format!("waiting for {what}, {}", duration(live.elapsed())));
        std::thread::sleep(Duration::from_millis(500));
    }
    live.clear();
    Ok(false)
}

/// Waits until a machine can be reached, over SSH or by its page if it has one, and then a moment for the other.
/// Returns what does not answer after that; nothing if the machine cannot be reached at all.
pub fn reach(
    name: &str,
    ssh: u16,
    web: Option<u16>,
    [patience, moment]: [Duration; 2],
    alive: impl Fn() -> bool,
) -> Result<Option<Vec<String>>> {
    let greets = || greets(ssh);
    let answers = || web.is_some_and(answers);
    let silent = || {
        let page = web.map(|port| (answers(), format!("the page http://localhost:{port}")));
        let shell = (greets(), format!("SSH on port {ssh}"));
        let doors = [Some(shell), page].into_iter().flatten();
        let silent = doors.filter(|(there, _)| !there);
        silent.map(|(_, what)| what).collect::<Vec<String>>()
    };
    if !wait(name, patience, || greets() || answers(), &alive)? {
        return Ok(None);
    }
    let mut left = Vec::new();
    wait(
        "the rest",
        moment,
        || {
            left = silent();
            left.is_empty()
        },
        &alive,
    )?;
    Ok(Some(left))
}

/// Whether an SSH server greets on the port. QEMU accepts connections long before the appliance does.
pub fn greets(port: u16) -> bool {
    let mut greeting = [0; 4];
    connect(port)
        .and_then(|mut s| s.read_exact(&mut greeting).context("no greeting"))
        .is_ok()
        && &greeting == b"SSH-"
}

/// Whether an HTTP server answers on the port.
pub fn answers(port: u16) -> bool {
    let ask = || -> Result<String> {
        let mut stream = connect(port)?;
        stream.write_all(b"GET /health HTTP/1.0\r\nHost: localhost\r\n\r\n")?;
        let mut head = [0; 12];
        stream.read_exact(&mut head)?;
        Ok(String::from_utf8_lossy(&head).into_owned())
    };
    ask().is_ok_and(|head| head.starts_with("HTTP/1."))
}

fn connect(port: u16) -> Result<TcpStream> {
    let stream = TcpStream::connect_timeout(
        &SocketAddr::from(([127, 0, 0, 1], port)),
        Duration::from_secs(2),
    )?;
    stream.set_read_timeout(Some(Duration::from_secs(3)))?;
    Ok(stream)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A port on which each connection gets this text.
    fn says(text: &'static str) -> u16 {
        let listener = std::net::TcpListener::bind(("127.0.0.1", 0)).unwrap();
        let port = listener.local_addr().unwrap().port();
        std::thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                // Whoever has heard enough may hang up.
                let _ = (&stream).write_all(text.as_bytes());
            }
        });
        port
    }

    fn closed() -> u16 {
        let listener = std::net::TcpListener::bind(("127.0.0.1", 0)).unwrap();
        listener.local_addr().unwrap().port()
    }

    const TIMES: [Duration; 2] = [Duration::from_secs(20), Duration::from_millis(1)];
    const SSH: &str = "SSH-2.0-x\r\n";

    #[test]
    fn a_machine_is_reached_though_its_page_does_not_answer() {
        let page = closed();
        let silent = reach("attic", says(SSH), Some(page), TIMES, || true).unwrap();
        let told = format!("the page http://localhost:{page}");
        assert_eq!(silent, Some(vec![told]));
    }

    #[test]
    fn a_machine_is_reached_by_its_page_alone() {
        let (ssh, page) = (closed(), says("HTTP/1.0 200 OK\r\n"));
        let silent = reach("attic", ssh, Some(page), TIMES, || true).unwrap();
        assert_eq!(silent, Some(vec![format!("SSH on port {ssh}")]));
    }

    #[test]
    fn a_machine_that_answers_has_nothing_silent() {
        let page = says("HTTP/1.0 200 OK\r\n");
        for web in [None, Some(page)] {
            let silent = reach("attic", says(SSH), web, TIMES, || true).unwrap();
            assert_eq!(silent, Some(Vec::new()));
        }
    }

    #[test]
    fn a_machine_that_cannot_be_reached_is_given_up() {
        let times = [Duration::from_millis(1); 2];
        let silent = reach("attic", closed(), Some(closed()), times, || true).unwrap();
        assert_eq!(silent, None);
        assert!(reach("attic", closed(), None, TIMES, || false).is_err());
    }

    #[test]
    fn nobody_answers_on_a_port_that_is_closed() {
        let port = std::net::TcpListener::bind(("127.0.0.1", 0))
            .unwrap()
            .local_addr()
            .unwrap()
            .port();
        assert!(!greets(port) && !answers(port));
    }
}
