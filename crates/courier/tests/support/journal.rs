//! A journal for tests, and a `journalctl` that reads it: a program that answers as the real one does.
//!
//! Each entry is a file, named by its number. Asked for a cursor, it gives what is at that number and after it, so that what
//! was removed in between is missing as it is in a journal that was vacuumed.

use std::fmt::Write as _;
use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};

use serde_json::{Value, json};

const PROGRAM: &str = r#"#!/bin/sh
from=0
for argument; do
  case $argument in
    --cursor=*) number=${argument#*;i=}; from=$((0x${number%%;*})) ;;
    --output=export | --quiet | --no-pager | --output-fields=* | --boot) ;;
    *) echo "$argument?" >&2; exit 1 ;;
  esac
done
for entry in "$0".d/*; do
  number=${entry##*/}
  [ "$((1$number - 1000000))" -lt "$from" ] || cat "$entry"
done
"#;

/// The journal.
pub struct Journal {
    program: PathBuf,
    next: AtomicU64,
}

/// An entry.
pub struct Entry<'e> {
    pub unit: &'e str,
    pub text: &'e str,
    pub at_us: i64,
    pub up_us: i64,
    pub boot: &'e str,
}

impl Journal {
    pub fn new(directory: &Path) -> Self {
        let program = directory.join("journalctl");
        fs::create_dir_all(directory.join("journalctl.d")).unwrap();
        fs::write(&program, PROGRAM).unwrap();
        fs::set_permissions(&program, fs::Permissions::from_mode(0o755)).unwrap();
        Journal {
            program,
            next: AtomicU64::new(1),
        }
    }

    /// What makes the courier read it and send it there.
    pub fn settings(&self, url: &str) -> Value {
        let folder = self.folder();
        json!({ "logs": { "url": url, "journalctl": self.program, "journals": [folder] } })
    }

    fn folder(&self) -> PathBuf {
        self.program.with_extension("d")
    }

    /// Writes a line, now.
    pub fn line(&self, unit: &str, text: &str) {
        let at_us = kit::clock::now_ms() * 1000;
        self.write(&Entry {
            unit,
            text,
            at_us,
            up_us: at_us,
            boot: "another",
        });
    }

    pub fn write(&self, entry: &Entry) {
        let number = self.next.fetch_add(1, Ordering::SeqCst);
        let Entry {
            unit,
            text,
            at_us,
            up_us,
            boot,
        } = entry;
        let mut fields = String::new();
        let cursor = format!("s=aa;i={number:x};b={boot};m={up_us:x};t={at_us:x};x={number:x}");
        for (name, value) in [
            ("__CURSOR", cursor.as_str()),
            ("__REALTIME_TIMESTAMP", &at_us.to_string()),
            ("__MONOTONIC_TIMESTAMP", &up_us.to_string()),
            ("_BOOT_ID", boot),
            ("PRIORITY", "5"),
            ("_SYSTEMD_UNIT", unit),
            ("MESSAGE", text),
        ] {
            writeln!(fields, "{name}={value}").unwrap();
        }
        // It is there as a whole or not at all.
        let path = self.folder().join(format!("{number:06}"));
        let new = self.program.with_extension("new");
        fs::write(&new, fields + "\n").unwrap();
        fs::rename(new, path).unwrap();
    }

    /// Gives up so many of the oldest entries.
    pub fn vacuum(&self, entries: usize) {
        let files = fs::read_dir(self.folder()).unwrap();
        let mut files: Vec<_> = files.map(|file| file.unwrap().path()).collect();
        files.sort();
        for file in &files[..entries] {
            fs::remove_file(file).unwrap();
        }
    }
}
