//! A stand-in for the planner behind nginx: it tells what it was asked, and answers when the test wants it to.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::{Arc, Condvar, Mutex, PoisonError};
use std::time::Duration;

use testbed::{Result, ensure, wait_until};

/// The policy that the stand-in's page has, in place of nginx's.
pub const POLICY: &str = "default-src 'none'; script-src 'self'";

/// A running stand-in.
pub struct Planner {
    /// Where it listens.
    pub port: u16,
    waiting: Arc<Waiting>,
}

/// Requests that are held back.
#[derive(Default)]
struct Waiting {
    now: Mutex<State>,
    changed: Condvar,
}

#[derive(Default)]
struct State {
    held: usize,
    released: bool,
}

impl Planner {
    /// Starts it. What it answers, the path says: `held` waits for [`Planner::release`], `page` has headers of its own, `full` is a refusal of
    /// its own, `dies` hangs up; everything else is answered with what was asked.
    pub fn start() -> Result<Self> {
        let listener = TcpListener::bind("127.0.0.1:0")?;
        let port = listener.local_addr()?.port();
        let waiting = Arc::<Waiting>::default();
        let planner = Planner {
            port,
            waiting: waiting.clone(),
        };
        std::thread::spawn(move || {
            for stream in listener.incoming().map_while(std::io::Result::ok) {
                let waiting = waiting.clone();
                std::thread::spawn(move || serve(stream, &waiting));
            }
        });
        Ok(planner)
    }

    /// Waits until it holds back so many requests.
    pub fn holds(&self, count: usize) -> Result<()> {
        wait_until("requests to wait", Duration::from_secs(60), || {
            let held = self.waiting.state().held;
            ensure!(held == count, "{held} wait");
            Ok(())
        })
    }

    /// Answers all that it holds back, and holds back nothing more.
    pub fn release(&self) {
        self.waiting.state().released = true;
        self.waiting.changed.notify_all();
    }
}

impl Waiting {
    fn state(&self) -> std::sync::MutexGuard<'_, State> {
        self.now.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn hold(&self) {
        let mut state = self.state();
        state.held += 1;
        let patience = Duration::from_secs(120);
        let until = |state: &mut State| !state.released;
        let waited = self.changed.wait_timeout_while(state, patience, until);
        drop(waited.unwrap_or_else(PoisonError::into_inner));
    }
}

/// Answers the requests of one connection; an error is its end.
fn serve(stream: TcpStream, waiting: &Waiting) -> std::io::Result<()> {
    let mut reader = BufReader::new(stream.try_clone()?);
    let mut writer = stream;
    loop {
        let mut head = String::new();
        while !head.ends_with("\r\n\r\n") {
            if reader.read_line(&mut head)? == 0 {
                return Ok(());
            }
        }
        let length = head
            .lines()
            .filter_map(|line| line.split_once(": "))
            .find(|(name, _)| name.eq_ignore_ascii_case("content-length"))
            .and_then(|(_, value)| value.parse().ok());
        std::io::copy(
            &mut reader.by_ref().take(length.unwrap_or(0)),
            &mut std::io::sink(),
        )?;
        let path = head.split(' ').nth(1).unwrap_or_default();
        let (status, more) = match path.rsplit('/').next().unwrap_or_default() {
            "dies" => return Ok(()),
            "held" => {
                waiting.hold();
                ("200 OK", String::new())
            }
            "page" => (
                "200 OK",
                format!("Content-Security-Policy: {POLICY}\r\nX-Frame-Options: SAMEORIGIN\r\n"),
            ),
            "full" => ("429 Too Many Requests", "Retry-After: 30\r\n".to_owned()),
            _ => ("200 OK", String::new()),
        };
        let length = head.len();
        // All at once: parts of it would wait for each other's receipts.
        let answer = format!(
            "HTTP/1.1 {status}\r\nContent-Type: text/plain\r\nContent-Length: {length}\r\n{more}\r\n{head}"
        );
        writer.write_all(answer.as_bytes())?;
    }
}
