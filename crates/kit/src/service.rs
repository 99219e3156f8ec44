//! Which service this is, and which version of it.

/// A service's name and the version of its crate; [`service!`](crate::service!) makes one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Service {
    /// The name of its command, its unit, its configuration and its secrets.
    pub name: &'static str,
    /// The version of its crate, as `--version` and `service_info` show it.
    pub version: &'static str,
}

/// The service of this name, in the version of the crate that says so.
#[macro_export]
macro_rules! service {
    ($name:literal) => {
        $crate::Service {
            name: $name,
            version: env!("CARGO_PKG_VERSION"),
        }
    };
}
