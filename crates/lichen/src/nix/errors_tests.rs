use super::*;

const COPY: &str = "/nix/store/9xcrm99q63m00a3wccxazxxxp1s5r63j-source/appliances/a.nix";

fn explained(text: &str, line: usize, source: &str) -> Failure {
    let error = Message {
        text: text.into(),
        file: Some(COPY.into()),
        line: Some(line),
    };
    let mut steps = Steps::default();
    steps.errors.push(error);
    let read = |file: &str| (file == "appliances/a.nix").then(|| source.to_owned());
    explain(&steps, &read, &[], "build/log/a.log")
}

#[test]
fn an_unknown_package_is_told_from_other_missing_attributes() {
    let source = "{ pkgs, ... }: {\n  x = \"${pkgs.ffmpeg}/bin/ffmpeg\";\n  y = config.nope;\n}\n";
    let failure = explained("attribute 'ffmpeg' missing", 2, source);
    assert_eq!(
        failure.what,
        "package 'ffmpeg' is not in the lock\n  in appliances/a.nix, line 2"
    );
    assert!(failure.hint.contains("[sets.extra]"));
    let failure = explained("attribute 'nope' missing", 3, source);
    assert_eq!(
        failure.what,
        "attribute 'nope' missing\n  in appliances/a.nix, line 3"
    );
    let failure = explained("undefined variable 'btop'", 1, "p = with pkgs; [ btop ];");
    assert!(
        failure
            .what
            .starts_with("package 'btop' is not in the lock")
    );
}

#[test]
fn what_the_module_system_says_is_kept_and_files_are_named_as_in_the_checkout() {
    let text = format!("The option `services.climate.prt' does not exist. Defined in {COPY}.");
    let mut steps = Steps::default();
    steps.errors.push(Message {
        text,
        file: None,
        line: None,
    });
    let failure = explain(&steps, &|_| None, &[], "l");
    assert_eq!(
        failure.what,
        "The option `services.climate.prt' does not exist. Defined in appliances/a.nix."
    );
}

#[test]
fn a_failed_step_shows_its_last_lines() {
    let mut steps = Steps::default();
    steps
        .tails
        .insert("base-layer".into(), vec!["cannot open x".into()]);
    let text = "builder for '/nix/store/9xcrm99q63m00a3wccxazxxxp1s5r63j-base-layer.drv' failed with exit code 1";
    steps.errors.push(Message {
        text: text.into(),
        file: None,
        line: None,
    });
    steps.errors.push(Message {
        text: "1 dependencies of derivation 'x' failed to build".into(),
        file: None,
        line: None,
    });
    assert_eq!(
        explain(&steps, &|_| None, &[], "l").what,
        "building base-layer failed:\n  cannot open x"
    );
}

#[test]
fn a_source_that_was_not_fetched_names_the_command() {
    let failure = explained(
        "unable to download 'file:///not-fetched/run-lichen-fetch-first/bash_5_arm64.deb': x",
        1,
        "",
    );
    assert_eq!(
        (failure.what.as_str(), failure.hint.as_str()),
        ("bash_5_arm64.deb is not in the Nix store", "./lichen fetch")
    );
}

#[test]
fn machines_without_room_or_namespaces_are_told_so() {
    let mut steps = Steps::default();
    steps
        .tails
        .insert("x".into(), vec!["mkfs: No space left on device".into()]);
    assert!(
        explain(&steps, &|_| None, &[], "l")
            .what
            .starts_with("no space")
    );
    steps.tails.insert(
        "x".into(),
        vec!["bwrap: setting up uid map: Permission denied".into()],
    );
    assert!(
        explain(&steps, &|_| None, &[], "l")
            .hint
            .contains("kernel.unprivileged_userns_clone")
    );
}

#[test]
fn a_page_that_git_does_not_know_is_the_error_with_what_to_type() {
    let said = |text: &str, unknown: &[&str]| {
        let mut steps = Steps::default();
        steps.errors.push(Message {
            text: text.into(),
            file: None,
            line: None,
        });
        let unknown: Vec<String> = unknown.iter().map(|&file| file.into()).collect();
        explain(&steps, &|_| None, &unknown, "l")
    };
    let lacks = "flake 'git+file:///a' does not provide attribute 'packages.x86_64-linux.packages.x86_64-linux.door'";
    let failure = said(
        lacks,
        &["appliances/door.nix", "modules/services/the bell.nix"],
    );
    assert_eq!(
        failure.what,
        "git does not know appliances/door.nix, modules/services/the bell.nix, so the build does not see it"
    );
    assert_eq!(
        failure.hint,
        "git add --intent-to-add appliances/door.nix 'modules/services/the bell.nix'"
    );
    // A file that others name.
    let missing = "getting status of '/nix/store/9xcrm99q63m00a3wccxazxxxp1s5r63j-source/modules/x.nix': No such file or directory";
    let failure = said(missing, &["crates/other.rs", "modules/x.nix"]);
    assert_eq!(failure.hint, "git add --intent-to-add modules/x.nix");
    // Another error has nothing to do with them.
    let failure = said("infinite recursion encountered", &["appliances/door.nix"]);
    assert!(failure.what.starts_with("infinite recursion"));
}
