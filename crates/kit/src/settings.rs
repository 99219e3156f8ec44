//! Settings: one table says their names, types, defaults and permitted ranges.

use std::fmt::Display;
use std::ops::RangeInclusive;

/// Defines sections of a configuration. Each setting is written like a constant, with its default and, if it is a number,
/// its permitted range:
///
/// ```
/// kit::settings! {
///     /// When to ring.
///     pub struct BellSettings {
///         /// How often it rings.
///         pub times: u32 = 3, in 1..=10;
///         /// Pause between two rings.
///         pub pause_seconds: f64 = 0.5, in 0.0..=60.0;
///     }
/// }
/// assert_eq!(BellSettings::default().times, 3);
/// let bell = BellSettings { times: 11, ..BellSettings::default() };
/// assert_eq!(bell.in_range("bell."), Err("bell.times: must be between 1 and 10".into()));
/// ```
///
/// Each section can be read from JSON, where unknown names are refused and missing ones have their default, and has a
/// method `in_range`, which names the first value out of its range, with the prefix that it is given. A number without a
/// range does not compile: it would also take values that nobody means and no code expects.
///
/// ```compile_fail
/// kit::settings! {
///     /// When to ring.
///     pub struct BellSettings {
///         /// How often it rings.
///         pub times: u32 = 3;
///     }
/// }
/// ```
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

        $($crate::settings!(@range $name: $kind $(, $range)?);)+

        impl $section {
            /// Names the first value that is out of its range, with this prefix.
            $seen fn in_range(&self, prefix: &str) -> Result<(), String> {
                let _ = prefix;
                $($($crate::within([(format!("{prefix}{}", stringify!($name)), self.$name, $range)])?;)?)+
                Ok(())
            }
        }
    )+};
    (@range $name:ident: $kind:ty, $range:expr) => {};
    (@range $name:ident: $kind:ty) => {
        const _: () = assert!(
            !$crate::needs_range(stringify!($kind)),
            concat!("`", stringify!($name), "` needs a range")
        );
    };
}

/// Whether a setting of this type needs a range: it is a number that is not small by nature.
pub const fn needs_range(kind: &str) -> bool {
    matches!(
        kind.as_bytes(),
        b"u32" | b"u64" | b"usize" | b"i32" | b"i64" | b"f32" | b"f64"
    )
}

/// Checks the ranges of a table of settings; the error names the first value that is out of its range.
pub fn within<T: PartialOrd + Display>(
    settings: impl IntoIterator<Item = (impl Display, T, RangeInclusive<T>)>,
) -> Result<(), String> {
    for (name, value, range) in settings {
        if !range.contains(&value) {
            let (low, high) = range.into_inner();
            return Err(format!("{name}: must be between {low} and {high}"));
        }
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
            (within([("a", 0, 1..=3)]), "a: must be between 1 and 3"),
            (within([("a", 4, 1..=3)]), "a: must be between 1 and 3"),
        ] {
            assert_eq!(outcome, Err(problem.to_owned()));
        }
    }
}
