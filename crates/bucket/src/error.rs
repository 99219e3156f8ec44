//! Why an operation on a bucket failed: values for callers, and messages with a hint for people. The storage's own
//! error codes are those of the
//! [S3 API](https://docs.aws.amazon.com/AmazonS3/latest/API/ErrorResponses.html#ErrorCodeList), which every compatible
//! storage uses.

use std::path::PathBuf;

use http_client::Answer;
use jiff::Timestamp;

use crate::quirks;

/// How much of an error answer is read, in bytes.
const EXCERPT: u64 = 8 << 10;

/// Why an operation failed.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// There was no answer, or only a part of one.
    #[error("cannot reach the storage: {0}")]
    Unreachable(#[from] http_client::Error),
    /// The storage refused the request.
    #[error("{0}")]
    Refused(Refusal),
    /// The stored object differs from what was sent.
    #[error("the object in the storage differs from the data that were sent")]
    Damaged,
    /// The storage reported success, but its answer lacks something.
    #[error("the storage's answer does not contain {what}: {answer:?}")]
    Strange {
        /// What is missing.
        what: &'static str,
        /// The answer.
        answer: String,
    },
    /// A local file cannot be read.
    #[error("cannot read {path}: {why}", path = .path.display())]
    Unreadable {
        /// The file.
        path: PathBuf,
        /// The system's error.
        why: std::io::Error,
    },
    /// The progress of an upload cannot be recorded.
    #[error("cannot record the progress of an upload: {0:#}")]
    Ledger(anyhow::Error),
    /// The settings do not form a valid address.
    #[error("{endpoint} is not a valid endpoint: {why}")]
    Settings {
        /// The endpoint that was given.
        endpoint: String,
        /// What is wrong with it.
        why: String,
    },
}

/// A refusal by the storage.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("the storage answered {status}{}", self.in_brackets())]
pub struct Refusal {
    /// The HTTP status.
    pub status: u16,
    /// The error's code and message; empty if the answer has no body.
    pub code: String,
    /// See `code`.
    pub message: String,
    /// What the refusal means.
    pub reason: Reason,
}

/// What a refusal means.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum Reason {
    /// The clocks differ too much for signatures.
    Clock {
        /// The time on this device.
        here: Timestamp,
        /// The time at the storage.
        there: Timestamp,
    },
    /// The bucket does not exist.
    NoBucket,
    /// The object does not exist.
    NoObject,
    /// The upload does not exist: it was completed or aborted.
    NoUpload,
    /// The bucket is in another region; the region is given if the storage names it.
    OtherRegion(Option<String>),
    /// The access key is unknown, or no longer valid.
    UnknownKey,
    /// The access key is known, but the secret does not match.
    WrongSecret,
    /// The access key lacks the permission.
    NotAllowed,
    /// A temporary failure: the same request may succeed later.
    Passing,
    /// Any other refusal.
    Other,
}

impl Error {
    pub(crate) fn strange(what: &'static str) -> Self {
        Error::Strange {
            what,
            answer: String::new(),
        }
    }

    /// Whether the same request may succeed later without any change on this device.
    pub fn is_transient(&self) -> bool {
        match self {
            Error::Unreachable(error) => error.is_transient(),
            Error::Refused(refusal) => refusal.reason == Reason::Passing,
            Error::Damaged => true,
            _ => false,
        }
    }

    /// The meaning of a refusal; none for other errors.
    pub fn reason(&self) -> Option<&Reason> {
        match self {
            Error::Refused(refusal) => Some(&refusal.reason),
            _ => None,
        }
    }

    /// A hint for people.
    pub fn hint(&self) -> Option<String> {
        let reason = match self {
            Error::Unreachable(_) => {
                return Some("check the network, and the endpoint's address".into());
            }
            Error::Refused(refusal) => &refusal.reason,
            _ => return None,
        };
        Some(match reason {
            Reason::Clock { here, there } => {
                format!("this device's clock says {here:.0}, but the storage's says {there:.0}: set the clock")
            }
            Reason::NoBucket => "create the bucket, or correct its name, endpoint or region".into(),
            Reason::OtherRegion(Some(region)) => format!("the bucket is in the region {region}"),
            Reason::OtherRegion(None) => "the bucket is in another region".into(),
            Reason::UnknownKey => "the storage does not know this access key: use another one".into(),
            Reason::WrongSecret => "the secret does not belong to this access key".into(),
            Reason::NotAllowed => {
                "this access key may not do that: its policy has to allow s3:GetObject, s3:PutObject \
                 and s3:AbortMultipartUpload on the bucket's objects, and s3:ListBucket on the bucket, \
                 without which an object that is missing is told as forbidden"
                    .into()
            }
            Reason::NoObject | Reason::NoUpload | Reason::Passing | Reason::Other => return None,
        })
    }
}

