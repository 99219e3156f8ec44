use super::*;
use crate::channel::CONFIG;
use crate::record::following;
use crate::state::{Generation, State, Trial};
use protocol::channel::SecretKey;
use protocol::vitals::Refusal;
use std::net::{Ipv4Addr, TcpListener, TcpStream};
use std::thread;
use std::time::Duration;

mod http;

/// Made by `nix-store --generate-binary-cache-key fleet-1`.
const SECRET: &str = "fleet-1:3OLEVu9K1mf2IbnsLpIQncrZbuBIw3A0yefHEEcgS7UmwOi+hdKiskUQaPERAuyMA5tqCMiZccVQ/DCyTVe3SQ==";
const PUBLIC: &str = "fleet-1:JsDovoXSorJFEGjxEQLsjAObagjImXHFUPwwsk1Xt0k=";

fn key() -> SecretKey {
    SecretKey::parse(SECRET).unwrap()
}

fn channel(sequence: u64, toplevel: &str) -> Channel {
    Channel {
        format: protocol::channel::FORMAT,
        appliance: "climate".into(),
        channel: "stable".into(),
        sequence,
        toplevel: toplevel.into(),
        published: "2026-11-24T21:50:00Z".into(),
        description: String::new(),
    }
}

const OLD: &str = "/nix/store/old";
const NEW: &str = "/nix/store/new";

/// A web server that runs as long as the test; `answer` gets the requested path.
fn server(answer: impl Fn(&str, TcpStream) + Send + 'static) -> String {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    thread::spawn(move || {
        for stream in listener.incoming().flatten() {
            let mut head = BufReader::new(stream.try_clone().unwrap()).lines();
            let path = head.next().and_then(|line| {
                let line = line.ok()?;
                line.split(' ').nth(1).map(str::to_owned)
            });
            head.take_while(|line| line.as_ref().is_ok_and(|line| !line.is_empty()))
                .for_each(drop);
            answer(&path.unwrap_or_default(), stream);
        }
    });
    url
}

fn ok(body: &str) -> String {
    format!(
        "HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: {}\r\n\r\n{body}",
        body.len()
    )
}

/// A device that runs generation 1, knows generation 2, and follows the channel stable at `url`.
struct Device {
    dir: tempfile::TempDir,
    config: Config,
    record: Record,
}

impl Device {
    fn new(url: &str) -> Self {
        let device = Self {
            dir: durable::scratch(),
            config: Config {
                url: url.to_owned(),
                channel: "stable".into(),
                window: None,
                reboot: true,
            },
            record: Record::default(),
        };
        for (path, text) in [
            (
                "proc/cmdline",
                format!("lichen.generation=1 lichen.toplevel={OLD}\n"),
            ),
            (
                "boot/gen/1.env",
                format!("args=lichen.toplevel={OLD}\nkdir=k/x\n"),
            ),
            (
                "boot/gen/2.env",
                format!("args=lichen.toplevel={NEW}\nkdir=k/x\n"),
            ),
            (
                "nix/store/old/manifest.json",
                r#"{"appliance":"climate","layers":[]}"#.to_owned(),
            ),
            (
                "etc/nix/nix.conf",
                format!("trusted-public-keys = {PUBLIC}\n"),
            ),
            (
                "etc/lichen/update.json",
                serde_json::to_string(&device.config).unwrap(),
            ),
        ] {
            device.put(path, text.as_bytes());
        }
        device.trial(None);
        device
    }

    /// Replaces the content of the channel with `text`.
    fn following(text: String) -> Self {
        Self::new(&server(move |path, mut stream| {
            assert_eq!(path, "/channels/climate/stable.json");
            std::io::Write::write_all(&mut stream, ok(&text).as_bytes()).unwrap();
        }))
    }

    fn root(&self) -> Root {
        Root::new(self.dir.path())
    }

    fn put(&self, path: &str, content: &[u8]) {
        self.root().put(path, content);
    }

    /// Sets how many tries generation 2 has left.
    fn trial(&self, tries: Option<u64>) {
        for (seq, slot) in [(1, "boot/st0.env"), (0, "boot/st1.env")] {
            let state = State {
                seq,
                good: Generation(1),
                trial: tries.map(|tries| Trial {
                    generation: Generation(2),
                    tries,
                }),
            };
            self.put(slot, &crate::state::encode(state));
        }
    }

    fn check(&self) -> Result<String> {
        follow(
            &self.root(),
            &self.config,
            &mut self.record.clone(),
            Extent::Check,
        )
    }

