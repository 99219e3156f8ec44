use super::*;
use std::collections::HashSet;
use std::fs;

/// How long these commands may do nothing.
const PATIENCE: Duration = Duration::from_secs(3);

struct Place {
    dir: tempfile::TempDir,
    service: Service,
}

fn place() -> Place {
    let service = Service {
        version: "1".into(),
        directory: "/var/lib/notes".into(),
        user: "notes".into(),
        backup: String::new(),
        restore: String::new(),
    };
    Place {
        dir: durable::scratch(),
        service,
    }
}

impl Place {
    /// Has a command make data of an empty copy.
    fn restore(&self, command: &str) -> Result<()> {
        let (root, directory) = (Root::new(self.dir.path()), self.dir.path());
        let order = Order {
            root: &root,
            service: &self.service,
            command,
            directory,
            room: &Room::of(directory),
            patience: PATIENCE,
        };
        order.read(&tempfile::tempfile().unwrap())
    }

    fn written(&self) -> HashSet<String> {
        let text = fs::read_to_string(self.dir.path().join("x")).unwrap_or_default();
        text.lines().map(str::to_owned).collect()
    }
}

#[test]
fn who_goes_on_may_take_longer_than_who_does_nothing() {
    let place = place();
    let slow = "for n in 1 2 3 4 5 6 7 8; do sleep 0.6; echo $n >> $DIRECTORY/x; done";
    place.restore(slow).unwrap();
    assert_eq!(place.written().len(), 8);
    let told = format!("{:#}", place.restore("sleep 999").unwrap_err());
    assert!(told.contains("`sleep 999` did nothing for 3 s"), "{told}");
}

#[test]
fn what_left_its_process_group_ends_with_the_command_too() {
    let place = place();
    // A server goes on writing, and the command ends, or does nothing any more.
    let server =
        "setsid sh -c 'while :; do echo $$ >> $DIRECTORY/x; sleep 0.1; done' > /dev/null 2>&1 &";
    for then in ["sleep 1", "sleep 1; exit 3"] {
        let _ = place.restore(&format!("{server} {then}"));
        assert!(!place.written().is_empty());
        fs::remove_file(place.dir.path().join("x")).unwrap();
        // Whoever still wrote would do so within this time.
        let deadline = Instant::now() + Duration::from_secs(1);
        while Instant::now() < deadline {
            assert_eq!(place.written(), HashSet::new());
            thread::yield_now();
        }
    }
}

#[test]
fn a_command_that_says_much_does_not_wait_for_a_reader() {
    let place = place();
    place.restore("head -c 300000 /dev/zero >&2").unwrap();
    let command = "head -c 300000 /dev/zero | tr '\\0' x >&2; echo the end >&2; exit 1";
    let told = format!("{:#}", place.restore(command).unwrap_err());
    assert!(
        told.ends_with("the end") && told.len() < 5000,
        "{}",
        told.len()
    );
}
