//! The target `put`: a server that takes files by HTTP PUT.
//!
//! Parts are sent with `Content-Range`, as servers of resumable uploads take them: 308 with `Range` tells how much is
//! there, and a request for `bytes */LENGTH` asks for it. A server that does not take parts (RFC 9110, 14.4: 400; others
//! answer 405, 411, 415, 416 or 501, or take the first part for the whole) gets the whole file in one request, which
//! begins at its first byte after each interruption. Either way the size of the stored file is asked for at the end,
//! with HEAD.

use std::sync::atomic::{AtomicBool, Ordering::Relaxed};

use http_client::{Answer, Client, FilePart, Method, Request};
use kit::Secret;

use super::place::Place;
use super::target::{Job, Part, Protocol, Reached, Target, client, resume};
use super::trouble::{Setback, Trouble, is_page, judge, other_size, portal};
use super::video::Video;

/// A folder on a server.
pub struct Put {
    place: Place,
    host: String,
    token: Option<Secret>,
    client: Client,
    chunk_bytes: u64,
    /// Whether the server was found to take no parts.
    is_plain: AtomicBool,
}

impl Put {
    /// The folder at `url`, which gets `token` if there is one.
    pub fn new(url: &str, token: Option<Secret>, chunk_bytes: u64) -> anyhow::Result<Self> {
        let place = Place::new(url)?;
        Ok(Put {
            host: place.host(),
            place,
            token,
            client: client(),
            chunk_bytes,
            is_plain: AtomicBool::new(false),
        })
    }

    fn ask_with(&self, request: Request) -> Result<Answer, Setback> {
        let request = match &self.token {
            Some(token) => request.header("authorization", format!("Bearer {}", token.expose())),
            None => request,
        };
        Ok(self.client.send(request)?)
    }

    fn file(&self, video: &Video) -> Result<String, Setback> {
        let url = self.place.file(&video.name());
        let url = url.map_err(|error| Trouble::target(error.to_string()))?;
        Ok(url.into())
    }

    /// What a server says of parts that does not take them.
    fn takes_no_parts(&self) -> Setback {
        if !self.is_plain.swap(true, Relaxed) {
            tracing::info!(
                host = self.host,
                "the server takes no parts of files: each is sent in one request"
            );
        }
        Setback::Gone
    }

    /// Sends all of a file in one request.
    fn send_whole(&self, job: &Job) -> Result<String, Setback> {
        let video = job.video;
        let url = self.file(video)?;
        let body = FilePart::new(job.file.clone(), 0..video.bytes).watched(job.pace.watch(0));
        let request = Request::new(Method::PUT, &*url)
            .header("content-type", "video/mp4")
            .body(body);
        let answer = self.ask_with(request);
        if job.pace.has_ended() {
            return Err(Trouble::Ended.into());
        }
        let answer = answer?;
        match is_stored(&answer) {
            true => self.compare(&url, video),
            false => Err(judge(&self.host, answer)),
        }
    }
}

impl Target for Put {
    fn upload(&self, job: &Job) -> Result<String, Trouble> {
        if !self.is_plain.load(Relaxed) {
            match resume(self, job) {
                Err(_) if self.is_plain.load(Relaxed) => {}
                outcome => return outcome,
            }
        }
        job.journal.begun(None)?;
        self.send_whole(job).map_err(|setback| match setback {
            Setback::Final(trouble) => trouble,
            Setback::Passing(why, pause) => Trouble::Target { why, pause },
            Setback::Foreign(why) => Trouble::Video(why),
            Setback::Gone | Setback::Elsewhere => {
                Trouble::Video(format!("{} does not keep the video", self.host))
            }
        })
    }
}

impl Protocol for Put {
    fn host(&self) -> &str {
        &self.host
    }

    fn chunk_bytes(&self) -> u64 {
        self.chunk_bytes
    }

    fn begin(&self, video: &Video) -> Result<String, Setback> {
        match self.is_plain.load(Relaxed) {
            // Ends the way through the protocol for parts.
            true => Err(Trouble::target("the server takes no parts").into()),
            false => self.file(video),
        }
    }

