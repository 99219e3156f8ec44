//! Whether a generation is healthy: every check that it declares passes, no unit is failed, and all of that holds
//! twice in a row, within its deadline.
//!
//! The checks are the generation's own, in `/etc/lichen/health.json`. A generation without that file declares
//! none, and is healthy when none of its units is failed.

use crate::root::Root;
use crate::systemd::{self, Listed};
use anyhow::{Context, Result};
use serde::Deserialize;
use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::io::{Read, Write};
use std::net::{TcpStream, ToSocketAddrs};
use std::process::{Command, Stdio};
use std::thread::sleep;
use std::time::{Duration, Instant};

/// Where the checks are declared.
pub const FILE: &str = "etc/lichen/health.json";

const DEADLINE: u64 = 300;
/// How long one check may take.
const PATIENCE: Duration = Duration::from_secs(10);
/// Between two looks. A service that crashes and is restarted looks well in between.
const PAUSE: Duration = Duration::from_secs(2);
/// When nothing is under way any more, a unit that is failed stays so.
const HOPELESS: Duration = Duration::from_secs(10);

/// What a generation declares.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(default)]
pub struct Health {
    /// Seconds from the boot or the switch.
    pub deadline: u64,
    /// Checks by name.
    pub checks: BTreeMap<String, Check>,
}

impl Default for Health {
    fn default() -> Self {
        Self {
            deadline: DEADLINE,
            checks: BTreeMap::new(),
        }
    }
}

/// One check: exactly one of these.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Check {
    /// The address answers with a 2xx.
    Http(String),
    /// The shell command succeeds.
    Command(String),
    /// The unit is active.
    Unit(String),
}

/// A generation that is not healthy, with all reasons.
#[derive(Debug, thiserror::Error)]
#[error("not healthy after {seconds} s: {}", problems.join("; "))]
pub struct Unhealthy {
    /// How long it was given.
    pub seconds: u64,
    /// What is wrong.
    pub problems: Vec<String>,
}

/// What is seen at one moment.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
struct Look {
    problems: Vec<String>,
    /// Of all services; only counted while there are no problems.
    restarts: u64,
    /// Whether waiting can help.
    under_way: bool,
}

impl Health {
    /// What the generation that runs declares.
    pub fn load(root: &Root) -> Result<Self> {
        match fs::read_to_string(root.at(FILE)) {
            Ok(text) => serde_json::from_str(&text).with_context(|| format!("/{FILE}")),
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(Self::default()),
            Err(error) => Err(error).with_context(|| format!("cannot read /{FILE}")),
        }
    }

    /// Looks once; an error says what is wrong. Units in `forgiven` may be failed: they were before.
    pub fn check(&self, forgiven: &BTreeSet<String>) -> Result<(), Unhealthy> {
        let look = self.look(forgiven);
        judge(look.problems, Duration::ZERO)
    }

    /// Waits until it is healthy; ends early when it can't become so any more.
    pub fn wait(&self, forgiven: &BTreeSet<String>) -> Result<(), Unhealthy> {
        let begin = Instant::now();
        let deadline = Duration::from_secs(self.deadline);
        let mut before: Option<Look> = None;
        let mut settled: Option<Instant> = None;
        loop {
            let look = self.look(forgiven);
            if look.problems.is_empty()
                && before.is_some_and(|b| b.problems.is_empty() && b.restarts == look.restarts)
            {
                return Ok(());
            }
            if look.under_way || look.problems.is_empty() {
                settled = None;
            } else if settled.get_or_insert_with(Instant::now).elapsed() > HOPELESS {
                return judge(look.problems, begin.elapsed());
            }
            if begin.elapsed() > deadline {
                let restless = "services keep being restarted".to_owned();
                let problems = match look.problems {
                    none if none.is_empty() => vec![restless],
                    some => some,
                };
                return judge(problems, begin.elapsed());
            }
            before = Some(look);
            sleep(PAUSE);
        }
    }

    /// Each question is a program to start and work for the service manager, who may be booting: what can't change
    /// the answer any more is not asked.
    fn look(&self, forgiven: &BTreeSet<String>) -> Look {
        let mut problems = Vec::new();
        let mut under_way = false;
        match systemd::units() {
            Ok(units) => problems.extend(unit_problems(&units, forgiven)),
            Err(error) => problems.push(format!("{error:#}")),
        }
        // Nobody starts a unit that failed; everything else may get well by itself.
        under_way |= !problems.iter().any(|problem| problem.ends_with(" failed"));
        match systemd::overall() {
            Ok(overall) => {
                under_way |= overall.jobs > 0;
                if !["running", "degraded"].contains(&overall.state.as_str()) {
                    under_way = true;
                    problems.push(format!("the system is {}", overall.state));
                }
            }
            Err(error) => {
                under_way = true;
                problems.push(format!("{error:#}"));
            }
        }
        for (name, check) in &self.checks {
            if let Err(error) = check.run() {
                problems.push(format!("check {name}: {error:#}"));
            }
        }
        let restarts = match problems.is_empty() {
            true => systemd::restarts().unwrap_or(0),
            false => 0,
        };
        Look {
            problems,
            restarts,
            under_way,
        }
    }
}

fn judge(problems: Vec<String>, after: Duration) -> Result<(), Unhealthy> {
    if problems.is_empty() {
        return Ok(());
    }
    Err(Unhealthy {
        seconds: after.as_secs(),
        problems,
    })
}