    /// Why a run of the timer is refused.
    fn refused(&self) -> UpdateError {
        let error = update(&self.root(), Extent::Scheduled).unwrap_err();
        error.downcast().unwrap()
    }
}

fn signed(sequence: u64, toplevel: &str) -> String {
    channel(sequence, toplevel).sign(&key())
}

#[test]
fn a_check_tells_what_there_is_and_remembers_nothing() {
    for (toplevel, tries, reboot, said) in [
        (OLD, None, true, "stable 7 runs already"),
        (NEW, None, true, "stable 7 is new: /nix/store/new"),
        (
            NEW,
            Some(3),
            false,
            "stable 7 will run after the next reboot: /nix/store/new",
        ),
        // If the update may reboot the device, it does not wait for a person to do so.
        (NEW, Some(3), true, "stable 7 is new: /nix/store/new"),
        (
            NEW,
            Some(0),
            true,
            "stable 7 failed on this device or was rolled back: /nix/store/new",
        ),
    ] {
        let mut device = Device::following(signed(7, toplevel));
        device.trial(tries);
        device.config.reboot = reboot;
        assert_eq!(device.check().unwrap(), said);
        update(&device.root(), Extent::Check).unwrap();
        assert!(!device.root().at("var").exists());
    }
}

#[test]
fn only_a_channel_that_is_meant_and_trusted_is_followed() {
    let other = |edit: fn(&mut protocol::channel::Channel)| {
        let mut channel = channel(7, NEW);
        edit(&mut channel);
        channel.sign(&key())
    };
    type Is = fn(&UpdateError) -> bool;
    let cases: [(&str, String, Is); 5] = [
        (
            "another appliance",
            other(|c| c.appliance = "camera".into()),
            |e| matches!(e, UpdateError::Another { found, wanted, .. } if found == "stable of camera" && wanted == "stable of climate"),
        ),
        (
            "another channel",
            other(|c| c.channel = "beta".into()),
            |e| matches!(e, UpdateError::Another { .. }),
        ),
        ("a changed one", signed(7, NEW).replace(": 7", ": 9"), |e| {
            matches!(
                e,
                UpdateError::Channel {
                    error: protocol::channel::ChannelError::BadSignature(_),
                    ..
                }
            )
        }),
        ("a web page", "<!DOCTYPE html>".into(), |e| {
            matches!(e, UpdateError::WebPage { .. })
        }),
        ("nothing", String::new(), |e| {
            matches!(
                e,
                UpdateError::Channel {
                    error: protocol::channel::ChannelError::NotOne(_),
                    ..
                }
            )
        }),
    ];
    for (what, text, is) in cases {
        let device = Device::following(text);
        let error = device.refused();
        assert!(is(&error), "{what}: {error}");
        let last = Record::load(&device.root()).last.unwrap();
        assert_eq!((last.ok, last.said), (false, error.to_string()));
    }
}

#[test]
fn without_a_trusted_key_or_a_channel_nothing_is_asked_of_anybody() {
    let device = Device::new("http://unreachable.invalid");
    device.put("etc/nix/nix.conf", b"max-jobs = 0\n");
    assert!(matches!(device.refused(), UpdateError::NoKeys));
    fs::remove_file(device.root().at("etc/lichen/update.json")).unwrap();
    assert!(matches!(device.refused(), UpdateError::NoChannel));
}

#[test]
fn an_old_channel_is_refused_and_the_same_one_is_not() {
    let mut device = Device::following(signed(7, OLD));
    update(&device.root(), Extent::Scheduled).unwrap();
    let record = Record::load(&device.root());
    assert_eq!(record.sequences["climate/stable"], 7);
    assert_eq!(record.last.unwrap().said, "stable 7 runs already");
    update(&device.root(), Extent::Scheduled).unwrap();

    let older = Device::following(signed(6, OLD));
    device.config.url.clone_from(&older.config.url);
    device.put(CONFIG, &serde_json::to_vec(&device.config).unwrap());
    let error = device.refused();
    assert!(
        matches!(
            error,
            UpdateError::Old {
                found: 6,
                accepted: 7,
                ..
            }
        ),
        "{error}"
    );
    assert_eq!(Record::load(&device.root()).sequences["climate/stable"], 7);
}

