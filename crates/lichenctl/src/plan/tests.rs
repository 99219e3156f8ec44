use super::*;
use crate::toplevel::tests::make;
use durable::{atomic_symlink, atomic_write};

/// Two generations as folders; `new` starts as a copy of `old`.
struct World {
    dir: tempfile::TempDir,
    active: Active,
}

const BASE: &[(&str, &str)] = &[
    (
        "usr/lib/systemd/system/dbus.service",
        "[Service]\nExecStart=/usr/bin/dbus-daemon\n",
    ),
    (
        "usr/lib/systemd/system/ssh.service",
        "[Unit]\nDescription=SSH\n[Service]\nExecStart=/usr/sbin/sshd -D\n",
    ),
    (
        "etc/systemd/system/ssh.service.d/overrides.conf",
        "[Service]\nX-StopIfChanged=false\n",
    ),
    (
        "etc/systemd/system/climate.service",
        "[Unit]\nDescription=Climate\nX-Restart-Triggers=a\n[Service]\nExecStart=/usr/bin/climate\n",
    ),
    (
        "usr/lib/systemd/system/getty@.service",
        "[Service]\nExecStart=/sbin/agetty %i\n",
    ),
    ("usr/bin/climate", "climate 1"),
    ("usr/lib/libc.so.6", "libc 1"),
];

impl World {
    fn new() -> Self {
        let world = Self {
            dir: durable::scratch(),
            active: Active::default(),
        };
        for generation in ["old", "new"] {
            for (path, text) in BASE {
                world.put(generation, path, text);
            }
            for unit in ["ssh.service", "climate.service"] {
                world.want(generation, unit);
            }
        }
        let libc = "/usr/lib/libc.so.6";
        world
            .running("climate.service", &["/usr/bin/climate", libc])
            .running("ssh.service", &[libc])
            .running("dbus.service", &[])
            .running("getty@tty1.service", &[])
            .running("multi-user.target", &[])
    }

    fn put(&self, generation: &str, path: &str, text: &str) {
        let path = self.dir.path().join(generation).join(path);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        atomic_write(&path, text.as_bytes(), 0o644).unwrap();
    }

    fn link(&self, generation: &str, path: &str, target: &str) {
        let path = self.dir.path().join(generation).join(path);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        atomic_symlink(target, &path).unwrap();
    }

    fn want(&self, generation: &str, unit: &str) {
        let path = format!("etc/systemd/system/multi-user.target.wants/{unit}");
        self.link(generation, &path, &format!("/etc/systemd/system/{unit}"));
    }

    fn unit(self, name: &str, text: &str) -> Self {
        self.put("new", &format!("etc/systemd/system/{name}"), text);
        self
    }

    fn both(self, name: &str, text: &str) -> Self {
        self.put("old", &format!("etc/systemd/system/{name}"), text);
        self.unit(name, text)
    }

    fn running(mut self, name: &str, files: &[&str]) -> Self {
        let files = files.iter().map(|f| (*f).to_owned()).collect();
        self.active.units.insert(name.to_owned(), files);
        self
    }

    fn stack(&self, generation: &str) -> Stack {
        Stack::of_folders([self.dir.path().join(generation)])
    }

    fn decide(&self) -> Units {
        let (old, new) = (self.stack("old"), self.stack("new"));
        let mut files = Files::new(&old, &new);
        units::decide(&old, &new, &self.active, &mut |file| files.differ(file))
    }

    /// `stop … | reload … | restart … | start … | keep …`, empty parts left out.
    fn told(&self) -> String {
        let u = self.decide();
        let lists = [
            ("stop", u.stop),
            ("reload", u.reload),
            ("restart", u.restart),
            ("start", u.start),
            ("keep", u.keep_old),
        ];
        let parts: Vec<_> = lists
            .into_iter()
            .filter(|(_, list)| !list.is_empty())
            .map(|(what, list)| format!("{what} {}", list.join(" ")))
            .collect();
        parts.join(" | ")
    }
}

