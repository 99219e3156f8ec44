//! The state that a sync leaves for the next one and for the dashboard.

use kit::Secret;
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use super::backlog::Backlog;
use crate::amber::Site;

/// Its key in the cache.
pub const KEY: &str = "sync";

/// The state kept between runs. Times are milliseconds since 1970.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct State {
    /// When prices were last received.
    pub success: Option<i64>,
    /// Why the last run failed, if it did.
    pub error: Option<String>,
    /// The number of runs that sent requests to Amber.
    pub attempts: u64,
    /// The number of runs that failed.
    pub failures: u64,
    /// The number of invalid rows.
    pub rejected: u64,
    /// The site.
    pub site: Option<Site>,
    /// When the site was looked up.
    pub site_checked: i64,
    /// When usage was last requested.
    pub usage_checked: i64,
    /// Which days' usage is still missing. The key `usage` is avoided: older versions, to which a rollback may return,
    /// store something else there.
    #[serde(rename = "usage_backlog")]
    pub usage: Backlog,
    /// Which days' prices are still missing.
    #[serde(rename = "prices_backlog")]
    pub prices: Backlog,
    /// Until when Amber must not be asked, and when that was decided.
    wait: Option<(i64, i64)>,
    /// The hash of the token that was refused.
    refused: Option<String>,
}

impl State {
    /// The state after a successful first sync.
    pub fn fresh(now: i64, site: Site) -> Self {
        State {
            success: Some(now),
            site: Some(site),
            site_checked: now,
            ..State::default()
        }
    }

    /// Why Amber must not be asked now, if so.
    pub(super) fn must_wait(&self, now: i64, token: &Secret) -> Option<String> {
        let (since, until) = self.wait?;
        // A clock that was set back must not extend the pause.
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

    /// Records a run that succeeded.
    pub(super) fn succeeded(&mut self) {
        self.error = None;
        self.wait = None;
        self.refused = None;
    }

    /// Records a run that failed, and how long Amber must not be asked again.
    pub(super) fn failed(&mut self, now: i64, why: &str, wait_ms: i64, refused: Option<&Secret>) {
        self.failures += 1;
        self.error = Some(why.to_owned());
        self.wait = (wait_ms > 0).then_some((now, now + wait_ms));
        self.refused = refused.map(fingerprint);
    }
}

/// Distinguishes tokens without storing them: they are long and random, so the hash reveals nothing.
fn fingerprint(token: &Secret) -> String {
    let hash = Sha256::digest(token.expose());
    hash[..8].iter().map(|byte| format!("{byte:02x}")).collect()
}
