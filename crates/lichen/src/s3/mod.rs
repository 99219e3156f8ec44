//! A bucket, as much of it as publishing needs: is it there, get, put, and put in parts what is big.
//!
//! An object appears whole or not at all: one that is cut off, in parts or not, leaves what was there.

mod address;
mod keys;
mod trouble;

use crate::ui;
use address::Address;
use anyhow::{Context, Result, anyhow};
use jiff::Timestamp;
use keys::Keys;
use rusty_s3::S3Action;
use rusty_s3::actions::{CompleteMultipartUploadResponse, CreateMultipartUpload};
use std::fs::File;
use std::io::{Read, Seek, SeekFrom};
use std::ops::Range;
use std::path::Path;
use std::time::Duration;
use trouble::{Refusal, Trouble, explain};
use ureq::http::{Request, Response};
use ureq::{Agent, Body, SendBody};

/// Larger files go up in parts of this many bytes; the server allows 10,000 of them, of 5 MiB and more.
const PART: u64 = 16 << 20;
/// How long a signature is good for: what takes longer has begun by then.
const SIGNED_FOR: Duration = Duration::from_secs(3600);
/// What is brought is small.
const SMALL: u64 = 16 << 20;
/// How long to wait before another try, if there may be one.
const PAUSES: [Duration; 3] = [
    Duration::from_secs(1),
    Duration::from_secs(4),
    Duration::from_secs(16),
];

/// A bucket, and someone who may read and write it.
#[derive(Debug)]
pub struct Client {
    address: Address,
    keys: Keys,
    agent: Agent,
    clock: fn() -> Timestamp,
    pauses: &'static [Duration],
}

/// Opens what an address says, with the keys that are found; `variable` gives what the environment has by a name.
/// Nothing is asked of the server yet.
pub fn open(to: &str, variable: impl Fn(&str) -> Option<String>) -> Result<Client> {
    let address = Address::parse(to, &variable)?;
    let keys = keys::find(address.profile.as_deref(), &variable)?;
    let agent = Agent::config_builder()
        .http_status_as_error(false)
        // A bucket that is elsewhere is to be said, not found.
        .max_redirects(0)
        .timeout_connect(Some(Duration::from_secs(30)))
        .timeout_send_body(Some(Duration::from_secs(900)))
        .timeout_recv_response(Some(Duration::from_secs(120)))
        .user_agent(concat!("lichen/", env!("CARGO_PKG_VERSION")))
        .build()
        .into();
    Ok(Client {
        address,
        keys,
        agent,
        clock: Timestamp::now,
        pauses: &PAUSES,
    })
}

impl Client {
    /// What people know `name` by.
    pub fn shown(&self, name: &str) -> String {
        self.address.shown(name)
    }

    /// A small object, if there is one of that name.
    pub fn get(&self, name: &str) -> Result<Option<Vec<u8>>> {
        let key = self.key(name);
        let bucket = &self.address.bucket;
        let action = bucket.get_object(Some(&self.keys.credentials), &key);
        let got = self.ask(&action, SendBody::none(), 0).map(Some);
        let body = match got.or_else(not_there) {
            Ok(None) => return Ok(None),
            Ok(Some(mut response)) => {
                let body = response.body_mut().with_config().limit(SMALL).read_to_vec();
                body.map_err(|error| Trouble::Unreachable(error.to_string()))
            }
            Err(trouble) => Err(trouble),
        };
        body.map(Some)
            .map_err(|trouble| explain(self, &format!("read {}", self.shown(name)), trouble))
    }

    /// Whether there is an object of that name.
    pub fn has(&self, name: &str) -> Result<bool> {
        let key = self.key(name);
        let bucket = &self.address.bucket;
        let action = bucket.head_object(Some(&self.keys.credentials), &key);
        let there = self.ask(&action, SendBody::none(), 0).map(Some);
        let there = there.or_else(not_there);
        there
            .map(|response| response.is_some())
            .map_err(|trouble| explain(self, &format!("look for {}", self.shown(name)), trouble))
    }

    /// Puts a small object there, in place of any other of that name.
    pub fn put(&self, name: &str, text: &[u8]) -> Result<()> {
        self.written(name, self.patiently(|| self.put_once(name, text)))
    }

    /// The same without patience: it is the first that is asked of the server, and may be the wrong one.
    pub fn probe(&self, name: &str, text: &[u8]) -> Result<()> {
        self.written(name, self.put_once(name, text))
    }

    fn put_once(&self, name: &str, mut text: &[u8]) -> Result<(), Trouble> {
        let key = self.key(name);
        let bucket = &self.address.bucket;
        let action = bucket.put_object(Some(&self.keys.credentials), &key);
        let length = text.len() as u64;
        self.ask(&action, SendBody::from_reader(&mut text), length)
            .map(drop)
    }

    fn written(&self, name: &str, result: Result<(), Trouble>) -> Result<()> {
        result.map_err(|trouble| explain(self, &format!("write {}", self.shown(name)), trouble))
    }

    /// Puts a file there; `progress` is told how many of its bytes are up.
    pub fn upload(&self, name: &str, file: &Path, mut progress: impl FnMut(u64)) -> Result<()> {
        let key = self.key(name);
        self.written(name, self.upload_as(&key, file, &mut progress))
    }

