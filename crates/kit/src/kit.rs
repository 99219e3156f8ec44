//! The handle with which a running service uses the kit.

use std::future::Future;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use tokio::net::TcpListener;

use crate::clock;
use crate::config::HttpSettings;
use crate::credentials::Credentials;
use crate::health::{Component, Components, Condition, Fields, Name, Status};
use crate::metrics::{Metrics, Table};
use crate::readiness::{Latch, Latches};
use crate::service::Service;
use crate::shutdown::Shutdown;
use crate::watchdog::{Heartbeat, Loops};
use crate::worker::{self, Actor, Worker};

/// A handle to the kit; clones refer to the same kit.
#[derive(Clone)]
pub struct Kit(Arc<Inner>);

struct Inner {
    service: Service,
    started: Instant,
    started_at_ms: i64,
    http: HttpSettings,
    credentials: Credentials,
    shutdown: Shutdown,
    latches: Latches,
    loops: Loops,
    components: Components,
    metrics: Metrics,
    listeners: Mutex<Option<Listeners>>,
    workers: Mutex<Vec<worker::Running>>,
    // Held until the service serves, so that it does not become ready before it answers.
    serving: Mutex<Option<Latch>>,
}

pub(crate) struct Listeners {
    /// The listener of the service's own routes.
    pub(crate) main: TcpListener,
    /// The listener for `/metrics` and `/health…`, if they are separate from the service's own routes.
    pub(crate) metrics: Option<TcpListener>,
}

impl Kit {
    /// Creates a kit that listens on `listener`. `kit::main` does this; tests use port 0.
    pub fn new(
        service: Service,
        http: HttpSettings,
        credentials: Credentials,
        listener: TcpListener,
    ) -> Self {
        let latches = Latches::default();
        let serving = latches.take("http".into());
        Kit(Arc::new(Inner {
            service,
            started: Instant::now(),
            started_at_ms: clock::now_ms(),
            http,
            credentials,
            shutdown: Shutdown::default(),
            latches,
            loops: Loops::default(),
            components: Components::default(),
            metrics: Metrics::new(),
            listeners: Mutex::new(Some(Listeners {
                main: listener,
                metrics: None,
            })),
            workers: Mutex::default(),
            serving: Mutex::new(Some(serving)),
        }))
    }

    /// Which service this is.
    pub fn service(&self) -> Service {
        self.0.service
    }

    /// How long the service has been running.
    pub fn uptime(&self) -> Duration {
        self.0.started.elapsed()
    }

    /// The start time according to the clock at that moment, in milliseconds since 1970.
    pub(crate) fn started_at_ms(&self) -> i64 {
        self.0.started_at_ms
    }

    /// The service's secrets.
    pub fn credentials(&self) -> &Credentials {
        &self.0.credentials
    }

    /// The shutdown signal.
    pub fn shutdown(&self) -> &Shutdown {
        &self.0.shutdown
    }

    /// Holds readiness back until the latch is dropped.
    pub fn latch(&self, name: impl Into<Name>) -> Latch {
        self.0.latches.take(name.into())
    }

    /// Registers a loop that must beat at least once per `period`.
    pub fn heartbeat(&self, name: impl Into<Name>, period: Duration) -> Heartbeat {
        self.0.loops.register(name.into(), period)
    }

    /// The loops that have not beaten within their period.
    pub fn late(&self) -> Vec<Name> {
        self.0.loops.late()
    }

    /// Registers a component whose condition `/health` shows.
    pub fn component(&self, name: impl Into<Name>) -> Component {
        self.0.components.add(name.into())
    }

    /// Registers a component whose condition is polled: `check` runs every `period`, and the component is degraded if
    /// it takes longer than `limit`. After a panic it is failed for good. `/health` shows the last result and never waits.
    pub fn check<F, Fut>(
        &self,
        name: impl Into<Name>,
        period: Duration,
        limit: Duration,
        mut check: F,
    ) where
        F: FnMut() -> Fut + Send + 'static,
        Fut: Future<Output = Condition> + Send,
    {
        let (component, shutdown) = (self.component(name), self.0.shutdown.clone());
        let late = format!("no answer within {limit:?}");
        tokio::spawn(async move {
            let mut ticks = tokio::time::interval(period);
            ticks.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
            let found = async move {
                let _last_words = component.last_words("its check has panicked");
                loop {
                    ticks.tick().await;
                    let found = tokio::time::timeout(limit, check()).await;
                    component.set(found.unwrap_or_else(|_| Condition::Degraded(late.clone())));
                }
            };
            tokio::select! { () = found => {}, () = shutdown.requested() => {} }
        });
    }

