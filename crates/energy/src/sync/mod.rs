//! `energy sync`: fetches from Amber once, into the cache.
//!
//! The most important data come first, and each answer is stored before the next request, so an interrupted run has
//! done that much. A failure of Amber or the network is not a failure of the device: it is recorded in the cache for
//! the dashboard, and the next run tries again.

mod backlog;
mod state;

use std::process::ExitCode;
use std::time::Duration;

use anyhow::Context;
use kit::{Credentials, EXIT_LATER, Secret, clock};

use crate::amber::{Amber, AmberError, Answered, Limit, Site};
use crate::cache::Cache;
use crate::config::{AmberSettings, Config};
use crate::days;

pub use state::{KEY, State};

/// The credential that holds the account's token.
pub const TOKEN: &str = "amber-token";

/// The account's rate limit is shared with its owner's other programs: this many requests are left for them.
const LEFT_TO_OTHERS: u64 = 10;
/// How many weeks of past data one run requests.
const WEEKS_PER_RUN: usize = 4;
/// For how many days Amber has usage.
const DAYS_OF_USAGE: i64 = 89;
/// How many days of prices a new cache starts with.
const DAYS_OF_PRICES: i64 = 7;
/// How long a refused token is not sent again, unless it was replaced.
const REFUSED_MS: i64 = 3_600_000;
const DAY_MS: i64 = 86_400_000;

/// The result of a run.
#[derive(Debug, PartialEq)]
pub enum Outcome {
    /// Prices are up to date.
    Done,
    /// It was too early for another request.
    NotYet(String),
    /// The requests to Amber failed.
    Failed(String),
}

/// Runs the job: exit status 0, or [`EXIT_LATER`] if Amber or the network failed, and not the device.
pub fn run(config: &Config, credentials: &Credentials) -> anyhow::Result<ExitCode> {
    let path = config.cache.path();
    let path = path.context("there is no cache to fill: set cache.file or $STATE_DIRECTORY")?;
    let mut cache = Cache::open(&path)?;
    let token = credentials.get(TOKEN)?;
    let outcome = run_once(
        &mut cache,
        config,
        token,
        clock::now_ms(),
        Duration::from_secs(1),
    );
    cache.close();
    Ok(match outcome? {
        Outcome::Done => ExitCode::SUCCESS,
        Outcome::NotYet(why) => {
            tracing::info!("not syncing with Amber: {why}");
            ExitCode::SUCCESS
        }
        Outcome::Failed(_) => ExitCode::from(EXIT_LATER),
    })
}

/// Syncs once. An error concerns the cache, never Amber.
pub fn run_once(
    cache: &mut Cache,
    config: &Config,
    token: Option<Secret>,
    now: i64,
    second: Duration,
) -> anyhow::Result<Outcome> {
    let mut state: State = cache.setting(KEY)?;
    let Some(token) = token else {
        let why = "there is no token: set the secret energy.amber-token in lichen.toml";
        state.failed(now, why, 0, None);
        tracing::warn!("{why}");
        cache.set(KEY, &state)?;
        return Ok(Outcome::Failed(why.into()));
    };
    if let Some(why) = state.must_wait(now, &token) {
        return Ok(Outcome::NotYet(why));
    }
    state.attempts += 1;
    let mut run = SyncRun {
        amber: Amber::new(&config.amber, token.clone(), second),
        settings: &config.amber,
        cache,
        state,
        now,
        limit: None,
    };
    let asked = run.ask(config.cache.retention_days)?;
    let SyncRun {
        mut state, cache, ..
    } = run;
    let outcome = match asked {
        Ok(()) => {
            state.succeeded();
            Outcome::Done
        }
        Err(error) => {
            let wait = match &error {
                AmberError::TooMany(wait) => wait.as_millis() as i64,
                AmberError::OutOfOrder(_, Some(wait)) => wait.as_millis() as i64,
                AmberError::Refused(_) => REFUSED_MS,
                _ => 0,
            };
            let refused = matches!(error, AmberError::Refused(_)).then_some(&token);
            let mut why = error.to_string();
            if refused.is_some() {
                why.push_str(": set a valid one as energy.amber-token in lichen.toml");
            }
            state.failed(now, &why, wait, refused);
            match error.detail() {
                Some(detail) => tracing::warn!("{why}: {detail}"),
                None => tracing::warn!("{why}"),
            }
            Outcome::Failed(why)
        }
    };
    cache.set(KEY, &state)?;
    let forgotten = cache.forget(config.cache.retention_days)?;
    if forgotten > 0 {
        tracing::info!(
            rows = forgotten,
            "deleted rows older than the retention period"
        );
    }
    Ok(outcome)
}

/// A run in progress.
struct SyncRun<'l> {
    amber: Amber,
    settings: &'l AmberSettings,
    cache: &'l mut Cache,
    state: State,
    now: i64,
    limit: Option<Limit>,
}

/// The result of a request: the inner one is Amber's, the outer one the cache's.
type Asked<T> = anyhow::Result<Result<T, AmberError>>;

/// Returns early with Amber's error, as `?` does with the cache's.
macro_rules! answer {
    ($asked:expr) => {
        match $asked {
            Ok(answer) => answer,
            Err(error) => return Ok(Err(error)),
        }
    };
}

