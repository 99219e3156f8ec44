use super::*;
use durable::atomic_write;

/// A store path with this name, like those of real builds.
pub(crate) fn store_path(name: &str) -> String {
    format!(
        "{STORE}{:0<32}-{name}",
        name.replace(|c: char| !c.is_ascii_alphanumeric(), "")
    )
}

/// The bytes of a layer with one block.
pub(crate) fn layer_bytes() -> Vec<u8> {
    let mut bytes = vec![0; 4096];
    bytes[1024..1028].copy_from_slice(&EROFS_MAGIC);
    bytes[1024 + 12] = 12;
    bytes[1024 + 36] = 1;
    bytes
}

/// Puts a toplevel `name` with kernel `kernel` into the store of `root`.
pub(crate) fn make(root: &Root, name: &str, kernel: &str) -> Toplevel {
    let put = |path: String, bytes: &[u8]| {
        let path = at(root, &path);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        atomic_write(&path, bytes, 0o644).unwrap();
    };
    let (path, kernel) = (store_path(name), store_path(kernel));
    let layers = [store_path(&format!("{name}-config")), store_path("base")];
    for layer in &layers {
        put(layer.clone(), &layer_bytes());
    }
    for file in ["Image", "initrd", "dtb/broadcom/x.dtb"] {
        put(
            format!("{kernel}/{file}"),
            format!("{kernel} {file}").repeat(100).as_bytes(),
        );
    }
    put(
        format!("{path}/layers"),
        (layers.join("\n") + "\n").as_bytes(),
    );
    let manifest = format!(
        r#"{{"format":1,"layers":[{{"name":"config","path":"{}"}},{{"name":"base","path":"{}"}}]}}"#,
        layers[0], layers[1]
    );
    put(format!("{path}/manifest.json"), manifest.as_bytes());
    put(format!("{path}/kernel-params"), b"panic=10\n");
    durable::atomic_symlink(&kernel, &at(root, &format!("{path}/kernel"))).unwrap();
    Toplevel::load(root, Path::new(&path)).unwrap()
}

#[test]
fn a_toplevel_says_what_it_is_made_of() {
    let dir = durable::scratch();
    let root = Root::new(dir.path());
    let toplevel = make(&root, "a", "kernel-1");
    assert_eq!(
        toplevel
            .layers
            .iter()
            .map(|l| l.name.as_str())
            .collect::<Vec<_>>(),
        ["config", "base"]
    );
    assert_eq!(
        (toplevel.params.as_str(), toplevel.kernel_name().len()),
        ("panic=10", 16)
    );
    toplevel.verify(&root).unwrap();
}

#[test]
fn what_is_not_whole_is_refused_by_name() {
    let dir = durable::scratch();
    let root = Root::new(dir.path());
    let toplevel = make(&root, "a", "kernel-1");
    let config = at(&root, &toplevel.layers[0].path);
    let refusal = || toplevel.verify(&root).unwrap_err().to_string();

    atomic_write(&config, &layer_bytes()[..2048], 0o644).unwrap();
    assert!(
        refusal().contains("has only 2048 of its 4096 bytes"),
        "{}",
        refusal()
    );
    atomic_write(&config, b"x", 0o644).unwrap();
    assert!(refusal().contains("is not an erofs image"), "{}", refusal());
    fs::remove_file(&config).unwrap();
    assert!(
        refusal().contains(&toplevel.layers[0].path),
        "{}",
        refusal()
    );
    atomic_write(&config, &layer_bytes(), 0o644).unwrap();
    fs::remove_file(at(&root, &format!("{}/initrd", toplevel.kernel))).unwrap();
    assert!(refusal().contains("initrd"), "{}", refusal());
}

#[test]
fn what_is_no_toplevel_is_refused() {
    let dir = durable::scratch();
    let root = Root::new(dir.path());
    for path in ["/etc", "/nix/store", "/nix/store/", "/nix/store/a/b"] {
        let error = Toplevel::load(&root, Path::new(path)).unwrap_err();
        assert!(
            matches!(error, ToplevelError::NotInStore(_)),
            "{path}: {error}"
        );
    }
    let error = Toplevel::load(&root, Path::new("/nix/store/absent")).unwrap_err();
    assert!(matches!(error, ToplevelError::Missing { .. }), "{error}");
}
