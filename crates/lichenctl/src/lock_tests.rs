use super::*;

#[test]
fn the_second_is_turned_away_until_the_first_is_done() {
    let dir = durable::scratch();
    std::fs::create_dir(dir.path().join("run")).unwrap();
    let root = Root::new(dir.path());
    let first = GenerationsLock::take(&root).unwrap();
    assert!(GenerationsLock::take(&root).unwrap_err().is::<Busy>());
    drop(first);
    GenerationsLock::wait(&root).unwrap();
}
