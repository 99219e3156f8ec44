//! A web server on the host that keeps what machines send to it.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{Ipv4Addr, TcpListener, TcpStream};
use std::sync::atomic::{AtomicBool, AtomicU16, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use anyhow::{Context, Result};
use serde_json::Value;

/// The host's loopback as machines see it.
pub(crate) const HOST: &str = "10.0.2.2";

/// One request that arrived whole.
#[derive(Debug, Clone)]
pub struct Delivery {
    /// The path it was sent to.
    pub path: String,
    /// Its body.
    pub body: String,
    /// The status it was answered with.
    pub status: u16,
}

impl Delivery {
    /// Its body as JSON.
    pub fn json(&self) -> Result<Value> {
        serde_json::from_str(&self.body).with_context(|| format!("not JSON: {}", self.body))
    }
}

/// A web server that accepts everything, answers as told and remembers.
#[derive(Debug)]
pub struct Receiver {
    port: u16,
    shared: Arc<Shared>,
    serving: Option<JoinHandle<()>>,
}

#[derive(Debug)]
struct Shared {
    deliveries: Mutex<Vec<Delivery>>,
    status: AtomicU16,
    closing: AtomicBool,
}

impl Receiver {
    /// Starts one on a free port.
    pub fn start() -> Result<Self> {
        let mut receiver = Self {
            port: 0,
            shared: Arc::new(Shared {
                deliveries: Mutex::default(),
                status: AtomicU16::new(200),
                closing: AtomicBool::new(false),
            }),
            serving: None,
        };
        receiver.up()?;
        Ok(receiver)
    }

    /// Where machines reach it.
    pub fn url(&self) -> String {
        format!("http://{HOST}:{}/hook", self.port)
    }

    /// What has arrived so far, oldest first.
    pub fn deliveries(&self) -> Vec<Delivery> {
        self.shared.deliveries().clone()
    }

    /// What has arrived and was answered with 2xx.
    pub fn accepted(&self) -> Vec<Delivery> {
        self.deliveries()
            .into_iter()
            .filter(|d| (200..300).contains(&d.status))
            .collect()
    }

    /// Answers with `status` from now on.
    pub fn answer_with(&self, status: u16) {
        self.shared.status.store(status, Ordering::SeqCst);
    }

    /// Closes its port: connections are refused.
    pub fn down(&mut self) {
        if let Some(serving) = self.serving.take() {
            self.shared.closing.store(true, Ordering::SeqCst);
            // Wakes the thread that waits for the next connection.
            let _ = TcpStream::connect((Ipv4Addr::LOCALHOST, self.port));
            let _ = serving.join();
        }
    }

    /// Opens its port again, the same one.
    pub fn up(&mut self) -> Result<()> {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, self.port));
        let listener = listener.with_context(|| format!("listen on port {}", self.port))?;
        self.port = listener.local_addr()?.port();
        self.shared.closing.store(false, Ordering::SeqCst);
        let shared = self.shared.clone();
        self.serving = Some(thread::spawn(move || {
            for stream in listener.incoming() {
                if shared.closing.load(Ordering::SeqCst) {
                    break;
                }
                // A machine that is switched off while it sends has sent nothing.
                if let Ok(stream) = stream {
                    let _ = shared.serve(stream);
                }
            }
        }));
        Ok(())
    }
}

impl Drop for Receiver {
    fn drop(&mut self) {
        self.down();
    }
}

impl Shared {
    fn deliveries(&self) -> MutexGuard<'_, Vec<Delivery>> {
        self.deliveries
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
    }

    fn serve(&self, stream: TcpStream) -> Result<()> {
        stream.set_read_timeout(Some(Duration::from_secs(20)))?;
        let mut reader = BufReader::new(&stream);
        let mut line = String::new();
        reader.read_line(&mut line)?;
        let path = line
            .split_whitespace()
            .nth(1)
            .context("no request line")?
            .to_owned();
        let mut length = 0;
        loop {
            line.clear();
            reader.read_line(&mut line)?;
            match line.trim_end().split_once(':') {
                Some((name, value)) if name.eq_ignore_ascii_case("content-length") => {
                    length = value.trim().parse()?;
                }
                Some(_) => {}
                None => break,
            }
        }
        let mut body = vec![0; length];
        reader.read_exact(&mut body)?;
        let status = self.status.load(Ordering::SeqCst);
        let delivery = Delivery {
            path,
            body: String::from_utf8_lossy(&body).into_owned(),
            status,
        };
        self.deliveries().push(delivery);
        write!(
            &stream,
            "HTTP/1.1 {status} Told\r\nContent-Length: 2\r\nConnection: close\r\n\r\nok"
        )?;
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Web;
    use serde_json::json;

    #[test]
    fn it_remembers_what_it_was_sent_and_answers_as_told() {
        let receiver = Receiver::start().unwrap();
        let web = Web::new(receiver.port);
        receiver.answer_with(503);
        assert_eq!(
            web.put("/hook", None, &json!({"text": "too warm"}))
                .unwrap()
                .status,
            503
        );
        receiver.answer_with(200);
        assert_eq!(
            web.post("/other", Some("secret"))
                .unwrap()
                .success()
                .unwrap()
                .body,
            "ok"
        );
        let seen = receiver.deliveries();
        assert_eq!(seen[0].json().unwrap()["text"], "too warm");
        assert_eq!((seen[1].path.as_str(), seen[1].status), ("/other", 200));
        assert_eq!(receiver.accepted().len(), 1);
    }

    #[test]
    fn it_goes_down_and_comes_back_at_the_same_place() {
        let mut receiver = Receiver::start().unwrap();
        let (web, url) = (Web::new(receiver.port), receiver.url());
        receiver.down();
        assert!(web.get("/").is_err());
        receiver.up().unwrap();
        assert_eq!(receiver.url(), url);
        assert_eq!(web.get("/").unwrap().status, 200);
    }
}
