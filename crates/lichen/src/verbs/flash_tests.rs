//! The verb as users type it, on loop devices. Without the rights to make these, it writes to a regular file; O_EXCL,
//! O_DIRECT and the device's own zeroing are then not tested.

use super::*;
use crate::command::program;
use crate::failure::Failure;
use clap::Parser;

const KEY: &str =
    "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIG1lCyLg8uNLwgEd7CM/8mxZGPTlWUQ9F5OG9JYyqUVn me@laptop";

fn flash(args: &[&str]) -> Result<()> {
    #[derive(Parser)]
    struct Line {
        #[command(flatten)]
        args: FlashArgs,
    }
    let line = Line::try_parse_from([&["flash"], args].concat())?;
    run(&Workspace::find()?, &line.args)
}

fn failure(result: Result<()>) -> (String, String) {
    let failure = result.unwrap_err().downcast::<Failure>().unwrap();
    (failure.what, failure.hint)
}

/// A block device made of a file; it is removed when this is dropped.
struct Loop {
    device: String,
    mounted: Option<PathBuf>,
}

impl Loop {
    fn of(file: &Path) -> Option<Self> {
        let mut losetup = program("losetup");
        let output = losetup.args(["--find", "--show"]).arg(file).output().ok()?;
        output.status.success().then(|| Loop {
            device: String::from_utf8_lossy(&output.stdout).trim().into(),
            mounted: None,
        })
    }

    fn mount(&mut self, at: &Path) {
        for (name, args) in [("mkfs.ext4", vec!["-q"]), ("mount", vec![])] {
            let mut command = program(name);
            command.args(args).arg(&self.device);
            if name == "mount" {
                command.arg(at);
            }
            assert!(command.status().unwrap().success(), "{command:?}");
        }
        self.mounted = Some(at.into());
    }
}

impl Drop for Loop {
    fn drop(&mut self) {
        if let Some(at) = &self.mounted {
            let _ = program("umount").arg(at).status();
        }
        let _ = program("losetup").args(["--detach", &self.device]).status();
    }
}

/// A used card of this size: its file, and the arguments for writing to it.
fn card(folder: &Path, size: usize) -> (PathBuf, Vec<String>, Option<Loop>) {
    let file = folder.join("card");
    std::fs::write(&file, vec![0xee; size]).unwrap();
    match Loop::of(&file) {
        Some(device) => (file, vec![device.device.clone()], Some(device)),
        None => (
            file.clone(),
            vec![file.display().to_string(), "--file".into()],
            None,
        ),
    }
}

#[test]
fn a_card_gets_the_image_and_what_is_particular_to_one_device() {
    let folder = tempfile::tempdir().unwrap();
    let file = |name: &str, text: &str| -> String {
        let path = folder.path().join(name);
        std::fs::write(&path, text).unwrap();
        path.display().to_string()
    };
    let (keys, passphrase) = (
        file("keys", &format!("# mine\n{KEY}\n\n")),
        file("wifi", "correct horse\n"),
    );
    let token = format!("climate.bearer-token={}", file("token", "secret\n"));
    let image = folder.path().join("a.img");
    card::testing::card(&image).unwrap();
    let (card, device, device_guard) = card(folder.path(), 16 << 20);
    let device: Vec<&str> = device.iter().map(String::as_str).collect();
    let told = [
        "--yes",
        "--hostname",
        "rack7",
        "--ssh-key",
        &keys,
        "--ssh-key",
        KEY,
        "--wifi",
        "attic",
        "--wifi-passphrase-file",
        &passphrase,
        "--wifi-country",
        "de",
        "--wifi-hidden",
        "--secret",
        &token,
    ];
    flash(&[&[image.to_str().unwrap()], &device[..], &told].concat()).unwrap();
    drop(device_guard);

    let toml = card::read_from_boot(&card, "lichen.toml").unwrap();
    let found = protocol::lichen_toml::read(&toml, &|_| true).unwrap();
    assert_eq!(found.hostname.as_deref(), Some("rack7"));
    assert_eq!(found.ssh.unwrap().authorized_keys, [KEY, KEY]);
    let wifi = found.wifi.unwrap();
    assert_eq!(
        (wifi.passphrase, wifi.country.as_deref(), wifi.hidden),
        (
            Some(Secret::from("correct horse".to_owned())),
            Some("DE"),
            true
        )
    );
    assert_eq!(
        found.secrets["climate.bearer-token"],
        Secret::from("secret".to_owned())
    );
    let (card, image) = (
        std::fs::read(&card).unwrap(),
        std::fs::read(&image).unwrap(),
    );
    // Before and after BOOT, the card equals the image, and the old data at its end are gone.
    assert!(card[..1 << 20] == image[..1 << 20] && card[2 << 20..4 << 20] == image[2 << 20..]);
    assert!(card[15 << 20..].iter().all(|b| *b == 0));
}

