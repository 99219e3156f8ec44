//! The HTTP side of a service: its own routes, and those of the kit.
//!
//! This module sits above all others: the kit's state knows nothing about routes.

mod health;
mod metrics;
mod request;
mod seats;
mod server;

use axum::Router;
use tokio::net::TcpListener;
use tokio::task::JoinSet;

use crate::kit::Kit;

impl Kit {
    /// Serves `routes` together with `/health…` and `/metrics` until the service is stopped and drained.
    pub async fn serve(&self, routes: Router) -> anyhow::Result<()> {
        let listeners = self.take_listeners();
        let listeners = listeners.ok_or_else(|| anyhow::anyhow!("this kit has served already"))?;
        let own = routes.merge(health::routes(self));
        let all = match listeners.metrics {
            None => vec![(listeners.main, own.merge(metrics::routes(self)))],
            Some(apart) => {
                let watched = health::routes(self).merge(metrics::routes(self));
                vec![(listeners.main, own), (apart, watched)]
            }
        };
        let mut serving = JoinSet::new();
        for (listener, routes) in all {
            tracing::info!(address = %listener.local_addr()?, "listening");
            serving.spawn(self.clone().accept(listener, request::wrap(self, routes)));
        }
        self.serves();
        while let Some(served) = serving.join_next().await {
            served?;
        }
        Ok(())
    }

    async fn accept(self, listener: TcpListener, app: Router) {
        server::run(listener, app, self.http(), self.shutdown(), self.metrics()).await;
    }
}
