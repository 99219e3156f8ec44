//! The names of time zones that devices know, for those who choose one elsewhere: another system may know others.

const LIST: &str = include_str!("zones.txt");

/// Whether images have the time zone.
pub fn is_known(zone: &str) -> bool {
    lines().any(|(name, today)| name == zone && today.is_none())
}

/// What the zone of this old name is called today.
pub fn name_of_today(zone: &str) -> Option<&'static str> {
    lines().find(|(name, _)| *name == zone)?.1
}

/// The zones that images have.
pub fn known() -> impl Iterator<Item = &'static str> {
    lines()
        .filter(|(_, today)| today.is_none())
        .map(|(name, _)| name)
}

/// Each name, and behind an old one the one of today.
fn lines() -> impl Iterator<Item = (&'static str, Option<&'static str>)> {
    let lines = LIST.lines().filter(|line| !line.starts_with('#'));
    lines.map(|line| match line.split_once(' ') {
        Some((old, today)) => (old, Some(today)),
        None => (line, None),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_old_name_leads_to_one_that_devices_know() {
        assert!(is_known("Europe/Berlin") && is_known("UTC") && is_known("Australia/Sydney"));
        assert!(!is_known("US/Pacific") && !is_known("Europe/Berlni") && !is_known(""));
        assert_eq!(name_of_today("US/Pacific"), Some("America/Los_Angeles"));
        assert_eq!(name_of_today("Europe/Berlin"), None);
        for (old, today) in lines() {
            if let Some(today) = today {
                assert!(is_known(today), "{old} leads to {today}");
            }
        }
    }
}
