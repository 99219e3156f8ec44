//! The planner's API, in front of PostgreSQL and a server of Redis's protocol as a device has them.

mod access;
mod description;
mod fuzzed;
mod refusals;
mod servers;
mod things;
mod trouble;
