//! A worker loses no job, keeps nobody waiting who must not wait, and reports its failures.

use std::net::SocketAddr;
use std::sync::mpsc::{Receiver, Sender, channel};
use std::time::Duration;

use kit::testing::{Answer, call};
use kit::{Actor, Component, Credentials, HttpSettings, Kit, Unanswered, Worker};
use tokio::net::TcpListener;

const BEAT: Duration = Duration::from_secs(60);

/// Collects numbers, and sends them to the test when it ends.
struct Notebook {
    name: &'static str,
    notes: Vec<u32>,
    turns: u32,
    pause: Duration,
    ends: Sender<(&'static str, Vec<u32>)>,
    /// If given, it starts only once something arrives here.
    ink: Option<Receiver<()>>,
}

impl Actor for Notebook {
    fn start(&mut self) {
        if let Some(ink) = &self.ink {
            ink.recv().unwrap();
        }
    }

    fn turn(&mut self) -> Duration {
        self.turns += 1;
        self.pause
    }

    fn stop(self) -> anyhow::Result<()> {
        self.ends.send((self.name, self.notes)).unwrap();
        anyhow::ensure!(self.name != "torn", "the last page is missing");
        Ok(())
    }
}

/// A kit, and the contents of the notebooks that have ended.
struct Desk {
    kit: Kit,
    address: SocketAddr,
    tell: Sender<(&'static str, Vec<u32>)>,
    ends: Receiver<(&'static str, Vec<u32>)>,
}

impl Desk {
    async fn new() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let credentials = Credentials::in_directory("desk", None);
        let kit = Kit::new(
            kit::service!("desk"),
            HttpSettings::default(),
            credentials,
            listener,
        );
        let (tell, ends) = channel();
        Desk {
            kit,
            address,
            tell,
            ends,
        }
    }

    fn notebook(&self, name: &'static str, ink: Option<Receiver<()>>) -> Worker<Notebook> {
        self.paced(name, ink, Duration::MAX)
    }

    fn paced(
        &self,
        name: &'static str,
        ink: Option<Receiver<()>>,
        pause: Duration,
    ) -> Worker<Notebook> {
        let notebook = |_: Component| Notebook {
            name,
            notes: Vec::new(),
            turns: 0,
            pause,
            ends: self.tell.clone(),
            ink,
        };
        self.kit.worker(name, BEAT, notebook).unwrap()
    }

    fn get(&self, path: &str) -> Answer {
        call(self.address, "GET", path, &[], "")
    }

    async fn close(self) -> (anyhow::Result<()>, Vec<(&'static str, Vec<u32>)>) {
        let outcome = self.kit.see_out(async { Ok(()) }).await;
        (outcome, self.ends.try_iter().collect())
    }
}

#[tokio::test]
async fn all_that_was_handed_over_is_done_in_order_before_the_end() {
    let desk = Desk::new().await;
    let (dip, ink) = channel();
    let notebook = desk.notebook("notebook", Some(ink));
    for number in 0..200 {
        assert!(notebook.offer(move |n| n.notes.push(number)));
    }
    // It has not even started when the end comes.
    dip.send(()).unwrap();
    let (outcome, ends) = desk.close().await;
    outcome.unwrap();
    assert_eq!(ends, [("notebook", (0..200).collect())]);
}

#[tokio::test]
async fn what_was_begun_last_ends_first_and_its_last_words_are_heard() {
    let desk = Desk::new().await;
    let history = desk.notebook("history", None);
    struct Sensor(Worker<Notebook>);
    impl Actor for Sensor {
        fn stop(self) -> anyhow::Result<()> {
            self.0.send(|history| history.notes.push(42));
            Ok(())
        }
    }
    desk.kit
        .worker("sensor", BEAT, |_| Sensor(history))
        .unwrap();
    let (outcome, ends) = desk.close().await;
    outcome.unwrap();
    assert_eq!(ends, [("history", vec![42])]);
}

#[tokio::test]
async fn a_worker_that_is_busy_keeps_nobody_waiting() {
    let desk = Desk::new().await;
    let (dip, ink) = channel();
    let notebook = desk.notebook("notebook", Some(ink));
    let taken = (0..10_000)
        .take_while(|number| {
            let number = *number;
            notebook.offer(move |n| n.notes.push(number))
        })
        .count();
    assert!((1..10_000).contains(&taken), "its queue has an end");
    let answer = notebook.ask(|n| n.notes.len()).await;
    assert_eq!(answer, Err(Unanswered::Busy("notebook")));
    assert_eq!(answer.unwrap_err().to_string(), "the notebook is busy");

    dip.send(()).unwrap();
    notebook.send(|n| n.notes.clear());
    // The queue stays full until the thread has done some of the jobs offered before.
    let left = loop {
        match notebook.ask(|n| n.notes.len()).await {
            Err(Unanswered::Busy(_)) => tokio::task::yield_now().await,
            answer => break answer,
        }
    };
    assert_eq!(left, Ok(0));
    let (outcome, _) = desk.close().await;
    outcome.unwrap();
    let answer = notebook.ask(|n| n.notes.len()).await;
    assert_eq!(answer, Err(Unanswered::Closed("notebook")));
}

#[tokio::test]
async fn turns_come_by_themselves_and_after_every_job() {
    let desk = Desk::new().await;
    let hasty = desk.paced("hasty", None, Duration::from_millis(1));
    let patient = desk.notebook("patient", None);
    while hasty.ask(|n| n.turns).await.unwrap() < 20 {}
    for before in 1..=3 {
        assert_eq!(patient.ask(|n| n.turns).await, Ok(before));
    }
    desk.close().await.0.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn the_service_is_ready_only_when_its_workers_have_started() {
    let desk = Desk::new().await;
    let (dip, ink) = channel();
    let notebook = desk.notebook("notebook", Some(ink));
    let kit = desk.kit.clone();
    tokio::spawn(async move { kit.serve(axum::Router::new()).await });
    let answer = desk.get("/health/ready");
    assert_eq!(answer.status, 503);
    assert_eq!(answer.json()["waiting_for"][0], "notebook");
    dip.send(()).unwrap();
    notebook.ask(|_| ()).await.unwrap();
    assert_eq!(desk.get("/health/ready").status, 200);
    desk.close().await.0.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_worker_that_panics_fails_the_service_at_once_and_at_its_end() {
    let desk = Desk::new().await;
    let notebook = desk.notebook("notebook", None);
    let kit = desk.kit.clone();
    tokio::spawn(async move { kit.serve(axum::Router::new()).await });
    notebook.ask(|_| ()).await.unwrap();
    assert_eq!(desk.get("/health").status, 200);
    let answer = notebook.ask(|_| panic!("as the test wants")).await;
    assert_eq!(answer, Err::<(), _>(Unanswered::Closed("notebook")));
    // The question is dropped a moment before the thread reports its panic.
    while !desk.get("/health").text.contains("its thread has panicked") {}
    assert_eq!(desk.get("/health").status, 503);
    let problem = desk.close().await.0.unwrap_err().to_string();
    assert_eq!(problem, "the thread of the notebook has panicked");
}

#[tokio::test]
async fn a_worker_that_ends_badly_makes_the_service_end_badly() {
    let desk = Desk::new().await;
    desk.notebook("whole", None);
    desk.notebook("torn", None);
    let (outcome, ends) = desk.close().await;
    assert_eq!(outcome.unwrap_err().to_string(), "the last page is missing");
    assert_eq!(ends.len(), 2, "the other one ended all the same: {ends:?}");
}

#[tokio::test]
async fn an_impatient_end_does_not_wait_for_ever() {
    struct Courier(Receiver<()>);
    impl Actor for Courier {
        const PATIENCE: Duration = Duration::from_millis(10);
        fn turn(&mut self) -> Duration {
            let _ = self.0.recv();
            Duration::MAX
        }
    }
    let desk = Desk::new().await;
    let (_never, answer) = channel();
    let courier = desk.kit.worker("courier", BEAT, |_| Courier(answer));
    courier.unwrap();
    desk.close().await.0.unwrap();
}
