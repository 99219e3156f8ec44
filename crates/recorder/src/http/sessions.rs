//! The recordings: what there is, and their files.

use axum::Json;
use axum::extract::{Path, State};
use axum::http::{HeaderMap, Method, StatusCode};
use axum::response::Response;
use kit::api::{Problem, Query, Span};
use kit::clock;
use serde::{Deserialize, Serialize};

use super::video::Served;
use super::{Api, Sources};
use crate::session::{Session, SessionState};
use crate::upload;

/// How many recordings are told at most, and unless another number is asked for.
const MOST: u32 = 500;
const USUAL: u32 = 100;

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Asked {
    from: Option<String>,
    to: Option<String>,
    limit: Option<u32>,
}

#[derive(Serialize)]
pub(super) struct List {
    sessions: Vec<Told>,
    /// Whether there are older ones in this time.
    more: bool,
}

/// A recording as the API tells it.
#[derive(Serialize)]
pub(super) struct Told {
    id: i64,
    started_at_ms: i64,
    duration_ms: i64,
    bytes: u64,
    state: SessionState,
    format: String,
    gaps: Vec<Gap>,
    why: Option<String>,
    sha256: Option<String>,
    removed_at_ms: Option<i64>,
    /// Whether there is a thumbnail, and a video.
    thumbnail: bool,
    video: bool,
    upload: Option<Upload>,
}

/// Where a recording is broken.
#[derive(Serialize)]
struct Gap {
    /// When it began.
    at_ms: i64,
    /// Where that is in the video, in which it takes no time.
    position_ms: i64,
    length_ms: i64,
    why: String,
}

#[derive(Serialize)]
struct Upload {
    status: &'static str,
    why: Option<String>,
}

/// `/api/sessions?from&to&limit`: the newest of those that began in this time, the newest first.
pub(super) async fn list(
    State(Api(sources)): State<Api>,
    Query(Asked { from, to, limit }): Query<Asked>,
) -> Result<Json<List>, Problem> {
    let limit = limit.unwrap_or(USUAL);
    if !(1..=MOST).contains(&limit) {
        let problem = format!("limit: must be between 1 and {MOST}");
        return Err(Problem::bad_query(problem));
    }
    // A recording that began while the clock was ahead is in the future.
    let (from, to) = Span { from, to }.or(|_| 0, i64::MAX)?;
    let found = sources.library.list(from, to, limit + 1).await;
    let mut found = found.map_err(|error| Problem::unavailable("no recordings", &error))?;
    let more = found.len() > limit as usize;
    found.truncate(limit as usize);
    let uploads = sources.uploads.snapshot();
    let sessions = found.into_iter().map(|session| told(session, &uploads));
    let sessions = sessions.collect();
    Ok(Json(List { sessions, more }))
}

pub(super) async fn one(
    State(Api(sources)): State<Api>,
    Path(id): Path<i64>,
) -> Result<Json<Told>, Problem> {
    let session = find(&sources, id).await?;
    Ok(Json(told(session, &sources.uploads.snapshot())))
}

/// Deletes a recording of which there is no video, or one that can never be uploaded: nothing else removes them.
pub(super) async fn delete(
    State(Api(sources)): State<Api>,
    Path(id): Path<i64>,
) -> Result<StatusCode, Problem> {
    const WHAT: &str = "the recording was not deleted";
    let session = find(&sources, id).await?;
    let uploads = sources.uploads.snapshot();
    let upload = uploads.statuses.get(&id);
    let is_rotten = matches!(upload, Some(upload::Status::Corrupted { .. }));
    let deleted = sources.library.delete(session.id, is_rotten).await;
    match deleted.map_err(|error| Problem::unavailable(WHAT, &error))? {
        true => Ok(StatusCode::NO_CONTENT),
        false => Err(Problem::new(
            StatusCode::CONFLICT,
            WHAT,
            "only a damaged one can be deleted: the device removes all others when their room is needed",
        )),
    }
}

pub(super) async fn thumbnail(
    State(Api(sources)): State<Api>,
    Path(id): Path<i64>,
    method: Method,
    headers: HeaderMap,
) -> Result<Response, Problem> {
    let session = find(&sources, id).await?;
    let missing = || Problem::new(StatusCode::NOT_FOUND, "no thumbnail", why(&session));
    let served = Served {
        path: session.thumbnail.as_deref().ok_or_else(missing)?,
        kind: "image/jpeg",
        sha256: None,
    };
    served.answer(&method, &headers).await
}

