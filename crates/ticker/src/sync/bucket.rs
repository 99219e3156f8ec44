//! An S3-compatible bucket: one request at a time, each tried several times.

use std::io::Read;
use std::time::Duration;

use kit::Secret;
use md5::{Digest, Md5};
use rusty_s3::actions::{
    CompleteMultipartUpload, CompleteMultipartUploadResponse, CreateMultipartUpload,
};
use rusty_s3::{Credentials, S3Action, UrlStyle};
use ureq::http;

use crate::config::SyncSettings;

/// A presigned address is good for this long; a request may have to wait for a slow line.
const SIGNED_FOR: Duration = Duration::from_secs(3600);
const LONGEST_PAUSE: Duration = Duration::from_secs(30);

/// The bucket, and how patient to be with it.
pub struct Bucket {
    bucket: rusty_s3::Bucket,
    credentials: Credentials,
    agent: ureq::Agent,
    attempts: u32,
    retry: Duration,
}

/// What a request came to.
#[derive(Debug, thiserror::Error)]
pub enum S3Error {
    /// No answer, or none that could be read.
    #[error("cannot reach the storage: {0}")]
    Unreachable(String),
    /// An answer that says no.
    #[error("the storage answers {status}{}", code.as_ref().map(|c| format!(" ({c})")).unwrap_or_default())]
    Refused {
        /// HTTP's status.
        status: u16,
        /// S3's word for it.
        code: Option<String>,
    },
    /// It has stored something else than was sent.
    #[error("what the storage has is not what was sent")]
    Damaged,
}

impl S3Error {
    /// Whether the same request may succeed later.
    fn is_passing(&self) -> bool {
        match self {
            S3Error::Unreachable(_) | S3Error::Damaged => true,
            S3Error::Refused { status, code } => {
                matches!(status, 408 | 429 | 500..) || code.as_deref() == Some("BadDigest")
            }
        }
    }

    /// Whether the upload or object does not exist (any more).
    pub fn is_missing(&self) -> bool {
        matches!(self, S3Error::Refused { status: 404, .. })
    }
}

/// An object as the storage describes it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Object {
    /// Its tag.
    pub etag: String,
    /// Its size.
    pub bytes: u64,
}

/// MD5 in the two ways S3 wants it.
pub fn md5(bytes: &[u8]) -> [u8; 16] {
    Md5::digest(bytes).into()
}

/// Bytes as hexadecimal text.
pub fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

impl Bucket {
    /// The bucket of `settings`.
    pub fn new(
        settings: &SyncSettings,
        endpoint: &str,
        key: &Secret,
        secret: &Secret,
    ) -> anyhow::Result<Self> {
        let style = match settings.path_style {
            true => UrlStyle::Path,
            false => UrlStyle::VirtualHost,
        };
        let (name, region) = (settings.bucket.clone(), settings.region.clone());
        let agent = ureq::Agent::config_builder()
            .http_status_as_error(false)
            .timeout_global(Some(Duration::from_secs_f64(settings.timeout_seconds)))
            .build();
        Ok(Bucket {
            bucket: rusty_s3::Bucket::new(endpoint.parse()?, style, name, region)?,
            credentials: Credentials::new(key.expose(), secret.expose()),
            agent: agent.into(),
            attempts: settings.attempts,
            retry: Duration::from_secs_f64(settings.retry_seconds),
        })
    }

    /// Stores a whole object; its tag, once the storage has shown to have got these very bytes.
    pub fn put(&self, key: &str, bytes: &[u8]) -> Result<String, S3Error> {
        self.patiently(|| {
            let action = self.bucket.put_object(Some(&self.credentials), key);
            self.send_bytes(action, "PUT", bytes)
        })
    }

    /// Begins an upload in parts; the storage's name for it.
    pub fn begin(&self, key: &str) -> Result<String, S3Error> {
        self.patiently(|| {
            let action = self
                .bucket
                .create_multipart_upload(Some(&self.credentials), key);
            let answer = self.send(&action, "POST", &[], b"")?;
            let answer = CreateMultipartUpload::parse_response(&text(answer)?)
                .map_err(|error| S3Error::Unreachable(format!("an odd answer: {error}")))?;
            Ok(answer.upload_id().to_owned())
        })
    }

    /// Uploads a part (they are counted from 1); its tag.
    pub fn part(
        &self,
        key: &str,
        upload: &str,
        number: u16,
        bytes: &[u8],
    ) -> Result<String, S3Error> {
        self.patiently(|| {
            let action = self
                .bucket
                .upload_part(Some(&self.credentials), key, number, upload);
            self.send_bytes(action, "PUT", bytes)
        })
    }

    /// Makes an object of the parts.
    pub fn complete(&self, key: &str, upload: &str, parts: &[String]) -> Result<(), S3Error> {
        self.patiently(|| {
            let action = || {
                let parts = parts.iter().map(String::as_str);
                let credentials = Some(&self.credentials);
                CompleteMultipartUpload::new(&self.bucket, credentials, key, upload, parts)
            };
            let answer = self.send(&action(), "POST", &[], action().body().as_bytes())?;
            // A 200 may still carry an error.
            CompleteMultipartUploadResponse::parse(&text(answer)?)
                .map_err(|error| S3Error::Unreachable(format!("not completed: {error}")))?;
            Ok(())
        })
    }

