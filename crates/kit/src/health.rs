//! `/health` and its narrower sisters.
//!
//! Three questions, three answers: *live* is whether every loop beats (else restart it), *ready* whether
//! it has started and is not failed (else send no traffic), *health* both, with the reasons. A component
//! that is degraded has a reason and is being retried; the service is still of use, so it stays 200.

use std::sync::{Arc, Mutex};

use axum::extract::State;
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use axum::{Json, Router};
use serde_json::{Map, Value, json};

use crate::clock;
use crate::kit::Kit;
use crate::process::ProcessUsage;
use crate::soc::Soc;

/// The fields of a health body.
pub type Fields = Map<String, Value>;

type Extension = Box<dyn Fn(&mut Fields) + Send + Sync>;

/// A part of the service with a state of its own.
#[derive(Debug, Clone)]
pub struct Component {
    name: &'static str,
    state: Arc<Mutex<ComponentState>>,
}

#[derive(Debug, Clone, PartialEq)]
enum ComponentState {
    Ok,
    Degraded(String),
    Failed(String),
}

impl Component {
    /// All is well.
    pub fn ok(&self) {
        self.set(ComponentState::Ok);
    }

    /// It does not work for now, for this reason, and is being retried.
    pub fn degraded(&self, reason: impl Into<String>) {
        self.set(ComponentState::Degraded(reason.into()));
    }

    /// The service is of no use, for this reason.
    pub fn failed(&self, reason: impl Into<String>) {
        self.set(ComponentState::Failed(reason.into()));
    }

    /// Why it is not well, if so.
    pub fn reason(&self) -> Option<String> {
        match &*self.state.lock().expect("no panic while held") {
            ComponentState::Ok => None,
            ComponentState::Degraded(reason) | ComponentState::Failed(reason) => {
                Some(reason.clone())
            }
        }
    }

    fn set(&self, next: ComponentState) {
        let mut state = self.state.lock().expect("no panic while held");
        if *state == next {
            return;
        }
        // Only changes are logged: a state that lasts must not fill the journal.
        match &next {
            ComponentState::Ok => tracing::info!(component = self.name, "ok again"),
            ComponentState::Degraded(reason) => {
                tracing::warn!(component = self.name, "degraded: {reason}")
            }
            ComponentState::Failed(reason) => {
                tracing::error!(component = self.name, "failed: {reason}")
            }
        }
        *state = next;
    }

    fn json(&self) -> Value {
        match &*self.state.lock().expect("no panic while held") {
            ComponentState::Ok => json!({ "status": "ok" }),
            ComponentState::Degraded(reason) => json!({ "status": "degraded", "reason": reason }),
            ComponentState::Failed(reason) => json!({ "status": "failed", "reason": reason }),
        }
    }
}

#[derive(Default)]
pub(crate) struct Components {
    all: Mutex<Vec<Component>>,
    extensions: Mutex<Vec<Extension>>,
}

impl Components {
    pub(crate) fn add(&self, name: &'static str) -> Component {
        let component = Component {
            name,
            state: Arc::new(Mutex::new(ComponentState::Ok)),
        };
        self.all
            .lock()
            .expect("no panic while held")
            .push(component.clone());
        component
    }

    pub(crate) fn extend(&self, extension: Extension) {
        self.extensions
            .lock()
            .expect("no panic while held")
            .push(extension);
    }

    fn worst(&self) -> &'static str {
        let all = self.all.lock().expect("no panic while held");
        let mut worst = "ok";
        for component in all.iter() {
            match &*component.state.lock().expect("no panic while held") {
                ComponentState::Ok => {}
                ComponentState::Degraded(_) => worst = "degraded",
                ComponentState::Failed(_) => return "failed",
            }
        }
        worst
    }

    /// Every component's name, and whether it is well.
    pub(crate) fn well(&self) -> Vec<(&'static str, bool)> {
        let all = self.all.lock().expect("no panic while held");
        all.iter()
            .map(|component| (component.name, component.reason().is_none()))
            .collect()
    }

    fn json(&self) -> Value {
        let all = self.all.lock().expect("no panic while held");
        all.iter()
            .map(|component| (component.name.to_owned(), component.json()))
            .collect()
    }
}

pub(crate) fn routes(kit: &Kit) -> Router {
    Router::new()
        .route("/health", get(health))
        .route("/health/live", get(live))
        .route("/health/ready", get(ready))
        .route("/health/startup", get(startup))
        .route("/health/detailed", get(detailed))
        .with_state(kit.clone())
}

/// The words that `status` may be.
pub(crate) const STATUSES: [&str; 6] =
    ["ok", "degraded", "failed", "starting", "stopping", "stuck"];

/// The service's state in one of [`STATUSES`], and whether that is good enough.
pub(crate) fn verdict(kit: &Kit) -> (bool, &'static str) {
    if !kit.loops().late().is_empty() {
        return (false, "stuck");
    }
    if kit.shutdown().is_requested() {
        return (false, "stopping");
    }
    if !kit.latches().is_ready() {
        return (false, "starting");
    }
    let worst = kit.components().worst();
    (worst != "failed", worst)
}

fn answer(good: bool, body: Value) -> Response {
    let status = if good {
        StatusCode::OK
    } else {
        StatusCode::SERVICE_UNAVAILABLE
    };
    (status, Json(body)).into_response()
}

fn body(kit: &Kit) -> (bool, Fields) {
    let (good, status) = verdict(kit);
    let mut fields = Fields::new();
    fields.insert("status".into(), status.into());
    fields.insert("service".into(), kit.service().into());
    fields.insert("uptime_seconds".into(), kit.uptime().as_secs().into());
    fields.insert("timestamp".into(), clock::rfc3339(clock::now_ms()).into());
    fields.insert("components".into(), kit.components().json());
    for extension in kit
        .components()
        .extensions
        .lock()
        .expect("no panic while held")
        .iter()
    {
        extension(&mut fields);
    }
    (good, fields)
}

async fn health(State(kit): State<Kit>) -> Response {
    let (good, fields) = body(&kit);
    answer(good, fields.into())
}

async fn live(State(kit): State<Kit>) -> Response {
    let late = kit.loops().late();
    answer(
        late.is_empty(),
        json!({ "status": if late.is_empty() { "ok" } else { "stuck" }, "late": late }),
    )
}

async fn ready(State(kit): State<Kit>) -> Response {
    let (good, status) = verdict(&kit);
    answer(
        good,
        json!({ "status": status, "waiting_for": kit.latches().waiting_for() }),
    )
}

async fn startup(State(kit): State<Kit>) -> Response {
    let ready = kit.latches().is_ready();
    let status = if ready { "ok" } else { "starting" };
    answer(
        ready,
        json!({ "status": status, "waiting_for": kit.latches().waiting_for() }),
    )
}

async fn detailed(State(kit): State<Kit>) -> Response {
    let (good, mut fields) = body(&kit);
    let (usage, soc) = (ProcessUsage::now(), Soc::new());
    fields.insert("waiting_for".into(), kit.latches().waiting_for().into());
    fields.insert("late".into(), kit.loops().late().into());
    fields.insert("requests".into(), kit.requests_served().into());
    fields.insert(
        "process".into(),
        json!({
            "resident_bytes": usage.resident_bytes,
            "cpu_seconds": usage.cpu_seconds,
            "threads": usage.threads,
            "open_fds": usage.open_fds,
        }),
    );
    fields.insert(
        "soc".into(),
        json!({
            "temperature_celsius": soc.temperature(),
            "under_voltage": soc.under_voltage(),
            "throttling_ratio": soc.throttling(),
        }),
    );
    answer(good, fields.into())
}
