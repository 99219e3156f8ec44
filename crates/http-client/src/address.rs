//! Checks of an address that need no network, and the part of an address that may be shown.

use http::Uri;

/// An address with a scheme that HTTP supports.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Address {
    scheme: String,
    host: String,
    port: Option<u16>,
}

impl Address {
    /// Parses `url` if it begins with `http://` or `https://` and names a host.
    pub fn parse(url: &str) -> Option<Self> {
        let uri: Uri = url.parse().ok()?;
        let scheme = uri
            .scheme_str()
            .filter(|s| matches!(*s, "http" | "https"))?;
        let host = uri.host().filter(|host| !host.is_empty())?;
        // A port that is none would silently be the scheme's own.
        let named = uri.authority()?.as_str().rsplit('@').next()?;
        if named != host && uri.port().is_none() {
            return None;
        }
        Some(Address {
            scheme: scheme.to_owned(),
            host: host.to_owned(),
            port: uri.port_u16(),
        })
    }

    /// Whether the host has to prove who it is.
    pub fn uses_tls(&self) -> bool {
        self.scheme == "https"
    }

    /// The host, with the port if one is given.
    pub fn authority(&self) -> String {
        match self.port {
            Some(port) => format!("{}:{port}", self.host),
            None => self.host.clone(),
        }
    }

    /// The address without parts that may be secret: the path, the query, and a user name before the host.
    pub fn masked(&self) -> String {
        format!("{}://{}/…", self.scheme, self.host)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_path_a_query_and_a_name_are_never_shown() {
        for (url, shown) in [
            ("https://hooks.example/T0/secret", "https://hooks.example/…"),
            ("http://me:word@nas:9000/?key=secret", "http://nas/…"),
        ] {
            assert_eq!(Address::parse(url).unwrap().masked(), shown);
        }
        for (url, authority) in [
            ("http://me:word@nas:9000/x", "nas:9000"),
            ("http://me@nas/x", "nas"),
            (
                "http://10.0.0.7:65535/\"{}?a={b}&c=[d]|\\e`# f",
                "10.0.0.7:65535",
            ),
            ("http://[2001:db8::1]/x", "[2001:db8::1]"),
            ("http://[2001:db8::1]:9000/x", "[2001:db8::1]:9000"),
        ] {
            assert_eq!(Address::parse(url).unwrap().authority(), authority);
        }
    }

    #[test]
    fn what_http_cannot_reach_is_no_address() {
        for bad in [
            "",
            "nas",
            "/x",
            "ftp://nas/x",
            "http://",
            "file:///etc/passwd",
            "http://a b/",
            "http://a]b/",
            "http://[2001:db8::1/",
            "http://nas:80:90/",
            "http://nas:99999/",
            "http://nas:http/",
            "http://nas/<x>",
            "http://nas/?\"x\"",
        ] {
            assert_eq!(Address::parse(bad), None, "{bad}");
        }
    }
}
