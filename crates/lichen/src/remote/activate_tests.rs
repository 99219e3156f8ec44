use super::*;
use protocol::Generation;

const NEW: &str = "/nix/store/new-lichen-x";

fn look(change: impl FnOnce(&mut Answer)) -> Verdict {
    let status = serde_json::json!({
        "hostname": null, "generation": 2, "toplevel": NEW, "booted": 1, "standing": "trial", "boot": null, "boot_error": null,
        "next_boot": 2, "failed_trial": null, "system": null, "failed_units": null, "uptime_seconds": null, "provision": null,
        "data": null, "soc_celsius": null, "undervoltage": null, "throttled": null
    });
    let mut answer = Answer {
        boot_id: "1".into(),
        busy: false,
        status: serde_json::from_value(status).unwrap(),
    };
    change(&mut answer);
    verdict(&answer, NEW, "1")
}

#[test]
fn after_a_live_switch_what_was_asked_for_runs() {
    assert_eq!(
        look(|_| {}),
        Verdict::Runs("generation 2 runs and is healthy".into())
    );
    assert!(
        matches!(look(|l| l.busy = true), Verdict::Wait(_)),
        "its health is still judged"
    );
    assert!(matches!(
        look(|l| {
            l.busy = true;
            l.status.toplevel = Some("old".into())
        }),
        Verdict::Wait(_)
    ));
}

#[test]
fn what_went_back_is_told_from_what_is_about_to_reboot() {
    let old = |l: &mut Answer| {
        l.status.toplevel = Some("old".into());
        l.status.generation = l.status.booted
    };
    assert!(
        matches!(look(old), Verdict::Wait(_)),
        "the next boot is another"
    );
    assert_eq!(
        look(|l| {
            old(l);
            l.status.next_boot = l.status.booted
        }),
        Verdict::Back
    );
    assert_eq!(
        look(|l| {
            old(l);
            l.boot_id = "2".into()
        }),
        Verdict::Back,
        "the trial is over"
    );
}

#[test]
fn a_soft_reboot_is_waited_for_though_the_next_boot_is_of_the_good_one() {
    let before = |l: &mut Answer| {
        l.status.toplevel = Some("old".into());
        l.status.generation = Some(Generation(1));
        l.status.next_boot = l.status.generation;
    };
    let about_to = look(|l| {
        before(l);
        l.status.soft_reboot = Some(Generation(2));
    });
    assert!(matches!(about_to, Verdict::Wait(_)));
    let arrived = |l: &mut Answer| {
        l.boot_id = "1 1".into();
        l.status.next_boot = Some(Generation(1));
    };
    assert!(matches!(look(arrived), Verdict::Wait(_)), "not blessed yet");
    let reset = look(|l| {
        before(l);
        l.boot_id = "2".into();
    });
    assert_eq!(reset, Verdict::Back);
}

#[test]
fn a_trial_boot_is_over_when_it_is_blessed() {
    assert!(matches!(look(|l| l.boot_id = "2".into()), Verdict::Wait(_)));
    let blessed = look(|l| {
        l.boot_id = "2".into();
        l.status.standing = Standing::Good
    });
    assert_eq!(
        blessed,
        Verdict::Runs("generation 2 runs and is good".into())
    );
}

/// A device with an old lichenctl, whose status does not say whether it is busy.
#[test]
fn the_status_of_an_older_device_is_read() {
    let status = r#"{"hostname":"rack7","generation":2,"toplevel":"/nix/store/new-lichen-x","booted":1,"standing":"trial",
        "boot":{"seq":7,"good":1,"trial":{"generation":2,"tries":3}},"boot_error":null,"next_boot":2,"failed_trial":null,
        "soft_reboot":null,"confirmation":{"generation":2,"toplevel":"/nix/store/new-lichen-x","within":30},
        "system":"running","failed_units":[],"uptime_seconds":93,"appliance":"climate","problems":[],"memory":null,
        "errors":[],"provision":null,"update":null,"data":null,"soc_celsius":48.3,"undervoltage":false,"throttled":null}"#;
    let status: Status = serde_json::from_str(status).unwrap();
    assert_eq!(status.busy, None, "then the lock itself is asked");
    assert_eq!(status.confirmation.unwrap().within, 30);
    assert_eq!(status.boot.unwrap().trial.unwrap().tries, 3);
}
