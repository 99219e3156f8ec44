//! Alerts: when to send one (`machine`), its text (`message`), what is active (`judge`), and the delivery.

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
