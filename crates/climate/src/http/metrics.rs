//! The room in numbers, for Prometheus and in JSON.

use std::sync::Arc;
use std::sync::Mutex;
use std::time::Duration;

use kit::prometheus_client::collector::Collector;
use kit::prometheus_client::encoding::{DescriptorEncoder, EncodeMetric};
use kit::prometheus_client::metrics::counter::ConstCounter;
use kit::prometheus_client::metrics::gauge::ConstGauge;
use kit::{Kit, ProcessUsage, Soc, clock};
use serde_json::{Value, json};

use super::Parts;
use crate::alert::Subject;
use crate::reading::ReadingBody;

/// Adds the service's metrics to the kit's.
pub fn register(kit: &Kit, parts: &Arc<Parts>) {
    kit.register_metrics(|registry| registry.register_collector(Box::new(Numbers(parts.clone()))));
    let (kit_too, parts, cpu) = (kit.clone(), parts.clone(), CpuMeter::default());
    kit.json_metrics(move || in_json(&kit_too, &parts, &cpu));
}

struct Numbers(Arc<Parts>);

impl std::fmt::Debug for Numbers {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Numbers")
    }
}

impl Collector for Numbers {
    fn encode(&self, mut encoder: DescriptorEncoder) -> Result<(), std::fmt::Error> {
        let parts = &*self.0;
        let (room, active) = (parts.room.now(), parts.alerts.active());
        // A value that is not the present is not shown: a gap in a graph is the truth.
        let present = room.last.filter(|_| room.fault.is_none());
        let yes = |whether: bool| Some(f64::from(u8::from(whether)));
        let is_active = |subject: Subject| yes(active.iter().any(|(s, _)| *s == subject));
        let gauges = [
            (
                "climate_temperature_celsius",
                "Temperature of the room",
                present.map(|r| r.temperature),
            ),
            (
                "climate_humidity_percent",
                "Relative humidity of the room",
                present.and_then(|r| r.humidity),
            ),
            (
                "climate_pressure_hpa",
                "Air pressure",
                present.and_then(|r| r.pressure),
            ),
            (
                "climate_sensor_temperature_celsius",
                "Temperature at the sensor, before compensation",
                present.map(|r| r.sensor_temperature),
            ),
            (
                "climate_sensor_up",
                "Whether the sensor can be read",
                yes(present.is_some()),
            ),
            (
                "climate_reading_timestamp_seconds",
                "When the last reading was taken",
                room.last.map(|r| r.at as f64 / 1000.0),
            ),
            (
                "climate_alert_temperature",
                "Whether the temperature is beyond a limit",
                is_active(Subject::Temperature),
            ),
            (
                "climate_alert_humidity",
                "Whether the humidity is beyond a limit",
                is_active(Subject::Humidity),
            ),
            (
                "climate_alert_sensor",
                "Whether the sensor has failed for long",
                is_active(Subject::Sensor),
            ),
            (
                "climate_alerts_pending",
                "Alerts not yet delivered",
                Some(parts.outbox.len() as f64),
            ),
            (
                "climate_history_writable",
                "Whether the history can be written",
                yes(parts.history.is_writable()),
            ),
        ];
        for (name, help, value) in gauges {
            let Some(value) = value else { continue };
            let gauge = ConstGauge::new(value);
            gauge.encode(encoder.encode_descriptor(name, help, None, gauge.metric_type())?)?;
        }
        let counters = [
            ("climate_readings", "Readings taken", room.readings),
            (
                "climate_read_failures",
                "Attempts that gave no reading",
                room.failures,
            ),
            (
                "climate_alert_changes",
                "Changes of an alert's state",
                parts.alerts.changes(),
            ),
            (
                "climate_alerts_sent",
                "Alerts delivered",
                parts.outbox.sent(),
            ),
            (
                "climate_alerts_dropped",
                "Alerts dropped because too many waited",
                parts.outbox.dropped(),
            ),
            (
                "climate_readings_lost",
                "Readings that were never written",
                parts.history.lost(),
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

fn in_json(kit: &Kit, parts: &Parts, cpu: &CpuMeter) -> Value {
    let usage = ProcessUsage::now();
    let room = parts.room.now();
    let soc = Soc::new();
    json!({
        "application": {
            "request_count": kit.requests_served(),
            "alerts_sent": parts.outbox.sent(),
            "alerts_pending": parts.outbox.len(),
            "uptime_seconds": kit.uptime().as_secs(),
            "readings": room.readings,
            "read_failures": room.failures,
            "timestamp": clock::rfc3339(clock::now_ms()),
        },
        "hardware": {
            "cpu_temperature_c": soc.temperature(),
            "under_voltage": soc.under_voltage(),
            "reading": parts.room.present().map(ReadingBody::from),
            "sensor_fault": room.fault,
        },
        "system": {
            "cpu_percent": cpu.percent(kit.uptime(), usage.cpu_seconds),
            "memory_mb": (usage.resident_bytes as f64 / 1048576.0 * 100.0).round() / 100.0,
            "threads": usage.threads,
            "open_fds": usage.open_fds,
        },
    })
}

/// Share of one processor used since it was last asked, or since the start.
#[derive(Default)]
struct CpuMeter(Mutex<(Duration, f64)>);

impl CpuMeter {
    fn percent(&self, now: Duration, used: f64) -> f64 {
        let mut last = self.0.lock().expect("no panic while held");
        let (elapsed, worked) = ((now - last.0).as_secs_f64(), used - last.1);
        *last = (now, used);
        if elapsed > 0.0 {
            (worked / elapsed * 1000.0).round() / 10.0
        } else {
            0.0
        }
    }
}
