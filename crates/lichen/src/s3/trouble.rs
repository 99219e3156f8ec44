//! What a server of buckets refuses, in words that name the thing and the next step. Its own are the error codes of
//! the [S3 API](https://docs.aws.amazon.com/AmazonS3/latest/API/ErrorResponses.html#ErrorCodeList), which everyone who
//! speaks it has taken over.

use super::Client;
use crate::failure::Failure;
use jiff::{SignedDuration, Timestamp};

/// Why something did not come about.
#[derive(Debug, thiserror::Error)]
pub enum Trouble {
    /// No answer came.
    #[error("{0}")]
    Unreachable(String),
    /// The server said no.
    #[error("{}", .0.words())]
    Refused(Refusal),
    /// Something on this side.
    #[error("{0:#}")]
    Here(anyhow::Error),
}

/// The server's no.
#[derive(Debug, Default)]
pub struct Refusal {
    /// The status of HTTP.
    pub status: u16,
    /// The error's code, and what is said about it; empty where an answer has no body.
    pub code: String,
    /// See `code`.
    pub message: String,
    /// The server's clock.
    pub date: Option<Timestamp>,
    /// Where the bucket is, if it is elsewhere.
    pub region: Option<String>,
}

/// Further apart than this, Amazon believes in no signature.
const SKEW: SignedDuration = SignedDuration::from_mins(15);

impl Refusal {
    /// Reads it off an answer.
    pub fn of(status: u16, header: impl Fn(&str) -> Option<String>, body: &str) -> Self {
        let date = header("date");
        Self {
            status,
            code: element(body, "Code").unwrap_or_default(),
            message: element(body, "Message").unwrap_or_default(),
            date: date.and_then(|date| {
                let zoned = jiff::fmt::rfc2822::parse(&date).ok()?;
                Some(zoned.timestamp())
            }),
            region: header("x-amz-bucket-region").or_else(|| element(body, "Region")),
        }
    }

    /// What people may want to look up.
    fn words(&self) -> String {
        let some = [&*self.code, &*self.message];
        let said = some.into_iter().filter(|word| !word.is_empty());
        let said = said.collect::<Vec<_>>().join(": ");
        match said.is_empty() {
            true => format!("status {}", self.status),
            false => said,
        }
    }
}

impl Trouble {
    /// Whether it may go well in a moment.
    pub fn passes(&self) -> bool {
        match self {
            Self::Unreachable(_) => true,
            Self::Refused(refusal) => {
                matches!(refusal.status, 429 | 500 | 502 | 503 | 504)
                    || refusal.code == "RequestTimeout"
            }
            Self::Here(_) => false,
        }
    }
}

/// The trouble of `client` with doing `what`, as users meet it.
pub fn explain(client: &Client, what: &str, trouble: Trouble) -> anyhow::Error {
    let (address, server) = (&client.address, client.address.server());
    let (place, bucket) = (address.shown(""), address.bucket.name());
    let (key, found) = (client.keys.credentials.key(), &client.keys.found);
    let refusal = match trouble {
        Trouble::Here(error) => return error,
        Trouble::Unreachable(why) => {
            return Failure {
                what: format!("cannot {what}: {server} can't be reached: {why}"),
                hint: "is that the server (?endpoint=HOST, ?scheme=http), and the network there? Then the same command again: what is up already stays".into(),
            }
            .into();
        }
        Trouble::Refused(refusal) => refusal,
    };
    let now = (client.clock)();
    let skew = refusal.date.map(|date| now.duration_since(date));
    let said = refusal.words();
    let (why, hint) = match &*refusal.code {
        _ if refusal.status == 403 && skew.is_some_and(|skew| skew.abs() > SKEW) => (
            format!(
                "the clock here says {now:.0}, and that of {server} {:.0}",
                refusal.date.unwrap_or_default()
            ),
            "set the clock: sudo timedatectl set-ntp true".to_owned(),
        ),
        "NoSuchBucket" | "InvalidBucketName" => (
            format!("there is no bucket {bucket} on {server}"),
            format!(
                "make it (`aws s3 mb s3://{bucket}`), or correct --to: its name, ?endpoint=, ?region="
            ),
        ),
        "InvalidAccessKeyId" | "InvalidToken" | "ExpiredToken" | "NotSignedUp" => (
            format!("{server} does not take the access key {key}: {said}"),
            format!("correct {found}"),
        ),
        "SignatureDoesNotMatch" => (
            format!("{server} knows the access key {key}, with another secret"),
            format!("correct {found}"),
        ),
        "PermanentRedirect"
        | "TemporaryRedirect"
        | "AuthorizationHeaderMalformed"
        | "IllegalLocationConstraintException" => (
            format!(
                "the bucket {bucket} is not in the region {}: {said}",
                address.bucket.region()
            ),
            format!(
                "--to '{place}?region={}'",
                refusal.region.as_deref().unwrap_or("REGION")
            ),
        ),
        "AccessDenied" | "AllAccessDisabled" => (
            format!("the access key {key} may not do that: {said}"),
            format!(
                "its policy has to allow s3:GetObject, s3:PutObject and s3:AbortMultipartUpload on {place}*, and s3:ListBucket on {bucket}"
            ),
        ),
        _ if refusal.status == 403 => (
            format!("{server} refuses the access key {key}: {said}"),
            format!("is it the right one, and may it? It is from {found}"),
        ),
        _ => (
            format!("{server} says {said}"),
            "the same command again, in a while: what is up already stays".to_owned(),
        ),
    };
    Failure {
        what: format!("cannot {what}: {why}"),
        hint,
    }
    .into()
}

/// What stands between the tags of that name.
fn element(text: &str, name: &str) -> Option<String> {
    let (_, rest) = text.split_once(&format!("<{name}>"))?;
    let (value, _) = rest.split_once(&format!("</{name}>"))?;
    Some(value.trim().to_owned())
}