    fn ask(&self, location: &str, video: &Video) -> Result<Reached, Setback> {
        let request = Request::new(Method::PUT, location)
            .header("content-range", format!("bytes */{}", video.bytes));
        let answer = self.ask_with(request)?;
        match answer.status() {
            308 if answer.header("location").is_none() => Ok(Reached::Bytes(received(&answer))),
            _ if is_stored(&answer) => match self.compare(location, video) {
                Ok(_) => Ok(Reached::Whole(None)),
                // It has taken the question for an empty file.
                Err(Setback::Foreign(_)) => Err(self.takes_no_parts()),
                Err(setback) => Err(setback),
            },
            404 | 410 => Err(Setback::Gone),
            status if refuses_parts(status) => Err(self.takes_no_parts()),
            _ => Err(judge(&self.host, answer)),
        }
    }

    fn send(&self, location: &str, video: &Video, part: Part) -> Result<Reached, Setback> {
        let (start, end) = (part.start, part.end);
        let range = content_range(&part, video);
        let request = Request::new(Method::PUT, location)
            .header("content-type", "video/mp4")
            .header("content-range", range);
        let answer = self.ask_with(part.in_request(request))?;
        match answer.status() {
            308 if answer.header("location").is_none() => Ok(Reached::Bytes(received(&answer))),
            _ if is_stored(&answer) => match end == video.bytes {
                true => Ok(Reached::Whole(None)),
                // It has stored this part as if it were the file.
                false => Err(self.takes_no_parts()),
            },
            404 | 410 if start > 0 => Err(Setback::Gone),
            409 => Err(Setback::Elsewhere),
            status if refuses_parts(status) => match start {
                0 => Err(self.takes_no_parts()),
                _ => Err(Setback::Elsewhere),
            },
            _ => Err(judge(&self.host, answer)),
        }
    }

    fn check(&self, location: &str, job: &Job) -> Result<String, Setback> {
        self.compare(location, job.video)
    }
}

impl Put {
    /// Compares the size of the stored file with that of the video.
    fn compare(&self, location: &str, video: &Video) -> Result<String, Setback> {
        let host = &self.host;
        let answer = self.ask_with(Request::new(Method::HEAD, location))?;
        if !answer.is_success() {
            return Err(match answer.status() {
                404 | 410 => Setback::Foreign(format!("{host} has lost the video")),
                405 | 501 => {
                    let line = answer.status_line();
                    let why = format!(
                        "{host} does not tell the size of a file (HEAD: {line}), so that no upload can be checked"
                    );
                    Trouble::target(why).into()
                }
                _ => judge(host, answer),
            });
        }
        if is_page(&answer) {
            return Err(Trouble::target(portal(host)).into());
        }
        let length = answer.header("content-length");
        match length.and_then(|length| length.parse::<u64>().ok()) {
            Some(there) if there == video.bytes => Ok(location.to_owned()),
            Some(there) => Err(other_size(host, there, video.bytes)),
            None => {
                let why = format!("{host} does not tell the size of the video that it stored");
                Err(Setback::Foreign(why))
            }
        }
    }
}

/// Whether the answer says that the file is stored. A page may come with 201, but with 200 it is somebody else's.
fn is_stored(answer: &Answer) -> bool {
    match answer.status() {
        200 => !is_page(answer),
        status => matches!(status, 201 | 204),
    }
}

fn refuses_parts(status: u16) -> bool {
    matches!(status, 400 | 405 | 411 | 415 | 416 | 501)
}

/// The header `Content-Range` of a part.
pub fn content_range(part: &Part, video: &Video) -> String {
    format!("bytes {}-{}/{}", part.start, part.end - 1, video.bytes)
}

/// How much a server has that answered 308: `Range: bytes=0-99` is 100 bytes, and no such header is none.
pub fn received(answer: &Answer) -> u64 {
    let range = answer.header("range").unwrap_or_default();
    let last = range.trim_start_matches("bytes=").strip_prefix("0-");
    let last = last.and_then(|last| last.trim().parse::<u64>().ok());
    last.map_or(0, |last| last.saturating_add(1))
}
