//! Hints: for an error, a sentence that says what to do about it.

use crate::apply::ApplyError;
use crate::confirm::ConfirmError;
use crate::grow::GrowError;
use crate::health::Unhealthy;
use crate::lock::Busy;
use crate::receive::ReceiveError;
use crate::stage::Full;
use crate::state::StateError;
use crate::toplevel::ToplevelError;
use crate::trust::Untrusted;
use crate::update::UpdateError;
use std::error::Error;

/// An error that has a hint.
pub trait Hint: Error {
    /// What to do about it.
    fn hint(&self) -> &'static str;
}

/// The hint of an error, wherever it is in the chain.
pub fn of(error: &anyhow::Error) -> Option<&'static str> {
    HINTS.iter().find_map(|hint| hint(error))
}

/// Every kind of error that has a hint.
const HINTS: [fn(&anyhow::Error) -> Option<&'static str>; 11] = [
    known::<StateError>,
    known::<ApplyError>,
    known::<ToplevelError>,
    known::<Full>,
    known::<Untrusted>,
    known::<Busy>,
    known::<ConfirmError>,
    known::<ReceiveError>,
    known::<UpdateError>,
    known::<Unhealthy>,
    |error| error.downcast_ref().and_then(GrowError::hint),
];

fn known<E: Hint + Send + Sync + 'static>(error: &anyhow::Error) -> Option<&'static str> {
    error.downcast_ref().map(E::hint)
}

impl Hint for Unhealthy {
    fn hint(&self) -> &'static str {
        "`lichenctl status` shows the units that failed"
    }
}
