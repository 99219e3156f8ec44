//! Images for devices to come, and the file by which Raspberry Pi Imager offers them.

use super::Place;
use crate::imager::{self, Entry, File};
use anyhow::{Context, Result};
use protocol::channel::Channel;
use serde_json::Value;
use std::fs;
use std::path::Path;

const LIST: &str = "os_list.json";

/// Puts the compressed image where devices to come are flashed from; none that is there already changes. Gives its
/// name there.
pub fn add(place: &Place, channel: &Channel, image: &Path) -> Result<String> {
    let Channel {
        appliance,
        channel,
        sequence,
        ..
    } = channel;
    let name = format!("images/{appliance}-{channel}-{sequence}.img.zst");
    place.add(&name, image)?;
    Ok(name)
}

/// What Raspberry Pi Imager is to show of an image that is published as `name` below `url`.
pub fn entry(url: &str, channel: &Channel, image: &Path, name: &str) -> Result<Entry> {
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
    Ok(Entry {
        name: format!("{} ({})", channel.appliance, channel.channel),
        description: channel.description.clone(),
        icon: String::new(),
        url: format!("{}/{name}", url.trim_end_matches('/')),
        image: file(&plain)?,
        download: file(image)?,
        release_date: channel.published.chars().take(10).collect(),
    })
}

/// Writes the repository file of Raspberry Pi Imager, with what else was offered in it before.
pub fn offer(place: &Place, entries: &[Entry]) -> Result<()> {
    let before = place.bring(LIST)?.unwrap_or_default();
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
    place.write(LIST, text.as_bytes())
}

#[cfg(test)]
mod tests {
    use super::super::tests::{channel, folder};
    use super::*;

    #[test]
    fn an_image_that_is_published_stays_as_it_is() {
        let dir = tempfile::tempdir().unwrap();
        let place = folder(dir.path());
        let image = dir.path().join("climate.img.zst");
        fs::write(&image, "first").unwrap();
        let channel = channel(7, "/nix/store/a");
        let name = add(&place, &channel, &image).unwrap();
        assert_eq!(name, "images/climate-stable-7.img.zst");
        fs::write(&image, "second").unwrap();
        add(&place, &channel, &image).unwrap();
        let published = fs::read_to_string(dir.path().join(name)).unwrap();
        assert_eq!(published, "first");
    }

    #[test]
    fn imager_is_offered_the_latest_of_each() {
        let dir = tempfile::tempdir().unwrap();
        let place = folder(dir.path());
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
            let name = add(&place, &channel, &image).unwrap();
            let entry = entry("https://example.org/", &channel, &image, &name).unwrap();
            offer(&place, &[entry]).unwrap();
        }
        let list: Value =
            serde_json::from_slice(&fs::read(dir.path().join(LIST)).unwrap()).unwrap();
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