#[test]
fn the_same_again_touches_nothing() {
    assert_eq!(World::new().told(), "");
}

#[test]
fn a_changed_service_is_stopped_and_started_and_others_are_not() {
    let text = "[Unit]\nX-Restart-Triggers=b\n[Service]\nExecStart=/usr/bin/climate\n";
    let world = World::new().unit("climate.service", text);
    assert_eq!(world.told(), "stop climate.service | start climate.service");
}

#[test]
fn words_for_people_are_no_change() {
    let text = "# another\n[Unit]\nDescription=Other words\nX-Restart-Triggers=a\n\n[Service]\nExecStart=/usr/bin/climate\n[Install]\nWantedBy=x\n";
    assert_eq!(World::new().unit("climate.service", text).told(), "");
}

#[test]
fn a_drop_in_of_etc_changes_a_unit_that_debian_ships() {
    let world = World::new();
    world.put(
        "new",
        "etc/systemd/system/ssh.service.d/overrides.conf",
        "[Service]\nX-StopIfChanged=false\nRestartSec=2\n",
    );
    assert_eq!(world.told(), "restart ssh.service");
}

#[test]
fn what_a_service_may_have_done_to_it_is_in_its_unit() {
    let told = |setting: &str| {
        let unit = |x: u8| format!("[Service]\nExecStart=/bin/x {x}\n{setting}\n");
        let world = World::new()
            .both("x.service", &unit(1))
            .running("x.service", &[]);
        world.unit("x.service", &unit(2)).told()
    };
    assert_eq!(told(""), "stop x.service | start x.service");
    assert_eq!(told("X-StopIfChanged=false"), "restart x.service");
    assert_eq!(told("X-ReloadIfChanged=true"), "reload x.service");
    assert_eq!(told("X-RestartIfChanged=false"), "keep x.service");
    assert_eq!(told("RefuseManualStop=yes"), "keep x.service");
}

#[test]
fn what_debian_ships_is_restarted_in_one_go_as_its_upgrades_do() {
    let world = World::new();
    let resolved = "usr/lib/systemd/system/resolved.service";
    world.put("old", resolved, "[Service]\nExecStart=/usr/bin/resolved\n");
    world.put(
        "new",
        resolved,
        "[Service]\nExecStart=/usr/bin/resolved\nNice=1\n",
    );
    let world = world.running("resolved.service", &[]);
    assert_eq!(world.told(), "restart resolved.service");
}

#[test]
fn only_reload_triggers_reload() {
    let unit = |x: u8| format!("[Unit]\nX-Reload-Triggers={x}\n[Service]\nExecStart=/bin/x\n");
    let world = World::new()
        .both("x.service", &unit(1))
        .running("x.service", &[])
        .unit("x.service", &unit(2));
    assert_eq!(world.told(), "reload x.service");
}

#[test]
fn a_service_that_does_not_run_is_left_alone() {
    let world = World::new()
        .both("x.service", "[Service]\nExecStart=/bin/x\n")
        .unit("x.service", "[Service]\nExecStart=/bin/y\n");
    assert_eq!(world.told(), "");
}

#[test]
fn new_wants_are_started_and_what_is_gone_or_masked_is_stopped() {
    let world = World::new().unit("new.service", "[Service]\nExecStart=/bin/x\n");
    world.want("new", "new.service");
    world.link("new", "etc/systemd/system/climate.service", "/dev/null");
    assert_eq!(world.told(), "stop climate.service | start new.service");

    // A unit that was masked before counts as new.
    let mut back = World::new();
    back.link("old", "etc/systemd/system/climate.service", "/dev/null");
    back.active.units.remove("climate.service");
    assert_eq!(back.told(), "start climate.service");
}

#[test]
fn a_wanted_service_that_somebody_stopped_stays_stopped() {
    let mut world = World::new();
    world.active.units.remove("climate.service");
    assert_eq!(world.told(), "");
}

