//! A client for a bucket of any S3-compatible storage.
//!
//! An object appears completely or not at all: an interrupted upload leaves the previous object. Everything is sent
//! with its MD5, and the stored object is compared with it. A file is uploaded in parts that are read while they are
//! sent, so that memory does not grow with the file. With a [`Ledger`], an upload that was interrupted by a network
//! failure, a kill or a power cut continues where it stopped.
//!
//! ```no_run
//! # fn main() -> Result<(), Box<dyn std::error::Error>> {
//! use bucket::{Bucket, Keys, Ledger, Settings, Upload};
//!
//! let settings = Settings::new("recorder", "https://s3.eu-central-1.amazonaws.com", "videos");
//! let bucket = Bucket::new(settings, Keys::new("access key", "its secret"))?;
//! let ledger = Ledger::new("/var/lib/recorder/uploads");
//! let upload = Upload { ledger: Some((&ledger, "today.mp4")), ..Upload::default() };
//! bucket.upload("2026/today.mp4", "/var/lib/recorder/today.mp4".as_ref(), &upload)?;
//! # Ok(())
//! # }
//! ```
//!
//! Parts of an upload whose entry in the ledger is lost, because the file or the device is gone, stay in the storage
//! unseen and cost money. No program can tell them from those of another device, so let the storage delete them: give
//! the bucket a lifecycle rule with `AbortIncompleteMultipartUpload` after a few days.
//!
//! All differences between providers are handled in [`quirks`].

mod error;
mod ledger;
mod patience;
pub mod quirks;
mod sum;
mod upload;

use std::time::Duration;

use http_client::{Answer, Body, Client, Options, Request};
use jiff::Timestamp;
use rusty_s3::{Credentials, S3Action};

pub use error::{Error, Reason, Refusal};
pub use ledger::{Entry, Ledger};
pub use patience::Patience;
pub use quirks::Style;
use sum::Sum;
pub use upload::Upload;

/// How long a signature is valid; a request may have to wait for a slow line.
const SIGNED_FOR: Duration = Duration::from_secs(3600);
/// The longest answer that is accepted, except for objects.
const LONGEST_ANSWER: usize = 4 << 20;

/// The location of a bucket, and the time limits and retries for it.
#[derive(Debug, Clone)]
pub struct Settings {
    /// The name of the program in `User-Agent`.
    pub program: &'static str,
    /// The storage's address, without the bucket.
    pub endpoint: String,
    /// The bucket's name.
    pub bucket: String,
    /// Its region; see [`quirks`] for storages without regions.
    pub region: String,
    /// Where the bucket is named in an address.
    pub style: Style,
    /// The number of attempts for one request, and the pauses between them.
    pub patience: Patience,
    /// The time limit for establishing a connection.
    pub connect: Duration,
    /// The time limit for a whole request, such as one part. Without it, only stalled requests end.
    pub whole: Option<Duration>,
    /// How long a connection may transfer nothing.
    pub idle: Duration,
    /// Called for each failed attempt that is followed by another one.
    pub on_retry: fn(&Error),
    /// The clock; signatures contain the time.
    pub clock: fn() -> Timestamp,
}

impl Settings {
    /// Settings that suit most storages: `bucket` at `endpoint`, named in the path.
    pub fn new(program: &'static str, endpoint: &str, bucket: &str) -> Self {
        Settings {
            program,
            endpoint: endpoint.to_owned(),
            bucket: bucket.to_owned(),
            region: quirks::DEFAULT_REGION.into(),
            style: Style::Path,
            patience: Patience::default(),
            connect: Duration::from_secs(30),
            whole: None,
            idle: Duration::from_secs(120),
            on_retry: |_| (),
            clock: Timestamp::now,
        }
    }
}

/// An access key and its secret.
#[derive(Clone)]
pub struct Keys(Credentials);

impl Keys {
    /// A permanent key.
    pub fn new(id: &str, secret: &str) -> Self {
        Keys(Credentials::new(id, secret))
    }

    /// A temporary key, with its session token.
    pub fn lent(id: &str, secret: &str, token: &str) -> Self {
        Keys(Credentials::new_with_token(id, secret, token))
    }

    /// The access key, which is no secret.
    pub fn id(&self) -> &str {
        self.0.key()
    }

    /// Its secret.
    pub fn secret(&self) -> &str {
        self.0.secret()
    }
}

impl std::fmt::Debug for Keys {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_tuple("Keys").field(&self.id()).finish()
    }
}

/// An object, as the storage describes it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Object {
    /// Its ETag.
    pub etag: String,
    /// Its size.
    pub bytes: u64,
}

/// A bucket, with the keys to access it.
#[derive(Debug)]
pub struct Bucket {
    bucket: rusty_s3::Bucket,
    keys: Keys,
    client: Client,
    settings: Settings,
}

impl Bucket {
    /// Creates the client for the bucket of `settings`; sends no request yet.
    pub fn new(settings: Settings, keys: Keys) -> Result<Self, Error> {
        let client = Client::new(&Options {
            name: settings.program,
            connect: settings.connect,
            whole: settings.whole,
            idle: settings.idle,
            // A redirect to another host would fail, because signatures are valid for one host only.
            redirects: 0,
            // Files of many megabytes go through it.
            buffer: 128 * 1024,
        });
        Ok(Bucket {
            bucket: quirks::open(&settings)?,
            keys,
            client,
            settings,
        })
    }

