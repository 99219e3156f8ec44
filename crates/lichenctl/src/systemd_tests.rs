use super::*;

#[test]
fn units_are_read_as_systemctl_lists_them() {
    let text = "climate.service loaded active running Temperature and humidity\n\
                x.service loaded activating auto-restart X\n-.mount loaded active mounted Root Mount\n";
    let units = listed(text);
    assert_eq!(units.len(), 3);
    assert_eq!(
        (
            units[1].name.as_str(),
            units[1].active.as_str(),
            units[1].sub.as_str()
        ),
        ("x.service", "activating", "auto-restart")
    );
}

#[test]
fn the_system_is_read_in_whichever_order_systemctl_tells_of_it() {
    let overall = overall_of("NJobs=3\nSystemState=starting\n").unwrap();
    assert_eq!((overall.state.as_str(), overall.jobs), ("starting", 3));
    let error = overall_of("SystemState=running\n").unwrap_err();
    assert_eq!(error.to_string(), "`systemctl show` printed no NJobs");
}

#[test]
fn what_a_process_runs_is_below_usr_whichever_usr_that_was() {
    let maps = "aaaa-bbbb r-xp 00000000 00:1f 12 /usr/bin/climate\n\
                cccc-dddd r-xp 00000000 00:1f 12 /lib/aarch64-linux-gnu/libc.so.6\n\
                eeee-ffff rw-p 00000000 00:00 0 [heap]\n1-2 rw-p 00000000 00:00 0\n\
                3-4 r--s 00000000 08:01 9 /var/lib/climate/history.db-shm\n";
    let files: Vec<_> = in_usr(maps).into_iter().collect();
    assert_eq!(
        files,
        ["/usr/bin/climate", "/usr/lib/aarch64-linux-gnu/libc.so.6"]
    );
}

#[test]
fn how_a_service_failed_is_read_from_its_properties() {
    let text = "ExecMainStatus=64\nNRestarts=3\nActiveState=failed\n";
    let failure = Failure {
        failed: true,
        refused: false,
        restarts: 3,
        exit_status: 64,
    };
    assert_eq!(failure_of(text), failure);
    assert!(!failure_of("ActiveState=active\n").failed);
    assert!(failure_of("ActiveState=failed\nResult=start-limit-hit\n").refused);
}

#[test]
fn units_that_stop_with_others_are_read_from_their_properties() {
    let text = "RequiredBy=app.service web.service\nRequisiteOf=\nBoundBy=\nConsistsOf=part.service\n\nRequiredBy=far.target\n";
    let units: Vec<_> = related(text).collect();
    let expected = ["app.service", "web.service", "part.service", "far.target"];
    assert_eq!(units, expected);
}

#[test]
fn restarts_are_counted_for_each_service() {
    let text = "Id=a.service\nNRestarts=0\n\nNRestarts=3\nId=b.service\n\nId=c.service\n";
    let counts = restarts_of(text);
    assert_eq!(counts, [("b.service".to_owned(), 3)].into());
}
