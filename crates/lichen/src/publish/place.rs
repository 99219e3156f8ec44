//! Where it is published: a folder, or a bucket.
//!
//! What is meant for a bucket is made in a folder of ours first. Whatever small file of the bucket matters is brought
//! there before, so that Nix knows which archives are up already; then what is new goes up, nothing before what it
//! names.

use crate::failure::Hint;
use crate::s3::{self, Client};
use crate::ui::{self, Live};
use anyhow::{Context, Result};
use std::cell::RefCell;
use std::collections::BTreeMap;
use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// What every binary cache begins with.
const CACHE_INFO: (&str, &[u8]) = ("nix-cache-info", b"StoreDir: /nix/store\n");

/// A folder or a bucket, open for publishing.
pub struct Place {
    folder: PathBuf,
    bucket: Option<Bucket>,
}

struct Bucket {
    client: Client,
    /// What was brought, as it is up there.
    brought: RefCell<BTreeMap<String, Vec<u8>>>,
    /// Nobody else publishes by way of this folder; held until dropped.
    _lock: File,
}

impl Place {
    /// Opens what `--to` names, and finds out before the build whether it can be written to. A bucket is published to
    /// by way of the folder `work`.
    pub fn open(to: &str, work: &Path) -> Result<Self> {
        if to.starts_with("s3:") {
            return Self::bucket(s3::open(to, |name| std::env::var(name).ok())?, work);
        }
        Ok(Self {
            folder: prepare(to)?,
            bucket: None,
        })
    }

    /// A bucket, by way of the folder `work`.
    pub(super) fn bucket(client: Client, work: &Path) -> Result<Self> {
        let lock = work.with_extension("lock");
        let lock =
            File::create(&lock).with_context(|| format!("cannot write {}", lock.display()))?;
        if lock.try_lock().is_err() {
            ui::say("another lichen is publishing, waiting for it");
            lock.lock().context("cannot wait for it")?;
        }
        // What a publish left that was cut off.
        let _ = fs::remove_dir_all(work);
        fs::create_dir_all(work).with_context(|| format!("cannot make {}", work.display()))?;
        client.probe(CACHE_INFO.0, CACHE_INFO.1)?;
        let brought = RefCell::default();
        let place = Self {
            folder: work.to_owned(),
            bucket: Some(Bucket {
                client,
                brought,
                _lock: lock,
            }),
        };
        place.bring(CACHE_INFO.0)?;
        Ok(place)
    }

    /// The folder in which it is made.
    pub fn folder(&self) -> &Path {
        &self.folder
    }

    /// What people know `name` by there.
    pub fn address(&self, name: &str) -> String {
        match &self.bucket {
            Some(bucket) => bucket.client.shown(name),
            None => self.folder.join(name).display().to_string(),
        }
    }

    /// What is published as `name`, a small file; it lies in the folder from then on.
    pub fn bring(&self, name: &str) -> Result<Option<Vec<u8>>> {
        let file = self.folder.join(name);
        let Some(bucket) = &self.bucket else {
            return Ok(fs::read(file).ok());
        };
        // Another appliance may have brought it, or have made a new one since.
        if let Ok(text) = fs::read(&file) {
            return Ok(Some(text));
        }
        let text = bucket.client.get(name)?;
        if let Some(text) = &text {
            self.write(name, text)?;
            bucket
                .brought
                .borrow_mut()
                .insert(name.to_owned(), text.clone());
        }
        Ok(text)
    }

    /// Has a small file be published.
    pub fn write(&self, name: &str, text: &[u8]) -> Result<()> {
        durable::atomic_write(&self.make_way(name)?, text, 0o644)
    }

    /// Has a big file be published, unless something is there by that name.
    pub fn add(&self, name: &str, file: &Path) -> Result<()> {
        let place = self.make_way(name)?;
        if place.exists() {
            return Ok(());
        }
        let put = || -> std::io::Result<()> {
            if self.bucket.is_some() {
                return std::os::unix::fs::symlink(fs::canonicalize(file)?, &place);
            }
            let temp = place.with_file_name(".image.tmp");
            // Not the store's read-only mode.
            std::io::copy(&mut File::open(file)?, &mut File::create(&temp)?)?;
            fs::rename(&temp, &place)
        };
        put().with_context(|| format!("cannot write {}", place.display()))
    }

    fn make_way(&self, name: &str) -> Result<PathBuf> {
        let file = self.folder.join(name);
        let parent = file.parent().unwrap_or(&self.folder);
        fs::create_dir_all(parent).with_context(|| format!("cannot make {}", parent.display()))?;
        Ok(file)
    }

