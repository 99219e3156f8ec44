use super::*;
use std::process::{Child, Command, Stdio};
use std::time::Instant;

#[test]
fn gateways_are_read_from_routes_of_both_families() {
    let found = |said: &str| -> Vec<_> {
        let gateways = routes(said).unwrap().into_iter();
        gateways
            .map(|g| (g.interface, g.address, g.answers))
            .collect()
    };
    let at = |interface: &str, address: &str, answers| {
        (interface.to_owned(), address.to_owned(), answers)
    };
    assert_eq!(found(""), []);
    assert_eq!(found("[]\n"), []);
    let cable_and_radio = r#"[
        {"dst":"default","gateway":"10.0.2.2","dev":"eth0","protocol":"dhcp","prefsrc":"10.0.2.15","metric":1024,"flags":[]},
        {"dst":"default","gateway":"10.0.2.2","dev":"wlan0","metric":1025,"flags":["linkdown"]},
        {"dst":"default","dev":"wg0","scope":"link","flags":[]}]"#;
    assert_eq!(
        found(cable_and_radio),
        [
            at("eth0", "10.0.2.2", None),
            at("wlan0", "10.0.2.2", Some(false))
        ]
    );
    let advertised = r#"[{"dst":"default","gateway":"fe80::1","dev":"eth0","protocol":"ra","metric":512,"flags":[],"pref":"medium"}]"#;
    assert_eq!(found(advertised), [at("eth0", "fe80::1", None)]);
    let two_routers = r#"[{"dst":"default","protocol":"ra","metric":512,"flags":[],"pref":"medium","nexthops":[
        {"gateway":"fe80::1","dev":"eth0","weight":1,"flags":[]},{"gateway":"fe80::2","dev":"eth0","weight":1,"flags":[]}]}]"#;
    assert_eq!(
        found(two_routers),
        [at("eth0", "fe80::1", None), at("eth0", "fe80::2", None)]
    );
    let by_ipv6 =
        r#"[{"dst":"default","via":{"family":"inet6","host":"fe80::1"},"dev":"eth0","flags":[]}]"#;
    assert_eq!(found(by_ipv6), [at("eth0", "fe80::1", None)]);
    assert!(routes("Object \"x\" is unknown").is_err());
}

#[test]
fn one_gateway_that_answers_is_enough() {
    let reach = |answers: &[Option<bool>]| {
        let gateway = |answers: &Option<bool>| Gateway {
            interface: "eth0".into(),
            address: "10.0.2.2".into(),
            answers: *answers,
        };
        super::reach(&answers.iter().map(gateway).collect::<Vec<_>>())
    };
    assert_eq!(reach(&[]), Reach::Silent);
    assert_eq!(reach(&[Some(false), Some(false)]), Reach::Silent);
    assert_eq!(reach(&[Some(false), None]), Reach::Unknown);
    assert_eq!(reach(&[Some(false), None, Some(true)]), Reach::Answers);
}

/// A network namespace with an interface to which nothing is connected; it ends with this.
struct Namespace(Child);

impl Namespace {
    fn new() -> Self {
        let script = "ip tuntap add dev tap0 mode tap && ip link set tap0 up \
             && ip address add 192.0.2.2/24 dev tap0 && ip address add 2001:db8::2/64 dev tap0 nodad \
             && for v in 4 6; do echo 1 > /proc/sys/net/ipv$v/neigh/tap0/delay_first_probe_time || exit; done \
             && ip route add default via 192.0.2.1 dev tap0 && ip route add default via fe80::1 dev tap0 \
             && echo ready && exec sleep 600";
        let mut child = Command::new("unshare")
            .args(["--map-root-user", "--net", "sh", "-c", script])
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let mut ready = String::new();
        let mut said = std::io::BufReader::new(child.stdout.take().unwrap());
        std::io::BufRead::read_line(&mut said, &mut ready).unwrap();
        assert_eq!(ready, "ready\n");
        Self(child)
    }

    fn ip(&self) -> Ip {
        let pid = self.0.id().to_string();
        let enter = [
            "nsenter",
            "--preserve-credentials",
            "--user",
            "--net",
            "--target",
            &pid,
            "ip",
        ];
        Ip(enter.map(str::to_owned).to_vec())
    }
}

impl Drop for Namespace {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// The kernel itself asks for the neighbour: here nobody answers, until an entry says that somebody did.
#[test]
fn a_gateway_is_asked_for_and_answers_or_not() {
    let namespace = Namespace::new();
    let ip = namespace.ip();
    let found = || ip.gateways(&[]).unwrap();
    assert_eq!(found().len(), 2);
    assert_eq!(reach(&found()), Reach::Silent);
    // An old entry proves nothing; that it is asked for does.
    let put = |address: &str, state: &str| {
        let entry = ["lladdr", "02:00:00:00:00:01", "nud", state];
        let of = ["neigh", "replace", address, "dev", "tap0"];
        ip.run(&[&of[..], &entry[..]].concat()).unwrap();
    };
    for address in ["192.0.2.1", "fe80::1"] {
        put(address, "stale");
        let answers = |address: &str| {
            let gateway = Gateway {
                interface: "tap0".into(),
                address: address.into(),
                answers: None,
            };
            ip.answers(&gateway).unwrap()
        };
        assert_eq!(answers(address), None);
        let begin = Instant::now();
        while answers(address) != Some(false) {
            let waited = begin.elapsed();
            assert!(
                waited < Duration::from_secs(60),
                "{address} is still believed in"
            );
            std::thread::sleep(Duration::from_millis(100));
        }
        put(address, "reachable");
        assert_eq!(answers(address), Some(true));
        put(address, "failed");
        assert_eq!(answers(address), Some(false));
    }
    assert_eq!(ip.gateways(&["eth0".into()]).unwrap(), []);
}
