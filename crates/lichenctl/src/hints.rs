//! Finding the [`Hint`] of an error of any kind. It knows all of them, and only `main` knows it.

use crate::apply::ApplyError;
use crate::backup::{BackupRefused, hint_of_archive};
use crate::confirm::ConfirmError;
use crate::grow::GrowError;
use crate::health::Unhealthy;
use crate::hint::Hint;
use crate::lock::Busy;
use crate::receive::ReceiveError;
use crate::room;
use crate::secrets::RotationRefused;
use crate::stage::Full;
use crate::state::StateError;
use crate::toplevel::ToplevelError;
use crate::trust::Untrusted;
use crate::update::UpdateError;

/// The hint of an error, wherever in its chain it is.
pub fn of(error: &anyhow::Error) -> Option<&'static str> {
    HINTS.iter().find_map(|hint| hint(error))
}

/// Every kind of error that has one.
const HINTS: [fn(&anyhow::Error) -> Option<&'static str>; 15] = [
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
    known::<BackupRefused>,
    room::hint_of,
    known::<RotationRefused>,
    |error| error.downcast_ref().and_then(hint_of_archive),
    |error| error.downcast_ref().and_then(GrowError::hint),
];

fn known<E: Hint + Send + Sync + 'static>(error: &anyhow::Error) -> Option<&'static str> {
    error.downcast_ref().map(E::hint)
}
