//! `lichen publish`: appliances on a channel that devices follow. What is written, and how it is signed, is told in
//! `lichenctl::channel`.
//!
//! All of it is static files. Whatever a channel names is there before the channel says so: its file is written
//! last and in one go, and what has been published before stays.

use super::build;
use crate::failure::Hint;
use crate::imager::{self, Entry, File};
use crate::nix::Nix;
use crate::store;
use crate::ui::{self, Live};
use crate::workspace::Workspace;
use anyhow::{Context, Result};
use lichenctl::channel::{Channel, FORMAT, SecretKey};
use lichenctl::durable;
use serde_json::Value;
use std::fs;
use std::path::{Path, PathBuf};
use std::time::SystemTime;

/// Publish appliances on a channel that devices follow; prints the channels' files
#[derive(Debug, clap::Args)]
pub struct PublishArgs {
    /// Files appliances/<APPLIANCE>.nix
    #[arg(required = true)]
    appliances: Vec<String>,
    /// The folder to publish in; put it on any web server or bucket, channels/ last
    #[arg(long, value_name = "FOLDER")]
    to: String,
    /// The channel
    #[arg(long, default_value = "stable")]
    channel: String,
    /// The fleet's secret key; else that of `lichen key`
    #[arg(long, value_name = "FILE")]
    key: Option<PathBuf>,
    /// What is new, for people
    #[arg(long, default_value = "", value_name = "TEXT")]
    description: String,
    /// Where the folder is going to be found: with it, os_list.json has Raspberry Pi Imager offer the images
    #[arg(long)]
    url: Option<String>,
    /// Publish this toplevel, which was built before, and no image
    #[arg(long, value_name = "PATH")]
    toplevel: Option<PathBuf>,
    /// Refuse to build when packages of the lock have left the mirror, instead of moving on to newer ones
    #[arg(long)]
    locked: bool,
}

/// Runs the verb.
pub fn run(workspace: &Workspace, args: &PublishArgs) -> Result<()> {
    let key_file = args.key.clone().unwrap_or_else(super::key::path);
    let key = read_key(&key_file)?;
    check_name(&args.channel)?;
    let folder = prepare(&args.to)?;
    if args.toplevel.is_some() && args.appliances.len() > 1 {
        crate::fail!(hint: "one appliance for each --toplevel", "--toplevel is of one appliance only");
    }
    let mut releases = Vec::new();
    for appliance in &args.appliances {
        releases.push(match &args.toplevel {
            Some(toplevel) => Release::built_before(workspace, appliance, toplevel)?,
            None => Release::build(workspace, appliance, args.locked)?,
        });
    }
    for release in &releases {
        copy(&folder, &release.toplevel, &key_file)?;
    }
    let (mut written, mut offered) = (Vec::new(), Vec::new());
    for release in &releases {
        let path = folder.join(Channel::path(&release.appliance, &args.channel));
        let channel = Channel {
            format: FORMAT,
            appliance: release.appliance.clone(),
            channel: args.channel.clone(),
            sequence: 0,
            toplevel: release.toplevel.display().to_string(),
            published: humantime::format_rfc3339_seconds(SystemTime::now()).to_string(),
            description: args.description.clone(),
        };
        let channel = next(fs::read(&path).ok().as_deref(), channel, unix_now())
            .with_context(|| format!("cannot take the sequence from {}", path.display()))
            .hint("a sequence must never fall, or devices refuse it: get the file back from where it was published")?;
        if let Some(image) = &release.image {
            let place = place_image(&folder, &channel, image)?;
            offered.push((channel.clone(), image, place));
        }
        written.push((path, channel));
    }
    if let Some(url) = &args.url {
        let entries = offered
            .iter()
            .map(|(channel, image, place)| entry(url, channel, image, place));
        offer(&folder, &entries.collect::<Result<Vec<_>>>()?)?;
    }
    durable::sync_file_system(&folder)?;
    for (path, channel) in written {
        ui::say(format!(
            "{} of {}: sequence {}, {}",
            channel.channel, channel.appliance, channel.sequence, channel.toplevel
        ));
        let parent = path.parent().unwrap_or(&folder);
        fs::create_dir_all(parent).with_context(|| format!("cannot make {}", parent.display()))?;
        durable::atomic_write(&path, channel.sign(&key).as_bytes(), 0o644)?;
        println!("{}", path.display());
    }
    Ok(())
}

