//! How the recorder is, its live picture, and its start and stop.

use axum::Json;
use axum::extract::State;
use axum::http::{HeaderMap, StatusCode, header};
use axum::response::{IntoResponse, Response};
use jiff::tz::TimeZone;
use kit::api::Problem;
use kit::clock;
use serde::Serialize;

use super::Api;
use super::access::{Peer, Standing};
use crate::control;
use crate::machine::{By, Refused};
use crate::session::Tally;
use crate::upload::{self, Snapshot};

/// How the recorder is.
#[derive(Serialize)]
struct Body {
    version: &'static str,
    now_ms: i64,
    time_zone: Option<String>,
    uptime_seconds: u64,
    /// How whoever asks stands.
    access: Standing,
    #[serde(flatten)]
    status: control::Status,
    joins: Joins,
    uploads: Uploads,
}

/// The recordings that have no video.
#[derive(Serialize)]
struct Joins {
    /// How many wait to be joined and checked, or are at the moment.
    waiting: u64,
    /// How long the one that waits longest has waited.
    longest_seconds: u64,
    /// Why it waits, if that has been tried.
    problem: Option<String>,
    /// Of how many no video could be made.
    corrupted: u64,
}

impl From<Tally> for Joins {
    fn from(tally: Tally) -> Self {
        Joins {
            waiting: tally.processing,
            longest_seconds: tally.longest.as_secs(),
            problem: tally.why,
            corrupted: tally.corrupted,
        }
    }
}

/// How the uploads are, as a whole.
#[derive(Serialize)]
struct Uploads {
    to: &'static str,
    queue_size: u64,
    queue_bytes: u64,
    uploading: Option<Uploading>,
    /// How many failed, and will be tried again.
    failed: usize,
    success_rate: Option<f64>,
    problem: Option<String>,
}

#[derive(Serialize)]
struct Uploading {
    session: i64,
    sent: u64,
    bytes: u64,
}

impl From<Snapshot> for Uploads {
    fn from(snapshot: Snapshot) -> Self {
        let failed = |status: &&upload::Status| matches!(status, upload::Status::Failed { .. });
        Uploads {
            to: snapshot.target.name(),
            queue_size: snapshot.queue_size,
            queue_bytes: snapshot.queue_bytes,
            failed: snapshot.statuses.values().filter(failed).count(),
            success_rate: snapshot.success_rate,
            problem: snapshot.problem,
            uploading: snapshot.uploading.map(|progress| Uploading {
                session: progress.session,
                sent: progress.sent,
                bytes: progress.bytes,
            }),
        }
    }
}

pub(super) async fn status(
    State(Api(sources)): State<Api>,
    Peer(from): Peer,
    headers: HeaderMap,
) -> Response {
    Json(Body {
        version: sources.kit.service().version,
        now_ms: clock::now_ms(),
        time_zone: TimeZone::system().iana_name().map(str::to_owned),
        uptime_seconds: sources.kit.uptime().as_secs(),
        access: sources.access.standing(&headers, from).await,
        status: sources.control.status(),
        joins: sources.library.tally().into(),
        uploads: sources.uploads.snapshot().into(),
    })
    .into_response()
}

/// The newest picture. Without one the answer is empty: why there is none is told by the status.
pub(super) async fn live(State(Api(sources)): State<Api>) -> Response {
    match sources.control.live() {
        Some(picture) => ([(header::CONTENT_TYPE, "image/jpeg")], picture).into_response(),
        None => StatusCode::NO_CONTENT.into_response(),
    }
}

pub(super) async fn start(State(Api(sources)): State<Api>) -> Result<StatusCode, Problem> {
    done(
        "the recording was not started",
        sources.control.start(By::Http).await,
    )
}

pub(super) async fn stop(State(Api(sources)): State<Api>) -> Result<StatusCode, Problem> {
    done(
        "the recording was not stopped",
        sources.control.stop(By::Http).await,
    )
}

fn done(what: &'static str, outcome: Result<(), Refused>) -> Result<StatusCode, Problem> {
    match outcome {
        Ok(()) => Ok(StatusCode::NO_CONTENT),
        Err(refused) => Err(Problem::new(StatusCode::CONFLICT, what, refused)),
    }
}