#[test]
fn a_smaller_card_is_refused_and_stays_as_it_was() {
    let folder = tempfile::tempdir().unwrap();
    let image = folder.path().join("a.img");
    card::testing::card(&image).unwrap();
    let (card, device, _guard) = card(folder.path(), 3 << 20);
    let device: Vec<&str> = device.iter().map(String::as_str).collect();
    let (what, _) = failure(flash(
        &[&[image.to_str().unwrap(), "--yes"], &device[..]].concat(),
    ));
    assert_eq!(
        what,
        format!(
            "{} is too small: it has 3.1 MB, the image needs 4.1 MB",
            device[0]
        )
    );
    assert!(std::fs::read(&card).unwrap().iter().all(|b| *b == 0xee));
}

/// Without `--yes`: if a refusal were missing, nobody would answer the question, so nothing would be written.
#[test]
fn whatever_is_mounted_is_refused_and_the_system_s_disk_too() {
    let folder = tempfile::tempdir().unwrap();
    let image = folder.path().join("a.img");
    card::testing::card(&image).unwrap();
    let (file, at) = (folder.path().join("card"), folder.path().join("mnt"));
    std::fs::write(&file, vec![0; 16 << 20]).unwrap();
    std::fs::create_dir(&at).unwrap();
    let mut made = Loop::of(&file);
    if let Some(device) = &mut made {
        device.mount(&at);
        // The kernel notices what lsblk does not.
        let error = Target::device(Path::new(&device.device)).unwrap_err();
        assert_eq!(
            error.to_string(),
            format!("{} is in use, says the kernel", device.device)
        );
    }
    let mounts = std::fs::read_to_string("/proc/self/mountinfo").unwrap();
    let mut devices: Vec<&str> = mounts
        .lines()
        .filter_map(|line| line.split(" - ").nth(1)?.split(' ').nth(1))
        .filter(|source| source.starts_with("/dev/") && Path::new(source).exists())
        .collect();
    devices.dedup();
    assert!(
        !devices.is_empty(),
        "no block device is mounted, and none can be made: not tested"
    );
    for device in devices {
        let (what, _) = failure(flash(&[image.to_str().unwrap(), device]));
        let reasons = [
            "is in use: ",
            "holds the running system: ",
            "is a partition",
            "is not a disk but of type ",
        ];
        let name = std::fs::canonicalize(device).unwrap();
        assert!(
            reasons
                .iter()
                .any(|r| what.starts_with(&format!("{} {r}", name.display()))),
            "{what}"
        );
    }
}

#[test]
fn what_is_no_disk_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    let image = folder.path().join("a.img");
    card::testing::card(&image).unwrap();
    let image = image.to_str().unwrap();
    for (device, reason) in [
        ("/dev/null", "/dev/null is not a disk"),
        (image, "is not a disk"),
        ("/dev/no-such-card", "there is no /dev/no-such-card"),
    ] {
        let (what, hint) = failure(flash(&[image, device, "--yes"]));
        assert!(what.contains(reason), "{what}");
        assert!(hint.starts_with("./lichen flash --list"), "{hint}");
    }
}