#[test]
fn another_library_restarts_whom_it_concerns() {
    let world = World::new();
    world.put("new", "usr/lib/libc.so.6", "libc 2");
    let world = world.running("dbus.service", &["/usr/lib/libc.so.6"]);
    assert_eq!(
        world.told(),
        "stop climate.service | restart ssh.service | start climate.service | keep dbus.service"
    );
}

#[test]
fn a_changed_program_with_the_same_unit_is_restarted() {
    let world = World::new();
    world.put("new", "usr/bin/climate", "climate 2");
    assert_eq!(world.told(), "stop climate.service | start climate.service");
}

#[test]
fn instances_are_their_templates_and_nobody_is_logged_out() {
    let world = World::new()
        .both("x@.service", "[Service]\nExecStart=/bin/x %i\n")
        .unit("x@.service", "[Service]\nExecStart=/bin/y %i\n")
        .running("x@a.service", &[]);
    world.put(
        "new",
        "usr/lib/systemd/system/getty@.service",
        "[Service]\nExecStart=/bin/other\n",
    );
    assert_eq!(
        world.told(),
        "stop x@a.service | start x@a.service | keep getty@tty1.service"
    );
}

#[test]
fn a_socket_takes_its_service_along() {
    let service = |x: u8| format!("[Service]\nExecStart=/bin/x {x}\n");
    let world = World::new()
        .both("x.socket", "[Socket]\nListenStream=1\n")
        .both("x.service", &service(1))
        .running("x.socket", &[])
        .running("x.service", &[]);
    let told = world.unit("x.service", &service(2)).told();
    assert_eq!(told, "stop x.service x.socket | start x.service x.socket");

    let world = World::new()
        .both("x.socket", "[Socket]\nListenStream=1\n")
        .both("x.service", &service(1))
        .running("x.socket", &[])
        .unit("x.socket", "[Socket]\nListenStream=2\n");
    assert_eq!(world.told(), "stop x.socket | start x.socket", "it slept");
}

#[test]
fn the_bus_learns_of_new_policies_and_is_not_restarted() {
    let world = World::new();
    world.put("new", "usr/share/dbus-1/system.d/x.conf", "<busconfig/>");
    assert_eq!(world.told(), "reload dbus.service");
}

#[test]
fn options_of_a_mount_are_changed_in_place_and_nothing_else_is() {
    let mount =
        |what: &str, options: &str| format!("[Mount]\nWhat={what}\nWhere=/d\nOptions={options}\n");
    let told = |new: String| {
        let world = World::new().both("d.mount", &mount("/dev/a", "ro"));
        world.running("d.mount", &[]).unit("d.mount", &new).told()
    };
    assert_eq!(told(mount("/dev/a", "rw")), "reload d.mount");
    assert_eq!(told(mount("/dev/b", "ro")), "keep d.mount");
}

#[test]
fn the_gentlest_way_that_suffices_is_taken() {
    let dir = durable::scratch();
    let root = Root::new(dir.path());
    let one = make(&root, "one", "kernel-1");
    let two = make(&root, "two", "kernel-1");
    let three = make(&root, "three", "kernel-2");
    let four = Toplevel {
        params: "panic=10 quiet".into(),
        ..make(&root, "four", "kernel-1")
    };
    let world = World::new();
    let (old, new) = (world.stack("old"), world.stack("new"));
    let before = Before {
        current: &one,
        booted: &one,
        layers: &old,
        active: &world.active,
        manager: &BTreeSet::new(),
    };
    let plan = |to| Plan::make(&before, &old, to, &new, &root);
    assert_eq!(plan(&one).method, Method::Nothing);
    let live = plan(&two);
    assert_eq!((live.method, live.kernel_changed), (Method::Live, false));
    assert_eq!(
        live.layers.iter().map(|l| l.changed).collect::<Vec<_>>(),
        [true, false]
    );
    assert_eq!(live.bytes, 4096);
    let boot = plan(&three);
    assert_eq!(
        (boot.method, boot.kernel_changed),
        (Method::TrialBoot, true)
    );
    let text = boot.to_string();
    assert!(
        text.starts_with("trial boot, as the kernel or the initrd changes\n"),
        "{text}"
    );
    let arguments = plan(&four);
    assert_eq!(
        (arguments.method, arguments.kernel_changed),
        (Method::TrialBoot, false)
    );
    assert_eq!(plan(&three).without_boot().method, Method::Live);

    let json = serde_json::to_string(&live).unwrap();
    assert_eq!(serde_json::from_str::<Plan>(&json).unwrap(), live);
}

