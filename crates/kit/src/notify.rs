//! Notifications to systemd; nothing is sent if the service was not started by systemd.

use std::time::Duration;

use sd_notify::NotifyState;

use crate::kit::Kit;

/// Tells systemd when the service is ready, and then regularly that it is alive, and how it is.
pub(crate) async fn keep_informed(kit: Kit) {
    kit.latches().ready().await;
    tell(&[NotifyState::Ready, NotifyState::Status("ready")]);
    tracing::info!(startup_ms = kit.uptime().as_millis() as u64, "ready");
    let Some(period) = watchdog_period() else {
        return;
    };
    let mut told = String::new();
    loop {
        let words = kit.components().in_words();
        if words != told {
            tell(&[NotifyState::Status(&words)]);
            told = words;
        }
        let late = kit.late();
        match late.as_slice() {
            [] => tell(&[NotifyState::Watchdog]),
            late => tracing::error!(
                ?late,
                "loops are stalled; the systemd watchdog is not being fed"
            ),
        }
        tokio::time::sleep(period).await;
    }
}

/// Tells systemd that the service is stopping.
pub(crate) fn stopping() {
    tell(&[NotifyState::Stopping, NotifyState::Status("stopping")]);
}

/// A third of the interval that systemd allows between two keep-alive messages.
fn watchdog_period() -> Option<Duration> {
    let limit = sd_notify::watchdog_enabled()?;
    (!limit.is_zero()).then_some(limit / 3)
}

fn tell(states: &[NotifyState]) {
    if let Err(error) = sd_notify::notify(states) {
        tracing::debug!(%error, "cannot notify systemd");
    }
}
