//! One small file over HTTP(S).
//!
//! TLS trusts what the whole device trusts: Debian's bundle and `security.pki` of the configuration. Proxies come from
//! the environment, as for Nix. Redirects are followed, because the content is signed.

use super::UpdateError;
use crate::root::Root;
use protocol::channel::LONGEST;
use std::fs;
use std::sync::Arc;
use std::time::Duration;
use ureq::tls::{PemItem, RootCerts, TlsConfig, parse_pem};

const AUTHORITIES: &str = "etc/ssl/certs/ca-certificates.crt";
/// The time limit for the whole request: a channel is a few hundred bytes.
const WITHIN: Duration = Duration::from_secs(60);

/// Fetches it.
pub fn get(root: &Root, url: &str) -> Result<Vec<u8>, UpdateError> {
    get_within(root, url, WITHIN)
}

pub(super) fn get_within(root: &Root, url: &str, within: Duration) -> Result<Vec<u8>, UpdateError> {
    let agent: ureq::Agent = ureq::Agent::config_builder()
        .timeout_global(Some(within))
        .http_status_as_error(false)
        .user_agent(concat!("lichenctl/", env!("CARGO_PKG_VERSION")))
        .tls_config(TlsConfig::builder().root_certs(authorities(root)).build())
        .build()
        .into();
    let failed = |error: ureq::Error| failure(url, error);
    // Caches on the way may keep everything else forever, but not this file.
    let mut response = agent
        .get(url)
        .header("cache-control", "no-cache")
        .call()
        .map_err(failed)?;
    let status = response.status().as_u16();
    if status != 200 {
        let url = url.to_owned();
        return Err(UpdateError::Status { url, status });
    }
    let body = response
        .body_mut()
        .with_config()
        .limit(LONGEST)
        .read_to_vec();
    let body = body.map_err(failed)?;
    if body.trim_ascii_start().starts_with(b"<") {
        let url = url.to_owned();
        return Err(UpdateError::WebPage { url });
    }
    Ok(body)
}

fn authorities(root: &Root) -> RootCerts {
    let bundle = fs::read(root.at(AUTHORITIES)).unwrap_or_default();
    let certificates = parse_pem(&bundle).filter_map(|item| match item {
        Ok(PemItem::Certificate(certificate)) => Some(certificate),
        _ => None,
    });
    RootCerts::Specific(Arc::new(certificates.collect()))
}

fn failure(url: &str, error: ureq::Error) -> UpdateError {
    let (url, why) = (url.to_owned(), error.to_string());
    // A certificate that is expired or not valid yet may also mean that this device's clock is wrong.
    if why.contains("certificate") {
        let clock = crate::systemd::run("date", &["+%Y-%m-%d %H:%M"]).unwrap_or_default();
        let clock = clock.trim().to_owned();
        return UpdateError::Insecure { url, why, clock };
    }
    UpdateError::Unreachable { url, why }
}
