//! What systemd is told; nothing is sent where nobody listens.

use std::time::Duration;

use sd_notify::NotifyState;

use crate::kit::Kit;

/// Tells systemd when the service is ready, then that it is alive for as long as it is.
pub(crate) async fn keep_informed(kit: Kit) {
    kit.latches().ready().await;
    tell(&[NotifyState::Ready, NotifyState::Status("ready")]);
    tracing::info!(startup_ms = kit.uptime().as_millis() as u64, "ready");
    let Some(period) = watchdog_period() else {
        return;
    };
    loop {
        let late = kit.late();
        match late.as_slice() {
            [] => tell(&[NotifyState::Watchdog]),
            late => tracing::error!(?late, "loops are late; the watchdog is not fed"),
        }
        tokio::time::sleep(period).await;
    }
}

/// The service is on its way out.
pub(crate) fn stopping() {
    tell(&[NotifyState::Stopping, NotifyState::Status("stopping")]);
}

/// A third of the time systemd allows between two signs of life.
fn watchdog_period() -> Option<Duration> {
    let limit = sd_notify::watchdog_enabled()?;
    (!limit.is_zero()).then_some(limit / 3)
}

fn tell(states: &[NotifyState]) {
    if let Err(error) = sd_notify::notify(states) {
        tracing::debug!(%error, "systemd was not told");
    }
}
