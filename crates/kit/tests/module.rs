//! Values that both the kit and the Nix module of its services contain are the same.

#[test]
fn the_module_knows_the_exit_statuses() {
    let module = include_str!("../../../modules/services/common/kit.nix");
    for (setting, status) in [
        ("RestartPreventExitStatus", kit::EXIT_CONFIG),
        ("SuccessExitStatus", kit::EXIT_LATER),
    ] {
        let line = format!("{setting} = {status};");
        assert!(module.contains(&line), "kit.nix does not say {line}");
    }
}
