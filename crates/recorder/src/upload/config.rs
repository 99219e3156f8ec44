//! Where finished recordings are uploaded, how fast, and when. The defaults upload nothing.

use http_client::Address;
use kit::within;
use serde::Deserialize;

use super::hours::Hours;

/// YouTube takes parts of multiples of this size.
pub(super) const CHUNK_UNIT: u64 = 256 << 10;

/// No card is read faster.
const MOST_PER_SECOND: u64 = 10_000_000_000;

kit::settings! {
    /// The settings of the uploads. Secrets are credentials: `recorder.upload-token` for tus and PUT, which is optional,
    /// `recorder.s3-access-key-id` and `recorder.s3-secret-access-key`, and `recorder.youtube-client-id`,
    /// `recorder.youtube-client-secret` and `recorder.youtube-refresh-token`.
    pub struct Settings {
        /// Where to upload to.
        pub target: Kind = Kind::None;
        /// The storage, if the target is `s3`.
        pub s3: S3Settings = S3Settings::default();
        /// The server, if the target is `tus`.
        pub tus: TusSettings = TusSettings::default();
        /// The server, if the target is `put`.
        pub put: PutSettings = PutSettings::default();
        /// How videos are published, if the target is `youtube`.
        pub youtube: YoutubeSettings = YoutubeSettings::default();
        /// At most this many bytes are sent in a second, 10,000 or more; 0 is no limit.
        pub limit_bytes_per_second: u64 = 0, in 0..=MOST_PER_SECOND;
        /// The hours in which to upload, in the device's time zone; without them, at any time.
        pub hours: Option<Hours> = None;
        /// How much is sent in one request; what was acknowledged is never sent again.
        pub chunk_bytes: u64 = 8 << 20, in CHUNK_UNIT..=1 << 30;
    }

    /// A bucket.
    pub struct S3Settings {
        /// The storage's address, without the bucket.
        pub endpoint: String = String::new();
        /// The bucket's name.
        pub bucket: String = String::new();
        /// Its region.
        pub region: String = bucket::quirks::DEFAULT_REGION.into();
        /// Whether the bucket is named in the path and not in the host.
        pub path_style: bool = true;
        /// What comes before the file's name in the object's key.
        pub prefix: String = String::new();
    }

    /// A tus server.
    pub struct TusSettings {
        /// The address at which it creates uploads.
        pub url: String = String::new();
    }

    /// A server that takes files by HTTP PUT.
    pub struct PutSettings {
        /// The address of the folder: the file's name is appended.
        pub url: String = String::new();
    }

    /// How videos are published on YouTube.
    pub struct YoutubeSettings {
        /// Who may see them.
        pub privacy: Privacy = Privacy::Private;
        /// The number of their category; 17 is sports.
        pub category: u32 = 17, in 1..=999;
        /// Their description.
        pub description: String = String::new();
        /// Where the API is; only tests have another.
        pub api: String = "https://www.googleapis.com".into();
        /// Where access tokens are issued; only tests have another.
        pub token_url: String = "https://oauth2.googleapis.com/token".into();
    }
}

/// A kind of target.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Kind {
    /// Nothing is uploaded.
    #[default]
    None,
    /// A bucket of an S3-compatible storage.
    S3,
    /// A server that speaks tus 1.0.
    Tus,
    /// A server that takes files by HTTP PUT.
    Put,
    /// YouTube.
    Youtube,
}

/// Who may see a video.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Privacy {
    /// Only the channel's owner.
    Private,
    /// Everybody who knows its address.
    Unlisted,
    /// Everybody.
    Public,
}

impl Kind {
    /// Its name in the configuration.
    pub fn name(self) -> &'static str {
        match self {
            Kind::None => "none",
            Kind::S3 => "s3",
            Kind::Tus => "tus",
            Kind::Put => "put",
            Kind::Youtube => "youtube",
        }
    }
}

impl Privacy {
    /// The API's word for it.
    pub(super) fn word(self) -> &'static str {
        match self {
            Privacy::Private => "private",
            Privacy::Unlisted => "unlisted",
            Privacy::Public => "public",
        }
    }
}

impl Settings {
    /// The first invalid setting, named by its field.
    pub fn check(&self) -> Result<(), String> {
        let addresses = match self.target {
            Kind::None => vec![],
            Kind::S3 => vec![("s3.endpoint", &self.s3.endpoint)],
            Kind::Tus => vec![("tus.url", &self.tus.url)],
            Kind::Put => vec![("put.url", &self.put.url)],
            Kind::Youtube => vec![
                ("youtube.api", &self.youtube.api),
                ("youtube.token_url", &self.youtube.token_url),
            ],
        };
        for (name, url) in addresses {
            if Address::parse(url).is_none() {
                return Err(format!("{name}: must be an http or https address"));
            }
        }
        if self.target == Kind::S3 && self.s3.bucket.is_empty() {
            return Err("s3.bucket: must be the name of a bucket".into());
        }
        if self.limit_bytes_per_second != 0 {
            let limit = self.limit_bytes_per_second;
            within([("limit_bytes_per_second", limit, 10_000..=MOST_PER_SECOND)])?;
        }
        self.in_range("")?;
        self.youtube.in_range("youtube.")?;
        if !self.chunk_bytes.is_multiple_of(CHUNK_UNIT) {
            return Err(format!("chunk_bytes: must be a multiple of {CHUNK_UNIT}"));
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn problem(text: &str) -> Result<(), String> {
        let settings: Result<Settings, _> = serde_json::from_str(text);
        settings.map_err(|error| error.to_string())?.check()
    }

    #[test]
    fn the_first_setting_that_makes_no_sense_is_named() {
        assert_eq!(problem("{}"), Ok(()));
        assert_eq!(
            problem(r#"{"target":"tus","tus":{"url":"https://videos.example/files"}}"#),
            Ok(())
        );
        for (text, complaint) in [
            (r#"{"target":"ftp"}"#, "unknown variant `ftp`"),
            (r#"{"target":"tus"}"#, "tus.url: must be an http"),
            (
                r#"{"target":"put","put":{"url":"nas/videos"}}"#,
                "put.url: must be",
            ),
            (
                r#"{"target":"s3","s3":{"endpoint":"http://nas:9000"}}"#,
                "s3.bucket: must be",
            ),
            (
                r#"{"limit_bytes_per_second":5}"#,
                "limit_bytes_per_second: must be between 10000 and",
            ),
            (
                r#"{"chunk_bytes":300000}"#,
                "chunk_bytes: must be a multiple of 262144",
            ),
            (
                r#"{"hours":{"from":"22:00","to":"22:00"}}"#,
                "must differ from",
            ),
            (r#"{"hours":{"from":"25:00","to":"6:00"}}"#, "25:00"),
            (r#"{"token":"x"}"#, "unknown field `token`"),
        ] {
            let said = problem(text).expect_err(text);
            assert!(said.contains(complaint), "{text}: {said}");
        }
    }
}
