//! Debian's side: package lists → apt's solver → lock → downloads.

pub mod apt;
pub mod control;
pub mod download;
pub mod extend;
pub mod heal;
pub mod intent;
pub mod lock;
pub mod mirror;
pub mod relation;
pub mod resolve;
