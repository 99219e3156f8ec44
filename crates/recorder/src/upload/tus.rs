//! The target `tus`: a server that speaks [tus 1.0](https://tus.io/protocols/resumable-upload) with its extension
//! `creation`. If it offers its extension `checksum`, each part is sent with its checksum, so that a part that was damaged on
//! the way is refused and sent again.

use std::io::{self, Read};
use std::sync::OnceLock;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use http_client::{Answer, Client, Method, Request};
use kit::Secret;
use sha1::Sha1;
use sha2::Sha256;

use super::place::Place;
use super::target::{Job, Part, Protocol, Reached, Target, client, resume};
use super::trouble::{Setback, Trouble, is_page, judge, other_size, portal};
use super::video::Video;

/// The status of a part whose checksum differs.
const CHECKSUM_MISMATCH: u16 = 460;

/// An algorithm for checksums of parts.
#[derive(Debug, Clone, Copy)]
enum Algorithm {
    Sha256,
    /// What every server with this extension has to know.
    Sha1,
}

/// A tus server.
pub struct Tus {
    place: Place,
    host: String,
    token: Option<Secret>,
    client: Client,
    chunk_bytes: u64,
    /// The checksums that it compares, once it was asked.
    sums: OnceLock<Option<Algorithm>>,
}

impl Tus {
    /// The server that creates uploads at `url`, and gets `token` if there is one.
    pub fn new(url: &str, token: Option<Secret>, chunk_bytes: u64) -> anyhow::Result<Self> {
        let place = Place::new(url)?;
        Ok(Tus {
            host: place.host(),
            place,
            token,
            client: client(),
            chunk_bytes,
            sums: OnceLock::new(),
        })
    }

    fn ask_with(&self, request: Request) -> Result<Answer, Setback> {
        let request = request.header("tus-resumable", "1.0.0");
        let request = match &self.token {
            Some(token) => request.header("authorization", format!("Bearer {}", token.expose())),
            None => request,
        };
        Ok(self.client.send(request)?)
    }

    /// The meaning of an answer about an upload that was begun.
    fn judge(&self, answer: Answer) -> Setback {
        match answer.status() {
            404 | 410 => Setback::Gone,
            409 => Setback::Elsewhere,
            CHECKSUM_MISMATCH => {
                let why = format!("a part arrived damaged at {}", self.host);
                Setback::Passing(why, None)
            }
            412 => {
                let why = format!("{} does not speak tus 1.0", self.host);
                Trouble::target(why).into()
            }
            _ => judge(&self.host, answer),
        }
    }

    /// The checksum that the server compares; none if it says nothing of checksums.
    fn algorithm(&self) -> Result<Option<Algorithm>, Setback> {
        if let Some(known) = self.sums.get() {
            return Ok(*known);
        }
        let answer = self.ask_with(Request::new(Method::OPTIONS, self.place.url()))?;
        let lists = |name, word: &str| {
            let list = answer.header(name).unwrap_or_default();
            list.split(',').any(|item| item.trim() == word)
        };
        let knows = |one: &Algorithm| lists("tus-checksum-algorithm", one.name());
        let all = [Algorithm::Sha256, Algorithm::Sha1];
        let found = match lists("tus-extension", "checksum") {
            true => all.into_iter().find(knows),
            false => None,
        };
        Ok(*self.sums.get_or_init(|| found))
    }
}

impl Algorithm {
    fn name(self) -> &'static str {
        match self {
            Algorithm::Sha256 => "sha256",
            Algorithm::Sha1 => "sha1",
        }
    }

    /// The value of `Upload-Checksum` for these bytes.
    fn sum(self, bytes: impl Read) -> io::Result<String> {
        use {sha1::Digest as _, sha2::Digest as _};
        let sum = match self {
            Algorithm::Sha256 => {
                let mut sum = Sha256::new();
                each_piece(bytes, |piece| sum.update(piece))?;
                STANDARD.encode(sum.finalize())
            }
            Algorithm::Sha1 => {
                let mut sum = Sha1::new();
                each_piece(bytes, |piece| sum.update(piece))?;
                STANDARD.encode(sum.finalize())
            }
        };
        Ok(format!("{} {sum}", self.name()))
    }
}

