//! PostgreSQL: racks, kinds, devices, users and what they did.
//!
//! Every change is one transaction, together with its entry in the audit log. What is said to be done is on the server's disk. Whatever
//! may have been changed by somebody else in the meantime is told apart by versions, and whatever depends on all of a rack is
//! decided while the rack is locked; several racks are locked in the order of their numbers. So any number of processes may use one
//! database.
//!
//! What was certainly not carried out is tried again for a short while: connections that are refused or lost before a commit, and
//! transactions that were in each other's way. A commit that is not answered is never repeated: the error says that the outcome is unknown.

mod access;
mod audit;
mod devices;
mod error;
mod facts;
mod filled;
mod import_rack;
pub mod import_sqlite;
mod kinds;
mod logos;
mod places;
mod pool;
mod racks;
mod rows;
mod schema;
mod search;
mod users;

use std::time::{Duration, Instant};

use kit::Secret;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

pub use access::{Bearer, Session, Token};
pub use audit::{AuditQuery, Entry};
pub use devices::DeviceQuery;
pub use error::Error;
pub use kinds::{Imported, KindQuery};
pub use logos::{LogoInfo, StoredLogo};
pub use places::Move;
pub use pool::PoolStatus;
pub use schema::SCHEMA;
pub use search::{Hit, HitKind};
pub use users::User;

use crate::config::DatabaseSettings;
use error::Attempt;
use pool::{Connections, again};

/// The most things that are listed at once, whatever is asked for.
pub const MOST_LISTED: usize = 1000;

/// The database. Clones share its connections.
#[derive(Debug, Clone)]
pub struct Store {
    connections: Connections,
}

/// Who changes something, for the audit log.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Who {
    /// The name of the user.
    pub user: String,
    /// The number of the request, which is also in the log of the service.
    pub request: String,
}

/// What a user or a token may do.
#[derive(
    Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, ToSchema,
)]
#[serde(rename_all = "kebab-case")]
pub enum Role {
    /// Look.
    View,
    /// Look, and change racks and what is in them.
    Edit,
    /// Everything: users, too.
    Admin,
}

/// How many rows a statement may give.
fn limited(limit: usize) -> i64 {
    limit.clamp(1, MOST_LISTED) as i64
}

impl Store {
    /// The database of these settings. It is connected to when something is asked of it, so that a database that is not there yet
    /// hinders nobody from starting. It has to be called within a runtime of Tokio.
    ///
    /// # Errors
    /// [`Error::Invalid`] if the certificates of `authority` cannot be read.
    pub fn open(settings: &DatabaseSettings, password: Option<Secret>) -> Result<Self, Error> {
        Ok(Store {
            connections: Connections::new(settings, password.as_ref())?,
        })
    }

    /// How long the database takes to answer, with the time for a connection if none is free.
    ///
    /// # Errors
    /// [`Error::Gone`] or [`Error::Busy`]; nothing is tried again.
    pub async fn ping(&self) -> Result<Duration, Error> {
        let begin = Instant::now();
        let once = async || -> Attempt<()> {
            let session = self.connections.session().await?;
            session.row("SELECT 1", &[]).await?;
            Ok(())
        };
        once().await.map_err(|failure| failure.error)?;
        Ok(begin.elapsed())
    }

    /// The state of the pool of connections.
    pub fn pool_status(&self) -> PoolStatus {
        self.connections.status()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn roles_are_in_the_order_of_what_they_allow() {
        assert!(Role::View < Role::Edit && Role::Edit < Role::Admin);
    }
}