pub(super) async fn video(
    State(Api(sources)): State<Api>,
    Path(id): Path<i64>,
    method: Method,
    headers: HeaderMap,
) -> Result<Response, Problem> {
    let session = find(&sources, id).await?;
    let served = Served {
        path: file(&session)?,
        kind: "video/mp4",
        sha256: session.sha256.as_deref(),
    };
    served.answer(&method, &headers).await
}

/// A session, which must be there.
pub(super) async fn find(sources: &Sources, id: i64) -> Result<Session, Problem> {
    let found = sources.library.get(id).await;
    let found = found.map_err(|error| Problem::unavailable("no recordings", &error))?;
    let details = || format!("there is none with the number {id}");
    found.ok_or_else(|| Problem::new(StatusCode::NOT_FOUND, "no such recording", details()))
}

/// The video of a session, which must have one.
pub(super) fn file(session: &Session) -> Result<&std::path::Path, Problem> {
    let missing = || Problem::new(StatusCode::NOT_FOUND, "no video", why(session));
    session.path.as_deref().ok_or_else(missing)
}

/// Why a session has no video.
fn why(session: &Session) -> String {
    match (session.removed_at_ms, session.state) {
        (Some(at), _) => format!("removed to make room at {}", clock::rfc3339(at)),
        (_, SessionState::Recording) => "it is still being recorded".into(),
        (_, SessionState::Processing) => "it is still being joined and checked".into(),
        _ => session
            .why
            .clone()
            .unwrap_or_else(|| "there is none".into()),
    }
}

fn told(session: Session, uploads: &upload::Snapshot) -> Told {
    // What is missing takes no time in the video, so that everything behind it moves forward.
    let mut missing = 0;
    let gaps = session.gaps.into_iter().map(|gap| {
        let position_ms = (gap.at_ms - session.started_at_ms - missing).max(0);
        missing += gap.length_ms;
        Gap {
            at_ms: gap.at_ms,
            position_ms,
            length_ms: gap.length_ms,
            why: gap.why,
        }
    });
    Told {
        id: session.id,
        started_at_ms: session.started_at_ms,
        duration_ms: session.duration_ms,
        bytes: session.bytes,
        state: session.state,
        format: session.format,
        gaps: gaps.collect(),
        why: session.why,
        sha256: session.sha256,
        removed_at_ms: session.removed_at_ms,
        thumbnail: session.thumbnail.is_some(),
        video: session.path.is_some(),
        upload: uploads.statuses.get(&session.id).map(upload),
    }
}

fn upload(status: &upload::Status) -> Upload {
    use upload::Status;
    let (status, why) = match status {
        Status::Pending => ("pending", None),
        Status::Uploading => ("uploading", None),
        Status::Completed => ("completed", None),
        Status::Failed { why } => ("failed", Some(why.clone())),
        Status::Corrupted { why } => ("corrupted", Some(why.clone())),
    };
    Upload { status, why }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn session(gaps: &[(i64, i64)]) -> Session {
        let gaps = gaps.iter().map(|(at_ms, length_ms)| crate::session::Gap {
            at_ms: *at_ms,
            length_ms: *length_ms,
            why: "no frame for 5 s".into(),
        });
        Session {
            id: 1,
            started_at_ms: 100_000,
            duration_ms: 60_000,
            bytes: 1,
            state: SessionState::Finished,
            gaps: gaps.collect(),
            format: String::new(),
            path: None,
            thumbnail: None,
            sha256: None,
            why: None,
            removed_at_ms: None,
        }
    }

    #[test]
    fn a_gap_is_shown_where_the_video_jumps() {
        // Two minutes are missing after ten seconds, and four seconds after another twenty.
        let broken = session(&[(110_000, 120_000), (250_000, 4_000)]);
        let told = told(broken, &upload::Snapshot::default());
        let positions: Vec<i64> = told.gaps.iter().map(|gap| gap.position_ms).collect();
        assert_eq!(positions, [10_000, 30_000]);
    }

    #[test]
    fn it_is_said_why_there_is_no_video() {
        let mut session = session(&[]);
        for (state, words) in [
            (SessionState::Recording, "it is still being recorded"),
            (
                SessionState::Processing,
                "it is still being joined and checked",
            ),
            (SessionState::Corrupted, "part 3 is all zeroes"),
        ] {
            session.state = state;
            session.why = Some("part 3 is all zeroes".into());
            assert_eq!(why(&session), words);
        }
        session.removed_at_ms = Some(1_700_000_000_000);
        assert_eq!(
            why(&session),
            "removed to make room at 2023-11-14T22:13:20Z"
        );
    }
}
