//! A web server on the host that machines fetch files from.

use std::fs;
use std::io::{BufRead, BufReader, Write};
use std::net::{Ipv4Addr, TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread;

use anyhow::{Context, Result};

use crate::receiver::HOST;

/// A web server for a folder.
#[derive(Debug)]
pub struct Files {
    port: u16,
    shared: Arc<Shared>,
}

#[derive(Debug)]
struct Shared {
    folder: PathBuf,
    state: Mutex<State>,
    changed: Condvar,
}

#[derive(Debug, Default)]
struct State {
    asked: Vec<String>,
    held: Option<String>,
    closing: bool,
}

impl Files {
    /// Serves `folder` on a free port.
    pub fn serve(folder: &Path) -> Result<Self> {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).context("listen")?;
        let port = listener.local_addr()?.port();
        let shared = Arc::new(Shared {
            folder: folder.to_owned(),
            state: Mutex::default(),
            changed: Condvar::new(),
        });
        let serving = shared.clone();
        thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                if serving.state().closing {
                    break;
                }
                let shared = serving.clone();
                // A machine may be switched off while it is served: that is not an error.
                thread::spawn(move || shared.answer(&stream).ok());
            }
        });
        Ok(Self { port, shared })
    }

    /// Where machines reach it.
    pub fn url(&self) -> String {
        format!("http://{HOST}:{}", self.port)
    }

    /// The paths that were asked for since the last call, in this order.
    pub fn asked(&self) -> Vec<String> {
        std::mem::take(&mut self.shared.state().asked)
    }

    /// From now on, whoever asks for the file at `path` gets its first half only, and the rest as soon as another file
    /// is held back, or none.
    pub fn hold(&self, path: Option<&str>) {
        self.shared.state().held = path.map(str::to_owned);
        self.shared.changed.notify_all();
    }
}

impl Drop for Files {
    fn drop(&mut self) {
        self.hold(None);
        self.shared.state().closing = true;
        // Wakes the thread that waits for the next connection.
        let _ = TcpStream::connect((Ipv4Addr::LOCALHOST, self.port));
    }
}

impl Shared {
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn answer(&self, mut stream: &TcpStream) -> Result<()> {
        let mut lines = BufReader::new(stream).lines();
        let line = lines.next().context("nothing was asked")??;
        lines
            .take_while(|line| line.as_ref().is_ok_and(|line| !line.is_empty()))
            .for_each(drop);
        let path = line.split(' ').nth(1).context("no path")?;
        let relative = path.trim_start_matches('/');
        let content = fs::read(self.folder.join(relative));
        let (status, content) = match content {
            Ok(content) => ("200 OK", content),
            Err(_) => ("404 Not Found", Vec::new()),
        };
        let length = content.len();
        let mut message =
            format!("HTTP/1.1 {status}\r\nContent-Length: {length}\r\nConnection: close\r\n\r\n")
                .into_bytes();
        message.extend(content);
        // The request is noted before any answer is complete, even an empty one.
        let (first, second) = message.split_at(message.len() - length.div_ceil(2).max(1));
        stream.write_all(first)?;
        let mut state = self.state();
        state.asked.push(path.to_owned());
        while state.held.as_deref() == Some(path) {
            let woken = self.changed.wait(state);
            state = woken.unwrap_or_else(PoisonError::into_inner);
        }
        drop(state);
        stream.write_all(second)?;
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Web;
    use std::sync::mpsc;

    #[test]
    fn it_serves_what_is_in_its_folder_and_nothing_else() {
        let folder = tempfile::tempdir().unwrap();
        fs::create_dir(folder.path().join("nar")).unwrap();
        fs::write(folder.path().join("nar/a"), "content").unwrap();
        let files = Files::serve(folder.path()).unwrap();
        let web = Web::new(files.port);
        assert_eq!(
            web.get("/nar/a").unwrap().success().unwrap().body,
            "content"
        );
        assert_eq!(web.get("/nar/b").unwrap().status, 404);
        assert_eq!(files.asked(), ["/nar/a", "/nar/b"]);
        assert!(files.asked().is_empty());
    }

    #[test]
    fn what_is_held_comes_when_it_is_let_go() {
        let folder = tempfile::tempdir().unwrap();
        fs::write(folder.path().join("a"), "content").unwrap();
        let files = Files::serve(folder.path()).unwrap();
        files.hold(Some("/a"));
        let web = Web::new(files.port);
        let (send, came) = mpsc::channel();
        thread::spawn(move || send.send(web.get("/a").unwrap().body));
        crate::wait_until("half of it", std::time::Duration::from_secs(10), || {
            anyhow::ensure!(!files.asked().is_empty());
            Ok(())
        })
        .unwrap();
        assert!(came.try_recv().is_err());
        files.hold(None);
        assert_eq!(came.recv().unwrap(), "content");
    }
}
