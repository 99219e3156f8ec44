use super::*;
use crate::state::{BootState, State};
use crate::toplevel::tests::{make, store_path};
use durable::atomic_write;

fn device() -> (tempfile::TempDir, Root) {
    let dir = durable::scratch();
    let root = Root::new(dir.path());
    for folder in ["boot/gen", "boot/k", "nix/store", "run", "proc"] {
        fs::create_dir_all(root.at(folder)).unwrap();
    }
    (dir, root)
}

/// The state of a fresh image: generation 1 is good and runs.
fn factory(root: &Root) -> Toplevel {
    let first = make(root, "one", "kernel-1");
    let lock = GenerationsLock::wait(root).unwrap();
    stage(root, &first, &lock).unwrap();
    let state = |seq, slot: &str| {
        let bytes = crate::state::encode(State {
            seq,
            good: Generation(1),
            trial: None,
        });
        atomic_write(&root.at("boot").join(slot), &bytes, 0o600).unwrap();
    };
    state(1, "st0.env");
    state(0, "st1.env");
    let arguments = format!("lichen.generation=1 lichen.toplevel={}\n", first.path);
    atomic_write(&root.at("proc/cmdline"), arguments.as_bytes(), 0o644).unwrap();
    first
}

/// A program that another test starts also holds the lock, until it has replaced the forked process.
fn staged(root: &Root, toplevel: &Toplevel) -> Generation {
    stage(root, toplevel, &GenerationsLock::wait(root).unwrap())
        .unwrap()
        .generation
}

/// All files that a generation on BOOT names exist and are complete.
fn named_is_whole(root: &Root, toplevels: &[&Toplevel]) {
    for (generation, env) in generations::on_boot(root).unwrap() {
        let Some(path) = env.toplevel else { continue };
        let toplevel = toplevels.iter().find(|t| t.path == path).unwrap();
        for (from, to) in kernel_files(root, toplevel).unwrap().files {
            assert!(
                fs::read(&from).unwrap() == fs::read(&to).unwrap_or_default(),
                "generation {generation}: {} is not whole",
                to.display()
            );
        }
        assert!(
            profile::links(root).contains(&(generation, path)),
            "generation {generation} could be collected"
        );
    }
}

#[test]
fn a_generation_on_boot_reads_as_the_image_writes_it() {
    let (_dir, root) = device();
    let toplevel = factory(&root);
    let text = fs::read_to_string(root.at("boot/gen/1.env")).unwrap();
    let name = toplevel.kernel_name();
    assert_eq!(
        text,
        format!(
            "kdir=k/{name}\nargs=lichen.toplevel={} panic=10\n",
            toplevel.path
        )
    );
    assert!(
        root.at(format!("boot/k/{name}/dtb/broadcom/x.dtb"))
            .exists()
    );
}

#[test]
fn staging_numbers_on_and_finds_what_it_staged() {
    let (_dir, root) = device();
    let one = factory(&root);
    let two = make(&root, "two", "kernel-1");
    assert_eq!(staged(&root, &two), Generation(2));
    assert_eq!(staged(&root, &two), Generation(2));
    assert_eq!(staged(&root, &one), Generation(1));
    let again = stage(&root, &two, &GenerationsLock::wait(&root).unwrap()).unwrap();
    assert_eq!(again.written, 0, "nothing is written twice");
    // Numbers on BOOT are hexadecimal.
    for n in 3..=16 {
        staged(&root, &make(&root, &format!("t{n}"), "kernel-1"));
    }
    assert!(root.at("boot/gen/10.env").exists());
}

#[test]
fn numbers_agree_with_nix_env_where_they_can() {
    let env = |n: u64, toplevel: Option<&str>| {
        let toplevel = toplevel.map(str::to_owned);
        (
            Generation(n),
            Env {
                toplevel,
                kernel: None,
            },
        )
    };
    let link = |n: u64, target: &str| (Generation(n), target.to_owned());
    let cases = [
        (vec![], vec![], 1),
        (vec![env(1, Some("b"))], vec![], 2),
        (vec![env(1, Some("a")), env(2, Some("b"))], vec![], 1),
        (
            vec![env(1, Some("a")), env(3, Some("a"))],
            vec![link(9, "a")],
            3,
        ),
        // The client has set the profile.
        (vec![env(1, Some("b"))], vec![link(1, "b"), link(2, "a")], 2),
        // The client has set the profile, and staging was interrupted.
        (vec![env(1, Some("b")), env(2, None)], vec![link(2, "a")], 2),
        // The client has used a number that is already taken.
        (
            vec![env(1, Some("b")), env(2, Some("c"))],
            vec![link(2, "a")],
            3,
        ),
        (vec![env(1, Some("b"))], vec![link(7, "c")], 8),
    ];
    for (on_boot, links, expected) in cases {
        assert_eq!(
            number(&on_boot, &links, Generation(0), "a"),
            Generation(expected),
            "{on_boot:?} {links:?}"
        );
    }
}

