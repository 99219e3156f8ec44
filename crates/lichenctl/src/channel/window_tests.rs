use super::*;

#[test]
fn a_window_may_reach_over_midnight() {
    let window = |from: &str, to: &str| Window {
        from: from.into(),
        to: to.into(),
    };
    for (from, to, now, open) in [
        ("02:00", "04:00", "02:00", true),
        ("02:00", "04:00", "03:59", true),
        ("02:00", "04:00", "04:00", false),
        ("02:00", "04:00", "01:59", false),
        ("22:30", "04:00", "23:00", true),
        ("22:30", "04:00", "00:00", true),
        ("22:30", "04:00", "04:00", false),
        ("22:30", "04:00", "12:00", false),
    ] {
        assert_eq!(window(from, to).contains(now), open, "{from}–{to} at {now}");
    }
}