fn unit_problems(units: &[Listed], forgiven: &BTreeSet<String>) -> Vec<String> {
    let judged = units.iter().filter(|unit| !forgiven.contains(&unit.name));
    judged
        .filter_map(|unit| match (unit.active.as_str(), unit.sub.as_str()) {
            ("failed", _) => Some(format!("{} failed", unit.name)),
            (_, "auto-restart" | "auto-restart-queued") => {
                Some(format!("{} crashes and is restarted", unit.name))
            }
            _ => None,
        })
        .collect()
}

/// The units that are failed now.
pub fn failed() -> Result<BTreeSet<String>> {
    let units = systemd::units()?.into_iter();
    Ok(units
        .filter(|unit| unit.active == "failed")
        .map(|unit| unit.name)
        .collect())
}

impl Check {
    fn run(&self) -> Result<()> {
        match self {
            Self::Http(address) => http(address),
            Self::Command(command) => shell(command),
            Self::Unit(unit) => systemd::run("systemctl", &["is-active", "--quiet", "--", unit])
                .map(drop)
                .map_err(|_| anyhow::anyhow!("{unit} is not active")),
        }
    }
}

/// As much HTTP as a health check on the same device needs.
fn http(address: &str) -> Result<()> {
    let rest = address
        .strip_prefix("http://")
        .with_context(|| format!("{address} is no http:// address"))?;
    let (host, path) = rest.split_once('/').unwrap_or((rest, ""));
    let place = if host.contains(':') {
        host.to_owned()
    } else {
        format!("{host}:80")
    };
    let place = place
        .to_socket_addrs()
        .ok()
        .and_then(|mut places| places.next())
        .with_context(|| format!("{host} is unknown"))?;
    let mut stream = TcpStream::connect_timeout(&place, PATIENCE).context(address.to_owned())?;
    stream.set_read_timeout(Some(PATIENCE))?;
    stream.set_write_timeout(Some(PATIENCE))?;
    let request = format!("GET /{path} HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\n\r\n");
    stream.write_all(request.as_bytes())?;
    let mut start = [0; 12];
    stream.read_exact(&mut start).context(address.to_owned())?;
    // The rest is read, so that the service doesn't see a broken connection.
    let _ = std::io::copy(&mut stream.take(1 << 20), &mut std::io::sink());
    let start = String::from_utf8_lossy(&start);
    let status = start.split(' ').nth(1).unwrap_or_default();
    anyhow::ensure!(status.starts_with('2'), "{address} answers {status}");
    Ok(())
}

fn shell(command: &str) -> Result<()> {
    let mut child = Command::new("/bin/sh")
        .args(["-c", command])
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .spawn()
        .context("cannot run /bin/sh")?;
    let begin = Instant::now();
    loop {
        if let Some(status) = child.try_wait()? {
            anyhow::ensure!(status.success(), "`{command}` ended with {status}");
            return Ok(());
        }
        if begin.elapsed() > PATIENCE {
            child.kill()?;
            child.wait()?;
            anyhow::bail!("`{command}` takes longer than {} s", PATIENCE.as_secs());
        }
        sleep(Duration::from_millis(20));
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::net::TcpListener;

    #[test]
    fn declarations_are_read() {
        let text = r#"{"deadline":60,"checks":{"a":{"http":"http://127.0.0.1:8080/health"},
            "b":{"command":"true"},"c":{"unit":"ssh.service"}}}"#;
        let health: Health = serde_json::from_str(text).unwrap();
        assert_eq!((health.deadline, health.checks.len()), (60, 3));
        assert_eq!(health.checks["c"], Check::Unit("ssh.service".into()));
        assert_eq!(
            Health::load(&Root::new("/nonexistent")).unwrap(),
            Health::default()
        );
    }

    #[test]
    fn failed_and_crashing_units_are_problems_unless_they_were_before() {
        let unit = |name: &str, active: &str, sub: &str| Listed {
            name: name.into(),
            active: active.into(),
            sub: sub.into(),
        };
        let units = [
            unit("a.service", "active", "running"),
            unit("b.service", "failed", "failed"),
            unit("c.service", "activating", "auto-restart"),
            unit("d.service", "failed", "failed"),
        ];
        let forgiven = BTreeSet::from(["d.service".to_owned()]);
        assert_eq!(
            unit_problems(&units, &forgiven),
            ["b.service failed", "c.service crashes and is restarted"]
        );
    }

    #[test]
    fn http_is_well_with_a_2xx_and_nothing_else() {
        let answer = |status: &'static str| {
            let listener = TcpListener::bind("127.0.0.1:0").unwrap();
            let address = format!("http://{}/health", listener.local_addr().unwrap());
            let server = std::thread::spawn(move || {
                let (mut stream, _) = listener.accept().unwrap();
                let mut request = Vec::new();
                let mut byte = [0];
                while !request.ends_with(b"\r\n\r\n") && stream.read(&mut byte).unwrap() == 1 {
                    request.push(byte[0]);
                }
                write!(stream, "HTTP/1.1 {status}\r\nContent-Length: 2\r\n\r\nok").unwrap();
                String::from_utf8_lossy(&request).into_owned()
            });
            let result = http(&address);
            assert!(
                server
                    .join()
                    .unwrap()
                    .starts_with("GET /health HTTP/1.1\r\n")
            );
            result
        };
        answer("200 OK").unwrap();
        let error = answer("503 Service Unavailable").unwrap_err().to_string();
        assert!(error.ends_with("answers 503"), "{error}");
        assert!(http("http://127.0.0.1:1/").is_err());
        assert!(http("https://127.0.0.1/").is_err());
    }

    #[test]
    fn a_command_is_well_when_it_succeeds() {
        Check::Command("test 1 = 1".into()).run().unwrap();
        let error = Check::Command("exit 3".into())
            .run()
            .unwrap_err()
            .to_string();
        assert!(error.contains("exit 3"), "{error}");
    }
}