/// What is published of an appliance.
struct Release {
    appliance: String,
    toplevel: PathBuf,
    /// The SD-card image, compressed.
    image: Option<PathBuf>,
}

impl Release {
    fn build(workspace: &Workspace, appliance: &str, locked: bool) -> Result<Self> {
        let made = build::image(workspace, appliance, locked, false)?;
        let toplevel = toplevel(&made.nix, appliance)?;
        Ok(Self {
            appliance: appliance.to_owned(),
            toplevel,
            image: Some(made.image.with_extension("img.zst")),
        })
    }

    fn built_before(workspace: &Workspace, appliance: &str, toplevel: &Path) -> Result<Self> {
        workspace.check_appliance(appliance)?;
        let toplevel = fs::canonicalize(toplevel)
            .with_context(|| format!("cannot find {}", toplevel.display()))?;
        let manifest = fs::read(toplevel.join("manifest.json")).unwrap_or_default();
        let manifest: serde_json::Value = serde_json::from_slice(&manifest).unwrap_or_default();
        if manifest["appliance"] != appliance {
            crate::fail!(
                hint: format!("nix build .#{appliance}-toplevel"),
                "{} is no toplevel of {appliance}", toplevel.display()
            );
        }
        Ok(Self {
            appliance: appliance.to_owned(),
            toplevel,
            image: None,
        })
    }
}

fn toplevel(nix: &Nix<'_>, appliance: &str) -> Result<PathBuf> {
    let output = format!("packages.x86_64-linux.{appliance}-toplevel");
    Ok(nix.build(&output, None)?.output)
}

fn read_key(file: &Path) -> Result<SecretKey> {
    let text = fs::read_to_string(file)
        .with_context(|| format!("cannot read the fleet's key {}", file.display()))
        .hint("`./lichen key generate` makes one; --key FILE takes one from elsewhere")?;
    SecretKey::parse(&text)
        .with_context(|| file.display().to_string())
        .hint("`./lichen key generate` makes one; --key FILE takes one from elsewhere")
}

/// What devices can ask for in an address without further ado.
fn check_name(channel: &str) -> Result<()> {
    let good = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || "._-".contains(c);
    if channel.is_empty() || channel.starts_with(['.', '_', '-']) || !channel.chars().all(good) {
        crate::fail!(
            hint: "small letters and digits; between them also . _ -",
            "'{channel}' can't be the name of a channel"
        );
    }
    Ok(())
}

/// The folder, made if need be, in the form Nix takes.
fn prepare(to: &str) -> Result<PathBuf> {
    let path = to.strip_prefix("file://").unwrap_or(to);
    if path.contains(['?', '%', '#', ' ']) || path.contains("://") {
        crate::fail!(
            hint: "publish in a folder and copy it to where devices find it, channels/ last: \
                   `rclone copy FOLDER REMOTE --exclude 'channels/**' && rclone copy FOLDER REMOTE`",
            "{to} is not a folder that can be published in"
        );
    }
    let try_it = || -> std::io::Result<PathBuf> {
        fs::create_dir_all(path)?;
        let folder = fs::canonicalize(path)?;
        // Better now than after the build.
        let probe = folder.join(".lichen-publish");
        fs::File::create(&probe)?;
        fs::remove_file(probe)?;
        Ok(folder)
    };
    try_it()
        .with_context(|| format!("cannot write in {path}"))
        .hint("--to FOLDER: one that belongs to you")
}

/// Brings what is missing of a closure into the binary cache, and has every path of it signed, also those that
/// were there before and know only an older key.
fn copy(folder: &Path, toplevel: &Path, key: &Path) -> Result<()> {
    let live = Live::new();
    ui::say(format!("copying what is new of {}", toplevel.display()));
    let cache = format!("file://{}", folder.display());
    crate::command::stdout_of(
        store::nix("nix")
            .args(["copy", "--to", &format!("{cache}?compression=zstd")])
            .arg(toplevel),
    )?;
    crate::command::stdout_of(
        store::nix("nix")
            .args(["store", "sign", "--recursive", "--store", &cache])
            .arg("--key-file")
            .args([key, toplevel]),
    )?;
    ui::say(format!(
        "copied and signed in {}",
        ui::duration(live.elapsed())
    ));
    Ok(())
}

