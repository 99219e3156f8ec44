//! A channel: one signed file that names what a fleet should run, next to the store paths it needs. The host publishes
//! it, and the devices follow it.
//!
//! A published directory is a normal Nix binary cache, static files on any web server, with a few additions:
//!
//! ```text
//! nix-cache-info  *.narinfo  nar/*       the closures; each narinfo with a `Sig` of the fleet's key
//! channels/<appliance>/<channel>.json    what to run, signed by the same key; written last
//! images/<appliance>-<channel>-<sequence>.img.zst    the SD-card image, for devices to come
//! os_list.json                           for Raspberry Pi Imager, which offers these images
//! ```
//!
//! A channel's file holds these fields:
//!
//! ```json
//! { "format": 1, "appliance": "climate", "channel": "stable", "sequence": 1764021000,
//!   "toplevel": "/nix/store/…-lichen-climate", "published": "2026-11-24T21:50:00Z", "description": "",
//!   "signature": "fleet-1:<base64 of 64 bytes>" }
//! ```
//!
//! Keys and the signature have Nix's own form, `name:base64` (ed25519; a secret key consists of seed and public key, 64
//! bytes). The signed data are all fields except the signature, in this order, as JSON without white space. They begin
//! with `{`, whereas what Nix signs for a store path begins with `1;`, so one signature can never pass for the other.
//!
//! The sequence never decreases: a device refuses one that is lower than the highest it has accepted, so nobody can
//! make it install an old channel. Everything is signed, so neither the server nor the network has to be trusted, and a
//! device with a wrong clock can follow over plain HTTP.

use base64::prelude::{BASE64_STANDARD, Engine};
use ed25519_dalek::{Signature, Signer, SigningKey, VerifyingKey};
use serde::{Deserialize, Serialize};

/// The only format so far.
pub const FORMAT: u32 = 1;
/// The largest size of a channel's file, in bytes.
pub const LONGEST: u64 = 64 << 10;

/// A channel's content.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Channel {
    /// [`FORMAT`].
    pub format: u32,
    /// The appliance it is for.
    pub appliance: String,
    /// The channel's name: stable, beta …
    pub channel: String,
    /// Increases with each publication.
    pub sequence: u64,
    /// The store path of the toplevel to run.
    pub toplevel: String,
    /// The time of publication in UTC, for people only.
    pub published: String,
    /// The release notes, for people.
    pub description: String,
}

#[derive(Serialize, Deserialize)]
struct File {
    #[serde(flatten)]
    channel: Channel,
    signature: String,
}

/// Why a channel or a key is not accepted.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ChannelError {
    /// The file is not a channel.
    #[error("this is not a channel: {0}")]
    NotOne(String),
    /// The format is newer.
    #[error("the channel has format {0}, but this version knows only format {FORMAT}")]
    Format(u32),
    /// It is signed by a key that is not trusted.
    #[error("the channel is signed by the key {0}, which is not trusted")]
    UnknownKey(String),
    /// The signature does not match.
    #[error("the channel's signature was not made by the key {0}")]
    BadSignature(String),
    /// The key does not have the form `name:base64`.
    #[error("{0} is not a key of the form name:base64")]
    BadKey(String),
}

impl ChannelError {
    /// A hint for people.
    pub fn hint(&self) -> &'static str {
        match self {
            Self::NotOne(_) => "the address must be that of the folder that `lichen publish` wrote",
            Self::Format(_) => "update this device by hand once: `lichen deploy`, or a new card",
            Self::UnknownKey(_) => "the trusted keys are those in nix.settings.trusted-public-keys",
            Self::BadSignature(_) => {
                "the channel was changed after it was signed: publish it again with `lichen publish`"
            }
            Self::BadKey(_) => "`nix-store --generate-binary-cache-key` creates one",
        }
    }
}

impl Channel {
    /// The path of its file, below the cache's address.
    pub fn path(appliance: &str, channel: &str) -> String {
        format!("channels/{appliance}/{channel}.json")
    }

    /// Parses a channel and returns the name of the signing key, without verifying the signature.
    pub fn read(text: &[u8]) -> Result<(Self, String), ChannelError> {
        #[derive(Deserialize)]
        struct Format {
            format: u32,
        }
        let not_one = |error: serde_json::Error| ChannelError::NotOne(error.to_string());
        let Format { format } = serde_json::from_slice(text).map_err(not_one)?;
        if format != FORMAT {
            return Err(ChannelError::Format(format));
        }
        let file: File = serde_json::from_slice(text).map_err(not_one)?;
        Ok((file.channel, file.signature))
    }

    /// Parses a channel that must be signed by one of `keys`, given as in nix.conf.
    pub fn open(text: &[u8], keys: &[impl AsRef<str>]) -> Result<Self, ChannelError> {
        let (channel, signature) = Self::read(text)?;
        let (name, signature) = named(&signature)
            .ok_or_else(|| ChannelError::NotOne("its signature is malformed".to_owned()))?;
        let unknown = || ChannelError::UnknownKey(name.to_owned());
        let mut candidates = keys.iter().filter_map(|key| named::<32>(key.as_ref()));
        let (_, key) = candidates.find(|(n, _)| *n == name).ok_or_else(unknown)?;
        VerifyingKey::from_bytes(&key)
            .and_then(|key| {
                key.verify_strict(&channel.signed(), &Signature::from_bytes(&signature))
            })
            .map_err(|_| ChannelError::BadSignature(name.to_owned()))?;
        Ok(channel)
    }

    /// The content of its file, signed.
    pub fn sign(self, key: &SecretKey) -> String {
        let signature = key.0.sign(&self.signed()).to_bytes();
        let signature = format!("{}:{}", key.1, BASE64_STANDARD.encode(signature));
        let file = File {
            channel: self,
            signature,
        };
        serde_json::to_string_pretty(&file).expect("words and numbers") + "\n"
    }

    fn signed(&self) -> Vec<u8> {
        serde_json::to_vec(self).expect("words and numbers")
    }
}

/// A fleet's secret key, with its name.
pub struct SecretKey(SigningKey, String);

impl SecretKey {
    /// Parses a key as `nix-store --generate-binary-cache-key` writes it. The error does not contain the key.
    pub fn parse(text: &str) -> Result<Self, ChannelError> {
        let bad = || ChannelError::BadKey("the secret key".to_owned());
        let (name, bytes) = named(text.trim()).ok_or_else(bad)?;
        let key = SigningKey::from_keypair_bytes(&bytes).map_err(|_| bad())?;
        Ok(Self(key, name.to_owned()))
    }

    /// The public key, in the form for nix.conf.
    pub fn public(&self) -> String {
        let bytes = self.0.verifying_key().to_bytes();
        format!("{}:{}", self.1, BASE64_STANDARD.encode(bytes))
    }
}

/// The parts of `name:base64`, if the decoded part has N bytes.
fn named<const N: usize>(text: &str) -> Option<(&str, [u8; N])> {
    let (name, encoded) = text.split_once(':')?;
    let bytes = BASE64_STANDARD.decode(encoded).ok()?;
    Some((name, bytes.try_into().ok()?))
}

#[cfg(test)]
#[path = "channel_tests.rs"]
mod tests;
