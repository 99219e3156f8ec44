//! What a bucket refuses, in words that name the thing and the next command.

use super::Client;
use crate::failure::Failure;
use bucket::{Error, Reason};

/// The trouble of `client` with doing `what`, as users meet it.
pub fn explain(client: &Client, what: &str, error: &Error) -> anyhow::Error {
    let (place, bucket) = (client.address.shown(""), client.bucket.name());
    let (server, found) = (client.bucket.server(), &client.found);
    let key = client.bucket.keys().id();
    let refusal = match error {
        Error::Refused(refusal) => refusal,
        Error::Unreachable(why) => {
            return Failure {
                what: format!("cannot {what}: {server} cannot be reached: {}", why.cause),
                hint: "check the server (?endpoint=HOST, ?scheme=http) and the network, then give the same command again: what is up already stays".into(),
            }
            .into();
        }
        other => {
            return Failure {
                what: format!("cannot {what}: {other}"),
                hint: "give the same command again: what is up already stays".into(),
            }
            .into();
        }
    };
    let said = refusal.words();
    let (why, hint) = match &refusal.reason {
        Reason::Clock { here, there } => (
            format!("this machine's clock shows {here:.0}, and that of {server} {there:.0}"),
            "set the clock: sudo timedatectl set-ntp true".to_owned(),
        ),
        Reason::NoBucket => (
            format!("there is no bucket {bucket} on {server}"),
            format!(
                "make it (`aws s3 mb s3://{bucket}`), or correct --to: its name, ?endpoint=, ?region="
            ),
        ),
        Reason::UnknownKey => (
            format!("{server} does not take the access key {key}: {said}"),
            format!("correct {found}"),
        ),
        Reason::WrongSecret => (
            format!("{server} knows the access key {key}, with another secret"),
            format!("correct {found}"),
        ),
        Reason::OtherRegion(region) => (
            format!(
                "the bucket {bucket} is not in the region {}: {said}",
                client.bucket.region()
            ),
            format!(
                "--to '{place}?region={}'",
                region.as_deref().unwrap_or("REGION")
            ),
        ),
        Reason::NotAllowed => (
            format!("the access key {key} may not do that: {said}"),
            format!(
                "the key is from {found}; its policy has to allow s3:GetObject, s3:PutObject and s3:AbortMultipartUpload on {place}*, and s3:ListBucket on {bucket}"
            ),
        ),
        _ => (
            format!("{server} says {said}"),
            "give the same command again in a while: what is up already stays".to_owned(),
        ),
    };
    Failure {
        what: format!("cannot {what}: {why}"),
        hint,
    }
    .into()
}
