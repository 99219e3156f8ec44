//! What differs between storages that all speak "S3". Nothing outside this file knows a provider.
//!
//! | storage | endpoint | region | bucket in | notes |
//! |---|---|---|---|---|
//! | AWS | `https://s3.REGION.amazonaws.com` | the bucket's | host | with a dot in its name: path, as no certificate covers two labels |
//! | Cloudflare R2 | `https://ACCOUNT.r2.cloudflarestorage.com` | `auto` | path | all parts but the last of one size |
//! | Backblaze B2 | `https://s3.REGION.backblazeb2.com` | as in the endpoint | either | answers 503 as a matter of course: the request is to be repeated |
//! | MinIO | yours | `us-east-1` unless set | path | |
//! | Garage | yours | `garage` unless set | path | |
//!
//! How it is dealt with, for all of them alike:
//!
//! - **Checksums.** `Content-MD5` is the one header that all of them compare with what they get. The newer
//!   `x-amz-checksum-…`, which Amazon's own programs send since 2025, is refused by some versions of the others, and is
//!   not sent. Bodies are not part of the signature: a body would have to be read twice, and MD5 tells damage already.
//! - **Tags.** The tag of an object that came in one piece is its MD5; of one in parts the MD5 of their MD5s, and how
//!   many they were. With encryption by a key of the customer's (SSE-C, SSE-KMS) it is neither,
//!   see [`is_encrypted`], and nobody promises it for compatible storages. That the tag of a whole is not as expected is
//!   therefore no proof of damage: the object is read back and compared. Some quote tags and some mark them as weak; see [`bare_tag`].
//! - **Parts.** Between 5 MiB and 5 GiB, all of one size but the last, at most 10,000; see [`part_bytes`].
//! - **Completing** an upload may say 200 and then, in the body, an error: the answer is read before it is believed.
//!   If the answer gets lost, the repeated request finds no such upload (`NoSuchUpload`): whether the object is there
//!   decides.
//! - **404 without a word.** The answer to HEAD has no body, so that a missing bucket and a missing object look alike
//!   there; `NoSuchBucket` is told where there is a body.
//! - **The clock.** A signature is refused when the clocks are 15 minutes apart, under several codes. The `Date` of the
//!   refusal tells.
//! - **Redirects** to the bucket's region are errors (301, 307, 400 with a region): signatures are for one host.

use jiff::SignedDuration;

use crate::{Error, Settings};

/// The region of storages that have none, and of AWS if nothing else is said.
pub const DEFAULT_REGION: &str = "us-east-1";
/// The header that every storage compares with the body.
pub const CHECKSUM_HEADER: &str = "content-md5";
/// Clocks further apart than this make signatures invalid.
pub const SKEW: SignedDuration = SignedDuration::from_mins(15);
/// No part but the last may be smaller.
const SMALLEST_PART: u64 = 5 << 20;
/// No upload may have more parts.
const MOST_PARTS: u64 = 10_000;

/// Where in an address the bucket is named.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Style {
    /// `https://storage/bucket/key`.
    Path,
    /// `https://bucket.storage/key`.
    Host,
}

/// AWS's endpoint of a region, and where it wants a bucket of this name to be.
pub fn amazon(bucket: &str, region: &str) -> (String, Style) {
    let style = match bucket.contains('.') {
        true => Style::Path,
        false => Style::Host,
    };
    (format!("https://s3.{region}.amazonaws.com"), style)
}

/// The size of parts for a file of `bytes`, as near to `wanted` as storages allow: in whole MiB if it has to be larger.
pub fn part_bytes(wanted: u64, bytes: u64) -> u64 {
    let needed = bytes.div_ceil(MOST_PARTS).next_multiple_of(1 << 20);
    wanted.max(SMALLEST_PART).max(needed)
}

/// A tag without quotes, nor the mark of a weak one.
pub fn bare_tag(tag: &str) -> String {
    let tag = tag.trim();
    let tag = tag.strip_prefix("W/").unwrap_or(tag);
    tag.trim_matches('"').to_ascii_lowercase()
}

/// Whether a tag is the MD5 of what it tags, and not something else or that of a list of parts.
pub fn is_sum(tag: &str) -> bool {
    tag.len() == 32 && tag.bytes().all(|byte| byte.is_ascii_hexdigit())
}

/// Whether an answer with these headers is about an object whose tag is no sum, as it is encrypted by the customer's key.
pub fn is_encrypted<'a>(header: impl Fn(&str) -> Option<&'a str>) -> bool {
    let by = header("x-amz-server-side-encryption");
    by.is_some_and(|by| by.starts_with("aws:kms"))
        || header("x-amz-server-side-encryption-customer-algorithm").is_some()
}

/// Whether a refusal with this status and code may pass by itself.
pub fn passes(status: u16, code: &str) -> bool {
    match code {
        // Statuses of 400, for what the way there did to the request.
        "RequestTimeout" | "BadDigest" | "IncompleteBody" => true,
        _ => matches!(status, 408 | 429 | 500 | 502..=599),
    }
}

/// The bucket of `settings`, with addresses as its storage wants them.
pub(crate) fn open(settings: &Settings) -> Result<rusty_s3::Bucket, Error> {
    let style = match settings.style {
        Style::Path => rusty_s3::UrlStyle::Path,
        Style::Host => rusty_s3::UrlStyle::VirtualHost,
    };
    let wrong = |why: String| Error::Settings {
        endpoint: settings.endpoint.clone(),
        why,
    };
    let endpoint = (settings.endpoint.parse()).map_err(|error| wrong(format!("{error}")))?;
    let (name, region) = (settings.bucket.clone(), settings.region.clone());
    rusty_s3::Bucket::new(endpoint, style, name, region).map_err(|error| wrong(error.to_string()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parts_are_as_large_as_they_have_to_be() {
        const MIB: u64 = 1 << 20;
        for (wanted, bytes, size) in [
            (8 * MIB, 100 * MIB, 8 * MIB),
            (1, 100 * MIB, 5 * MIB),
            (8 * MIB, 80_000 * MIB, 8 * MIB),
            (8 * MIB, 80_000 * MIB + 1, 9 * MIB),
        ] {
            assert_eq!(part_bytes(wanted, bytes), size);
            assert!(bytes.div_ceil(size) <= MOST_PARTS);
        }
    }

    #[test]
    fn tags_are_compared_without_what_storages_put_around_them() {
        let sum = "d41d8cd98f00b204e9800998ecf8427e";
        for tag in [
            &format!("\"{sum}\""),
            &format!("W/\"{sum}\""),
            &sum.to_uppercase(),
        ] {
            assert_eq!(bare_tag(tag), sum);
        }
        assert!(is_sum(sum) && !is_sum(&format!("{sum}-2")));
    }

    #[test]
    fn the_tag_of_what_a_customers_key_encrypts_says_nothing() {
        let answer = |name, value| move |asked: &str| (asked == name).then_some(value);
        let kms = answer("x-amz-server-side-encryption", "aws:kms");
        let amazons = answer("x-amz-server-side-encryption", "AES256");
        assert!(is_encrypted(kms) && !is_encrypted(amazons));
    }

    #[test]
    fn with_a_dot_in_its_name_amazon_has_a_bucket_in_the_path() {
        assert_eq!(amazon("lab", "eu-west-1").1, Style::Host);
        assert_eq!(amazon("up.example.org", "eu-west-1").1, Style::Path);
    }
}
