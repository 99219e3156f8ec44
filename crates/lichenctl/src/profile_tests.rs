use super::*;

#[test]
fn the_profile_follows_what_booted() {
    let dir = durable::scratch();
    let root = Root::new(dir.path());
    let system = || fs::read_link(root.at(PROFILES).join("system")).unwrap();
    keep(&root, Generation(1), "/nix/store/a").unwrap();
    // A client ran `nix-env --set`, and then the power was cut.
    durable::atomic_symlink("/nix/store/b", &link(&root, Generation(2))).unwrap();
    point(&root, Generation(2)).unwrap();

    let before = reconcile(&root, Generation(1), "/nix/store/a").unwrap();
    assert_eq!(before.as_deref(), Some("system-2-link"));
    assert_eq!(system(), Path::new("system-1-link"));
    assert_eq!(
        reconcile(&root, Generation(1), "/nix/store/a").unwrap(),
        None
    );
    assert_eq!(
        links(&root),
        [
            (Generation(1), "/nix/store/a".into()),
            (Generation(2), "/nix/store/b".into())
        ]
    );
    release(&root, Generation(2)).unwrap();
    release(&root, Generation(2)).unwrap();
    assert_eq!(links(&root).len(), 1);
}

#[test]
fn what_was_refused_leaves_no_link() {
    let dir = durable::scratch();
    let root = Root::new(dir.path());
    let client = |number: u64, toplevel: &str| {
        durable::atomic_symlink(toplevel, &link(&root, Generation(number))).unwrap();
    };
    keep(&root, Generation(2), "/nix/store/runs").unwrap();
    client(10, "/nix/store/refused");
    client(11, "/nix/store/refused");
    client(12, "/nix/store/runs");
    forget(&root, "/nix/store/refused", &[]).unwrap();
    forget(&root, "/nix/store/runs", &[Generation(2)]).unwrap();
    assert_eq!(links(&root), [(Generation(2), "/nix/store/runs".into())]);
    unlink(&root, Generation(2)).unwrap();
    assert!(links(&root).is_empty());
}
