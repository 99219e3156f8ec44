//! What a running service holds of the kit.

use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use axum::Router;
use tokio::net::TcpListener;

use crate::clock;
use crate::config::HttpSettings;
use crate::credentials::Credentials;
use crate::health::{Component, Components};
use crate::metrics::{Metrics, Table};
use crate::readiness::{Latch, Latches};
use crate::shutdown::Shutdown;
use crate::watchdog::{Heartbeat, Loops};
use crate::{health, metrics, request, server};

/// A service's hold on the kit; copies are the same kit.
#[derive(Clone)]
pub struct Kit(Arc<Inner>);

struct Inner {
    service: &'static str,
    started: Instant,
    started_at_ms: i64,
    http: HttpSettings,
    credentials: Credentials,
    shutdown: Shutdown,
    latches: Latches,
    loops: Loops,
    components: Components,
    metrics: Metrics,
    listener: Mutex<Option<TcpListener>>,
    // Held until the service serves, so that no service is ready before it answers.
    serving: Mutex<Option<Latch>>,
}

impl Kit {
    /// A kit that listens on `listener`. `kit::main` makes one; tests make theirs on port 0.
    pub fn new(
        service: &'static str,
        http: HttpSettings,
        credentials: Credentials,
        listener: TcpListener,
    ) -> Self {
        let latches = Latches::new();
        let serving = latches.take("http");
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
            listener: Mutex::new(Some(listener)),
            serving: Mutex::new(Some(serving)),
        }))
    }

    /// The service's name.
    pub fn service(&self) -> &'static str {
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
    pub fn latch(&self, name: &'static str) -> Latch {
        self.0.latches.take(name)
    }

    /// Registers a loop that promises to beat within `period`.
    pub fn heartbeat(&self, name: &'static str, period: Duration) -> Heartbeat {
        self.0.loops.register(name, period)
    }

    /// The loops that have not beaten within their period.
    pub fn late(&self) -> Vec<&'static str> {
        self.0.loops.late()
    }

    /// A part of the service whose state `/health` shows.
    pub fn component(&self, name: &'static str) -> Component {
        self.0.components.add(name)
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
    pub fn extend_health(&self, fields: impl Fn(&mut health::Fields) + Send + Sync + 'static) {
        self.0.components.extend(Box::new(fields));
    }

    /// Answers `/metrics` in JSON, for those who ask for it.
    pub fn json_metrics(&self, body: impl Fn() -> serde_json::Value + Send + Sync + 'static) {
        self.0.metrics.set_json(Box::new(body));
    }

    /// Serves `routes` with `/health…` and `/metrics` beside them, until stopped and drained.
    pub async fn serve(&self, routes: Router) -> anyhow::Result<()> {
        let listener = self.0.listener.lock().expect("no panic while held").take();
        let listener = listener.ok_or_else(|| anyhow::anyhow!("this kit has served already"))?;
        let app = request::wrap(
            self,
            routes
                .merge(health::routes(self))
                .merge(metrics::routes(self)),
        );
        tracing::info!(address = %listener.local_addr()?, "listening");
        drop(self.0.serving.lock().expect("no panic while held").take());
        server::run(
            listener,
            app,
            &self.0.http,
            &self.0.shutdown,
            &self.0.metrics,
        )
        .await;
        Ok(())
    }

    pub(crate) fn http(&self) -> &HttpSettings {
        &self.0.http
    }

    pub(crate) fn latches(&self) -> &Latches {
        &self.0.latches
    }

    pub(crate) fn loops(&self) -> &Loops {
        &self.0.loops
    }

    pub(crate) fn components(&self) -> &Components {
        &self.0.components
    }

    pub(crate) fn metrics(&self) -> &Metrics {
        &self.0.metrics
    }
}