    /// The storage's host, with the port if one is given.
    pub fn server(&self) -> String {
        let url = self.bucket.base_url();
        let host = url.host_str().unwrap_or_default();
        match url.port() {
            Some(port) => format!("{host}:{port}"),
            None => host.to_owned(),
        }
    }

    /// Its name.
    pub fn name(&self) -> &str {
        self.bucket.name()
    }

    /// Its region.
    pub fn region(&self) -> &str {
        self.bucket.region()
    }

    /// The access key in use.
    pub fn keys(&self) -> &Keys {
        &self.keys
    }

    /// The current time, for signatures.
    pub fn now(&self) -> Timestamp {
        (self.settings.clock)()
    }

    /// Stores a small object, replacing any object with that key. Returns its ETag after verifying the content.
    pub fn put(&self, key: &str, bytes: &[u8]) -> Result<String, Error> {
        self.patiently(|| self.put_once(key, bytes))
    }

    /// Does the same in a single attempt: as the first request to a storage, it shows whether everything is set up
    /// well.
    pub fn put_once(&self, key: &str, bytes: &[u8]) -> Result<String, Error> {
        let action = self.bucket.put_object(Some(&self.keys.0), key);
        let body = http_client::Bytes::copy_from_slice(bytes);
        self.send_summed(action, body.into(), &Sum::of(bytes))
    }

    /// Reads an object of at most `limit` bytes; none if there is no object with that key.
    pub fn get(&self, key: &str, limit: usize) -> Result<Option<Vec<u8>>, Error> {
        let got = self.patiently(|| {
            let action = self.bucket.get_object(Some(&self.keys.0), key);
            Ok(self.ask(&action, Body::Empty)?.bytes(limit)?)
        });
        present(got)
    }

    /// The storage's description of an object; none if there is no object with that key.
    pub fn head(&self, key: &str) -> Result<Option<Object>, Error> {
        let found = self.patiently(|| {
            let action = self.bucket.head_object(Some(&self.keys.0), key);
            let answer = self.ask(&action, Body::Empty)?;
            let length = answer.header("content-length");
            let bytes = length.and_then(|length| length.parse().ok());
            Ok(Object {
                etag: tag(&answer)?,
                bytes: bytes.ok_or_else(|| Error::strange("the object's length"))?,
            })
        });
        present(found)
    }

    /// The checksum of an object, computed by reading all of it; `alive` is called for each piece.
    fn read_back(&self, key: &str, alive: impl Fn() -> Result<(), Error>) -> Result<Sum, Error> {
        self.patiently(|| {
            let action = self.bucket.get_object(Some(&self.keys.0), key);
            let mut answer = self.ask(&action, Body::Empty)?;
            Sum::of_pieces(|buffer| {
                alive()?;
                Ok(answer.read(buffer)?)
            })
        })
    }

    /// Sends a body with its MD5, which the storage compares, and compares the ETag in the answer if it is meaningful.
    fn send_summed<'a, A: S3Action<'a>>(
        &self,
        mut action: A,
        body: Body,
        sum: &Sum,
    ) -> Result<String, Error> {
        let headers = action.headers_mut();
        headers.insert(quirks::CHECKSUM_HEADER, sum.base64());
        let request = self.signed(&action);
        let request = request.header(quirks::CHECKSUM_HEADER, sum.base64());
        let answer = self.answered(request.body(body))?;
        let tag = tag(&answer)?;
        let says = quirks::is_sum(&tag) && !quirks::is_encrypted(|name| answer.header(name));
        match says && tag != sum.hex() {
            true => Err(Error::Damaged),
            false => Ok(tag),
        }
    }

    /// Sends a request once; only a success is returned as an answer.
    fn ask<'a>(&self, action: &impl S3Action<'a>, body: Body) -> Result<Answer, Error> {
        self.answered(self.signed(action).body(body))
    }

    fn signed<'a, A: S3Action<'a>>(&self, action: &A) -> Request {
        let url = action.sign_with_time(SIGNED_FOR, &self.now());
        let method = A::METHOD.to_str().parse();
        Request::new(method.expect("one of HTTP's own"), url.as_str())
    }

    fn answered(&self, request: Request) -> Result<Answer, Error> {
        let answer = self.client.send(request)?;
        match answer.is_success() {
            true => Ok(answer),
            false => Err(Error::Refused(Refusal::of(answer, self.now()))),
        }
    }

    /// Retries requests that fail temporarily.
    fn patiently<T>(&self, mut attempt: impl FnMut() -> Result<T, Error>) -> Result<T, Error> {
        for pause in self.settings.patience.pauses() {
            match attempt() {
                Err(error) if error.is_transient() => {
                    (self.settings.on_retry)(&error);
                    std::thread::sleep(pause);
                }
                outcome => return outcome,
            }
        }
        attempt()
    }
}

/// Turns a missing object into none; a missing bucket stays an error.
fn present<T>(outcome: Result<T, Error>) -> Result<Option<T>, Error> {
    match outcome {
        Ok(there) => Ok(Some(there)),
        Err(error) if error.reason() == Some(&Reason::NoObject) => Ok(None),
        Err(error) => Err(error),
    }
}

fn tag(answer: &Answer) -> Result<String, Error> {
    let tag = answer.header("etag").map(quirks::bare_tag);
    tag.ok_or_else(|| Error::strange("the part's ETag"))
}

fn text(answer: Answer) -> Result<String, Error> {
    let bytes = answer.bytes(LONGEST_ANSWER)?;
    String::from_utf8(bytes).map_err(|_| Error::strange("anything in UTF-8"))
}
