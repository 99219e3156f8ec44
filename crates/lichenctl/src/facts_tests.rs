use super::*;

#[test]
fn memory_is_what_programs_can_have() {
    let text = "MemTotal:        1000 kB\nMemFree:          100 kB\nMemAvailable:     600 kB\n";
    let usage = Usage {
        size: 1_024_000,
        used: 409_600,
        available: 614_400,
    };
    assert_eq!(memory(text), Some(usage));
    assert_eq!(memory("MemTotal: lots"), None);
}

#[test]
fn of_errors_the_last_ones_count_and_what_is_as_it_shall_be_does_not() {
    let boot = "Nov 25 03:26:01 rack7 kernel: watchdog: watchdog0: watchdog did not stop!\n";
    assert_eq!(last(boot), Vec::<String>::new());
    let many: String = (1..=9).map(|n| format!("error {n}\n")).collect();
    assert_eq!(last(&many)[..2], ["error 5", "error 6"]);
    assert_eq!(last(&format!("{many}{boot}")).len(), ERRORS);
}

#[test]
fn only_the_appliances_own_services_speak() {
    let text = "Id=x.service\nFragmentPath=/etc/systemd/system/x.service\nStatusText=3 wait\n\n\
                Id=silent.service\nFragmentPath=/etc/systemd/system/silent.service\nStatusText=\n\n\
                Id=systemd-resolved.service\nFragmentPath=/usr/lib/systemd/system/systemd-resolved.service\nStatusText=Processing requests...\n";
    let said = Service {
        name: "x".into(),
        said: "3 wait".into(),
    };
    assert_eq!(saying(text), [said]);
}
