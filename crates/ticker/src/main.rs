//! `ticker`: the service, and further commands.

use std::process::ExitCode;

use kit::{CommandLine, Credentials, EXIT_LATER};
use ticker::config::{Config, StatsInterval};
use ticker::{status, sync};

fn main() -> ExitCode {
    let about =
        "Records market data from WebSocket feeds into Parquet files and uploads them to S3";
    let upload = "Upload complete files, and delete old files that are safely stored";
    let show = "Show the state of the service, its files and the last sync";
    CommandLine::new(kit::service!("ticker"), about, ticker::run)
        .run_arguments(StatsInterval::apply)
        .job("sync", upload, sync)
        .job("status", show, status::command)
        .main()
}

/// Whatever prevents a sync from finishing may be gone at the next run.
fn sync(
    config: Config,
    credentials: Credentials,
    wishes: sync::Wishes,
) -> anyhow::Result<ExitCode> {
    let synced = sync::run(&config, &config.directory_by_hand(), &credentials, wishes);
    Ok(synced.map_or_else(
        |error| {
            eprintln!("error: {error:#}");
            ExitCode::from(EXIT_LATER)
        },
        |_| ExitCode::SUCCESS,
    ))
}
