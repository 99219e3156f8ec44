//! The store on Debian's real PostgreSQL, as a device runs it.

#![expect(
    clippy::disallowed_methods,
    reason = "what a test writes need not survive a cut"
)]

mod access;
mod audit;
mod devices;
mod full;
mod import_rack;
mod import_sqlite;
mod kills;
mod kinds;
mod lost;
mod places;
mod pool;
mod racks;
mod schema;
mod search;
mod several;
mod support;
