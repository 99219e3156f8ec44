//! Whether there is a network: a route to everywhere.

/// The routing tables of the kernel.
const IPV4: &str = "/proc/self/net/route";
const IPV6: &str = "/proc/self/net/ipv6_route";

/// Whether there is a network.
pub fn is_there() -> bool {
    let table = |path| std::fs::read_to_string(path).unwrap_or_default();
    has_default_v4(&table(IPV4)) || has_default_v6(&table(IPV6))
}

/// `eth0 00000000 0102A8C0 0003 …`: interface, destination, gateway, flags, of which 1 is "up".
fn has_default_v4(table: &str) -> bool {
    table.lines().any(|line| {
        let fields: Vec<&str> = line.split_whitespace().collect();
        let flags = fields.get(3).and_then(|f| u32::from_str_radix(f, 16).ok());
        fields.get(1) == Some(&"00000000") && flags.is_some_and(|flags| flags & 1 != 0)
    })
}

/// Destination, its length, source, its length, next hop, metric, uses, flags, interface; the kernel's own routes to
/// nowhere are those of `lo`.
fn has_default_v6(table: &str) -> bool {
    table.lines().any(|line| {
        let fields: Vec<&str> = line.split_whitespace().collect();
        let everywhere = fields
            .first()
            .is_some_and(|to| to.bytes().all(|b| b == b'0'));
        everywhere && fields.get(1) == Some(&"00") && fields.last().is_some_and(|at| *at != "lo")
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_route_to_everywhere_is_a_network() {
        let head = "Iface\tDestination\tGateway\tFlags\tRefCnt\tUse\tMetric\tMask\n";
        let local = "eth0\t0002A8C0\t00000000\t0001\t0\t0\t0\t00FFFFFF\n";
        let default = "eth0\t00000000\t0102A8C0\t0003\t0\t0\t0\t00000000\n";
        assert!(!has_default_v4(&format!("{head}{local}")));
        assert!(has_default_v4(&format!("{head}{local}{default}")));
        let nowhere = format!(
            "{0} 00 {0} 00 {0} ffffffff 00000001 00000000 00200200 lo\n",
            "0".repeat(32)
        );
        let gateway = nowhere.replace(" lo", " eth0");
        assert!(!has_default_v6(&nowhere));
        assert!(has_default_v6(&gateway));
    }
}
