//! QEMU's machine protocol: one JSON object per line over a Unix socket, events in between.

use std::io::{BufRead, BufReader, ErrorKind, Write};
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail, ensure};
use serde_json::{Value, json};

const ANSWER: Duration = Duration::from_secs(30);
/// Between two looks for a QEMU that has just been started.
const PAUSE: Duration = Duration::from_millis(50);

/// A conversation with one QEMU.
#[derive(Debug)]
pub struct Qmp {
    stream: BufReader<UnixStream>,
    line: String,
    events: Vec<String>,
}

impl Qmp {
    /// Waits for QEMU to listen on `socket`, which one that has just been started does soon, and says hello.
    #[expect(clippy::disallowed_methods, reason = "this is what waits")]
    pub fn connect(socket: &Path, within: Duration) -> Result<Self> {
        let deadline = Instant::now() + within;
        loop {
            match UnixStream::connect(socket) {
                Ok(stream) => return Self::greet(stream),
                Err(error) if Instant::now() >= deadline => {
                    return Err(error)
                        .with_context(|| format!("QEMU does not listen on {}", socket.display()));
                }
                Err(_) => thread::sleep(PAUSE),
            }
        }
    }

    fn greet(stream: UnixStream) -> Result<Self> {
        let mut qmp = Self {
            stream: BufReader::new(stream),
            line: String::new(),
            events: Vec::new(),
        };
        let deadline = Instant::now() + ANSWER;
        let greeting = loop {
            let said = qmp.receive(deadline)?.context("QEMU said nothing")?;
            // A machine that begins to run at this very moment says so before it greets.
            if said.get("event").is_none() {
                break said;
            }
            qmp.keep(&said);
        };
        ensure!(greeting.get("QMP").is_some(), "this is not QMP: {greeting}");
        qmp.execute("qmp_capabilities", json!({}))?;
        Ok(qmp)
    }

    /// Runs a command and gives what it returns.
    pub fn execute(&mut self, command: &str, arguments: Value) -> Result<Value> {
        // In one write: QEMU acts on the last brace, and after `quit` it may be gone before the end of the line is written.
        let request = format!(
            "{}\n",
            json!({ "execute": command, "arguments": arguments })
        );
        (self.stream.get_mut())
            .write_all(request.as_bytes())
            .with_context(|| format!("QMP {command}"))?;
        let deadline = Instant::now() + ANSWER;
        loop {
            let answer = self
                .receive(deadline)
                .with_context(|| format!("QMP {command}"))?;
            let mut answer = answer.with_context(|| format!("QMP {command}: no answer"))?;
            if let Some(value) = answer.get_mut("return") {
                return Ok(value.take());
            }
            if let Some(error) = answer.get("error") {
                bail!(
                    "QMP {command}: {}",
                    error["desc"].as_str().unwrap_or("failed")
                );
            }
            self.keep(&answer);
        }
    }

    /// Runs a command of QEMU's monitor for people, which says why it failed in its output, if it failed.
    pub fn monitor(&mut self, line: &str) -> Result<()> {
        let said = self.execute("human-monitor-command", json!({ "command-line": line }))?;
        match said.as_str().map(str::trim) {
            Some("") => Ok(()),
            _ => bail!("{line}: {said}"),
        }
    }

    /// Waits for an event; those that came before and were not asked for yet count.
    pub fn event(&mut self, name: &str, within: Duration) -> Result<()> {
        let deadline = Instant::now() + within;
        loop {
            if let Some(at) = self.events.iter().position(|event| event == name) {
                self.events.drain(..=at);
                return Ok(());
            }
            match self.receive(deadline)? {
                Some(message) => self.keep(&message),
                None => bail!(
                    "waited {} s for QEMU's event {name}; seen instead: {:?}",
                    within.as_secs(),
                    self.events
                ),
            }
        }
    }

    /// The events that have come by now and that nobody asked for, in their order.
    pub fn unasked(&mut self) -> Result<&[String]> {
        // Whatever QEMU sent before its answer is read with it.
        self.execute("query-status", json!({}))?;
        Ok(&self.events)
    }

    fn keep(&mut self, message: &Value) {
        if let Some(event) = message["event"].as_str() {
            self.events.push(event.to_owned());
        }
    }

    /// The next message, or `None` at the deadline. A line that has come in half stays for the next call.
    fn receive(&mut self, deadline: Instant) -> Result<Option<Value>> {
        loop {
            let left = deadline.saturating_duration_since(Instant::now());
            if left.is_zero() {
                return Ok(None);
            }
            self.stream.get_ref().set_read_timeout(Some(left))?;
            match self.stream.read_line(&mut self.line) {
                Ok(0) => bail!("QEMU is gone"),
                Ok(_) => {
                    let message = serde_json::from_str(&self.line);
                    self.line.clear();
                    return Ok(Some(
                        message.context("QEMU sent something that is not JSON")?,
                    ));
                }
                Err(error)
                    if matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut) => {}
                Err(error) => return Err(error.into()),
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::net::UnixListener;

    /// A QEMU that answers each line it gets with the next of `answers`.
    fn qemu(answers: &'static [&'static str]) -> Qmp {
        let (ours, theirs) = UnixStream::pair().unwrap();
        thread::spawn(move || {
            let mut lines = BufReader::new(theirs.try_clone().unwrap()).lines();
            for answer in answers {
                (&theirs).write_all(answer.as_bytes()).unwrap();
                lines.next();
            }
        });
        Qmp::greet(ours).unwrap()
    }

    #[test]
    fn answers_are_told_from_events() {
        let mut qmp = qemu(&[
            "{\"QMP\": {}}\n",
            "{\"return\": {}}\n",
            "{\"event\": \"STOP\"}\n{\"event\": \"RESET\"}\n{\"return\": 7}\n",
            "{\"error\": {\"desc\": \"no such thing\"}}\n",
        ]);
        assert_eq!(qmp.execute("query", json!({})).unwrap(), 7);
        assert_eq!(
            qmp.execute("x", json!({})).unwrap_err().to_string(),
            "QMP x: no such thing"
        );
        qmp.event("RESET", Duration::ZERO).unwrap();
        let error = qmp
            .event("WATCHDOG", Duration::ZERO)
            .unwrap_err()
            .to_string();
        assert!(error.contains("WATCHDOG"), "{error}");
    }

    #[test]
    fn an_event_may_come_before_the_greeting() {
        let mut qmp = qemu(&[
            "{\"event\": \"RESUME\"}\n{\"QMP\": {}}\n",
            "{\"return\": {}}\n",
        ]);
        qmp.event("RESUME", Duration::ZERO).unwrap();
    }

    #[test]
    fn a_qemu_that_listens_later_is_waited_for_and_one_that_never_does_is_named() {
        let folder = tempfile::tempdir().unwrap();
        let socket = folder.path().join("qmp");
        let error = Qmp::connect(&socket, Duration::ZERO).unwrap_err();
        let error = format!("{error:#}");
        assert!(error.contains(&socket.display().to_string()), "{error}");
        thread::scope(|scope| {
            let connected = scope.spawn(|| Qmp::connect(&socket, ANSWER));
            let (mut qemu, _) = UnixListener::bind(&socket).unwrap().accept().unwrap();
            qemu.write_all(b"{\"QMP\": {}}\n{\"return\": {}}\n")
                .unwrap();
            connected.join().unwrap().unwrap();
        });
    }
}
