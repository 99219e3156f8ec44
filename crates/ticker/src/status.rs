//! The status of the service: `/api/status`, the metrics of the last sync, and `ticker status`.

use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::Arc;
use std::time::Duration;

use anyhow::Context;
use axum::routing::get;
use axum::{Json, Router};
use http_client::{Client, Options, Request};
use kit::{Credentials, Table, clock};
use serde_json::{Value, json};

use crate::config::Config;
use crate::stats::Stats;
use crate::store::{Place, free_bytes};
use crate::sync::{Report, Synced};

/// The largest answer of the service, which is normally a few kB.
const LONGEST_STATUS: usize = 4 << 20;

/// The routes of the service.
pub fn routes(stats: Arc<Stats>) -> Router {
    let status = move || std::future::ready(Json(stats.json()));
    Router::new().route("/api/status", get(status))
}

/// The metrics of the last sync.
pub fn tell_sync(directory: &Path, table: &mut Table) {
    // Before the first run, the only known fact is that nothing has failed.
    let report = Report::read(directory).unwrap_or_default();
    kit::metrics! { table;
        gauge "ticker_sync_pending_files", "Files that wait for the storage" => report.pending_files as f64;
        gauge "ticker_sync_pending_bytes", "Their size" => report.pending_bytes as f64;
        gauge "ticker_sync_complete_timestamp_seconds", "When nothing waited last" => report.complete_at as f64 / 1000.0;
        gauge "ticker_sync_failed", "Whether the last sync left something undone" => report.problem.is_some();
    }
}

/// The arguments of `ticker status`.
#[derive(Debug, clap::Args)]
pub struct Wishes {
    /// Print JSON, for programs
    #[arg(long)]
    json: bool,
}

/// `ticker status`.
pub fn command(config: Config, _: Credentials, wishes: Wishes) -> anyhow::Result<ExitCode> {
    let status = of(&config, &config.directory_by_hand())?;
    match wishes.json {
        true => println!("{status:#}"),
        false => println!("{}", in_words(&status)),
    }
    Ok(ExitCode::SUCCESS)
}

/// The status of the running service and of its files.
fn of(config: &Config, directory: &Path) -> anyhow::Result<Value> {
    let place = Place::of(directory);
    let ledger = Synced::of(&place);
    let folder = |path: PathBuf| -> anyhow::Result<(u64, u64, u64)> {
        let (mut files, mut bytes, mut synced) = (0, 0, 0);
        let names = Place::files(&path).with_context(|| path.display().to_string())?;
        for name in names {
            files += 1;
            // The file may be moved at any moment.
            bytes += path.join(&name).metadata().map_or(0, |m| m.len());
            synced += u64::from(ledger.is_synced(&name));
        }
        Ok((files, bytes, synced))
    };
    let (active, active_bytes, _) = folder(place.active())?;
    let (ready, ready_bytes, synced) = folder(place.ready())?;
    let service =
        running(config.http.port).unwrap_or_else(|error| json!({ "error": error.to_string() }));
    Ok(json!({
        "service": service,
        "files": {
            "active": active, "active_bytes": active_bytes,
            "ready": ready, "ready_bytes": ready_bytes, "synced": synced,
            "free_bytes": free_bytes(directory)?,
        },
        "sync": Report::read(directory),
    }))
}

fn running(port: u16) -> anyhow::Result<Value> {
    let client = Client::new(&Options::new("lichen-ticker", Duration::from_secs(5)));
    let answer = client.send(Request::get(format!("http://127.0.0.1:{port}/api/status")))?;
    anyhow::ensure!(answer.is_success(), "{}", answer.status_line());
    Ok(serde_json::from_slice(&answer.bytes(LONGEST_STATUS)?)?)
}

/// The output of [`of`] as text for people.
fn in_words(status: &Value) -> String {
    let mut lines = Vec::new();
    let service = &status["service"];
    match service["error"].as_str() {
        Some(error) => lines.push(format!("service: does not answer ({error})")),
        None => {
            let mib = service["resident_bytes"].as_f64().unwrap_or_default() / 1048576.0;
            lines.push(format!(
                "service: {} received, {} flushed, {} queued, {} dropped, {} lost, {mib:.1} MiB{}",
                service["received"],
                service["flushed"],
                service["queued"],
                service["dropped"],
                service["lost"],
                if service["stopped"] == true {
                    ", STOPPED: the disk is full"
                } else {
                    ""
                },
            ));
            for (name, source) in service["sources"].as_object().into_iter().flatten() {
                let is = if source["connected"] == true {
                    "connected"
                } else {
                    "NOT CONNECTED"
                };
                lines.push(format!(
                    "  {name}: {is}; {} connects, {} failures, {} silences, {} garbage",
                    source["connects"], source["failures"], source["silences"], source["garbage"]
                ));
            }
        }
    }
    let files = &status["files"];
    lines.push(format!(
        "files: {} active, {} ready ({} bytes), {} of them synced; {} bytes free",
        files["active"], files["ready"], files["ready_bytes"], files["synced"], files["free_bytes"]
    ));
    match &status["sync"] {
        Value::Null => lines.push("sync: has not run yet".into()),
        sync => {
            let at = clock::rfc3339(sync["at"].as_i64().unwrap_or_default());
            let problem = sync["problem"]
                .as_str()
                .map(|p| format!("; {p}"))
                .unwrap_or_default();
            lines.push(format!(
                "sync: {at}, {} files wait{problem}",
                sync["pending_files"]
            ));
        }
    }
    lines.join("\n")
}
