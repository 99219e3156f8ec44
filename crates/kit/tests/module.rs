//! What the kit and the module of its services, which is written in Nix, have to agree on.

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
