//! What one look at Amber leaves for the next one, and for the dashboard.

use kit::Secret;
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use super::backlog::Backlog;
use crate::amber::Site;

/// What it is kept under in the cache.
pub const KEY: &str = "sync";

/// What is remembered from run to run. Times are milliseconds since 1970.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct State {
    /// When prices last came.
    pub success: Option<i64>,
    /// Why the last run failed, if it did.
    pub error: Option<String>,
    /// Runs that asked Amber.
    pub attempts: u64,
    /// Runs that failed.
    pub failures: u64,
    /// Rows that made no sense.
    pub rejected: u64,
    /// The site.
    pub site: Option<Site>,
    /// When the site was looked up.
    pub site_checked: i64,
    /// When usage was asked for.
    pub usage_checked: i64,
    /// Which days' usage is still to come. Under `usage` older programs keep another thing, and one may come back.
    #[serde(rename = "usage_backlog")]
    pub usage: Backlog,
    /// Which days' prices are still to come.
    #[serde(rename = "prices_backlog")]
    pub prices: Backlog,
    /// Until when Amber is not to be asked, and when that was said.
    wait: Option<(i64, i64)>,
    /// The token that was refused, as a hash.
    refused: Option<String>,
}

impl State {
    /// As a successful first look at Amber leaves it.
    pub fn fresh(now: i64, site: Site) -> Self {
        State {
            success: Some(now),
            site: Some(site),
            site_checked: now,
            ..State::default()
        }
    }

    /// Why Amber is not to be asked now, if so.
    pub(super) fn must_wait(&self, now: i64, token: &Secret) -> Option<String> {
        let (since, until) = self.wait?;
        // A clock that was set back must not make it longer.
        if now >= until || now < since {
            return None;
        }
        if self
            .refused
            .as_ref()
            .is_some_and(|refused| *refused != fingerprint(token))
        {
            return None;
        }
        let why = self.error.as_deref().unwrap_or_default();
        Some(format!(
            "{why}; next attempt in {} s",
            (until - now + 999) / 1000
        ))
    }

    /// A run did all it wanted.
    pub(super) fn succeeded(&mut self) {
        self.error = None;
        self.wait = None;
        self.refused = None;
    }

    /// A run failed, and Amber is not to be asked again for so long.
    pub(super) fn failed(&mut self, now: i64, why: &str, wait_ms: i64, refused: Option<&Secret>) {
        self.failures += 1;
        self.error = Some(why.to_owned());
        self.wait = (wait_ms > 0).then_some((now, now + wait_ms));
        self.refused = refused.map(fingerprint);
    }
}

/// Tells tokens apart without keeping them: they are long and random, so that a hash tells nothing.
fn fingerprint(token: &Secret) -> String {
    let hash = Sha256::digest(token.expose());
    hash[..8].iter().map(|byte| format!("{byte:02x}")).collect()
}
