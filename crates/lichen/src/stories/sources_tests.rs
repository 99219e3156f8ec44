use super::*;

const LOCK: &str = r#"
version = 4
[[package]]
name = "tests"
version = "0.1.0"
dependencies = ["fake-exchange", "serde", "testbed"]
[[package]]
name = "testbed"
version = "0.1.0"
dependencies = ["emulator", "serde"]
[[package]]
name = "emulator"
version = "0.1.0"
[[package]]
name = "fake-exchange"
version = "0.1.0"
dependencies = ["tokio"]
[[package]]
name = "energy"
version = "0.1.0"
[[package]]
name = "serde"
version = "1.0.0"
checksum = "aa"
[[package]]
name = "tokio"
version = "1.0.0"
checksum = "bb"
"#;

const WORKSPACE: &str = r#"
[workspace]
members = ["crates/*", "tests"]
[workspace.lints.rust]
unsafe_code = "deny"
[workspace.dependencies]
fake-exchange = { path = "crates/fake-exchange" }
emulator = { path = "crates/emulator" }
parquet = "60"
[profile.dev.package]
testbed = { opt-level = 2 }
"#;

/// A checkout with two groups of stories: `boot`, and `ticker`, which has an exchange.
fn checkout() -> tempfile::TempDir {
    let folder = tempfile::tempdir().unwrap();
    let manifest = |dependencies: &str| {
        format!(
            "[package]\nname = \"x\"\n[dependencies]\n{dependencies}\n[dev-dependencies]\nfake-exchange = \"1\"\n"
        )
    };
    for (file, text) in [
        ("Cargo.lock", LOCK.to_owned()),
        ("Cargo.toml", WORKSPACE.to_owned()),
        ("README.md", String::new()),
        ("tests/Cargo.toml", manifest("testbed = \"1\"")),
        (
            "tests/src/lib.rs",
            "use testbed::Machine;\nmod energy;\npub use energy::Energy;\n".into(),
        ),
        ("tests/tests/main.rs", String::new()),
        (
            "tests/tests/boot.rs",
            "// No exchange here, and none of energy.\nuse tests::*;\n".into(),
        ),
        (
            "tests/tests/ticker.rs",
            "use fake_exchange::Feed;\nmod appliance;\n".into(),
        ),
        (
            "tests/tests/ticker/appliance.rs",
            "#[path = \"../../../crates/energy/tests/amber.rs\"]\nmod amber;\n".into(),
        ),
        ("crates/testbed/Cargo.toml", manifest("emulator = \"1\"")),
        ("crates/testbed/src/lib.rs", String::new()),
        ("crates/emulator/Cargo.toml", manifest("")),
        ("crates/emulator/src/lib.rs", String::new()),
        ("crates/fake-exchange/Cargo.toml", manifest("")),
        ("crates/fake-exchange/src/lib.rs", String::new()),
        ("crates/fake-exchange/tests/own.rs", String::new()),
        ("crates/energy/Cargo.toml", manifest("")),
        ("crates/energy/src/main.rs", String::new()),
        ("crates/energy/monitoring/alerts.yml", String::new()),
        ("crates/energy/tests/amber.rs", String::new()),
    ] {
        let path = folder.path().join(file);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, text).unwrap();
    }
    folder
}

/// What has another digest after `change` was done to the checkout: parts of groups, and the services.
fn changed_by(change: impl Fn(&Path)) -> Vec<String> {
    changed_between("rustc 1.95", "rustc 1.95", change)
}

/// The same, with another compiler after the change.
fn changed_between(before: &str, after: &str, change: impl Fn(&Path)) -> Vec<String> {
    let checkout = checkout();
    let look = |compiler| {
        let sources = Sources::read(checkout.path(), compiler).unwrap();
        let mut all = Digests::from([("services".into(), sources.of_services().unwrap())]);
        for (group, parts) in sources.of_groups().unwrap() {
            all.extend(
                parts
                    .into_iter()
                    .map(|(name, digest)| (format!("{group}: {name}"), digest)),
            );
        }
        all
    };
    let before = look(before);
    change(checkout.path());
    let after = look(after);
    assert_eq!(
        before.keys().collect::<Vec<_>>(),
        after.keys().collect::<Vec<_>>()
    );
    let differ = before.keys().filter(|name| before[*name] != after[*name]);
    differ.cloned().collect()
}

fn changed_with(file: &str) -> Vec<String> {
    changed_by(|root| {
        let path = root.join(file);
        let text = fs::read_to_string(&path).unwrap();
        fs::write(path, format!("{text}# \n")).unwrap();
    })
}

#[test]
fn a_byte_of_each_kind_of_source_concerns_the_groups_that_are_made_of_it_and_no_other() {
    assert_eq!(
        changed_with("tests/tests/boot.rs"),
        ["boot: tests/tests/boot.rs"]
    );
    assert_eq!(
        changed_with("tests/tests/ticker/appliance.rs"),
        ["ticker: tests/tests/ticker.rs"]
    );
    assert_eq!(
        changed_with("tests/src/lib.rs"),
        ["boot: tests/src", "ticker: tests/src"]
    );
    assert_eq!(
        changed_with("crates/fake-exchange/src/lib.rs"),
        ["ticker: crate fake-exchange"]
    );
    let testbed = ["boot: crate testbed", "ticker: crate testbed"];
    assert_eq!(changed_with("crates/testbed/src/lib.rs"), testbed);
    let emulator = ["boot: crate emulator", "ticker: crate emulator"];
    assert_eq!(changed_with("crates/emulator/src/lib.rs"), emulator);
    assert_eq!(changed_with("crates/energy/src/main.rs"), ["services"]);
    assert_eq!(
        changed_with("crates/energy/monitoring/alerts.yml"),
        ["services"]
    );
}

