//! Where a bucket is, in Nix's own words: `s3://BUCKET[/PREFIX][?endpoint=HOST&region=REGION&scheme=http&profile=NAME]`.
//! The prefix is ours: Nix has caches at the root of a bucket only.

use crate::failure::Hint;
use anyhow::{Context, Result};
use rusty_s3::{Bucket, UrlStyle};
use url::Url;

/// A place in a bucket.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Address {
    /// The bucket, and the server it is on.
    pub bucket: Bucket,
    /// Its folder, so to speak: empty, or with a slash at its end.
    pub prefix: String,
    /// Which of the keys in `~/.aws/credentials` opens it.
    pub profile: Option<String>,
}

const FORM: &str = "s3://BUCKET[/PREFIX][?endpoint=HOST&region=REGION&scheme=http&profile=NAME]";

impl Address {
    /// Understands `to`; `variable` gives what the environment has by a name.
    pub fn parse(to: &str, variable: impl Fn(&str) -> Option<String>) -> Result<Self> {
        let url = Url::parse(to)
            .with_context(|| format!("{to} is no address of a bucket"))
            .hint(FORM)?;
        let name = url.host_str().unwrap_or_default().to_owned();
        let prefix = url.path().trim_matches('/');
        let plain = |c: char| c.is_ascii_alphanumeric() || "._-/".contains(c);
        if name.is_empty() || !prefix.chars().all(plain) || prefix.contains("//") {
            crate::fail!(hint: FORM, "{to} is no address of a bucket");
        }
        let (mut endpoint, mut region, mut scheme, mut profile) = (None, None, None, None);
        for (key, value) in url.query_pairs() {
            let place = match &*key {
                "endpoint" => &mut endpoint,
                "region" => &mut region,
                "scheme" => &mut scheme,
                "profile" => &mut profile,
                _ => crate::fail!(hint: FORM, "{to}: nothing is known of {key}"),
            };
            *place = Some(value.into_owned());
        }
        let variable = |name| variable(name).filter(|value| !value.is_empty());
        let region = region
            .or_else(|| variable("AWS_REGION"))
            .or_else(|| variable("AWS_DEFAULT_REGION"))
            .unwrap_or_else(|| "us-east-1".into());
        let (server, style) = match endpoint {
            Some(endpoint) if endpoint.contains("://") => (endpoint, UrlStyle::Path),
            Some(endpoint) => {
                let scheme = scheme.as_deref().unwrap_or("https");
                (format!("{scheme}://{endpoint}"), UrlStyle::Path)
            }
            // No certificate of Amazon's is for a host with more dots.
            None if name.contains('.') => (amazon(&region), UrlStyle::Path),
            None => (amazon(&region), UrlStyle::VirtualHost),
        };
        let bucket =
            || -> Result<Bucket> { Ok(Bucket::new(Url::parse(&server)?, style, name, region)?) };
        Ok(Self {
            bucket: bucket()
                .with_context(|| format!("{to}: {server} is no server's address"))
                .hint(FORM)?,
            prefix: match prefix {
                "" => String::new(),
                prefix => format!("{prefix}/"),
            },
            profile,
        })
    }

    /// The server, as people know it.
    pub fn server(&self) -> String {
        let url = self.bucket.base_url();
        let host = url.host_str().unwrap_or_default();
        match url.port() {
            Some(port) => format!("{host}:{port}"),
            None => host.to_owned(),
        }
    }

    /// What people know `name` by.
    pub fn shown(&self, name: &str) -> String {
        format!("s3://{}/{}{name}", self.bucket.name(), self.prefix)
    }
}

fn amazon(region: &str) -> String {
    format!("https://s3.{region}.amazonaws.com")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(to: &str) -> Result<Address> {
        Address::parse(to, |_| None)
    }

    #[test]
    fn it_is_found_where_nix_would_look_for_it() {
        for (to, object) in [
            ("s3://b", "https://b.s3.us-east-1.amazonaws.com/x"),
            ("s3://b/", "https://b.s3.us-east-1.amazonaws.com/x"),
            (
                "s3://b/fleet/one/?region=eu-west-1",
                "https://b.s3.eu-west-1.amazonaws.com/fleet/one/x",
            ),
            (
                "s3://up.example.org",
                "https://s3.us-east-1.amazonaws.com/up.example.org/x",
            ),
            (
                "s3://b/p?endpoint=s3.example.org",
                "https://s3.example.org/b/p/x",
            ),
            (
                "s3://b?scheme=http&endpoint=127.0.0.1:9000",
                "http://127.0.0.1:9000/b/x",
            ),
            (
                "s3://b?endpoint=http%3A%2F%2Fnas%3A9000",
                "http://nas:9000/b/x",
            ),
        ] {
            let address = parse(to).unwrap();
            let key = format!("{}x", address.prefix);
            assert_eq!(address.bucket.object_url(&key).as_str(), object, "{to}");
        }
        assert_eq!(parse("s3://b/p").unwrap().shown("x"), "s3://b/p/x");
        let nas = parse("s3://b?endpoint=nas:9000&profile=lab").unwrap();
        assert_eq!(nas.server(), "nas:9000");
        assert_eq!(nas.profile.as_deref(), Some("lab"));
    }

    #[test]
    fn the_region_may_be_the_environments() {
        let address = Address::parse("s3://b", |name| {
            (name == "AWS_DEFAULT_REGION").then(|| "eu-north-1".to_owned())
        });
        assert_eq!(address.unwrap().bucket.region(), "eu-north-1");
    }

    #[test]
    fn what_is_no_address_is_refused_with_the_form_of_one() {
        for bad in [
            "s3://",
            "s3:///p",
            "s3:b",
            "s3://b/a//b",
            "s3://b/a%20b",
            "s3://b?endpint=nas",
            "s3://b?endpoint=",
            "s3://b?endpoint=ftp://nas",
        ] {
            let failure = parse(bad)
                .unwrap_err()
                .downcast::<crate::failure::Failure>();
            assert_eq!(failure.unwrap().hint, FORM, "{bad}");
        }
    }
}
