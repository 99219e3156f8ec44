//! Lichen on the device, as a library: the verbs of the program `lichenctl`, and the types with which the host
//! command and the stories read its answers. Synchronous; every durable write goes through the crate `durable`.

pub mod apply;
pub mod bless;
pub mod channel;
pub mod confirm;
pub mod deploy_rs;
pub mod facts;
pub mod fallback;
pub mod generations;
pub mod grow;
pub mod health;
pub mod hint;
pub mod hints;
pub mod journal;
pub mod link;
pub mod live;
pub mod lock;
mod openmetrics;
pub mod plan;
pub mod profile;
pub mod provision;
pub mod receive;
pub mod record;
pub mod recovery;
pub mod reset;
pub mod retention;
pub mod root;
pub mod service_data;
pub mod stage;
pub mod state;
pub mod status;
mod sys;
pub mod systemd;
pub mod toplevel;
pub mod trust;
pub mod update;
pub mod vitals;
