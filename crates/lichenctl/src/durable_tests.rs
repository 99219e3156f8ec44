use super::*;

#[test]
fn a_cut_leaves_the_old_file_or_the_new_one() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("file");
    for n in 0.. {
        atomic_write(&path, b"old", 0o600).unwrap();
        let done = cut::at(n, || atomic_write(&path, b"new", 0o600).unwrap()).is_some();
        let now = fs::read(&path).unwrap();
        assert!(now == b"old" || now == b"new");
        if done {
            assert_eq!(now, b"new");
            break;
        }
    }
    atomic_write(&path, b"newer", 0o640).unwrap();
    assert_eq!(
        fs::metadata(&path).unwrap().permissions().mode() & 0o777,
        0o640
    );
    assert_eq!(
        fs::read_dir(dir.path()).unwrap().count(),
        1,
        "no temporary file stays"
    );
}

#[test]
fn update_leaves_alone_what_is_right() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("file");
    assert!(update(&path, b"a", 0o600).unwrap());
    assert!(!update(&path, b"a", 0o600).unwrap());
    assert!(update(&path, b"a", 0o644).unwrap(), "the mode counts");
    assert!(update(&path, b"b", 0o644).unwrap());
}

#[test]
fn a_wiped_file_is_zeros_before_it_is_gone() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("secret");
    atomic_write(&path, b"hunter2", 0o600).unwrap();
    assert!(cut::at(0, || wipe(&path)).is_none());
    assert_eq!(fs::read(&path).unwrap(), [0; 7]);
    wipe(&path).unwrap();
    assert!(!path.exists());
}

#[test]
fn an_error_names_the_file() {
    let error = atomic_write(Path::new("/nonexistent/dir/file"), b"", 0o600).unwrap_err();
    assert!(
        format!("{error:#}").contains("/nonexistent/dir/file"),
        "{error:#}"
    );
}