    /// Starts a [worker](Worker): a thread with a queue, a heartbeat at least once per `period` (so no job may take
    /// longer), a latch until it has started, and a component on `/health`, all with the name `name`. It ends after the
    /// service has ended, see [`Kit::see_out`].
    pub fn worker<A: Actor>(
        &self,
        name: &'static str,
        period: Duration,
        actor: impl FnOnce(Component) -> A,
    ) -> anyhow::Result<Worker<A>> {
        let component = self.component(name);
        let actor = actor(component.clone());
        let (heartbeat, latch) = (self.heartbeat(name, period), self.latch(name));
        let (worker, running) = worker::start(name, heartbeat, latch, component, actor)?;
        let mut workers = self.0.workers.lock().expect("no panic while held");
        workers.push(running);
        Ok(worker)
    }

    /// Waits for the service to end, then ends the workers in reverse order of their start, since later ones feed
    /// earlier ones.
    pub async fn see_out(
        &self,
        service: impl Future<Output = anyhow::Result<()>>,
    ) -> anyhow::Result<()> {
        let mut outcome = service.await;
        loop {
            let last = self.0.workers.lock().expect("no panic while held").pop();
            let Some(worker) = last else { return outcome };
            outcome = outcome.and(worker.stop().await);
        }
    }

    /// Adds the service's own metrics: `tell` is called for each request of `/metrics`.
    pub fn register_metrics(&self, tell: impl Fn(&mut Table) + Send + Sync + 'static) {
        self.0.metrics.register(tell);
    }

    /// HTTP requests answered so far.
    pub fn requests_served(&self) -> u64 {
        self.0.metrics.requests_served()
    }

    /// Adds the service's own fields to the body of `/health`.
    pub fn extend_health(&self, fields: impl Fn(&mut Fields) + Send + Sync + 'static) {
        self.0.components.extend(Box::new(fields));
    }

    /// What the service is doing, as a few words for people: `systemctl status` and `lichen status` show them, and what
    /// does not work, as they are every few seconds.
    pub fn describe(&self, words: impl Fn() -> String + Send + Sync + 'static) {
        self.0.components.describe(Box::new(words));
    }

    /// Serves `/metrics` as JSON to clients that ask for it.
    pub fn json_metrics(&self, body: impl Fn() -> serde_json::Value + Send + Sync + 'static) {
        self.0.metrics.set_json(Box::new(body));
    }

    /// Serves `/metrics` and `/health…` on a listener of their own, and no longer together with the service's own
    /// routes.
    pub fn serve_metrics_on(&self, listener: TcpListener) {
        let mut listeners = self.0.listeners.lock().expect("no panic while held");
        if let Some(listeners) = &mut *listeners {
            listeners.metrics = Some(listener);
        }
    }

    pub(crate) fn take_listeners(&self) -> Option<Listeners> {
        self.0.listeners.lock().expect("no panic while held").take()
    }

    /// Marks the service as serving.
    pub(crate) fn serves(&self) {
        drop(self.0.serving.lock().expect("no panic while held").take());
    }

    /// The overall status of the service.
    pub(crate) fn status(&self) -> Status {
        if !self.late().is_empty() {
            return Status::Stuck;
        }
        if self.0.shutdown.is_requested() {
            return Status::Stopping;
        }
        if !self.0.latches.is_ready() {
            return Status::Starting;
        }
        self.0.components.worst()
    }

    pub(crate) fn http(&self) -> &HttpSettings {
        &self.0.http
    }

    pub(crate) fn latches(&self) -> &Latches {
        &self.0.latches
    }

    pub(crate) fn components(&self) -> &Components {
        &self.0.components
    }

    pub(crate) fn metrics(&self) -> &Metrics {
        &self.0.metrics
    }
}
