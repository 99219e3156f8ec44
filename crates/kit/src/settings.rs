//! Settings: one table says their names, types, defaults and permitted ranges.

use std::fmt::Display;
use std::ops::{Bound, RangeBounds};

/// Defines sections of a configuration. Each setting is written like a constant, with its default and, where not every
/// value makes sense, its permitted range:
///
/// ```
/// kit::settings! {
///     /// When to ring.
///     pub struct BellSettings {
///         /// How often it rings.
///         pub times: u32 = 3, in 1..=10;
///         /// Pause between two rings.
///         pub pause_seconds: f64 = 0.5;
///     }
/// }
/// assert_eq!(BellSettings::default().times, 3);
/// let bell = BellSettings { times: 11, ..BellSettings::default() };
/// assert_eq!(bell.in_range("bell."), Err("bell.times: must be between 1 and 10".into()));
/// ```
///
/// Each section can be read from JSON, where unknown names are refused and missing ones have their default, and has a
/// method `in_range`, which names the first value out of its range, with the prefix that it is given.
#[macro_export]
macro_rules! settings {
    ($($(#[$of:meta])* $seen:vis struct $section:ident {
        $($(#[$what:meta])* $public:vis $name:ident: $kind:ty = $default:expr $(, in $range:expr)?;)+
    })+) => {$(
        $(#[$of])*
        #[derive(Debug, Clone, ::serde::Deserialize)]
        #[serde(default, deny_unknown_fields)]
        $seen struct $section {
            $($(#[$what])* $public $name: $kind,)+
        }

        impl Default for $section {
            fn default() -> Self {
                $section { $($name: $default,)+ }
            }
        }

        impl $section {
            /// Names the first value that is out of its range, with this prefix.
            $seen fn in_range(&self, prefix: &str) -> Result<(), String> {
                let _ = prefix;
                $($($crate::within([(format!("{prefix}{}", stringify!($name)), self.$name, $range)])?;)?)+
                Ok(())
            }
        }
    )+};
}

/// Checks the ranges of a table of settings; the error names the first value that is out of its range.
pub fn within<T: PartialOrd + Display>(
    settings: impl IntoIterator<Item = (impl Display, T, impl RangeBounds<T>)>,
) -> Result<(), String> {
    for (name, value, range) in settings {
        if range.contains(&value) {
            continue;
        }
        return Err(match (range.start_bound(), range.end_bound()) {
            (Bound::Included(low), Bound::Included(high)) => {
                format!("{name}: must be between {low} and {high}")
            }
            (Bound::Included(low), Bound::Excluded(high)) => {
                format!("{name}: must be at least {low} and less than {high}")
            }
            (Bound::Included(low), Bound::Unbounded) => format!("{name}: must be at least {low}"),
            _ => format!("{name}: {value} is out of range"),
        });
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_setting_out_of_its_range_is_named_with_the_range() {
        assert_eq!(within([("a", 1, 1..=3), ("b", 3, 1..=3)]), Ok(()));
        let not_a_number = within([("a", 1.0, 0.5..=3.0), ("b", f64::NAN, 0.5..=3.0)]);
        for (outcome, problem) in [
            (not_a_number, "b: must be between 0.5 and 3"),
            (within([("a", 0, 1..)]), "a: must be at least 1"),
            (
                within([("a", 4, 1..4)]),
                "a: must be at least 1 and less than 4",
            ),
        ] {
            assert_eq!(outcome, Err(problem.to_owned()));
        }
    }
}
