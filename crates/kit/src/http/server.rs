//! The accept loop: gives each connection a seat or turns it away, closes idle ones, drains all of them at the end, and lets handlers know
//! from which address a request comes.

use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::extract::ConnectInfo;
use hyper::Request;
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::{Service, service_fn};
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::server::graceful::GracefulShutdown;
use hyper_util::service::TowerToHyperService;
use tokio::io::AsyncWriteExt;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Semaphore;

use super::seats::Seats;
use crate::config::HttpSettings;
use crate::metrics::Metrics;
use crate::shutdown::Shutdown;

const FULL: &[u8] = b"HTTP/1.1 503 Service Unavailable\r\nretry-after: 1\r\nconnection: close\r\n\
    content-type: application/json\r\ncontent-length: 32\r\n\r\n{\"error\":\"too many connections\"}";

/// Serves `app` until `shutdown`, then gives requests in progress time to finish.
pub(super) async fn run(
    listener: TcpListener,
    app: Router,
    settings: &HttpSettings,
    shutdown: &Shutdown,
    metrics: &Metrics,
) {
    let seats = Seats::new(settings.max_connections);
    // Rejected connections hold a file descriptor until they are answered, so their number is limited, too.
    let door = Arc::new(Semaphore::new(settings.max_connections));
    let graceful = GracefulShutdown::new();
    let mut http = http1::Builder::new();
    http.timer(TokioTimer::new())
        .header_read_timeout(settings.idle_timeout())
        .max_buf_size(32 * 1024);
    let service = TowerToHyperService::new(app);
    loop {
        let (stream, peer) = tokio::select! {
            accepted = listener.accept() => match accepted {
                Ok(accepted) => accepted,
                Err(error) => {
                    // Most likely there are no file descriptors left: wait for some to be closed instead of spinning.
                    tracing::warn!(%error, "cannot accept a connection");
                    tokio::time::sleep(Duration::from_millis(100)).await;
                    continue;
                }
            },
            () = shutdown.requested() => break,
        };
        let Some(seat) = seats.take(peer.ip()) else {
            metrics.refused.inc();
            if let Ok(place) = door.clone().try_acquire_owned() {
                tokio::spawn(async move {
                    turn_away(stream).await;
                    drop(place);
                });
            }
            continue;
        };
        // A peer that accepts no bytes for this long is gone; without this limit it would keep its slot forever.
        let _ = rustix::net::sockopt::set_tcp_user_timeout(&stream, 30_000);
        let _ = stream.set_nodelay(true);
        let service = service.clone();
        let from_peer = service_fn(move |mut request: Request<Incoming>| {
            request.extensions_mut().insert(ConnectInfo(peer));
            service.call(request)
        });
        let connection = http.serve_connection(TokioIo::new(stream), from_peer);
        let connection = graceful.watch(connection);
        let open = metrics.connections.clone();
        open.inc();
        tokio::spawn(async move {
            if let Err(error) = connection.await {
                tracing::debug!(%error, "connection ended early");
            }
            open.dec();
            drop(seat);
        });
    }
    drop(listener);
    if tokio::time::timeout(settings.drain(), graceful.shutdown())
        .await
        .is_err()
    {
        tracing::warn!(
            seconds = settings.drain_seconds,
            "requests did not finish in time; dropped"
        );
    }
}

async fn turn_away(mut stream: TcpStream) {
    let tell = async {
        stream.write_all(FULL).await?;
        stream.shutdown().await
    };
    let _ = tokio::time::timeout(Duration::from_secs(1), tell).await;
}
