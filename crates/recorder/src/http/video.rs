//! Videos and pictures as files: whole, or the range that a player asks for when it seeks (RFC 9110, section 14).
//!
//! One range is served. A request for several is answered with the whole file, as the standard allows: players do not ask
//! for them.

use std::io;
use std::ops::Range;
use std::path::Path;
use std::time::UNIX_EPOCH;

use axum::body::{Body, Bytes};
use axum::http::{HeaderMap, HeaderValue, Method, StatusCode, header};
use axum::response::{IntoResponse, Response};
use futures_util::stream;
use kit::api::Problem;
use tokio::fs::File;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncSeekExt, SeekFrom, Take};

/// How much is read at once: what one connection costs in memory.
const CHUNK: usize = 64 * 1024;

/// A file to be served.
pub(super) struct Served<'a> {
    pub(super) path: &'a Path,
    pub(super) kind: &'static str,
    /// The hash of its content, if it is known; else it is told apart by its size and its time.
    pub(super) sha256: Option<&'a str>,
}

/// What of a file is asked for.
#[derive(Debug, PartialEq, Eq)]
enum Wanted {
    Whole,
    Part(Range<u64>),
    /// Nothing that the file has.
    Beyond,
}

impl Served<'_> {
    /// The answer to a request with this method and these headers.
    pub(super) async fn answer(
        &self,
        method: &Method,
        headers: &HeaderMap,
    ) -> Result<Response, Problem> {
        let gone = |error: io::Error| {
            let details = format!("{}: {error}", self.path.display());
            Problem::new(StatusCode::NOT_FOUND, "the file cannot be read", details)
        };
        let mut file = File::open(self.path).await.map_err(gone)?;
        let found = file.metadata().await.map_err(gone)?;
        let length = found.len();
        let etag = match self.sha256 {
            Some(sha256) => format!("\"{sha256}\""),
            None => {
                let changed = found.modified().map_err(gone)?.duration_since(UNIX_EPOCH);
                format!(
                    "\"{length:x}-{:x}\"",
                    changed.unwrap_or_default().as_nanos()
                )
            }
        };
        // A browser may keep what it has seen, but must ask each time, as the token may no longer be good.
        let about = [
            (header::CACHE_CONTROL, "private, no-cache".to_owned()),
            (header::ACCEPT_RANGES, "bytes".to_owned()),
            (header::ETAG, etag.clone()),
        ];
        if is(headers, header::IF_NONE_MATCH, &etag) {
            return Ok((StatusCode::NOT_MODIFIED, about).into_response());
        }
        // Ranges are defined for GET alone.
        let wanted = match method {
            &Method::GET => wanted(headers, &etag, length),
            _ => Wanted::Whole,
        };
        let (status, part) = match wanted {
            Wanted::Beyond => {
                let size = [(header::CONTENT_RANGE, format!("bytes */{length}"))];
                return Ok((StatusCode::RANGE_NOT_SATISFIABLE, about, size).into_response());
            }
            Wanted::Whole => (StatusCode::OK, 0..length),
            Wanted::Part(part) => (StatusCode::PARTIAL_CONTENT, part),
        };
        let size = part.end - part.start;
        let content = [
            (header::CONTENT_TYPE, self.kind.to_owned()),
            (header::CONTENT_LENGTH, size.to_string()),
        ];
        file.seek(SeekFrom::Start(part.start)).await.map_err(gone)?;
        let mut response = (status, about, content, body(file.take(size))).into_response();
        if status == StatusCode::PARTIAL_CONTENT {
            let range = format!("bytes {}-{}/{length}", part.start, part.end - 1);
            let range = HeaderValue::try_from(range).expect("digits are a header's text");
            response.headers_mut().insert(header::CONTENT_RANGE, range);
        }
        Ok(response)
    }
}

/// A body that is read while it is sent.
fn body(file: Take<File>) -> Body {
    Body::from_stream(stream::try_unfold(file, async |mut file| {
        let chunk = read(&mut file).await?;
        Ok::<_, io::Error>((!chunk.is_empty()).then_some((chunk, file)))
    }))
}

/// The next bytes; none at the end.
pub(super) async fn read(reader: &mut (impl AsyncRead + Unpin)) -> io::Result<Bytes> {
    let mut chunk = Vec::with_capacity(CHUNK);
    reader.read_buf(&mut chunk).await?;
    Ok(chunk.into())
}

fn is(headers: &HeaderMap, name: header::HeaderName, value: &str) -> bool {
    headers.get(name).is_some_and(|told| told == value)
}

/// A range counts only if the file is still the one that the client has a part of.
fn wanted(headers: &HeaderMap, etag: &str, length: u64) -> Wanted {
    let changed = headers.contains_key(header::IF_RANGE) && !is(headers, header::IF_RANGE, etag);
    let range = headers.get(header::RANGE).filter(|_| !changed);
    match range.and_then(|range| range.to_str().ok()) {
        Some(range) => part(range, length).unwrap_or(Wanted::Whole),
        None => Wanted::Whole,
    }
}

/// Reads `bytes=first-last`; none if it is not that, as it then has to be ignored.
fn part(range: &str, length: u64) -> Option<Wanted> {
    let (unit, range) = range.split_once('=')?;
    let (first, last) = range.trim().split_once('-')?;
    if !unit.trim().eq_ignore_ascii_case("bytes") {
        return None;
    }
    let wanted = match (number(first)?, number(last)?) {
        (None, None) => return None,
        // The last so many bytes.
        (None, Some(0)) => Wanted::Beyond,
        (None, Some(count)) => Wanted::Part(length.saturating_sub(count)..length),
        (Some(first), Some(last)) if last < first => return None,
        (Some(first), last) => {
            let end = last.map_or(length, |last| last.saturating_add(1).min(length));
            Wanted::Part(first..end)
        }
    };
    match wanted {
        Wanted::Part(part) if part.is_empty() => Some(Wanted::Beyond),
        wanted => Some(wanted),
    }
}

/// A number of any size, or nothing; none if it is something else.
fn number(text: &str) -> Option<Option<u64>> {
    match text {
        "" => Some(None),
        _ if text.bytes().all(|byte| byte.is_ascii_digit()) => {
            Some(Some(text.parse().unwrap_or(u64::MAX)))
        }
        _ => None,
    }
}

#[cfg(test)]
#[path = "video_tests.rs"]
mod tests;