#[test]
fn what_a_story_includes_by_its_path_is_part_of_it() {
    assert_eq!(
        changed_with("crates/energy/tests/amber.rs"),
        ["ticker: tests/tests/ticker.rs"]
    );
}

#[test]
fn the_tests_of_a_crate_are_no_part_of_it() {
    assert!(changed_with("crates/fake-exchange/tests/own.rs").is_empty());
}

#[test]
fn another_version_of_a_package_concerns_whoever_is_linked_with_it() {
    let lock = |from: &'static str, to: &'static str| {
        changed_by(move |root| fs::write(root.join("Cargo.lock"), LOCK.replace(from, to)).unwrap())
    };
    assert_eq!(lock("\"bb\"", "\"cc\""), ["ticker: crate fake-exchange"]);
    let serde = [
        "boot: crate testbed",
        "boot: packages of the stories",
        "ticker: crate testbed",
        "ticker: packages of the stories",
    ];
    assert_eq!(lock("\"aa\"", "\"cc\""), serde);
}

/// What concerns all that is compiled.
const ALL: [&str; 3] = [
    "boot: how crates are compiled",
    "services",
    "ticker: how crates are compiled",
];

/// The parts that differ after this was replaced in the manifest of the workspace.
fn changed_in_workspace(from: &str, to: &str) -> Vec<String> {
    changed_by(|root| fs::write(root.join("Cargo.toml"), WORKSPACE.replace(from, to)).unwrap())
}

#[test]
fn how_crates_are_compiled_concerns_all_stories() {
    assert_eq!(changed_in_workspace("opt-level = 2", "opt-level = 3"), ALL);
    assert_eq!(changed_in_workspace("\"deny\"", "\"warn\""), ALL);
    let flags = changed_by(|root| {
        fs::create_dir(root.join(".cargo")).unwrap();
        fs::write(root.join(".cargo/config.toml"), "[env]\nFLAGS = \"-O\"\n").unwrap();
    });
    assert_eq!(flags, ALL);
    assert_eq!(changed_between("rustc 1.95", "rustc 1.96", |_| {}), ALL);
}

#[test]
fn a_shared_dependency_concerns_those_that_name_it() {
    let other = |name: &str| {
        let (from, to) = (format!("crates/{name}\""), format!("crates/{name}-2\""));
        changed_in_workspace(&from, &to)
    };
    assert_eq!(
        other("emulator"),
        ["boot: crate testbed", "ticker: crate testbed"]
    );
    let stories = ["boot: tests/Cargo.toml", "ticker: tests/Cargo.toml"];
    assert_eq!(other("fake-exchange"), stories);
    assert!(changed_in_workspace("\"60\"", "\"61\"").is_empty());
    assert_eq!(changed_with("tests/Cargo.toml"), stories);
}

#[test]
fn documents_and_comments_concern_no_story() {
    assert!(changed_with("README.md").is_empty());
    assert!(changed_with("Cargo.toml").is_empty());
}

#[test]
fn the_groups_of_this_checkout_are_read_and_so_is_what_a_slow_story_declares() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..");
    let sources = Sources::read(&root, &compiler(&root).unwrap()).unwrap();
    let groups = sources.of_groups().unwrap();
    assert!(groups["boot"].contains_key("crate testbed"), "{groups:?}");
    assert!(!groups.contains_key("main"));
    let story = "reproducible::every_step_of_every_image_gives_the_same_bytes_again";
    let text = sources.own_text("reproducible").unwrap();
    let takes = super::super::estimate::of(&text, story, true);
    assert_eq!(takes.as_secs() / 60, 30);
}

/// Paths past `testbed::input` would be used without being recorded, and a verdict could outlive what it depends on.
#[test]
fn stories_get_at_files_of_the_project_only_by_asking_for_inputs() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..");
    for folder in ["tests/src", "tests/tests"] {
        for file in files_below(&root.join(folder)).unwrap() {
            let found = past_inputs(&read(&file).unwrap());
            assert!(
                found.is_none(),
                "{}: {}",
                file.display(),
                found.unwrap_or_default()
            );
        }
    }
    assert!(past_inputs("let image = fs::read(\"../build/climate/climate.img\")?;").is_some());
    assert!(past_inputs("let root = Path::new(env!(\"CARGO_MANIFEST_DIR\"));").is_some());
    assert!(past_inputs("let file = std::env::var_os(\"LICHEN_INPUTS\");").is_some());
}

/// The line of a story that finds its way to a file by itself.
fn past_inputs(source: &str) -> Option<String> {
    let ways = [
        "env!(",
        "env::var",
        "env::current",
        "LICHEN_",
        "\"../",
        "\"build/",
        "\"target/",
    ];
    let mut lines = source.lines().filter(|line| {
        let known = [
            "#[path",
            "include_str!(",
            "env::var(\"PATH\")",
            "env::var_os(\"PATH\")",
        ];
        !known.iter().any(|known| line.contains(known))
    });
    let line = lines.find(|line| ways.iter().any(|way| line.contains(way)))?;
    Some(format!("{:?} is a way past testbed::input", line.trim()))
}
