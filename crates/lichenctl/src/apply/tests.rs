use super::*;

#[test]
fn a_rollback_leads_to_the_good_one_and_from_there_to_the_one_before() {
    let state = |good| State {
        seq: 1,
        good: Generation(good),
        trial: None,
    };
    let all: Vec<_> = [1, 4, 7, 9].map(Generation).to_vec();
    let to = |asked: Option<u64>, running: Option<u64>, good| {
        let (asked, running) = (asked.map(Generation), running.map(Generation));
        target(asked, &all, running, state(good)).ok().map(|g| g.0)
    };
    assert_eq!(to(None, Some(9), 7), Some(7));
    assert_eq!(to(None, None, 7), Some(7), "from a toplevel on test");
    assert_eq!(to(None, Some(7), 7), Some(4), "the next one is not before");
    assert_eq!(to(None, Some(1), 1), None);
    assert_eq!(to(Some(9), Some(7), 7), Some(9));
    assert_eq!(to(Some(5), Some(7), 7), None);
}
