//! The channel's file: its name, and its sequence.

use super::Place;
use crate::failure::Hint;
use anyhow::{Context, Result};
use protocol::channel::Channel;
use std::time::SystemTime;

/// Refuses a name that devices could not ask for in an address without further ado.
pub fn check_name(channel: &str) -> Result<()> {
    let good = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || "._-".contains(c);
    if channel.is_empty() || channel.starts_with(['.', '_', '-']) || !channel.chars().all(good) {
        crate::fail!(
            hint: "small letters and digits; between them also . _ -",
            "'{channel}' can't be the name of a channel"
        );
    }
    Ok(())
}

/// The channel with the sequence that follows on what is published.
pub fn next_at(place: &Place, channel: Channel) -> Result<Channel> {
    let path = Channel::path(&channel.appliance, &channel.channel);
    let published = place.bring(&path)?;
    next(published.as_deref(), channel, unix_now())
        .with_context(|| format!("cannot take the sequence from {}", place.address(&path)))
        .hint("a sequence must never fall, or devices refuse it: get the file back from where it was published")
}

/// That of what is published already if it is the same toplevel. Else a higher one, and not below the time, so that
/// who has lost what was published can begin anew.
fn next(published: Option<&[u8]>, mut channel: Channel, now: u64) -> Result<Channel> {
    channel.sequence = now;
    let Some(text) = published else {
        return Ok(channel);
    };
    let (before, _) = Channel::read(text)?;
    if before.toplevel == channel.toplevel {
        return Ok(before);
    }
    let above = before
        .sequence
        .checked_add(1)
        .context("it is the highest there can be")?;
    channel.sequence = now.max(above);
    Ok(channel)
}

fn unix_now() -> u64 {
    let since = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH);
    since.map_or(0, |time| time.as_secs())
}

#[cfg(test)]
mod tests {
    use super::super::tests::{channel, key};
    use super::*;

    #[test]
    fn the_sequence_never_falls_and_the_same_again_is_nothing_new() {
        let published = channel(1000, "/nix/store/a").sign(&key()).into_bytes();
        for (before, toplevel, now, expected) in [
            (None, "/nix/store/a", 5, 5),
            (Some(&published), "/nix/store/a", 2000, 1000),
            (Some(&published), "/nix/store/b", 2000, 2000),
            (Some(&published), "/nix/store/b", 5, 1001),
        ] {
            let before = before.map(Vec::as_slice);
            let next = next(before, channel(0, toplevel), now).unwrap();
            assert_eq!(
                (next.sequence, next.toplevel.as_str()),
                (expected, toplevel)
            );
        }
        let last = channel(u64::MAX, "/nix/store/a").sign(&key());
        for unusable in [&last, "", "{}"] {
            let result = next(Some(unusable.as_bytes()), channel(0, "/nix/store/b"), 5);
            assert!(result.is_err(), "{unusable}");
        }
    }

    #[test]
    fn only_what_devices_can_ask_for_is_a_channel() {
        for good in ["stable", "beta-2", "v1.2_x"] {
            check_name(good).unwrap();
        }
        for bad in ["", "..", "../x", "a/b", "Ä", "A", "-x"] {
            assert!(check_name(bad).is_err(), "{bad}");
        }
    }
}
