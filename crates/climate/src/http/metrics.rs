//! The room's values as metrics, for Prometheus and as JSON.

use std::sync::Arc;
use std::sync::Mutex;
use std::time::Duration;

use kit::{Kit, ProcessUsage, Soc, Table, clock};
use serde_json::{Value, json};

use super::Sources;
use crate::alert::Subject;
use crate::reading::ReadingBody;

/// Adds the service's metrics to the kit's.
pub fn register(kit: &Kit, sources: &Arc<Sources>) {
    let of = sources.clone();
    kit.register_metrics(move |table| tell(&of, table));
    let (kit_too, sources, cpu) = (kit.clone(), sources.clone(), CpuMeter::default());
    kit.json_metrics(move || in_json(&kit_too, &sources, &cpu));
}

fn tell(sources: &Sources, table: &mut Table) {
    let (room, active) = (sources.room.now(), sources.alerts.active());
    // Only current values: otherwise the metric is left out, which shows as a gap in graphs.
    let present = room.last.filter(|_| room.fault.is_none());
    let is_active = |subject| active.iter().any(|(active, _)| *active == subject);
    kit::metrics! { table;
        gauge "climate_temperature_celsius", "Temperature of the room" => present.map(|r| r.temperature);
        gauge "climate_humidity_percent", "Relative humidity of the room" => present.map(|r| r.humidity);
        gauge "climate_pressure_hpa", "Air pressure" => present.map(|r| r.pressure);
        gauge "climate_sensor_temperature_celsius", "Temperature at the sensor, before compensation"
            => present.map(|r| r.sensor_temperature);
        gauge "climate_sensor_up", "Whether the sensor can be read" => present.is_some();
        gauge "climate_reading_timestamp_seconds", "When the last reading was taken"
            => room.last.map(|r| r.at as f64 / 1000.0);
        gauge "climate_alert_temperature", "Whether the temperature is beyond a limit" => is_active(Subject::Temperature);
        gauge "climate_alert_humidity", "Whether the humidity is beyond a limit" => is_active(Subject::Humidity);
        gauge "climate_alert_sensor", "Whether the sensor has failed for long" => is_active(Subject::Sensor);
        gauge "climate_alerts_pending", "Alerts not yet delivered" => sources.outbox.len() as f64;
        gauge "climate_history_writable", "Whether the history can be written" => sources.history.is_writable();
        counter "climate_readings", "Readings taken" => room.readings;
        counter "climate_read_failures", "Attempts that gave no reading" => room.failures;
        counter "climate_alert_changes", "Changes of an alert's state" => sources.alerts.changes();
        counter "climate_alerts_sent", "Alerts delivered" => sources.outbox.sent();
        counter "climate_alerts_dropped", "Alerts dropped because too many waited" => sources.outbox.dropped();
        counter "climate_readings_lost", "Readings that were never written" => sources.history.lost();
    }
}

fn in_json(kit: &Kit, sources: &Sources, cpu: &CpuMeter) -> Value {
    let usage = ProcessUsage::now();
    let room = sources.room.now();
    let soc = Soc::default();
    json!({
        "application": {
            "request_count": kit.requests_served(),
            "alerts_sent": sources.outbox.sent(),
            "alerts_pending": sources.outbox.len(),
            "uptime_seconds": kit.uptime().as_secs(),
            "readings": room.readings,
            "read_failures": room.failures,
            "timestamp": clock::rfc3339(clock::now_ms()),
        },
        "hardware": {
            "cpu_temperature_c": soc.temperature(),
            "under_voltage": soc.under_voltage(),
            "reading": sources.room.present().map(ReadingBody::from),
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

/// The share of one processor used since the last call, or since the start.
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
