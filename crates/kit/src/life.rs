//! The life cycle of a service: arguments, configuration, logs, listener, service, drain, exit status.

use std::future::Future;
use std::net::SocketAddr;
use std::process::ExitCode;
use std::time::Duration;

use anyhow::Context;
use tokio::net::TcpListener;
use tokio::runtime::{Builder, Runtime};
use tokio::signal::unix::{SignalKind, signal};

use crate::args::Args;
use crate::config::{Configuration, EXIT_CONFIG, read_config};
use crate::credentials::Credentials;
use crate::kit::Kit;
use crate::service::Service;
use crate::{logs, notify, soc};

/// Runs a service from its arguments to its exit status.
pub fn main<C, F, Fut>(service: Service, args: Args, run: F) -> ExitCode
where
    C: Configuration,
    F: FnOnce(C, Kit) -> Fut,
    Fut: Future<Output = anyhow::Result<()>>,
{
    let config = match configured::<C>(service.name, &args) {
        Ok(config) => config,
        Err(status) => return status,
    };
    logs::set_up(service.name);
    let runtime = match runtime(config.threads()) {
        Ok(runtime) => runtime,
        Err(error) => return report(Err(error.into())),
    };
    let outcome = runtime.block_on(live(service, config, run));
    // Do not let threads that are stuck in a system call keep the process alive.
    runtime.shutdown_timeout(Duration::from_secs(1));
    report(outcome)
}

/// The runtime for a service's tasks.
pub(crate) fn runtime(threads: usize) -> std::io::Result<Runtime> {
    let mut builder = match threads {
        0 | 1 => Builder::new_current_thread(),
        _ => Builder::new_multi_thread(),
    };
    builder.worker_threads(threads.max(1)).enable_all().build()
}

/// Runs a job that ends by itself, with the configuration, logs and secrets of a service.
pub fn job<C: Configuration>(
    service: &'static str,
    args: Args,
    run: impl FnOnce(C, Credentials) -> anyhow::Result<ExitCode>,
) -> ExitCode {
    let config = match configured::<C>(service, &args) {
        Ok(config) => config,
        Err(status) => return status,
    };
    logs::set_up(service);
    run(config, Credentials::from_environment(service)).unwrap_or_else(|error| report(Err(error)))
}

/// The configuration that the arguments select, or the exit status if there is nothing else to do.
fn configured<C: Configuration>(service: &str, args: &Args) -> Result<C, ExitCode> {
    let path = args
        .check_config
        .clone()
        .or_else(|| args.config_path(service));
    let mut config = match path.as_deref().map(read_config::<C>).transpose() {
        Ok(config) => config.unwrap_or_default(),
        Err(error) => {
            eprintln!("error: {error:#}");
            if args.config.is_none() && args.check_config.is_none() {
                eprintln!(
                    "hint: {service} --config FILE, or {service} --simulate to try it without hardware"
                );
            }
            return Err(ExitCode::from(EXIT_CONFIG));
        }
    };
    if args.check_config.is_some() {
        return Err(ExitCode::SUCCESS);
    }
    if args.simulate {
        config.simulate();
        soc::simulate();
    }
    Ok(config)
}

async fn live<C, F, Fut>(service: Service, config: C, run: F) -> anyhow::Result<()>
where
    C: Configuration,
    F: FnOnce(C, Kit) -> Fut,
    Fut: Future<Output = anyhow::Result<()>>,
{
    let http = config.http().clone();
    let listener = listen(&http, http.port).await?;
    let credentials = Credentials::from_environment(service.name);
    let kit = Kit::new(service, http.clone(), credentials, listener);
    if let Some(port) = http.metrics_port {
        kit.serve_metrics_on(listen(&http, port).await?);
    }
    let informer = tokio::spawn(notify::keep_informed(kit.clone()));

    let mut terminate = signal(SignalKind::terminate())?;
    let mut interrupt = signal(SignalKind::interrupt())?;
    let service_life = kit.see_out(run(config, kit.clone()));
    tokio::pin!(service_life);
    let outcome = tokio::select! {
        outcome = &mut service_life => outcome,
        _ = terminate.recv() => drain(&kit, service_life, &http).await,
        _ = interrupt.recv() => drain(&kit, service_life, &http).await,
    };
    informer.abort();
    outcome
}

/// Asks the service to stop and waits for it, with a deadline.
async fn drain(
    kit: &Kit,
    service: impl Future<Output = anyhow::Result<()>>,
    http: &crate::HttpSettings,
) -> anyhow::Result<()> {
    tracing::info!("stopping");
    notify::stopping();
    kit.shutdown().request();
    // The HTTP side drains within its own deadline; the rest of the service gets a little more time.
    let deadline = http.drain() + Duration::from_secs(5);
    match tokio::time::timeout(deadline, service).await {
        Ok(outcome) => outcome,
        Err(_) => anyhow::bail!("did not stop within {} s", deadline.as_secs()),
    }
}

/// Listens as configured; on a machine without IPv6, `::` means all IPv4 addresses.
async fn listen(http: &crate::HttpSettings, port: u16) -> anyhow::Result<TcpListener> {
    let address = SocketAddr::new(http.address, port);
    let bound = match TcpListener::bind(address).await {
        Err(error)
            if error.kind() != std::io::ErrorKind::AddrInUse && address.ip().is_unspecified() =>
        {
            TcpListener::bind(("0.0.0.0", port)).await
        }
        bound => bound,
    };
    bound.with_context(|| format!("cannot listen on {address}"))
}

/// The one place where an error is printed.
pub fn report(outcome: anyhow::Result<()>) -> ExitCode {
    match outcome {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("error: {error:#}");
            ExitCode::FAILURE
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_service_has_as_many_threads_as_it_asks_for() {
        assert_eq!(runtime(1).unwrap().metrics().num_workers(), 1);
        let (tell, told) = std::sync::mpsc::channel();
        let met = runtime(2).unwrap().block_on(async {
            // Neither side releases its thread before it has met the other.
            let first = tokio::spawn(async move { told.recv_timeout(Duration::from_secs(10)) });
            tokio::spawn(async move { tell.send("met") });
            first.await
        });
        assert_eq!(met.unwrap(), Ok("met"));
    }
}
