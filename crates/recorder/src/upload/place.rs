//! Addresses of uploads: which server a secret may be sent to, and where a server's `Location` leads.

use url::Url;

use super::trouble::{Setback, Trouble};

/// A server, which is known by the address in the settings.
pub struct Place {
    url: Url,
}

impl Place {
    /// The server at an address, which was checked with the settings.
    pub fn new(url: &str) -> anyhow::Result<Self> {
        Ok(Place {
            url: Url::parse(url)?,
        })
    }

    /// Its address.
    pub fn url(&self) -> &str {
        self.url.as_str()
    }

    /// Its host, with the port if one is given.
    pub fn host(&self) -> String {
        authority(&self.url)
    }

    /// The address of the file `name` in this folder.
    pub fn file(&self, name: &str) -> anyhow::Result<Url> {
        let mut url = self.url.clone();
        let mut path = url
            .path_segments_mut()
            .map_err(|()| anyhow::anyhow!("{} cannot be a folder", self.host()))?;
        path.pop_if_empty().push(name);
        drop(path);
        Ok(url)
    }

    /// The address that a `Location` header means, which must be on this very server: neither the credential nor the
    /// video is sent to a place that nobody has configured.
    pub fn location(&self, header: Option<&str>) -> Result<String, Setback> {
        let host = self.host();
        let there = header.and_then(|location| self.url.join(location).ok());
        let Some(there) = there else {
            let why = format!("{host} began an upload, but did not say where");
            return Err(Trouble::target(why).into());
        };
        if there.origin() != self.url.origin() {
            let (ours, theirs) = (self.url.scheme(), there.scheme());
            let to = authority(&there);
            let why = format!(
                "{host} wants the upload to be sent to {theirs}://{to}, which is not the configured {ours}://{host}: correct the address here, or the proxy's settings there"
            );
            return Err(Trouble::target(why).into());
        }
        Ok(there.into())
    }
}

/// A target's name for a video, as the journal may have it: in the query of an address and before its host there may be
/// secrets.
pub fn without_secrets(name: &str) -> String {
    let Ok(mut url) = Url::parse(name) else {
        return name.to_owned();
    };
    url.set_query(None);
    url.set_fragment(None);
    // What has no host has neither of these.
    let _ = url.set_username("").and_then(|()| url.set_password(None));
    url.into()
}

fn authority(url: &Url) -> String {
    let host = url.host_str().unwrap_or_default();
    match url.port() {
        Some(port) => format!("{host}:{port}"),
        None => host.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_location_is_on_the_same_server_or_refused() {
        let place = Place::new("https://videos.example/files/?a=b").unwrap();
        for (header, url) in [
            ("/files/1", "https://videos.example/files/1"),
            ("1", "https://videos.example/files/1"),
            (
                "https://videos.example:443/x?key=y",
                "https://videos.example/x?key=y",
            ),
        ] {
            assert_eq!(place.location(Some(header)).unwrap(), url);
        }
        for header in [
            None,
            Some("http://videos.example/files/1"),
            Some("https://videos.example:8443/files/1"),
            Some("//elsewhere.example/files/1"),
            Some("https://videos.example@elsewhere.example/1"),
        ] {
            place.location(header).unwrap_err();
        }
    }

    #[test]
    fn what_may_be_secret_in_an_address_is_left_out() {
        for (name, told) in [
            (
                "https://a.example/files/1?key=x#y",
                "https://a.example/files/1",
            ),
            ("https://me:secret@a.example/1", "https://a.example/1"),
            ("gym/1.mp4", "gym/1.mp4"),
            ("dQw4w9WgXcQ", "dQw4w9WgXcQ"),
        ] {
            assert_eq!(without_secrets(name), told);
        }
    }

    #[test]
    fn a_file_is_in_the_folder_whatever_its_name_is() {
        for folder in ["http://nas:81/videos", "http://nas:81/videos/"] {
            let place = Place::new(folder).unwrap();
            let file = place.file("a b?#/../c.mp4").unwrap();
            assert_eq!(
                file.as_str(),
                "http://nas:81/videos/a%20b%3F%23%2F..%2Fc.mp4"
            );
        }
    }
}
