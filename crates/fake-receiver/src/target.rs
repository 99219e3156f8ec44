//! Something to scrape that knows how often it was.

use std::sync::{Arc, Condvar, Mutex};
use std::time::Duration;

use crate::server::{Answer, Server};

/// How long scrapes may take: a hundred of them on an emulated processor, four times a second.
const PATIENCE: Duration = Duration::from_secs(300);

/// A target whose counter `scrapes_total` grows with each scrape.
pub struct Target {
    /// Where it is reached, and whether it can be.
    pub server: Server,
    count: Arc<Count>,
}

#[derive(Default)]
struct Count {
    scrapes: Mutex<u64>,
    grown: Condvar,
}

impl Target {
    /// Starts one, which tells these lines as well.
    pub fn start(also: &'static str) -> Self {
        let count = Arc::<Count>::default();
        let counted = count.clone();
        let server = Server::start(move |_| {
            let mut scrapes = counted.scrapes.lock().unwrap();
            *scrapes += 1;
            counted.grown.notify_all();
            Answer::new(200)
                .kind("text/plain; version=0.0.4")
                .body(format!("scrapes_total {scrapes}\n{also}"))
        });
        Target { server, count }
    }

    /// How often it was scraped.
    pub fn scrapes(&self) -> u64 {
        *self.count.scrapes.lock().unwrap()
    }

    /// How often it was scraped by somebody who is gone now, and whose last request may still be on its way.
    pub fn scrapes_in_the_end(&self) -> u64 {
        self.server.settles();
        self.scrapes()
    }

    /// Waits for so many more scrapes.
    pub fn is_scraped(&self, times: u64) {
        let scrapes = self.count.scrapes.lock().unwrap();
        let wanted = *scrapes + times;
        let waiting = |scrapes: &mut u64| *scrapes < wanted;
        let grown = &self.count.grown;
        let (scrapes, waited) = grown
            .wait_timeout_while(scrapes, PATIENCE, waiting)
            .unwrap();
        let late = waited.timed_out();
        assert!(
            !late,
            "{} of {times} scrapes are missing",
            wanted - *scrapes
        );
    }
}