#[test]
fn the_number_of_what_was_removed_is_not_given_again() {
    let (_dir, root) = device();
    factory(&root);
    for n in 2..=4 {
        staged(&root, &make(&root, &format!("t{n}"), "kernel-1"));
    }
    let lock = GenerationsLock::wait(&root).unwrap();
    retention::collect(&root, 0, &lock).unwrap();
    drop(lock);
    assert_eq!(
        staged(&root, &make(&root, "new", "kernel-1")),
        Generation(5)
    );
    // A client counts for itself, and gave it a number that was another's.
    let link = (Generation(4), "a".to_owned());
    assert_eq!(number(&[], &[link], Generation(4), "a"), Generation(5));
}

#[test]
fn a_cut_anywhere_leaves_nothing_half_that_is_named() {
    for n in 0.. {
        let (_dir, root) = device();
        let one = factory(&root);
        let two = make(&root, "two", "kernel-2");
        let done = cut::at(n, || {
            let lock = GenerationsLock::wait(&root).unwrap();
            let staged = stage(&root, &two, &lock).unwrap();
            let state = BootState::load(&root.at("boot")).unwrap();
            state.boot(staged.generation, 3).unwrap().write().unwrap();
        })
        .is_some();
        named_is_whole(&root, &[&one, &two]);
        let (next, _) = BootState::load(&root.at("boot")).unwrap().state().at_boot();
        assert!(
            generations::on_boot(&root)
                .unwrap()
                .iter()
                .any(|(g, env)| *g == next && env.toplevel.is_some()),
            "the next boot would find no generation {next}"
        );
        if done {
            assert_eq!(next, Generation(2));
            break;
        }
        // Once the slot is written, the new state holds.
        assert!(next == Generation(1) || next == Generation(2));
        // The next attempt succeeds, with the same number.
        assert_eq!(staged(&root, &two), Generation(2));
        named_is_whole(&root, &[&one, &two]);
    }
}

#[test]
fn a_cut_while_collecting_leaves_nothing_half_that_is_named() {
    for n in 0.. {
        let (_dir, root) = device();
        let one = factory(&root);
        let others: Vec<_> = (2..=4)
            .map(|n| make(&root, &format!("t{n}"), &format!("kernel-{n}")))
            .collect();
        for toplevel in &others {
            staged(&root, toplevel);
        }
        let all: Vec<_> = std::iter::once(&one).chain(&others).collect();
        let collect = || {
            let lock = GenerationsLock::wait(&root).unwrap();
            retention::collect(&root, 1, &lock).unwrap()
        };
        let done = cut::at(n, collect).is_some();
        named_is_whole(&root, &all);
        let left = |root: &Root| -> Vec<u64> {
            let on_boot = generations::on_boot(root).unwrap();
            on_boot.iter().map(|(g, _)| g.0).collect()
        };
        assert!(left(&root).contains(&1), "the good one stays");
        if !done {
            collect();
        }
        assert_eq!(left(&root), [1, 4]);
        assert_eq!(fs::read_dir(root.at("boot/k")).unwrap().count(), 2);
        if done {
            break;
        }
    }
}

#[test]
fn what_is_incomplete_changes_nothing() {
    let (_dir, root) = device();
    factory(&root);
    let two = make(&root, "two", "kernel-2");
    fs::remove_file(toplevel::at(&root, &store_path("two-config"))).unwrap();
    let error = stage(&root, &two, &GenerationsLock::wait(&root).unwrap()).unwrap_err();
    assert!(error.downcast_ref::<toplevel::ToplevelError>().is_some());
    assert_eq!(generations::on_boot(&root).unwrap().len(), 1);
    assert_eq!(profile::links(&root).len(), 1);
}
