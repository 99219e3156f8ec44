use super::*;

#[test]
fn what_is_needed_stays_and_so_do_the_newest() {
    let all: Vec<_> = (1..=9).map(Generation).collect();
    let needed = BTreeSet::from([Generation(2), Generation(9)]);
    let gone = |keep| {
        superfluous(&all, &needed, keep)
            .into_iter()
            .map(|g| g.0)
            .collect::<Vec<_>>()
    };
    assert_eq!(gone(5), [1, 3, 4]);
    assert_eq!(gone(1), [1, 3, 4, 5, 6, 7, 8]);
    assert_eq!(gone(0), [1, 3, 4, 5, 6, 7, 8]);
    assert_eq!(gone(100), Vec::<u64>::new());
}