impl SyncRun<'_> {
    fn ask(&mut self, retention_days: u32) -> Asked<()> {
        let site = answer!(self.site());
        let today = days::market_day(self.now / 1000);
        answer!(self.current(&site)?);
        self.state.success = Some(self.now);
        // Store this now, so that the dashboard can show it while past data are being requested.
        self.cache.set(KEY, &self.state)?;

        let keep = i64::from(retention_days) - 1;
        let usage_from = days::after(today, -DAYS_OF_USAGE.min(keep));
        let prices_from = days::after(today, -DAYS_OF_PRICES.min(keep));
        let since = self.now - self.state.usage_checked;
        let usage_due = !(0..self.settings.usage_minutes as i64 * 60_000).contains(&since);
        let mut weeks = WEEKS_PER_RUN;
        while usage_due && weeks > 0 && self.may_ask() {
            let (_, settled) = self.cache.settled(usage_from, today)?;
            let Some(week) = self.state.usage.next(usage_from, today, &settled) else {
                self.state.usage_checked = self.now;
                break;
            };
            let answered = answer!(self.amber.usage(&site.id, week));
            let rows = self.accept(answered, "usage");
            let news = self.cache.keep_usage(&rows)?;
            tracing::info!(from = %week.0, to = %week.1, rows = rows.len(), news, "usage");
            let (_, settled) = self.cache.settled(week.0, week.1)?;
            self.state.usage.had(week, today, &settled);
            weeks -= 1;
        }
        while weeks > 0 && self.may_ask() {
            let (settled, _) = self.cache.settled(prices_from, today)?;
            let yesterday = days::after(today, -1);
            let Some(week) = self.state.prices.next(prices_from, yesterday, &settled) else {
                break;
            };
            let answered = answer!(self.amber.prices(&site.id, week, self.settings.resolution));
            let rows = self.accept(answered, "prices");
            let news = self.cache.keep_prices(&rows)?;
            tracing::info!(from = %week.0, to = %week.1, rows = rows.len(), news, "past prices");
            let (settled, _) = self.cache.settled(week.0, week.1)?;
            self.state.prices.had(week, yesterday, &settled);
            weeks -= 1;
        }
        Ok(Ok(()))
    }

    /// The site: the configured one or the account's, refreshed once a day because its interval length may change.
    fn site(&mut self) -> Result<Site, AmberError> {
        let wanted = self.settings.site_id.as_deref();
        let known =
            (self.state.site.clone()).filter(|site| wanted.is_none_or(|wanted| wanted == site.id));
        let age = self.now - self.state.site_checked;
        let answered = match known {
            Some(site) if (0..DAY_MS).contains(&age) => return Ok(site),
            Some(site) => match self.amber.sites() {
                Ok(answered) => answered,
                Err(error @ (AmberError::Refused(_) | AmberError::TooMany(_))) => {
                    return Err(error);
                }
                // The site has most likely not changed, and prices matter more.
                Err(error) => {
                    tracing::warn!("cannot refresh the site's details: {error}");
                    return Ok(site);
                }
            },
            None => self.amber.sites()?,
        };
        let sites = self.accept(answered, "sites");
        let site = match wanted {
            Some(wanted) => sites.into_iter().find(|site| site.id == wanted),
            None => {
                let active = sites.iter().filter(|site| site.status == "active");
                let others: Vec<&str> = active.skip(1).map(|site| site.id.as_str()).collect();
                if !others.is_empty() {
                    tracing::warn!(
                        ?others,
                        "the account has several sites; amber.site_id chooses one"
                    );
                }
                let is_active = |site: &Site| site.status == "active";
                let first = sites.iter().position(is_active);
                sites.into_iter().nth(first.unwrap_or(0))
            }
        };
        let site = site.ok_or(AmberError::NoSuchSite)?;
        if self.state.site.as_ref() != Some(&site) {
            tracing::info!(
                site = site.id,
                network = site.network,
                minutes = site.interval_minutes,
                "site"
            );
        }
        self.state.site = Some(site.clone());
        self.state.site_checked = self.now;
        Ok(site)
    }

    /// Requests the current price, the forecasts, and the prices since the last settled one.
    fn current(&mut self, site: &Site) -> Asked<()> {
        let minutes = self.settings.resolution.unwrap_or(site.interval_minutes);
        let interval = i64::from(minutes) * 60;
        let (newest, _) = self.cache.newest()?;
        let missed = newest.map_or(i64::MAX, |newest| self.now / 1000 - newest) / interval + 1;
        // Data older than a day are requested by the week.
        let previous = missed.clamp(2, 86_400 / interval) as u32;
        let next = self.settings.forecast_hours * 60 / u32::from(minutes);
        let asked = self
            .amber
            .current(&site.id, previous, next, self.settings.resolution);
        let rows = self.accept(answer!(asked), "prices");
        if rows.is_empty() {
            return Ok(Err(AmberError::Nonsense(
                "the answer contains no valid price".into(),
            )));
        }
        let news = self.cache.keep_prices(&rows)?;
        tracing::info!(rows = rows.len(), news, "prices");
        Ok(Ok(()))
    }

    fn accept<T>(&mut self, answered: Answered<T>, what: &str) -> Vec<T> {
        self.limit = answered.limit;
        let rows = answered.rows;
        if rows.bad > 0 {
            self.state.rejected += rows.bad as u64;
            let problem = rows.problem.unwrap_or_default();
            tracing::warn!(
                bad = rows.bad,
                good = rows.good.len(),
                "invalid {what}: {problem}"
            );
        }
        rows.good
    }

    /// Whether the quota allows requests that are not urgent.
    fn may_ask(&self) -> bool {
        self.limit
            .is_none_or(|limit| limit.remaining > LEFT_TO_OTHERS)
    }
}
