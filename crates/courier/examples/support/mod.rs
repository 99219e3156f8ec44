//! What both measurements need: a courier in a process of its own, and what it tells of itself.

use std::path::Path;

use anyhow::{Context, Result};
use kit::load::{Connection, Measured};
use serde_json::{Value, json};

/// The `main` of a measurement: prints what `measure` finds out, or is the courier that [`courier`] starts.
pub fn main<const N: usize>(
    usual: [usize; N],
    measure: impl FnOnce([usize; N]) -> Result<Value>,
) -> Result<()> {
    kit::load::main(usual, measure, |arguments| {
        let [file] = arguments else {
            anyhow::bail!("serve CONFIGURATION");
        };
        let config = serde_json::from_slice(&std::fs::read(file)?)?;
        kit::load::serve("courier", config, courier::run)
    })
}

/// Starts a courier with these settings, which keeps its data in `place/name`.
pub fn courier(place: &Path, name: &str, settings: &Value) -> Result<Measured> {
    let mut config = json!({
        "data": { "directory": place.join(name) },
        "labels": { "instance": "rack7", "customer": "acme", "location": "cellar" },
        "clock": { "synchronized": null },
    });
    kit::testing::merge(&mut config, settings.clone());
    let file = place.join(format!("{name}.json"));
    std::fs::write(&file, config.to_string())?;
    let file = file.to_str().context("the directory has no name")?;
    Measured::start(&[file], "/health/ready")
}

/// One of its own metrics.
pub fn metric(courier: &Measured, name: &str) -> Result<f64> {
    let text = Connection::open(courier.address)?.get("/metrics")?;
    let text = text.context("it tells no metrics")?;
    let value = text
        .lines()
        .find_map(|line| line.strip_prefix(name)?.strip_prefix(' '));
    let value = value.with_context(|| format!("{name} is not told"))?;
    Ok(value.parse()?)
}

/// With three digits after the point.
pub fn rounded(number: f64) -> f64 {
    (number * 1000.0).round() / 1000.0
}
