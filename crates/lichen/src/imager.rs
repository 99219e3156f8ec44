//! The repository file of Raspberry Pi Imager: with it (`rpi-imager --repo URL`) Imager offers our images.
//!
//! Its fields are those of `doc/json-schema/os-list-schema.json` in Imager's own repository, and
//! `image_download_sha256` of its example, by which Imager trusts what it has in its cache.

use serde_json::{Value, json};

/// The boards that the one image boots on, by the names Imager filters with.
const DEVICES: [&str; 2] = ["pi4-64bit", "pi5-64bit"];

/// A file as who downloads it checks it.
#[derive(Clone, Debug)]
pub struct File {
    /// Its length in bytes.
    pub size: u64,
    /// Its SHA-256, in lower-case hexadecimal.
    pub sha256: String,
}

/// One image that Imager shall offer.
#[derive(Clone, Debug)]
pub struct Entry {
    /// What the user chooses it by.
    pub name: String,
    /// One line below the name.
    pub description: String,
    /// Where its picture is, an SVG or PNG of 40×40; empty for none.
    pub icon: String,
    /// Where the `.img.zst` is.
    pub url: String,
    /// The `.img`.
    pub image: File,
    /// The `.img.zst`.
    pub download: File,
    /// As `2026-11-24`.
    pub release_date: String,
}

/// The repository file. Imager must not offer to customise these images (`init_format`): it would write files
/// that they don't read; what is particular to a device is in `lichen.toml`.
pub fn repository(entries: &[Entry]) -> Value {
    let list: Vec<Value> = entries
        .iter()
        .map(|entry| {
            json!({
                "name": entry.name,
                "description": entry.description,
                "icon": entry.icon,
                "url": entry.url,
                "extract_size": entry.image.size,
                "extract_sha256": entry.image.sha256,
                "image_download_size": entry.download.size,
                "image_download_sha256": entry.download.sha256,
                "release_date": entry.release_date,
                "devices": DEVICES,
                "architecture": "armv8",
                "init_format": "none",
            })
        })
        .collect();
    json!({ "os_list": list })
}

#[cfg(test)]
mod tests {
    use super::*;

    type Is = fn(&Value) -> bool;

    /// What the schema requires of an image, with the type it has there.
    const REQUIRED: [(&str, Is); 9] = [
        ("name", Value::is_string),
        ("description", Value::is_string),
        ("icon", Value::is_string),
        ("url", Value::is_string),
        ("extract_size", Value::is_u64),
        ("extract_sha256", Value::is_string),
        ("image_download_size", Value::is_u64),
        ("release_date", Value::is_string),
        ("devices", Value::is_array),
    ];

    fn entry(name: &str) -> Entry {
        let file = |size, digit: &str| File {
            size,
            sha256: digit.repeat(64),
        };
        Entry {
            name: name.into(),
            description: "Temperature and humidity of a server room".into(),
            icon: String::new(),
            url: format!("https://example.org/{name}.img.zst"),
            image: file(479_000_000, "a"),
            download: file(126_000_000, "b"),
            release_date: "2026-11-24".into(),
        }
    }

    #[test]
    fn every_entry_has_what_imagers_schema_requires() {
        let file = repository(&[entry("climate"), entry("camera")]);
        let list = file["os_list"].as_array().unwrap();
        assert_eq!(list.len(), 2);
        for entry in list {
            for (field, is_right) in REQUIRED {
                assert!(is_right(&entry[field]), "{field}: {}", entry[field]);
            }
        }
        // A file that is linked from another one may not have it.
        assert!(file.get("imager").is_none());
    }

    #[test]
    fn the_hash_of_the_image_is_not_that_of_the_download() {
        let file = repository(&[entry("climate")]);
        let entry = &file["os_list"][0];
        assert_eq!(entry["extract_sha256"], "a".repeat(64));
        assert_eq!(entry["image_download_sha256"], "b".repeat(64));
        assert_eq!(entry["extract_size"], 479_000_000);
        assert_eq!(entry["image_download_size"], 126_000_000);
    }

    #[test]
    fn imager_offers_it_for_both_boards_and_leaves_it_as_it_is() {
        let entry = &repository(&[entry("climate")])["os_list"][0];
        assert_eq!(entry["devices"], json!(["pi4-64bit", "pi5-64bit"]));
        assert_eq!(entry["init_format"], "none");
    }
}