impl Refusal {
    /// Creates it from an answer that arrived at the time `here`.
    pub(crate) fn of(answer: Answer, here: Timestamp) -> Self {
        let date = answer.header("date").and_then(|date| {
            let zoned = jiff::fmt::rfc2822::parse(date).ok()?;
            Some(zoned.timestamp())
        });
        let region = answer.header("x-amz-bucket-region").map(str::to_owned);
        let status = answer.status();
        Refusal::new(
            status,
            &answer.excerpt(EXCERPT),
            region,
            date.map(|there| (here, there)),
        )
    }

    /// The meaning of an answer's status and body, given the region that the storage reports, its clock and ours.
    pub fn new(
        status: u16,
        body: &str,
        region: Option<String>,
        clocks: Option<(Timestamp, Timestamp)>,
    ) -> Self {
        let code = element(body, "Code").unwrap_or_default();
        let apart = |(here, there): &(Timestamp, Timestamp)| {
            here.duration_since(*there).abs() > quirks::SKEW
        };
        let reason = match (&*code, clocks.filter(apart)) {
            (_, Some((here, there))) if status == 403 => Reason::Clock { here, there },
            ("NoSuchBucket" | "InvalidBucketName", _) => Reason::NoBucket,
            ("NoSuchUpload", _) => Reason::NoUpload,
            ("InvalidAccessKeyId" | "InvalidToken" | "ExpiredToken" | "NotSignedUp", _) => {
                Reason::UnknownKey
            }
            ("SignatureDoesNotMatch", _) => Reason::WrongSecret,
            (
                "PermanentRedirect"
                | "TemporaryRedirect"
                | "AuthorizationHeaderMalformed"
                | "IllegalLocationConstraintException",
                _,
            ) => Reason::OtherRegion(region.or_else(|| element(body, "Region"))),
            _ if status == 403 => Reason::NotAllowed,
            _ if status == 404 => Reason::NoObject,
            _ if quirks::passes(status, &code) => Reason::Passing,
            _ => Reason::Other,
        };
        Refusal {
            status,
            message: element(body, "Message").unwrap_or_default(),
            code,
            reason,
        }
    }

    /// The code and message in brackets, for looking them up.
    pub fn words(&self) -> String {
        let some = [&*self.code, &*self.message];
        let said: Vec<&str> = some.into_iter().filter(|word| !word.is_empty()).collect();
        match said.is_empty() {
            true => format!("status {}", self.status),
            false => said.join(": "),
        }
    }

    fn in_brackets(&self) -> String {
        match self.code.is_empty() {
            true => String::new(),
            false => format!(" ({})", self.code),
        }
    }
}

/// The text of the XML element with this name.
fn element(text: &str, name: &str) -> Option<String> {
    let (_, rest) = text.split_once(&format!("<{name}>"))?;
    let (value, _) = rest.split_once(&format!("</{name}>"))?;
    Some(value.trim().to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn reason(status: u16, code: &str) -> Reason {
        let body = format!("<Error><Code>{code}</Code></Error>");
        Refusal::new(status, &body, None, None).reason
    }

    #[test]
    fn what_passes_is_told_from_what_somebody_has_to_mend() {
        for (status, code) in [
            (503, "SlowDown"),
            (500, "InternalError"),
            (429, ""),
            (400, "RequestTimeout"),
            (400, "BadDigest"),
        ] {
            assert_eq!(reason(status, code), Reason::Passing, "{status} {code}");
        }
        for (status, code, what) in [
            (403, "AccessDenied", Reason::NotAllowed),
            (403, "", Reason::NotAllowed),
            (403, "SignatureDoesNotMatch", Reason::WrongSecret),
            (403, "InvalidAccessKeyId", Reason::UnknownKey),
            (404, "NoSuchBucket", Reason::NoBucket),
            (404, "NoSuchUpload", Reason::NoUpload),
            (404, "", Reason::NoObject),
            (501, "NotImplemented", Reason::Other),
        ] {
            assert_eq!(reason(status, code), what, "{status} {code}");
        }
    }

    #[test]
    fn another_region_is_told_by_its_name() {
        let body =
            "<Error><Code>AuthorizationHeaderMalformed</Code><Region>eu-west-1</Region></Error>";
        let refusal = Refusal::new(400, body, None, None);
        let error = Error::Refused(refusal);
        assert_eq!(
            error.hint().unwrap(),
            "the bucket is in the region eu-west-1"
        );
    }

    #[test]
    fn a_clock_that_is_wrong_is_told_before_anything_else() {
        let here: Timestamp = "2026-11-29T00:00:00Z".parse().unwrap();
        let there: Timestamp = "2027-11-29T00:00:00Z".parse().unwrap();
        let body = "<Error><Code>AccessDenied</Code></Error>";
        let refusal = Refusal::new(403, body, None, Some((here, there)));
        assert_eq!(refusal.reason, Reason::Clock { here, there });
    }
}
