//! Errors as users meet them: what failed, and the command or the edit that helps.

use protocol::command::UNCONFIRMED;

/// An error with a way out. `main` prints both lines, once.
#[derive(Debug, thiserror::Error)]
#[error("{what}")]
pub struct Failure {
    /// What failed, with the thing it is about by name.
    pub what: String,
    /// The next command, flag or edit.
    pub hint: String,
}

/// The device runs what it ran before.
#[derive(Debug, thiserror::Error)]
#[error("{host}: {why}")]
pub struct Reverted {
    /// The device, as it was called on the command line.
    pub host: String,
    /// What was wrong with what it was to run.
    pub why: String,
}

impl Reverted {
    /// What to look at.
    pub fn hint(&self) -> String {
        if self.why.contains(UNCONFIRMED) {
            return format!(
                "if {} gets another address on purpose: `lichen deploy --no-confirm`, or `--boot` and a reboot; \
                 otherwise look at the network and SSH of what was deployed",
                self.host
            );
        }
        format!("`lichen logs {}` shows what its units said", self.host)
    }
}

/// The way out of an error, if there is one.
pub fn hint_of(error: &anyhow::Error) -> Option<String> {
    let failure = error.downcast_ref::<Failure>();
    let reverted = error.downcast_ref::<Reverted>();
    failure
        .map(|failure| failure.hint.clone())
        .or_else(|| reverted.map(Reverted::hint))
}

/// Ends the function with an error and its hint.
#[macro_export]
macro_rules! fail {
    (hint: $hint:expr, $($what:tt)+) => {
        return Err(anyhow::Error::new($crate::failure::Failure { what: format!($($what)+), hint: $hint.to_string() }))
    };
}

/// Adds a hint to an error that came from below.
pub trait Hint<T> {
    /// Keeps the error's text and adds the way out.
    fn hint(self, hint: &str) -> anyhow::Result<T>;
}

impl<T, E: Into<anyhow::Error>> Hint<T> for Result<T, E> {
    fn hint(self, hint: &str) -> anyhow::Result<T> {
        self.map_err(|e| {
            let e = e.into();
            // The hint closest to the cause is the better one.
            if e.downcast_ref::<Failure>().is_some() {
                return e;
            }
            Failure {
                what: format!("{e:#}"),
                hint: hint.into(),
            }
            .into()
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn whoever_is_cut_off_learns_how_to_change_an_address_on_purpose() {
        let reverted = |why: &str| Reverted {
            host: "rack7".into(),
            why: why.into(),
        };
        let cut_off = reverted(
            "generation 2 failed: not confirmed within 30 s: whoever deployed it may be cut off",
        );
        assert!(cut_off.hint().contains("--no-confirm"));
        assert!(cut_off.hint().contains("--boot"));
        let unhealthy = reverted("generation 2 failed: not healthy after 9 s: bell.service failed");
        assert_eq!(
            unhealthy.hint(),
            "`lichen logs rack7` shows what its units said"
        );
    }
}