#[test]
fn mistakes_are_told_by_their_options_and_no_secret_is() {
    let folder = tempfile::tempdir().unwrap();
    let secret = folder.path().join("passphrase");
    std::fs::write(&secret, "kurz\n").unwrap();
    let secret = secret.to_str().unwrap();
    let private = folder.path().join("id");
    std::fs::write(&private, "-----BEGIN OPENSSH PRIVATE KEY-----\nb3Bl\n").unwrap();
    let private = private.to_str().unwrap();
    let named = format!("a b={secret}");
    for (options, expected) in [
        (
            vec!["--hostname", "rack 7"],
            "--hostname `rack 7` is not a host name",
        ),
        (
            vec!["--ssh-key", "ssh-ed25519 AAAA"],
            "--ssh-key is not whole",
        ),
        (vec!["--ssh-key", private], "is a private key"),
        (
            vec!["--wifi", "attic", "--wifi-passphrase-file", secret],
            "--wifi-passphrase-file must have 8 to 63",
        ),
        (
            vec![
                "--wifi",
                "attic",
                "--wifi-passphrase-file",
                "/dev/null",
                "--wifi-country",
                "D",
            ],
            "--wifi-country `D`",
        ),
        (vec!["--secret", "token"], "--secret token names no file"),
        (vec!["--secret", &named], "--secret a b is not a valid name"),
        (
            vec!["--secret", "a=-", "--secret", "b=-"],
            "only one secret can come from standard input",
        ),
    ] {
        let (what, _) = failure(flash(&[&["a.img", "/dev/null"], &options[..]].concat()));
        assert!(what.contains(expected) && !what.contains("kurz"), "{what}");
    }
}

#[test]
fn what_takes_the_place_of_the_card_is_not_written_to() {
    let folder = tempfile::tempdir().unwrap();
    let [chosen, kept, other] = ["card", "kept", "other"].map(|name| folder.path().join(name));
    card::testing::card(&chosen).unwrap();
    card::testing::card(&other).unwrap();
    std::fs::hard_link(&chosen, &kept).unwrap();
    let untouched = std::fs::read(&other).unwrap();

    // The question stands while somebody moves another file, or disk, to the name that was shown.
    let before = Identity::at(&chosen).unwrap();
    let opened = Target::file(&chosen).unwrap();
    opened.must_be(&before, &chosen).unwrap();
    std::fs::rename(&other, &chosen).unwrap();
    give(&opened, Some("hostname = \"rack7\"\n")).unwrap();
    assert_eq!(std::fs::read(&chosen).unwrap(), untouched);
    let toml = card::read_from_boot(&kept, "lichen.toml").unwrap();
    assert_eq!(toml, b"hostname = \"rack7\"\n");

    // The same while the image was built: nothing is even shown.
    let opened = Target::file(&chosen).unwrap();
    let (what, _) = failure(opened.must_be(&before, &chosen));
    assert!(what.ends_with("is not what it was when this command began"));
}

#[test]
fn a_card_that_was_exchanged_in_its_reader_is_another_card() {
    let folder = tempfile::tempdir().unwrap();
    let files = ["one", "two"].map(|name| folder.path().join(name));
    for file in &files {
        std::fs::write(file, vec![0xee; 1 << 20]).unwrap();
    }
    let Some(one) = Loop::of(&files[0]) else {
        return;
    };
    let device = PathBuf::from(&one.device);
    let before = Identity::at(&device).unwrap();
    assert_eq!(before, Identity::at(&device).unwrap());
    drop(one);
    let again = program("losetup")
        .arg(&device)
        .arg(&files[1])
        .status()
        .unwrap();
    if again.success() {
        let _two = Loop {
            device: device.display().to_string(),
            mounted: None,
        };
        assert_ne!(before, Identity::at(&device).unwrap());
    }
}
