//! Prices, usage and the state of the sync as metrics for Prometheus.

use std::sync::Arc;

use kit::{Kit, Table, clock};

use super::Sources;
use super::now::{Health, present};
use crate::amber::{Channel, SpikeStatus, word};

/// Adds the service's metrics to the kit's.
pub fn register(kit: &Kit, sources: &Arc<Sources>) {
    let sources = sources.clone();
    kit.register_metrics(move |table| tell(&sources, table));
}

fn tell(sources: &Sources, table: &mut Table) {
    let (seen, now_ms) = (sources.reader.seen(), clock::now_ms());
    let health = Health::of(&seen, sources.stale_after, now_ms);
    let state = &seen.state;
    // Only current values: otherwise the metric is left out, which shows as a gap in graphs.
    let now = || present(&seen, now_ms / 1000);
    let prices = now().map(|price| ([("channel", word(price.channel))], price.per_kwh));
    let general = now().find(|price| price.channel == Channel::General);
    kit::metrics! { table;
        gauges "energy_price_cents_per_kwh", "Cents to pay per kWh; negative for what is earned" => prices;
        gauge "energy_renewables_percent", "Share of the grid's energy that is renewable"
            => general.map(|price| price.renewables);
        gauge "energy_spike", "Whether the price is out of all proportion"
            => general.map(|price| price.spike == SpikeStatus::Spike);
        gauge "energy_cache_age_seconds", "Time since Amber last confirmed the prices"
            => health.cache_age.map(|age| age as f64);
        gauge "energy_cache_readable", "Whether the cache can be read" => seen.readable;
        gauge "energy_sync_up", "Whether the last look at Amber succeeded"
            => state.success.is_some() && state.error.is_none();
        gauge "energy_sync_timestamp_seconds", "When prices last came" => state.success.map(|at| at as f64 / 1000.0);
        gauge "energy_usage_timestamp_seconds", "Start of the newest usage" => seen.newest_usage.map(|at| at as f64);
        counter "energy_sync_attempts", "Looks at Amber" => state.attempts;
        counter "energy_sync_failures", "Looks at Amber that failed" => state.failures;
        counter "energy_sync_rejected_rows", "Rows of Amber's that made no sense" => state.rejected;
    }
}
