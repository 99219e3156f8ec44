//! Alerts: what is worth one (`machine`), what it says (`message`), who is told (`judge`), and how it gets there.

mod delivery;
mod judge;
mod machine;
mod message;
mod outbox;
mod webhook;

pub use delivery::deliver;
pub use judge::{Judge, SharedAlerts};
pub use machine::{Alerts, Change, Level, Subject};
pub use message::{Message, Texts};
pub use outbox::Outbox;
pub use webhook::{Overrides, SharedWebhook, Thresholds, Webhook, send};