    /// Makes durable what has been made so far.
    pub fn settle(&self) -> Result<()> {
        let Some(bucket) = &self.bucket else {
            return durable::sync_file_system(&self.folder);
        };
        let names = files_below(&self.folder)?;
        let all = names.len();
        let new = bucket.new_among(&self.folder, names)?;
        let total: u64 = new.iter().map(|(_, size)| size).sum();
        let (live, mut done) = (Arc::new(Mutex::new(Live::new())), 0);
        for (name, size) in &new {
            let (shown, before, told) = (name.clone(), done, live.clone());
            let file = self.folder.join(name);
            bucket.client.upload(name, &file, move |sent| {
                let sent = ui::bytes(before + sent);
                lock(&told).update(&format!(
                    "uploading {shown}: {sent} of {}",
                    ui::bytes(total)
                ));
            })?;
            done += size;
        }
        let mut live = lock(&live);
        let elapsed = live.elapsed();
        live.line(&format!(
            "uploaded {} of {all} files, {}, in {}",
            new.len(),
            ui::bytes(total),
            ui::duration(elapsed)
        ));
        Ok(())
    }

    /// Publishes what names the rest of it, which is settled, and gives its address.
    pub fn announce(&self, name: &str, text: &[u8]) -> Result<String> {
        match &self.bucket {
            Some(bucket) => bucket.client.put(name, text)?,
            None => self.write(name, text)?,
        }
        Ok(self.address(name))
    }
}

impl Bucket {
    /// Those of `names` that have to go up, with their sizes in bytes, in the order in which they may.
    fn new_among(&self, folder: &Path, mut names: Vec<String>) -> Result<Vec<(String, u64)>> {
        names.sort_by_cached_key(|name| (rank(name), name.clone()));
        let brought = self.brought.borrow();
        let mut new = Vec::new();
        for name in names {
            let file = folder.join(&name);
            let there = match rank(&name) {
                // These never change, and a bucket has no halves of them.
                Rank::Whole => self.client.has(&name)?,
                Rank::Names => fs::read(&file).ok().as_ref() == brought.get(&name),
            };
            if !there {
                let size = fs::metadata(&file).with_context(|| format!("cannot read {name}"))?;
                new.push((name, size.len()));
            }
        }
        Ok(new)
    }
}

/// What goes up first.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Rank {
    /// An archive or an image, known by what is in it.
    Whole,
    /// What names those.
    Names,
}

fn rank(name: &str) -> Rank {
    match name.starts_with("nar/") || name.starts_with("images/") {
        true => Rank::Whole,
        false => Rank::Names,
    }
}

fn lock(live: &Mutex<Live>) -> MutexGuard<'_, Live> {
    live.lock().unwrap_or_else(PoisonError::into_inner)
}

fn files_below(folder: &Path) -> Result<Vec<String>> {
    let (mut files, mut folders) = (Vec::new(), vec![folder.to_owned()]);
    while let Some(next) = folders.pop() {
        let entries =
            fs::read_dir(&next).with_context(|| format!("cannot read {}", next.display()))?;
        for entry in entries {
            let path = entry?.path();
            if path.is_dir() {
                folders.push(path);
            } else if let Ok(name) = path.strip_prefix(folder) {
                files.push(name.to_string_lossy().into_owned());
            }
        }
    }
    Ok(files)
}

/// The folder, made if need be, in the form Nix takes.
fn prepare(to: &str) -> Result<PathBuf> {
    let path = to.strip_prefix("file://").unwrap_or(to);
    if path.contains(['?', '%', '#', ' ']) || path.contains("://") {
        crate::fail!(
            hint: "--to FOLDER, or --to s3://BUCKET[/PREFIX][?endpoint=HOST&region=REGION]",
            "{to} is neither a folder nor a bucket that can be published in"
        );
    }
    // A web server reads what this process and Nix write there, whatever umask the caller has; nothing of it is secret.
    rustix::process::umask(rustix::fs::Mode::from_raw_mode(0o022));
    let try_it = || -> std::io::Result<PathBuf> {
        fs::create_dir_all(path)?;
        let folder = fs::canonicalize(path)?;
        // Better now than after the build.
        let probe = folder.join(".lichen-publish");
        File::create(&probe)?;
        fs::remove_file(probe)?;
        Ok(folder)
    };
    try_it()
        .with_context(|| format!("cannot write in {path}"))
        .hint("--to FOLDER: one that belongs to you")
}
