//! What a running service holds of the kit.

use std::future::Future;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use axum::Router;
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

/// A service's hold on the kit; copies are the same kit.
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
    // Held until the service serves, so that no service is ready before it answers.
    serving: Mutex<Option<Latch>>,
}

/// Where the service answers.
pub(crate) struct Listeners {
    pub(crate) main: TcpListener,
    /// For `/metrics`, if not beside the service's own routes.
    pub(crate) metrics: Option<TcpListener>,
    pub(crate) others: Vec<(TcpListener, Router)>,
}

impl Kit {
    /// A kit that listens on `listener`. `kit::main` makes one; tests make theirs on port 0.
    pub fn new(
        service: Service,
        http: HttpSettings,
        credentials: Credentials,
        listener: TcpListener,
    ) -> Self {
        let latches = Latches::new();
        let serving = latches.take("http".into());
        Kit(Arc::new(Inner {
            service,
            started: Instant::now(),
            started_at_ms: clock::now_ms(),
            http,
            credentials,
            shutdown: Shutdown::new(),
            latches,
            loops: Loops::default(),
            components: Components::default(),
            metrics: Metrics::new(),
            listeners: Mutex::new(Some(Listeners {
                main: listener,
                metrics: None,
                others: Vec::new(),
            })),
            workers: Mutex::default(),
            serving: Mutex::new(Some(serving)),
        }))
    }

    /// Which service this is.
    pub fn service(&self) -> Service {
        self.0.service
    }

    /// Since when the service runs.
    pub fn uptime(&self) -> Duration {
        self.0.started.elapsed()
    }

    /// When it started, by what the clock said then, in milliseconds since 1970.
    pub(crate) fn started_at_ms(&self) -> i64 {
        self.0.started_at_ms
    }

    /// The service's secrets.
    pub fn credentials(&self) -> &Credentials {
        &self.0.credentials
    }

    /// The wish to stop.
    pub fn shutdown(&self) -> &Shutdown {
        &self.0.shutdown
    }

    /// Holds readiness back until the latch is dropped.
    pub fn latch(&self, name: impl Into<Name>) -> Latch {
        self.0.latches.take(name.into())
    }

    /// Registers a loop that promises to beat within `period`.
    pub fn heartbeat(&self, name: impl Into<Name>, period: Duration) -> Heartbeat {
        self.0.loops.register(name.into(), period)
    }

    /// The loops that have not beaten within their period.
    pub fn late(&self) -> Vec<Name> {
        self.0.loops.late()
    }

    /// A part of the service whose state `/health` shows.
    pub fn component(&self, name: impl Into<Name>) -> Component {
        self.0.components.add(name.into())
    }

    /// A part of the service whose state has to be looked up: every `period` it is what `check` says, and degraded
    /// if `check` takes longer than `limit`. Whoever asks for `/health` is told what was found last, and waits for
    /// nothing.
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
                loop {
                    ticks.tick().await;
                    let found = tokio::time::timeout(limit, check()).await;
                    component.set(found.unwrap_or_else(|_| Condition::Degraded(late.clone())));
                }
            };
            tokio::select! { () = found => {}, () = shutdown.requested() => {} }
        });
    }

    /// Starts a [worker](Worker): a thread with a queue, a heart that has to beat within `period` (so nothing that
    /// the worker does may take longer), a latch until it has started, and a part on `/health`, all called `name`.
    /// It ends after the service has, see [`Kit::see_out`].
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

    /// Waits for the service's end, and then ends the workers, those begun last first, as they feed the others.
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

    /// Adds metrics under the service's own names: `tell` is called whenever `/metrics` is asked for.
    pub fn register_metrics(&self, tell: impl Fn(&mut Table) + Send + Sync + 'static) {
        self.0.metrics.register(tell);
    }

    /// HTTP requests answered so far.
    pub fn requests_served(&self) -> u64 {
        self.0.metrics.requests_served()
    }

    /// Adds fields of the service's own to the body of `/health`.
    pub fn extend_health(&self, fields: impl Fn(&mut Fields) + Send + Sync + 'static) {
        self.0.components.extend(Box::new(fields));
    }

    /// Answers `/metrics` in JSON, for those who ask for it.
    pub fn json_metrics(&self, body: impl Fn() -> serde_json::Value + Send + Sync + 'static) {
        self.0.metrics.set_json(Box::new(body));
    }

    /// Serves `routes` on another listener, too, once the kit serves.
    pub fn also_serve(&self, listener: TcpListener, routes: Router) {
        let mut listeners = self.0.listeners.lock().expect("no panic while held");
        if let Some(listeners) = &mut *listeners {
            listeners.others.push((listener, routes));
        }
    }

    /// Answers `/metrics` on a listener of its own, with `/health…` beside it, and no longer beside the service's
    /// own routes.
    pub fn serve_metrics_on(&self, listener: TcpListener) {
        let mut listeners = self.0.listeners.lock().expect("no panic while held");
        if let Some(listeners) = &mut *listeners {
            listeners.metrics = Some(listener);
        }
    }

    pub(crate) fn take_listeners(&self) -> Option<Listeners> {
        self.0.listeners.lock().expect("no panic while held").take()
    }

    /// The service answers from now on.
    pub(crate) fn serves(&self) {
        drop(self.0.serving.lock().expect("no panic while held").take());
    }

    /// How the service is.
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