fn each_piece(mut bytes: impl Read, mut take: impl FnMut(&[u8])) -> io::Result<()> {
    let mut buffer = vec![0; 64 << 10];
    loop {
        match bytes.read(&mut buffer)? {
            0 => return Ok(()),
            read => take(&buffer[..read]),
        }
    }
}

impl Target for Tus {
    fn upload(&self, job: &Job) -> Result<String, Trouble> {
        resume(self, job)
    }
}

impl Protocol for Tus {
    fn host(&self) -> &str {
        &self.host
    }

    fn chunk_bytes(&self) -> u64 {
        self.chunk_bytes
    }

    fn begin(&self, video: &Video) -> Result<String, Setback> {
        let metadata = [
            ("filename", &*video.name()),
            ("filetype", "video/mp4"),
            ("title", &*video.title),
            ("sha256", &*video.sha256),
        ]
        .into_iter()
        .filter(|(_, value)| !value.is_empty())
        .map(|(name, value)| format!("{name} {}", STANDARD.encode(value)))
        .collect::<Vec<_>>();
        let request = Request::new(Method::POST, self.place.url())
            .header("upload-length", video.bytes.to_string())
            .header("upload-metadata", metadata.join(","));
        let answer = self.ask_with(request)?;
        match answer.status() {
            201 => self.place.location(answer.header("location")),
            412 => Err(self.judge(answer)),
            _ => Err(judge(&self.host, answer)),
        }
    }

    fn ask(&self, location: &str, video: &Video) -> Result<Reached, Setback> {
        let answer = self.ask_with(Request::new(Method::HEAD, location))?;
        if !answer.is_success() {
            return Err(match answer.status() {
                // The protocol has it, too, for an upload that is not there or not for everybody to know of.
                403 => Setback::Gone,
                _ => self.judge(answer),
            });
        }
        let length = number(&answer, "upload-length");
        if let Some(length) = length.filter(|length| *length != video.bytes) {
            let (host, bytes) = (&self.host, video.bytes);
            let why = format!("{host} has an upload of {length} bytes, and not of {bytes}, there");
            return Err(Setback::Foreign(why));
        }
        reached(&self.host, &answer)
    }

    fn send(&self, location: &str, _: &Video, part: Part) -> Result<Reached, Setback> {
        let mut request = Request::new(Method::PATCH, location)
            .header("content-type", "application/offset+octet-stream")
            .header("upload-offset", part.start.to_string());
        if let Some(algorithm) = self.algorithm()? {
            let sum = algorithm.sum(part.bytes());
            let sum = sum.map_err(|why| Trouble::Video(format!("cannot read the video: {why}")))?;
            request = request.header("upload-checksum", sum);
        }
        let answer = self.ask_with(part.in_request(request))?;
        match answer.is_success() {
            true => reached(&self.host, &answer),
            false => Err(self.judge(answer)),
        }
    }

    /// Asks once more. A server that has passed a complete upload on may not know it any more: then the
    /// acknowledgement of its last byte has to suffice, as the protocol has it.
    fn check(&self, location: &str, job: &Job) -> Result<String, Setback> {
        let bytes = job.video.bytes;
        match self.ask(location, job.video) {
            Ok(Reached::Bytes(there)) if there != bytes => {
                Err(other_size(&self.host, there, bytes))
            }
            Ok(_) | Err(Setback::Gone) => Ok(location.to_owned()),
            Err(setback) => Err(setback),
        }
    }
}

fn reached(host: &str, answer: &Answer) -> Result<Reached, Setback> {
    match number(answer, "upload-offset") {
        Some(offset) => Ok(Reached::Bytes(offset)),
        None if is_page(answer) => Err(Trouble::target(portal(host)).into()),
        None => {
            let why = format!("{host} does not say how much it has: it does not speak tus 1.0");
            Err(Trouble::target(why).into())
        }
    }
}

fn number(answer: &Answer, name: &str) -> Option<u64> {
    answer.header(name)?.trim().parse().ok()
}
