//! How strong Wi-Fi is received, from /proc/net/wireless. Debian's kernel has it for all drivers; it takes no connection to iwd,
//! and works for whatever manages the interface.

use crate::root::Root;
use protocol::vitals::Wifi;
use std::fs;

/// The interfaces; none if the kernel does not tell.
pub(super) fn read(root: &Root) -> Option<Vec<Wifi>> {
    let text = fs::read_to_string(root.at("proc/net/wireless")).ok()?;
    Some(text.lines().filter_map(interface).collect())
}

/// ` wlan0: 0000   54.  -56.  -256        0      0      0      0      0        0`: after the name its status, quality, level and noise.
/// The dot says that the value was measured; without a connection, all are 0. Headings have no colon.
fn interface(line: &str) -> Option<Wifi> {
    let (name, values) = line.split_once(':')?;
    let level = values.split_whitespace().nth(2)?;
    let measured: Option<i64> = level.strip_suffix('.').and_then(|level| level.parse().ok());
    Some(Wifi {
        interface: name.trim().to_owned(),
        signal_dbm: measured.filter(|level| *level < 0),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_signal_of_each_interface_that_is_connected_is_told() {
        let headings = "\
Inter-| sta-|   Quality        |   Discarded packets               | Missed | WE
 face | tus | link level noise |  nwid  crypt   frag  retry   misc | beacon | 22
";
        assert_eq!(headings.lines().find_map(interface), None);
        let told = |line| interface(line).map(|wifi| (wifi.interface, wifi.signal_dbm));
        assert_eq!(
            told(" wlan0: 0000   54.  -56.  -256        0      0      0      0      0        0"),
            Some(("wlan0".into(), Some(-56)))
        );
        assert_eq!(
            told("wlan1: 0000    0     0     0        0      0      0      0      0        0"),
            Some(("wlan1".into(), None))
        );
    }
}