#[test]
fn what_failed_its_trial_is_not_tried_again_whatever_its_sequence() {
    let device = Device::following(signed(8, NEW));
    device.trial(Some(0));
    let state = BootState::load(&device.root().at("boot")).unwrap().state();
    record::trial_failed(&device.root(), state).unwrap();
    // The next change of the boot state ends this.
    device.trial(None);
    let error = device.refused();
    assert!(
        matches!(&error, UpdateError::FailedBefore { sequence: 8, toplevel } if toplevel == NEW),
        "{error}"
    );
    // By hand it may be tried again, and once it runs, its failure is forgotten.
    device.put(
        "proc/cmdline",
        format!("lichen.toplevel={NEW}\n").as_bytes(),
    );
    device.put("nix/store/new/manifest.json", br#"{"appliance":"climate"}"#);
    update(&device.root(), Extent::Scheduled).unwrap();
    assert_eq!(Record::load(&device.root()).failed, Vec::<String>::new());
}

#[test]
fn who_goes_back_by_hand_is_not_overruled_by_the_next_run() {
    let device = Device::following(signed(7, NEW));
    record::rolled_back(&device.root(), NEW).unwrap();
    assert!(matches!(device.refused(), UpdateError::FailedBefore { .. }));
    // A device that follows no channel has nothing to remember.
    let other = Device::new("http://unreachable.invalid");
    fs::remove_file(other.root().at(CONFIG)).unwrap();
    record::rolled_back(&other.root(), NEW).unwrap();
    assert_eq!(Record::load(&other.root()), Record::default());
}

#[test]
fn what_is_cut_off_each_time_it_is_begun_has_failed() {
    let mut record = Record::default();
    let here = Toplevels::default();
    for _ in 0..TRIES {
        assert_eq!(decide::decide(NEW, &here, &record), Decision::Take);
        record.begin(NEW);
    }
    assert_eq!(decide::decide(NEW, &here, &record), Decision::Failed);
    // Another generation is started from the beginning.
    record.begin(OLD);
    assert_eq!(decide::decide(OLD, &here, &record), Decision::Take);
    record.end();
    assert_eq!(record.begun, None);
}

#[test]
fn the_record_outlives_a_cut_anywhere_and_damage() {
    let device = Device::new("http://unreachable.invalid");
    let root = device.root();
    let mut before = Record::default();
    before.accept(&channel(7, NEW));
    before.save(&root).unwrap();
    let mut after = before.clone();
    after.accept(&channel(8, NEW));
    after.accept(&channel(3, NEW));
    for n in 0.. {
        let done = durable::cut::at(n, || after.save(&root).unwrap());
        let found = Record::load(&root);
        assert!(found == before || found == after, "{found:?}");
        if done.is_some() {
            assert_eq!(found, after);
            break;
        }
        before.save(&root).unwrap();
    }
    device.put("var/lib/lichen/update.json", b"{ \"sequences\": ");
    assert_eq!(Record::load(&root), Record::default());
}

#[test]
fn status_knows_what_is_followed() {
    let device = Device::following(signed(7, OLD));
    let before = following(&device.root()).unwrap();
    assert_eq!((before.channel.as_str(), before.last), ("stable", None));
    update(&device.root(), Extent::Scheduled).unwrap();
    let after = following(&device.root()).unwrap();
    assert!(after.last.unwrap().ok && after.seconds_ago.unwrap() < 3600);
    assert!(after.reached_seconds_ago.unwrap() < 3600);
    assert_eq!(after.behind_seconds, None);
    fs::remove_file(device.root().at(CONFIG)).unwrap();
    assert_eq!(following(&device.root()), None);
}

#[test]
fn status_knows_why_an_update_is_refused_and_for_how_long() {
    let device = Device::following(signed(8, NEW));
    let mut record = Record::default();
    record.fail(NEW);
    record.save(&device.root()).unwrap();
    device.refused();
    let refused = following(&device.root()).unwrap();
    assert_eq!(refused.last.unwrap().refusal, Some(Refusal::Failed));
    assert!(refused.behind_seconds.unwrap() < 3600);
    assert!(refused.reached_seconds_ago.is_some());
}

#[test]
fn failures_are_remembered_and_not_for_ever() {
    let mut record = Record::default();
    for n in 0..20 {
        assert!(record.fail(&n.to_string()));
    }
    assert!(!record.fail("19"));
    assert_eq!(record.failed.len(), 16);
    assert!(record.has_failed("19") && record.has_failed("4") && !record.has_failed("3"));
}

/// Files as existing devices have them: a new version has to read them.
#[test]
fn records_and_configurations_stay_readable() {
    let record: Record =
        serde_json::from_str(include_str!("../../fixtures/update-v1/record.json")).unwrap();
    assert_eq!(record.sequences["climate/stable"], 1764021000);
    assert!(record.has_failed(NEW) && record.last.unwrap().ok);
    let config: Config =
        serde_json::from_str(include_str!("../../fixtures/update-v1/config.json")).unwrap();
    assert_eq!(config.window.unwrap().from, "02:00");
}
