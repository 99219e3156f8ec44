//! Prices, usage and how the sync goes in numbers, for Prometheus.

use std::sync::Arc;

use kit::prometheus_client::collector::Collector;
use kit::prometheus_client::encoding::{DescriptorEncoder, EncodeMetric};
use kit::prometheus_client::metrics::counter::ConstCounter;
use kit::prometheus_client::metrics::gauge::ConstGauge;
use kit::{Kit, clock};

use super::Parts;
use super::now::{Health, present};
use crate::amber::word;

/// Adds the service's metrics to the kit's.
pub fn register(kit: &Kit, parts: &Arc<Parts>) {
    kit.register_metrics(|registry| registry.register_collector(Box::new(Numbers(parts.clone()))));
}

struct Numbers(Arc<Parts>);

impl std::fmt::Debug for Numbers {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Numbers")
    }
}

impl Collector for Numbers {
    fn encode(&self, mut encoder: DescriptorEncoder) -> Result<(), std::fmt::Error> {
        let (seen, now_ms) = (self.0.reader.seen(), clock::now_ms());
        let health = Health::of(&seen, self.0.stale_after, now_ms);
        let state = &seen.state;
        let yes = |whether: bool| Some(f64::from(u8::from(whether)));

        // Only what holds now: a gap in a graph is the truth.
        let help = "Cents to pay per kWh; negative for what is earned";
        let mut prices = encoder.encode_descriptor(
            "energy_price_cents_per_kwh",
            help,
            None,
            ConstGauge::new(0.0).metric_type(),
        )?;
        for price in present(&seen, now_ms / 1000) {
            let labels = [("channel", word(price.channel))];
            ConstGauge::new(price.per_kwh).encode(prices.encode_family(&labels)?)?;
        }
        let general = present(&seen, now_ms / 1000)
            .find(|price| price.channel == crate::amber::Channel::General);
        let gauges = [
            (
                "energy_renewables_percent",
                "Share of the grid's energy that is renewable",
                general.and_then(|price| price.renewables),
            ),
            (
                "energy_spike",
                "Whether the price is out of all proportion",
                general.and_then(|price| yes(price.spike == crate::amber::SpikeStatus::Spike)),
            ),
            (
                "energy_cache_age_seconds",
                "Time since Amber last confirmed the prices",
                health.cache_age.map(|age| age as f64),
            ),
            (
                "energy_cache_readable",
                "Whether the cache can be read",
                yes(seen.readable),
            ),
            (
                "energy_sync_up",
                "Whether the last look at Amber succeeded",
                yes(state.success.is_some() && state.error.is_none()),
            ),
            (
                "energy_sync_timestamp_seconds",
                "When prices last came",
                state.success.map(|at| at as f64 / 1000.0),
            ),
            (
                "energy_usage_timestamp_seconds",
                "Start of the newest usage",
                seen.newest_usage.map(|at| at as f64),
            ),
        ];
        for (name, help, value) in gauges {
            let Some(value) = value else { continue };
            let gauge = ConstGauge::new(value);
            gauge.encode(encoder.encode_descriptor(name, help, None, gauge.metric_type())?)?;
        }
        let counters = [
            ("energy_sync_attempts", "Looks at Amber", state.attempts),
            (
                "energy_sync_failures",
                "Looks at Amber that failed",
                state.failures,
            ),
            (
                "energy_sync_rejected_rows",
                "Rows of Amber's that made no sense",
                state.rejected,
            ),
        ];
        for (name, help, value) in counters {
            let counter = ConstCounter::new(value);
            counter.encode(encoder.encode_descriptor(
                name,
                help,
                None,
                counter.metric_type(),
            )?)?;
        }
        Ok(())
    }
}
