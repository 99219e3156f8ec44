//! `/api/sessions/N/clip.mp4?from&to`: a part of a recording, in seconds from its beginning.
//!
//! ffmpeg copies it out of the video without encoding it anew, so that it begins at the last whole picture before `from`, and
//! it is sent while it is made: it takes neither time nor room.

use std::io;
use std::process::Stdio;
use std::sync::Arc;

use axum::body::{Body, Bytes};
use axum::extract::{Path, State};
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};
use futures_util::stream;
use kit::api::{Problem, Query};
use serde::Deserialize;
use tokio::process::{Child, ChildStdout};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use super::video::read;
use super::{Api, sessions};
use crate::camera;

/// How many are made at once: each is a process that reads as fast as the card can.
const PLACES: usize = 2;

/// The right to make a cut.
#[derive(Debug, Clone)]
pub(super) struct Places(Arc<Semaphore>);

impl Default for Places {
    fn default() -> Self {
        Places(Arc::new(Semaphore::new(PLACES)))
    }
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Asked {
    from: Option<f64>,
    to: Option<f64>,
}

pub(super) async fn cut(
    State(Api(sources)): State<Api>,
    Path(id): Path<i64>,
    Query(Asked { from, to }): Query<Asked>,
) -> Result<Response, Problem> {
    let session = sessions::find(&sources, id).await?;
    let video = sessions::file(&session)?;
    let end = session.duration_ms as f64 / 1000.0;
    let (from, to) = (from.unwrap_or(0.0), to.unwrap_or(end).min(end));
    if !(0.0 <= from && from < to) {
        let problem =
            format!("from: must be before to, and both within the {end:.1} s of this recording");
        return Err(Problem::bad_query(problem));
    }
    let Ok(place) = sources.clips.0.clone().try_acquire_owned() else {
        let details = format!("{PLACES} are being made already; try again when one is done");
        return Err(Problem::new(
            StatusCode::SERVICE_UNAVAILABLE,
            "no cut at the moment",
            details,
        ));
    };
    let mut command = camera::command("ffmpeg");
    command
        .args(["-hide_banner", "-nostdin", "-nostats", "-loglevel", "error"])
        .args(["-ss", &from.to_string(), "-to", &to.to_string(), "-i"])
        .arg(video)
        .args(["-map", "0", "-c", "copy", "-avoid_negative_ts", "make_zero"])
        // What cannot be written twice gets no index, but fragments.
        .args(["-movflags", "frag_keyframe+empty_moov+default_base_moof"])
        .args(["-f", "mp4", "pipe:1"])
        .stdout(Stdio::piped())
        // What it complains of goes to the log.
        .stderr(Stdio::inherit());
    let failed = |error: io::Error| {
        let what = "the recording cannot be cut";
        let details = format!("ffmpeg: {error}; see the log");
        Problem::new(StatusCode::INTERNAL_SERVER_ERROR, what, details)
    };
    let mut child = command.spawn().map_err(failed)?;
    let output = child.stdout.take().expect("its output is a pipe");
    let cut = Cut {
        child,
        output,
        _place: place,
    };
    // With the first bytes it is certain that there will be an answer at all.
    let first = cut.next().await.map_err(failed)?;
    let (first, cut) = first.ok_or_else(|| failed(io::Error::other("it made nothing")))?;
    let rest = stream::try_unfold((Some(first), cut), async |(first, cut)| match first {
        Some(first) => Ok(Some((first, (None, cut)))),
        None => Ok::<_, io::Error>(cut.next().await?.map(|(chunk, cut)| (chunk, (None, cut)))),
    });
    let name = format!("attachment; filename=\"recording-{id}-{from:.0}s-to-{to:.0}s.mp4\"");
    let about = [
        (header::CONTENT_TYPE, "video/mp4".to_owned()),
        (header::CONTENT_DISPOSITION, name),
    ];
    Ok((about, Body::from_stream(rest)).into_response())
}

/// A cut that is being made; it ends when the client is gone.
struct Cut {
    child: Child,
    output: ChildStdout,
    _place: OwnedSemaphorePermit,
}

impl Cut {
    /// The next bytes. A cut that was not finished is an error, so that the client does not take it for a whole one.
    async fn next(mut self) -> io::Result<Option<(Bytes, Self)>> {
        let chunk = read(&mut self.output).await?;
        if !chunk.is_empty() {
            return Ok(Some((chunk, self)));
        }
        let status = self.child.wait().await?;
        match status.success() {
            true => Ok(None),
            false => Err(io::Error::other(status.to_string())),
        }
    }
}