/// The channel with its sequence: that of what is published already if it is the same toplevel. Else a higher one,
/// and not below the time, so that who has lost the folder can begin a new one.
fn next(published: Option<&[u8]>, mut channel: Channel, now: u64) -> Result<Channel> {
    channel.sequence = now;
    let Some(text) = published else {
        return Ok(channel);
    };
    let (before, _) = Channel::read(text)?;
    if before.toplevel == channel.toplevel {
        return Ok(before);
    }
    let above = before
        .sequence
        .checked_add(1)
        .context("it is the highest there can be")?;
    channel.sequence = now.max(above);
    Ok(channel)
}

fn unix_now() -> u64 {
    let since = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH);
    since.map_or(0, |time| time.as_secs())
}

/// Puts the image where devices to come are flashed from; none that is there already changes.
fn place_image(folder: &Path, channel: &Channel, image: &Path) -> Result<PathBuf> {
    let Channel {
        appliance,
        channel,
        sequence,
        ..
    } = channel;
    let images = folder.join("images");
    let place = images.join(format!("{appliance}-{channel}-{sequence}.img.zst"));
    if place.exists() {
        return Ok(place);
    }
    let temp = images.join(".image.tmp");
    let put = || -> std::io::Result<()> {
        fs::create_dir_all(&images)?;
        // Not the store's read-only mode.
        let mut from = fs::File::open(image)?;
        std::io::copy(&mut from, &mut fs::File::create(&temp)?)?;
        fs::rename(&temp, &place)
    };
    put().with_context(|| format!("cannot write {}", place.display()))?;
    Ok(place)
}

/// What Raspberry Pi Imager is to show of an image.
fn entry(url: &str, channel: &Channel, image: &Path, place: &Path) -> Result<Entry> {
    let plain = image.with_extension("");
    let sums = image.with_file_name("sha256sums");
    let sums =
        fs::read_to_string(&sums).with_context(|| format!("cannot read {}", sums.display()))?;
    let file = |path: &Path| -> Result<File> {
        let name = path.file_name().unwrap_or_default().to_string_lossy();
        let line = sums
            .lines()
            .find_map(|line| line.split_once("  ").filter(|(_, n)| *n == name));
        let (sha256, _) = line.with_context(|| format!("no checksum of {name}"))?;
        let size = fs::metadata(path)
            .with_context(|| format!("cannot read {}", path.display()))?
            .len();
        Ok(File {
            size,
            sha256: sha256.to_owned(),
        })
    };
    let name = place.file_name().unwrap_or_default().to_string_lossy();
    Ok(Entry {
        name: format!("{} ({})", channel.appliance, channel.channel),
        description: channel.description.clone(),
        icon: String::new(),
        url: format!("{}/images/{name}", url.trim_end_matches('/')),
        image: file(&plain)?,
        download: file(image)?,
        release_date: channel.published.chars().take(10).collect(),
    })
}

