//! Where a bucket is, in Nix's own words: `s3://BUCKET[/PREFIX][?endpoint=HOST&region=REGION&scheme=http&profile=NAME]`.
//! The prefix is ours: Nix has caches at the root of a bucket only.

use crate::failure::Hint;
use anyhow::{Context, Result};
use bucket::{Bucket, Keys, Settings, Style, quirks};
use url::Url;

/// A place in a bucket.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Address {
    /// The bucket's name.
    bucket: String,
    /// The server it is on.
    server: String,
    /// Where in the server's addresses the bucket is named.
    style: Style,
    /// Where the server keeps it.
    region: String,
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
            .unwrap_or_else(|| quirks::DEFAULT_REGION.into());
        let (server, style) = match endpoint {
            Some(endpoint) if endpoint.contains("://") => (endpoint, Style::Path),
            Some(endpoint) => {
                let scheme = scheme.as_deref().unwrap_or("https");
                (format!("{scheme}://{endpoint}"), Style::Path)
            }
            None => quirks::amazon(&name, &region),
        };
        let address = Self {
            bucket: name,
            server,
            style,
            region,
            prefix: match prefix {
                "" => String::new(),
                prefix => format!("{prefix}/"),
            },
            profile,
        };
        // Nobody needs a key to find out that this is no address.
        Bucket::new(address.settings(), Keys::new("", ""))
            .with_context(|| format!("{to} is no address of a bucket"))
            .hint(FORM)?;
        Ok(address)
    }

    /// The bucket, as a client opens it.
    pub fn settings(&self) -> Settings {
        Settings {
            region: self.region.clone(),
            style: self.style,
            ..Settings::new("lichen", &self.server, &self.bucket)
        }
    }

    /// What people know `name` by.
    pub fn shown(&self, name: &str) -> String {
        format!("s3://{}/{}{name}", self.bucket, self.prefix)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(to: &str) -> Result<Address> {
        Address::parse(to, |_| None)
    }

    #[test]
    fn it_is_found_where_nix_would_look_for_it() {
        let (amazon, west) = (
            "https://s3.us-east-1.amazonaws.com",
            "https://s3.eu-west-1.amazonaws.com",
        );
        for (to, server, style, prefix) in [
            ("s3://b", amazon, Style::Host, ""),
            ("s3://b/", amazon, Style::Host, ""),
            (
                "s3://b/fleet/one/?region=eu-west-1",
                west,
                Style::Host,
                "fleet/one/",
            ),
            ("s3://up.example.org", amazon, Style::Path, ""),
            (
                "s3://b/p?endpoint=s3.example.org",
                "https://s3.example.org",
                Style::Path,
                "p/",
            ),
            (
                "s3://b?scheme=http&endpoint=127.0.0.1:9000",
                "http://127.0.0.1:9000",
                Style::Path,
                "",
            ),
            (
                "s3://b?endpoint=http%3A%2F%2Fnas%3A9000",
                "http://nas:9000",
                Style::Path,
                "",
            ),
        ] {
            let address = parse(to).unwrap();
            let is = (&*address.server, address.style, &*address.prefix);
            assert_eq!(is, (server, style, prefix), "{to}");
        }
        assert_eq!(parse("s3://b/p").unwrap().shown("x"), "s3://b/p/x");
        let nas = parse("s3://b?endpoint=nas:9000&profile=lab").unwrap();
        assert_eq!(nas.server, "https://nas:9000");
        assert_eq!(nas.profile.as_deref(), Some("lab"));
    }

    #[test]
    fn the_region_may_be_the_environments() {
        let address = Address::parse("s3://b", |name| {
            (name == "AWS_DEFAULT_REGION").then(|| "eu-north-1".to_owned())
        });
        assert_eq!(address.unwrap().region, "eu-north-1");
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