#[test]
fn userspace_starts_over_for_what_everything_hangs_on_and_for_nothing_less() {
    let dir = durable::scratch();
    let root = Root::new(dir.path());
    let one = make(&root, "one", "kernel-1");
    let two = make(&root, "two", "kernel-1");
    let three = make(&root, "three", "kernel-2");
    let unit = |x: u8| format!("[Service]\nExecStart=/bin/x {x}\nX-RestartIfChanged=false\n");
    let (systemd, bus) = ("usr/lib/systemd/systemd", "usr/bin/dbus-daemon");
    let (libc, another) = ("usr/lib/libc.so.6", "usr/lib/libcrypto.so.3");
    // Files that differ, and what that means.
    let cases = [
        (
            systemd,
            Method::SoftReboot,
            "as files that systemd itself runs from change: systemd\n",
        ),
        (
            libc,
            Method::SoftReboot,
            "from change: libc.so.6, and dbus.service cannot be",
        ),
        (
            bus,
            Method::SoftReboot,
            "as dbus.service cannot be restarted while it is in use",
        ),
        (
            "usr/lib/systemd/system/dbus.service",
            Method::SoftReboot,
            "as dbus.service cannot be",
        ),
        (
            another,
            Method::Live,
            "until the next boot: dbus.service\n  systemd re-executes itself",
        ),
        (
            "usr/lib/systemd/system/getty@.service",
            Method::Live,
            "until the next boot: getty@tty1",
        ),
        (
            "etc/systemd/system/lichen-x.service",
            Method::Live,
            "until the next boot: lichen-x",
        ),
        (
            "etc/systemd/system/x.service",
            Method::Live,
            "until the next boot: x.service",
        ),
        ("usr/bin/climate", Method::Live, "stop     climate.service"),
    ];
    let running = |files: &[&str]| -> BTreeSet<String> {
        files.iter().map(|file| format!("/{file}")).collect()
    };
    for (file, method, said) in cases {
        let mut world = World::new()
            .both("x.service", &unit(1))
            .both("lichen-x.service", &unit(1))
            .running("x.service", &[])
            .running("lichen-x.service", &[]);
        let files = running(&[libc, another, bus]);
        world.active.units.insert("dbus.service".into(), files);
        for program in [systemd, bus, another] {
            world.put("old", program, "1");
            world.put("new", program, "1");
        }
        world.put("new", SOFT_REBOOT, "");
        world.put("new", file, &unit(2));
        let (old, new) = (world.stack("old"), world.stack("new"));
        let before = Before {
            current: &one,
            booted: &one,
            layers: &old,
            active: &world.active,
            manager: &running(&[systemd, libc, another]),
        };
        let plan = |to: &Toplevel| Plan::make(&before, &old, to, &new, &root);
        let text = plan(&two).to_string();
        assert_eq!(plan(&two).method, method, "{file}: {text}");
        assert!(text.contains(said), "{file}: {text}");
        assert_eq!(plan(&two).without_boot().method, Method::Live, "{file}");

        // A new kernel needs a reboot anyway, and so does a generation that cannot be switched to.
        assert_eq!(plan(&three).method, Method::TrialBoot);
        fs::remove_file(world.dir.path().join("new").join(SOFT_REBOOT)).unwrap();
        let instead = match method {
            Method::SoftReboot => Method::TrialBoot,
            other => other,
        };
        assert_eq!(plan(&two).method, instead, "{file}");
    }
}
