//! ffmpeg and ffprobe, run to their end with low priority.
//!
//! What they refuse tells something of a file. That they could not be started, were killed or lacked memory tells nothing of
//! it: the same file may be fine a minute later.

use std::io;
use std::process::ExitStatus;
use std::time::Duration;

use tokio::io::{AsyncBufReadExt, AsyncRead, BufReader};
use tokio::process::{ChildStdout, Command};

use crate::camera::command;

/// What is said when the machine is the reason, not the file.
const PASSING: [&str; 8] = [
    "Cannot allocate memory",
    "Resource temporarily unavailable",
    "Too many open files",
    "Input/output error",
    "No space left on device",
    "Disk quota exceeded",
    "Read-only file system",
    "Permission denied",
];

/// What setpriv and nice return when they cannot start a program, and what ffmpeg returns when it is asked to end.
const NOT_THE_FILE: [i32; 4] = [125, 126, 127, 255];

/// Why a program did not do what it was to do.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ToolError {
    /// It read the file, and refused it.
    #[error("{0}")]
    Refused(String),
    /// It could not do its work, which may pass.
    #[error("{0}")]
    Failed(String),
}

/// A program that gives way to whatever records.
pub fn low_priority(program: &str) -> Command {
    let mut command = command("nice");
    command.args(["-n", "10", program]);
    command
}

/// How long a program may work on a file of this size: the slowest card reads a megabyte a second.
pub fn patience(bytes: u64) -> Duration {
    Duration::from_secs(600 + bytes / 1_000_000)
}

/// Runs a program to its end; `takes` is given its output.
pub async fn run<V>(
    program: &str,
    mut command: Command,
    patience: Duration,
    takes: impl AsyncFnOnce(ChildStdout) -> io::Result<V>,
) -> Result<V, ToolError> {
    let failed = |why: String| ToolError::Failed(format!("{program} {why}"));
    let child = command
        .stdout(std::process::Stdio::piped())
        .stderr(std::process::Stdio::piped())
        .spawn();
    let mut child =
        child.map_err(|error| failed(format!("cannot be started by setpriv and nice: {error}")))?;
    let stdout = child.stdout.take().expect("stdout is a pipe");
    let stderr = child.stderr.take().expect("stderr is a pipe");
    // It is killed when it is dropped.
    let ran = async { tokio::try_join!(takes(stdout), listen(stderr), child.wait()) };
    match tokio::time::timeout(patience, ran).await {
        Err(_) => Err(failed(format!("did not end within {patience:?}"))),
        Ok(Err(error)) => Err(failed(format!("cannot be listened to: {error}"))),
        Ok(Ok((value, said, status))) => match said.judge(program, status) {
            None => Ok(value),
            Some(error) => Err(error),
        },
    }
}

/// What a program said.
#[derive(Debug, Default)]
struct Said {
    last: String,
    /// The first thing that was not the file's fault.
    passing: Option<String>,
}

impl Said {
    fn judge(self, program: &str, status: ExitStatus) -> Option<ToolError> {
        if let Some(why) = self.passing {
            return Some(ToolError::Failed(format!("{program}: {why}")));
        }
        let own = ["setpriv:", "nice:"];
        let not_the_file = own.iter().any(|name| self.last.starts_with(name));
        match status.code() {
            Some(0) => None,
            Some(code) if !not_the_file && !NOT_THE_FILE.contains(&code) => {
                let silent = self.last.is_empty();
                let why = if silent {
                    "it does not say why".into()
                } else {
                    self.last
                };
                Some(ToolError::Refused(why))
            }
            _ => {
                let last = self.last;
                let why = format!("{program} ended with {status}: {last}");
                Some(ToolError::Failed(why.trim_end_matches(": ").into()))
            }
        }
    }
}

async fn listen(stderr: impl AsyncRead + Unpin) -> io::Result<Said> {
    let (mut said, mut line) = (Said::default(), Vec::new());
    let mut stderr = BufReader::new(stderr);
    while stderr.read_until(b'\n', &mut line).await? > 0 {
        let words = String::from_utf8_lossy(&line).trim().to_owned();
        line.clear();
        if words.is_empty() {
            continue;
        }
        if said.passing.is_none() && PASSING.iter().any(|passing| words.contains(passing)) {
            said.passing = Some(words.clone());
        }
        said.last = words;
    }
    Ok(said)
}

#[cfg(test)]
mod tests {
    use super::*;

    async fn ended(program: &str, words: &[&str], patience: Duration) -> Result<(), ToolError> {
        let mut command = low_priority(program);
        command.args(words);
        run(program, command, patience, async |_| Ok(())).await
    }

    async fn of(script: &str) -> Result<(), ToolError> {
        ended("sh", &["-c", script], Duration::from_secs(60)).await
    }

    #[tokio::test]
    async fn only_what_a_program_refuses_is_the_file_s_fault() {
        let refused = |why: &str| Err(ToolError::Refused(why.into()));
        assert_eq!(of("exit 0").await, Ok(()));
        let bad = "echo 'x.mp4: moov atom not found' >&2; exit 1";
        assert_eq!(of(bad).await, refused("x.mp4: moov atom not found"));
        assert_eq!(of("exit 1").await, refused("it does not say why"));
        for passing in [
            "kill -KILL $$",
            "kill -TERM $$",
            "exit 127",
            "exit 255",
            "echo 'out.mp4: Cannot allocate memory' >&2; echo 'Conversion failed!' >&2; exit 1",
            // It leaves out what it cannot open, and is content.
            "echo 'part-001.mp4: Too many open files' >&2; exit 0",
        ] {
            let outcome = of(passing).await;
            assert!(
                matches!(outcome, Err(ToolError::Failed(_))),
                "{passing}: {outcome:?}"
            );
        }
        let missing = ended("no-such-program", &[], Duration::from_secs(60)).await;
        assert!(matches!(missing, Err(ToolError::Failed(_))), "{missing:?}");
    }

    #[tokio::test]
    async fn a_program_that_does_not_end_is_ended() {
        let hung = ended("sleep", &["600"], Duration::from_millis(200)).await;
        let why = "sleep did not end within 200ms".to_owned();
        assert_eq!(hung, Err(ToolError::Failed(why)));
    }
}