    fn upload_as(
        &self,
        key: &str,
        file: &Path,
        progress: &mut dyn FnMut(u64),
    ) -> Result<(), Trouble> {
        let (bucket, credentials) = (&self.address.bucket, Some(&self.keys.credentials));
        let size = std::fs::metadata(file)
            .with_context(|| format!("cannot read {}", file.display()))
            .map_err(Trouble::Here)?
            .len();
        if size <= PART {
            let action = bucket.put_object(credentials, key);
            return self.send(&action, file, 0..size, progress).map(drop);
        }
        let begin = bucket.create_multipart_upload(credentials, key);
        let answer = self.patiently(|| text(self.ask(&begin, SendBody::none(), 0)?))?;
        let begun = CreateMultipartUpload::parse_response(&answer)
            .map_err(|_| strange("which upload it has begun", &answer))?;
        let id = begun.upload_id();
        let mut parts = || -> Result<(), Trouble> {
            let mut tags = Vec::new();
            for (number, start) in (1..).zip((0..size).step_by(PART as usize)) {
                let action = bucket.upload_part(credentials, key, number, id);
                let part = start..size.min(start + PART);
                let response = self.send(&action, file, part, progress)?;
                let tag = header(&response, "etag");
                tags.push(tag.ok_or_else(|| strange("which part it has", ""))?);
            }
            let tags = tags.iter().map(String::as_str);
            let end = bucket.complete_multipart_upload(credentials, key, id, tags);
            let list = end.clone().body();
            self.patiently(|| {
                let mut rest = list.as_bytes();
                let body = SendBody::from_reader(&mut rest);
                let answer = text(self.ask(&end, body, list.len() as u64)?)?;
                // It may say that all is well before it knows.
                match CompleteMultipartUploadResponse::parse(&answer) {
                    Ok(_) => Ok(()),
                    Err(_) => Err(Trouble::Refused(Refusal::of(500, |_| None, &answer))),
                }
            })
        };
        parts().inspect_err(|_| {
            // Nobody sees parts, and everybody pays for them.
            let abort = bucket.abort_multipart_upload(credentials, key, id);
            let _ = self.ask(&abort, SendBody::none(), 0);
        })
    }

    /// Sends a part of a file, with patience.
    fn send<'a>(
        &self,
        action: &impl S3Action<'a>,
        file: &Path,
        part: Range<u64>,
        progress: &mut dyn FnMut(u64),
    ) -> Result<Response<Body>, Trouble> {
        self.patiently(|| {
            let open = || -> std::io::Result<File> {
                let mut file = File::open(file)?;
                file.seek(SeekFrom::Start(part.start))?;
                Ok(file)
            };
            let opened = open().with_context(|| format!("cannot read {}", file.display()));
            let length = part.end - part.start;
            let mut counted = Counted {
                from: opened.map_err(Trouble::Here)?.take(length),
                count: part.start,
                progress: &mut *progress,
            };
            self.ask(action, SendBody::from_reader(&mut counted), length)
        })
    }

    /// Tries again what may go well in a moment.
    fn patiently<T>(&self, mut attempt: impl FnMut() -> Result<T, Trouble>) -> Result<T, Trouble> {
        for pause in self.pauses {
            match attempt() {
                Err(trouble) if trouble.passes() => {
                    ui::say(format!("{trouble}; trying again"));
                    std::thread::sleep(*pause);
                }
                result => return result,
            }
        }
        attempt()
    }

    /// Asks once; the answer is a success.
    fn ask<'a, A: S3Action<'a>>(
        &self,
        action: &A,
        body: SendBody,
        length: u64,
    ) -> Result<Response<Body>, Trouble> {
        let url = action.sign_with_time(SIGNED_FOR, &(self.clock)());
        let request = Request::builder()
            .method(A::METHOD.to_str())
            .uri(url.as_str())
            .header("content-length", length)
            .body(body)
            .map_err(|error| Trouble::Here(anyhow!(error)))?;
        let mut response = self
            .agent
            .run(request)
            .map_err(|error| Trouble::Unreachable(error.to_string()))?;
        let status = response.status();
        if status.is_success() {
            return Ok(response);
        }
        let body = response.body_mut().read_to_string().unwrap_or_default();
        let header = |name: &str| header(&response, name);
        Err(Trouble::Refused(Refusal::of(
            status.as_u16(),
            header,
            &body,
        )))
    }

    fn key(&self, name: &str) -> String {
        format!("{}{name}", self.address.prefix)
    }
}

/// A file that tells how far it has been read.
struct Counted<'p, R> {
    from: R,
    count: u64,
    progress: &'p mut dyn FnMut(u64),
}

impl<R: Read> Read for Counted<'_, R> {
    fn read(&mut self, buffer: &mut [u8]) -> std::io::Result<usize> {
        let read = self.from.read(buffer)?;
        self.count += read as u64;
        (self.progress)(self.count);
        Ok(read)
    }
}

/// That there is no such object is an answer, too; that there is no such bucket is none.
fn not_there<T>(trouble: Trouble) -> Result<Option<T>, Trouble> {
    match trouble {
        Trouble::Refused(refusal) if refusal.status == 404 && refusal.code != "NoSuchBucket" => {
            Ok(None)
        }
        other => Err(other),
    }
}

fn header(response: &Response<Body>, name: &str) -> Option<String> {
    Some(response.headers().get(name)?.to_str().ok()?.to_owned())
}

fn text(mut response: Response<Body>) -> Result<String, Trouble> {
    let text = response.body_mut().read_to_string();
    text.map_err(|error| Trouble::Unreachable(error.to_string()))
}

fn strange(what: &str, answer: &str) -> Trouble {
    Trouble::Here(anyhow!("the server does not say {what}: {answer}"))
}

#[cfg(test)]
pub(crate) mod tests;
