use super::*;

#[test]
fn the_shell_reads_back_what_was_quoted() {
    assert_eq!(quoted("a'b c"), r"'a'\''b c'");
    assert_eq!(quoted(""), "''");
    assert_eq!(quoted("/nix/store/x-lichen"), "/nix/store/x-lichen");
}

#[test]
fn a_command_line_is_one_that_lichenctls_before_events_carry_out() {
    let switch = Command::Apply {
        verb: Verb::Switch,
        toplevel: "/nix/store/x-lichen",
        confirm_within: Some(30),
    };
    let line = switch.line();
    let (variable, command) = line.split_once(' ').unwrap();
    assert_eq!(variable, "LICHENCTL_EVENTS=1");
    // Exactly what hosts sent before there were events.
    assert_eq!(
        command,
        "lichenctl switch /nix/store/x-lichen --confirm-within 30"
    );
}

#[test]
fn an_exit_status_is_read_as_it_was_meant() {
    for outcome in [
        Outcome::Done,
        Outcome::Failed,
        Outcome::WrongUsage,
        Outcome::Unsuccessful,
    ] {
        assert_eq!(Outcome::of(outcome.code().into()), outcome);
    }
    assert_eq!(
        Outcome::of(127),
        Outcome::Failed,
        "the shell found no lichenctl"
    );
}