    /// What the storage says of an object.
    pub fn head(&self, key: &str) -> Result<Object, S3Error> {
        self.patiently(|| {
            let action = self.bucket.head_object(Some(&self.credentials), key);
            let answer = self.send(&action, "HEAD", &[], b"")?;
            let length = answer.headers().get(http::header::CONTENT_LENGTH);
            let bytes = length.and_then(|v| v.to_str().ok()?.parse().ok());
            Ok(Object {
                etag: tag(&answer)?,
                bytes: bytes.ok_or_else(|| S3Error::Unreachable("no length".into()))?,
            })
        })
    }

    /// The MD5 of an object, by reading all of it.
    pub fn read_md5(&self, key: &str) -> Result<[u8; 16], S3Error> {
        self.patiently(|| {
            let action = self.bucket.get_object(Some(&self.credentials), key);
            let answer = self.send(&action, "GET", &[], b"")?;
            let mut reader = answer.into_body().into_reader();
            let (mut hash, mut buffer) = (Md5::new(), vec![0; 64 << 10]);
            loop {
                let unread = |error: std::io::Error| S3Error::Unreachable(error.to_string());
                match reader.read(&mut buffer).map_err(unread)? {
                    0 => return Ok(hash.finalize().into()),
                    length => hash.update(&buffer[..length]),
                }
            }
        })
    }

    /// Sends bytes with their MD5, which the storage compares; and compares the tag that it answers with, as far as
    /// that is an MD5: with some kinds of encryption it is not, and a read of the whole object tells.
    fn send_bytes<'a>(
        &self,
        mut action: impl S3Action<'a>,
        method: &str,
        bytes: &[u8],
    ) -> Result<String, S3Error> {
        let sum = md5(bytes);
        let in_base64 = base64(&sum);
        action
            .headers_mut()
            .insert("content-md5", in_base64.clone());
        let answer = self.send(&action, method, &[("content-md5", &in_base64)], bytes)?;
        let tag = tag(&answer)?;
        if is_md5(&tag) && tag != hex(&sum) {
            return Err(S3Error::Damaged);
        }
        Ok(tag)
    }

    fn send<'a>(
        &self,
        action: &impl S3Action<'a>,
        method: &str,
        headers: &[(&str, &str)],
        body: &[u8],
    ) -> Result<http::Response<ureq::Body>, S3Error> {
        let failed = |error: ureq::Error| S3Error::Unreachable(error.to_string());
        let mut request = http::Request::builder()
            .method(method)
            .uri(action.sign(SIGNED_FOR).as_str());
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        let mut answer = match method {
            "PUT" | "POST" => {
                let request = request.body(body).map_err(|e| failed(e.into()))?;
                self.agent.run(request)
            }
            _ => {
                let request = request.body(()).map_err(|e| failed(e.into()))?;
                self.agent.run(request)
            }
        }
        .map_err(failed)?;
        if answer.status().is_success() {
            return Ok(answer);
        }
        let said = answer.body_mut().read_to_string().unwrap_or_default();
        let code = said
            .split_once("<Code>")
            .and_then(|(_, rest)| rest.split_once("</Code>"));
        Err(S3Error::Refused {
            status: answer.status().as_u16(),
            code: code.map(|(code, _)| code.to_owned()),
        })
    }

    fn patiently<T>(&self, request: impl Fn() -> Result<T, S3Error>) -> Result<T, S3Error> {
        let mut pause = self.retry;
        for attempt in 1.. {
            match request() {
                Err(error) if error.is_passing() && attempt < self.attempts => {
                    tracing::warn!(attempt, %error, "trying again");
                    std::thread::sleep(pause.mul_f64(0.5 + fastrand::f64() / 2.0));
                    pause = (pause * 2).min(LONGEST_PAUSE);
                }
                outcome => return outcome,
            }
        }
        unreachable!("attempts are counted from one")
    }
}

/// Whether a tag is the MD5 of what it tags, and not something else or that of a list of parts.
fn is_md5(tag: &str) -> bool {
    tag.len() == 32 && tag.bytes().all(|byte| byte.is_ascii_hexdigit())
}

fn tag(answer: &http::Response<ureq::Body>) -> Result<String, S3Error> {
    let tag = answer.headers().get(http::header::ETAG);
    let tag = tag.and_then(|value| value.to_str().ok());
    let tag = tag.ok_or_else(|| S3Error::Unreachable("an answer without a tag".into()))?;
    Ok(tag.trim_matches('"').to_owned())
}

fn text(mut answer: http::Response<ureq::Body>) -> Result<String, S3Error> {
    let text = answer.body_mut().read_to_string();
    text.map_err(|error| S3Error::Unreachable(error.to_string()))
}

fn base64(bytes: &[u8]) -> String {
    use base64::Engine;
    base64::engine::general_purpose::STANDARD.encode(bytes)
}
