use super::*;
use anyhow::Context;
use clap::Parser;

#[derive(Parser)]
struct Program {
    #[command(flatten)]
    arguments: ActivateRs,
}

fn parse(line: &str) -> Result<Command> {
    let words = std::iter::once("activate-rs").chain(line.split(' '));
    let program = Program::try_parse_from(words).context("refused")?;
    Ok(program.arguments.command)
}

#[test]
fn the_client_s_command_lines_are_understood() {
    let line = "--debug-logs --log-dir /tmp/x activate /nix/store/abc-lichen \
                --profile-path /nix/var/nix/profiles/system --temp-path /tmp --confirm-timeout 30 \
                --magic-rollback --auto-rollback";
    let Command::Activate(activate) = parse(line).unwrap() else {
        panic!("{line}")
    };
    activate.profile.check().unwrap();
    assert!(activate.magic_rollback && !activate.boot && !activate.dry_activate);
    assert_eq!(
        canary(&activate.temp_path, &activate.closure),
        Path::new("/tmp/deploy-rs-canary-abc")
    );
    let line = "wait /nix/store/abc-lichen --temp-path /tmp --activation-timeout 600";
    assert!(matches!(
        parse(line),
        Ok(Command::Wait {
            activation_timeout: 600,
            ..
        })
    ));
    let line = "revoke --profile-user root --profile-name system";
    let Ok(Command::Revoke(profile)) = parse(line) else {
        panic!("{line}")
    };
    profile.check().unwrap();
    assert!(parse("revoke").is_err());
}

#[test]
fn another_profile_is_refused() {
    let Ok(Command::Revoke(profile)) = parse("revoke --profile-user me --profile-name home") else {
        panic!("not parsed")
    };
    assert!(profile.check().is_err());
}
