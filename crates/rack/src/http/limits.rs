//! How much one caller may ask for. What is counted is in the cache's server, so that several processes count together.

use std::net::IpAddr;

use super::refusal::Refusal;
use crate::cache::{Limiter, Rate, Verdict};
use crate::config::LimitSettings;

/// The limits.
pub(super) struct Limits {
    counts: Limiter,
    settings: LimitSettings,
}

impl Limits {
    pub(super) fn new(settings: &LimitSettings, counts: Limiter) -> Self {
        Limits {
            counts,
            settings: settings.clone(),
        }
    }

    /// Counts a request of somebody.
    pub(super) async fn request(&self, of: &str) -> Result<(), Refusal> {
        let most = self.settings.requests_per_minute;
        self.count("request", of, most, "too many requests").await
    }

    /// Counts a login that is tried, by where it comes from and by whom it is for.
    pub(super) async fn login(&self, from: IpAddr, name: &str) -> Result<(), Refusal> {
        let most = self.settings.logins_per_minute;
        let (from, name) = (from.to_string(), name.to_lowercase());
        for (what, who) in [("login-from", from), ("login-as", name)] {
            self.count(what, &who, most, "too many logins").await?;
        }
        Ok(())
    }

    async fn count(&self, what: &str, who: &str, most: u32, error: &str) -> Result<(), Refusal> {
        if most == 0 {
            return Ok(());
        }
        match self.counts.count(what, who, Rate::per_minute(most)).await {
            Verdict::Permitted { .. } => Ok(()),
            // In whole seconds, of which the last one has begun.
            Verdict::Refused { retry_after } => {
                Err(Refusal::too_many(error, retry_after.as_secs() + 1))
            }
        }
    }
}