/// Writes the repository file of Raspberry Pi Imager, with what else was offered in it before.
fn offer(folder: &Path, entries: &[Entry]) -> Result<()> {
    let file = folder.join("os_list.json");
    let before = fs::read(&file).unwrap_or_default();
    let mut before: Value = serde_json::from_slice(&before).unwrap_or_default();
    let mut repository = imager::repository(entries);
    if let (Some(before), Some(list)) = (
        before["os_list"].as_array_mut(),
        repository["os_list"].as_array_mut(),
    ) {
        before.retain(|old| !entries.iter().any(|new| old["name"] == *new.name));
        before.append(list);
        std::mem::swap(before, list);
    }
    let text = serde_json::to_string_pretty(&repository)? + "\n";
    durable::atomic_write(&file, text.as_bytes(), 0o644)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn channel(sequence: u64, toplevel: &str) -> Channel {
        Channel {
            format: FORMAT,
            appliance: "climate".into(),
            channel: "stable".into(),
            sequence,
            toplevel: toplevel.into(),
            published: "2026-11-24T21:50:00Z".into(),
            description: String::new(),
        }
    }

    /// Seed 0…0 and its public key, as Nix writes them.
    fn key() -> SecretKey {
        SecretKey::parse("test-1:AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA7aie8zrakLWKjqNAqbw1zZTIVdx3iQ6Y6wEihi1naKQ==").unwrap()
    }

    #[test]
    fn the_sequence_never_falls_and_the_same_again_is_nothing_new() {
        let published = channel(1000, "/nix/store/a").sign(&key()).into_bytes();
        for (before, toplevel, now, expected) in [
            (None, "/nix/store/a", 5, 5),
            (Some(&published), "/nix/store/a", 2000, 1000),
            (Some(&published), "/nix/store/b", 2000, 2000),
            (Some(&published), "/nix/store/b", 5, 1001),
        ] {
            let before = before.map(Vec::as_slice);
            let next = next(before, channel(0, toplevel), now).unwrap();
            assert_eq!(
                (next.sequence, next.toplevel.as_str()),
                (expected, toplevel)
            );
        }
        let last = channel(u64::MAX, "/nix/store/a").sign(&key());
        for unusable in [&last, "", "{}"] {
            let result = next(Some(unusable.as_bytes()), channel(0, "/nix/store/b"), 5);
            assert!(result.is_err(), "{unusable}");
        }
    }

    #[test]
    fn a_missing_key_and_a_wrong_one_name_the_way_to_one() {
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("key.sec");
        let hint = |error: anyhow::Error| {
            let failure = error.downcast::<crate::failure::Failure>().unwrap();
            assert!(failure.what.contains("key.sec"), "{failure}");
            failure.hint
        };
        let missing = hint(read_key(&file).map(|_| ()).unwrap_err());
        fs::write(&file, "fleet-1:c2VjcmV0").unwrap();
        let wrong = hint(read_key(&file).map(|_| ()).unwrap_err());
        assert!(missing.contains("lichen key generate") && missing == wrong);
    }

    #[test]
    fn only_what_devices_can_ask_for_is_a_channel() {
        for good in ["stable", "beta-2", "v1.2_x"] {
            check_name(good).unwrap();
        }
        for bad in ["", "..", "../x", "a/b", "Ä", "A", "-x"] {
            assert!(check_name(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn a_folder_is_made_and_anything_else_refused_before_the_build() {
        let dir = tempfile::tempdir().unwrap();
        let new = dir.path().join("a/b");
        let folder = prepare(&format!("file://{}", new.display())).unwrap();
        assert_eq!(fs::read_dir(folder).unwrap().count(), 0);
        fs::write(dir.path().join("file"), "").unwrap();
        for bad in [
            "s3://bucket",
            "a?b",
            &format!("{}/file/x", dir.path().display()),
        ] {
            let error = prepare(bad).unwrap_err();
            assert!(error.is::<crate::failure::Failure>(), "{bad}: {error:#}");
        }
    }

    #[test]
    fn an_image_that_is_published_stays_as_it_is() {
        let dir = tempfile::tempdir().unwrap();
        let image = dir.path().join("climate.img.zst");
        fs::write(&image, "first").unwrap();
        let channel = channel(7, "/nix/store/a");
        let place = place_image(dir.path(), &channel, &image).unwrap();
        assert!(place.ends_with("images/climate-stable-7.img.zst"));
        fs::write(&image, "second").unwrap();
        place_image(dir.path(), &channel, &image).unwrap();
        assert_eq!(fs::read_to_string(place).unwrap(), "first");
    }

    #[test]
    fn imager_is_offered_the_latest_of_each() {
        let dir = tempfile::tempdir().unwrap();
        let build = dir.path().join("build");
        fs::create_dir(&build).unwrap();
        let image = build.join("climate.img.zst");
        fs::write(build.join("climate.img"), "four bytes").unwrap();
        fs::write(&image, "two").unwrap();
        fs::write(
            build.join("sha256sums"),
            "aa  climate.img\nbb  climate.img.zst\n",
        )
        .unwrap();
        for (sequence, name) in [(7, "stable"), (8, "beta"), (9, "stable")] {
            let mut channel = channel(sequence, "/nix/store/a");
            channel.channel = name.to_owned();
            let place = place_image(dir.path(), &channel, &image).unwrap();
            let entry = entry("https://example.org/", &channel, &image, &place).unwrap();
            offer(dir.path(), &[entry]).unwrap();
        }
        let list: Value =
            serde_json::from_slice(&fs::read(dir.path().join("os_list.json")).unwrap()).unwrap();
        let list = list["os_list"].as_array().unwrap();
        assert_eq!(list.len(), 2, "{list:?}");
        assert_eq!(list[1]["name"], "climate (stable)");
        assert_eq!(
            list[1]["url"],
            "https://example.org/images/climate-stable-9.img.zst"
        );
        assert_eq!(
            (&list[1]["extract_sha256"], &list[1]["extract_size"]),
            (&"aa".into(), &10.into())
        );
        assert_eq!(list[1]["image_download_sha256"], "bb");
        assert_eq!(list[1]["release_date"], "2026-11-24");
    }
}
