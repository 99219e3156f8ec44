//! What can go wrong in the store, in the words of those who use it, and whether trying again may help.

use deadpool_postgres::{PoolError, TimeoutType};
use tokio_postgres::error::SqlState;

use crate::plan::check::Conflict;
use crate::plan::model::{Id, Version};

/// Why an operation was not carried out. Nothing of it was, unless it says that this is unknown.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// There is no such thing.
    #[error("there is no {what} {id}")]
    Missing {
        /// What it would be: `rack`, `device`, …
        what: &'static str,
        /// The number that was asked for.
        id: Id,
    },
    /// Somebody else has changed it in the meantime.
    #[error("somebody else has changed the {what} {id}")]
    Changed {
        /// What it is.
        what: &'static str,
        /// Its number.
        id: Id,
        /// Its version now.
        now: Version,
    },
    /// The name belongs to another one.
    #[error("there is already a {what} named `{name}`")]
    Taken {
        /// What it is.
        what: &'static str,
        /// The name.
        name: String,
    },
    /// It cannot go while others need it.
    #[error("the {what} is still in use: {by}")]
    InUse {
        /// What it is.
        what: &'static str,
        /// What needs it.
        by: String,
    },
    /// It does not fit.
    #[error("it does not fit: {}", sentences(.0))]
    Conflicts(Vec<Conflict>),
    /// A value is not allowed.
    #[error("{field}: {why}")]
    Invalid {
        /// The field with the value.
        field: String,
        /// What is wrong with it.
        why: String,
    },
    /// The database has too much to do, or no room; later it may have less, or some.
    #[error("the database is busy: {0}")]
    Busy(String),
    /// The database cannot be reached, or the connection to it was lost.
    #[error("the database cannot be reached: {0}")]
    Gone(String),
    /// A newer version of the planner has changed the database.
    #[error(
        "the database has schema {found}, and this version of the planner knows only those up to {known}"
    )]
    Newer {
        /// The database's schema.
        found: i32,
        /// The newest schema that is known.
        known: i32,
    },
    /// The database refuses what the planner says: a fault of the planner.
    #[error("the database refuses a statement: {0}")]
    Fault(String),
}

fn sentences(conflicts: &[Conflict]) -> String {
    let sentences = conflicts.iter().map(Conflict::to_string);
    sentences.collect::<Vec<_>>().join("; ")
}

impl Error {
    /// A field with a value that is not allowed.
    pub(super) fn invalid(field: impl Into<String>, why: impl Into<String>) -> Self {
        Error::Invalid {
            field: field.into(),
            why: why.into(),
        }
    }
}

/// An error of one attempt.
#[derive(Debug)]
pub(super) struct Failure {
    /// What the caller is told if this was the last attempt.
    pub error: Error,
    /// Whether the attempt has certainly changed nothing, and another one may succeed.
    pub again: bool,
}

/// The outcome of one attempt.
pub(super) type Attempt<T> = Result<T, Failure>;

impl Failure {
    /// What was read before locks were taken is not so any more.
    pub(super) fn outdated() -> Self {
        Failure {
            error: Error::Busy("others are changing the same things all the time".into()),
            again: true,
        }
    }

    fn again(error: Error) -> Self {
        Failure { error, again: true }
    }

    /// An error of `COMMIT`. The server has said no, or it has not answered; then the change may have been made, and must not
    /// be made a second time.
    pub(super) fn of_commit(error: &tokio_postgres::Error) -> Self {
        let decided = error.code().is_some_and(|code| {
            // The connection, the server's end, its system and its own faults: those may come after the commit.
            let class = code.code().get(..2).unwrap_or_default();
            !["08", "57", "58", "XX"].contains(&class)
        });
        match decided {
            true => Failure::of_statement(error),
            false => Failure::from(unknown(&told(error))),
        }
    }

    /// An error of a statement before `COMMIT`: whatever it is, the server takes the transaction back.
    pub(super) fn of_statement(error: &tokio_postgres::Error) -> Self {
        let text = told(error);
        let Some(code) = error.code() else {
            return match error.is_closed() || is_of_network(error) {
                true => Failure::again(Error::Gone(text)),
                false => Failure::from(Error::Fault(text)),
            };
        };
        let class = code.code().get(..2).unwrap_or_default();
        if *code == SqlState::QUERY_CANCELED || *code == SqlState::LOCK_NOT_AVAILABLE {
            return Failure::from(Error::Busy(text));
        }
        match class {
            // Two transactions in each other's way.
            "40" => Failure::again(Error::Busy(text)),
            // No room on the disk, no memory, no free connection.
            "53" if *code == SqlState::TOO_MANY_CONNECTIONS => Failure::again(Error::Busy(text)),
            "53" => Failure::from(Error::Busy(text)),
            // What a device with a full disk is told, so that it stays readable.
            "25" if *code == SqlState::READ_ONLY_SQL_TRANSACTION => {
                Failure::from(Error::Busy(text))
            }
            // A transaction in which nothing was said for too long.
            "25" if *code == SqlState::IDLE_IN_TRANSACTION_SESSION_TIMEOUT => {
                Failure::from(Error::Busy(text))
            }
            // The connection, and a server that ends or starts.
            "08" | "57" => Failure::again(Error::Gone(text)),
            // No such user, wrong password, no such database, no permission to connect.
            "28" | "3D" => Failure::from(Error::Gone(text)),
            // Text or numbers that the database cannot have.
            "22" => Failure::from(Error::invalid("value", text)),
            _ => Failure::from(Error::Fault(text)),
        }
    }
}

/// The error for a change of which nobody knows whether it was made.
pub(super) fn unknown(why: &str) -> Error {
    Error::Gone(format!(
        "{why}, just when a change was to be made: it is unknown whether it was; look before you make it again"
    ))
}

impl From<Error> for Failure {
    fn from(error: Error) -> Self {
        Failure {
            error,
            again: false,
        }
    }
}

impl From<tokio_postgres::Error> for Failure {
    fn from(error: tokio_postgres::Error) -> Self {
        Failure::of_statement(&error)
    }
}

impl From<PoolError> for Failure {
    fn from(error: PoolError) -> Self {
        match error {
            PoolError::Timeout(TimeoutType::Wait) => {
                Failure::from(Error::Busy("all connections are in use".into()))
            }
            PoolError::Timeout(TimeoutType::Create | TimeoutType::Recycle) => {
                Failure::from(Error::Gone("it does not answer".into()))
            }
            PoolError::Backend(error) => match Failure::of_statement(&error) {
                // Whatever hinders a connection, there is none.
                Failure {
                    error: Error::Fault(text),
                    again,
                } => Failure {
                    error: Error::Gone(text),
                    again,
                },
                failure => failure,
            },
            other => Failure::from(Error::Gone(other.to_string())),
        }
    }
}

/// The text of an error, with its causes, and without the values that the server quotes: those may be secret.
pub(super) fn told(error: &tokio_postgres::Error) -> String {
    if let Some(error) = error.as_db_error() {
        return error.message().to_owned();
    }
    let mut text = error.to_string();
    let mut cause = std::error::Error::source(error);
    while let Some(inner) = cause {
        text = format!("{text}: {inner}");
        cause = inner.source();
    }
    text
}

fn is_of_network(error: &tokio_postgres::Error) -> bool {
    let mut cause = std::error::Error::source(error);
    while let Some(inner) = cause {
        if inner.is::<std::io::Error>() {
            return true;
        }
        cause = inner.source();
    }
    false
}
