//! The differences between storages that support the S3 API. No other file knows about providers.
//!
//! | storage | endpoint | region | bucket in | notes |
//! |---|---|---|---|---|
//! | AWS | `https://s3.REGION.amazonaws.com` | the bucket's | host | a name with a dot goes into the path, because no certificate covers two labels |
//! | Cloudflare R2 | `https://ACCOUNT.r2.cloudflarestorage.com` | `auto` | path | all parts except the last must have the same size |
//! | Backblaze B2 | `https://s3.REGION.backblazeb2.com` | as in the endpoint | either | often answers 503; the request must be repeated |
//! | MinIO | yours | `us-east-1` unless set | path | |
//! | Garage | yours | `garage` unless set | path | |
//!
//! These differences are handled in the same way for all storages:
//!
//! - **Checksums.** All storages compare the header `Content-MD5` with the body. The newer `x-amz-checksum-…`, which
//!   Amazon's own programs have sent since 2025, is refused by some versions of other storages and therefore not sent.
//!   Bodies are not signed: they would have to be read twice, and MD5 already detects damage.
//! - **ETags.** The ETag of an object that was uploaded in one piece is its MD5; for an upload in parts, it is the MD5
//!   of the parts' MD5s, followed by their number. With customer-managed encryption (SSE-C, SSE-KMS) it is neither, see
//!   [`is_encrypted`], and compatible storages do not guarantee any of this. An unexpected ETag is therefore no proof
//!   of damage: the object is read back and compared. Some storages quote ETags or mark them as weak; see [`bare_tag`].
//! - **Parts.** Between 5 MiB and 5 GiB, all of the same size except the last, at most 10,000; see [`part_bytes`].
//! - **Completing** an upload may answer 200 with an error in the body, so the body is checked. If the answer is lost,
//!   the repeated request fails with `NoSuchUpload`; then the upload succeeded if the object exists.
//! - **404 without a body.** The answer to HEAD has no body, so a missing bucket and a missing object look alike there;
//!   `NoSuchBucket` is recognised only where there is a body.
//! - **The clock.** A signature is refused if the clocks differ by more than 15 minutes, under several codes. The
//!   `Date` header of the refusal shows the storage's time.
//! - **Redirects** to the bucket's region are errors (301, 307, 400 with a region): signatures are for one host.

use jiff::SignedDuration;

use crate::{Error, Settings};

/// The region of storages without regions, and the default for AWS.
pub const DEFAULT_REGION: &str = "us-east-1";
/// The header with which every storage verifies the body.
pub const CHECKSUM_HEADER: &str = "content-md5";
/// A larger difference between the clocks makes signatures invalid.
pub const SKEW: SignedDuration = SignedDuration::from_mins(15);
/// The smallest size of a part, except for the last one.
const SMALLEST_PART: u64 = 5 << 20;
/// The largest number of parts of an upload.
const MOST_PARTS: u64 = 10_000;

/// Where the bucket is named in an address.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Style {
    /// `https://storage/bucket/key`.
    Path,
    /// `https://bucket.storage/key`.
    Host,
}

/// AWS's endpoint of a region, and where a bucket of this name belongs in the address.
pub fn amazon(bucket: &str, region: &str) -> (String, Style) {
    let style = match bucket.contains('.') {
        true => Style::Path,
        false => Style::Host,
    };
    (format!("https://s3.{region}.amazonaws.com"), style)
}

/// The part size for a file of `bytes`, as close to `wanted` as storages allow; larger sizes are whole MiB.
pub fn part_bytes(wanted: u64, bytes: u64) -> u64 {
    let needed = bytes.div_ceil(MOST_PARTS).next_multiple_of(1 << 20);
    wanted.max(SMALLEST_PART).max(needed)
}

/// An ETag without quotes and without the mark of a weak one.
pub fn bare_tag(tag: &str) -> String {
    let tag = tag.trim();
    let tag = tag.strip_prefix("W/").unwrap_or(tag);
    tag.trim_matches('"').to_ascii_lowercase()
}

/// Whether an ETag is an MD5 of the content, and not of a list of parts or something else.
pub fn is_sum(tag: &str) -> bool {
    tag.len() == 32 && tag.bytes().all(|byte| byte.is_ascii_hexdigit())
}

/// Whether the headers belong to an object encrypted with a customer's key, whose ETag is not a checksum.
pub fn is_encrypted<'a>(header: impl Fn(&str) -> Option<&'a str>) -> bool {
    let by = header("x-amz-server-side-encryption");
    by.is_some_and(|by| by.starts_with("aws:kms"))
        || header("x-amz-server-side-encryption-customer-algorithm").is_some()
}

/// Whether a refusal with this status and code is temporary.
pub fn passes(status: u16, code: &str) -> bool {
    match code {
        // These have status 400, but are caused by damage or delays on the way.
        "RequestTimeout" | "BadDigest" | "IncompleteBody" => true,
        _ => matches!(status, 408 | 429 | 500 | 502..=599),
    }
}

/// The bucket of `settings`, with addresses in the form that its storage expects.
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
