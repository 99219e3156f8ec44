//! Reading what somebody far away sends, who may be gone without a word.

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use std::fs::File;
use std::io::{self, BufReader, Read};
use std::os::fd::AsFd;
use std::time::Duration;

/// How long nothing may come: senders have everything ready before they begin.
const PATIENCE: Duration = Duration::from_secs(60);

/// A stream that fails, and then stays so, once nothing has come for too long.
#[derive(Debug)]
pub struct Patient<R> {
    from: R,
    patience: Duration,
    is_silent: bool,
}

impl<R: Read + AsFd> Patient<R> {
    /// Waits this long.
    pub(crate) fn new(from: R, patience: Duration) -> Self {
        Self {
            from,
            patience,
            is_silent: false,
        }
    }
}

/// Standard input.
pub fn stdin() -> io::Result<impl Read> {
    // Without the buffer of the standard library: what is in it is not waited for.
    let file = File::from(io::stdin().as_fd().try_clone_to_owned()?);
    Ok(BufReader::new(Patient::new(file, PATIENCE)))
}

impl<R: Read + AsFd> Read for Patient<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let timeout = Timespec::try_from(self.patience).map_err(io::Error::other)?;
        self.is_silent = self.is_silent
            || 0 == rustix::io::retry_on_intr(|| {
                poll(
                    &mut [PollFd::new(&self.from, PollFlags::IN)],
                    Some(&timeout),
                )
            })?;
        if self.is_silent {
            let seconds = self.patience.as_secs();
            let why = format!("the sender has said nothing for {seconds} s");
            return Err(io::Error::new(io::ErrorKind::TimedOut, why));
        }
        self.from.read(buffer)
    }
}
