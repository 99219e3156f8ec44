//! Copies and restores service data. DATA always holds either the complete old data or the complete new data: a copy
//! gets its final name only when it is complete, and data are restored beside the current ones and then swapped.

use super::command::{Order, PATIENCE};
use super::{FOLDER, Service, folder};
use crate::journal::note;
use crate::room::Room;
use crate::root::Root;
use crate::state::Generation;
use anyhow::{Context, Result, ensure};
use durable::cut;
use std::fs::{self, File, OpenOptions};
use std::os::unix::fs::{MetadataExt, PermissionsExt, chown};
use std::path::{Path, PathBuf};

const DATA: &str = "data";
const VERSION: &str = "version";

/// A copy that is to be restored.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Restore {
    /// The service.
    pub name: String,
    /// The definition of the service that runs with the restored data.
    pub service: Service,
    /// The generation that the copy belongs to.
    pub generation: Generation,
}

impl Restore {
    pub(super) fn new(name: &str, service: &Service, generation: Generation) -> Self {
        Self {
            name: name.to_owned(),
            service: service.clone(),
            generation,
        }
    }

    /// The unit that must be stopped meanwhile.
    pub fn unit(&self) -> String {
        format!("{}.service", self.name)
    }
}

/// Copies the data of a service as data of generation `generation`.
pub(super) fn make(
    root: &Root,
    name: &str,
    service: &Service,
    generation: Generation,
) -> Result<()> {
    folder(root, name)?;
    let folder = folder(root, &format!("{name}/{generation}"))?;
    let temporary = folder.join(".data.tmp");
    let mut options = OpenOptions::new();
    let options = options.write(true).create(true).truncate(true);
    let file = options.open(&temporary);
    let file = file.with_context(|| format!("cannot write {}", temporary.display()))?;
    // The service's user reads it through an open descriptor on restore; no other user can enter the directory.
    file.set_permissions(fs::Permissions::from_mode(0o644))?;
    take(root, service, &file, &Room::of(&folder))
        .inspect_err(|_| drop(fs::remove_file(&temporary)))?;
    cut::point("copy");
    durable::atomic_write(&folder.join(VERSION), service.version.as_bytes(), 0o600)?;
    fs::rename(&temporary, folder.join(DATA))?;
    cut::point("copy's name");
    durable::sync_entry(&folder.join(DATA)).context("cannot sync the copy")
}

/// Has a service write a copy of its data into the file `to`, durably.
pub(crate) fn take(root: &Root, service: &Service, to: &File, room: &Room) -> Result<()> {
    let directory = place(root, service);
    let command = &service.backup;
    order(root, service, command, &directory, room).write(to)?;
    ensure!(to.metadata()?.len() > 0, "`{command}` wrote nothing");
    Ok(to.sync_all()?)
}

/// Has a service recreate its data in the new directory `into`, from the copy in the file `from`, durably.
pub(crate) fn recreate(
    root: &Root,
    service: &Service,
    from: &Path,
    into: &Path,
    room: &Room,
) -> Result<()> {
    remove(into)?;
    fs::create_dir(into).with_context(|| format!("cannot make {}", into.display()))?;
    if let Ok(now) = fs::metadata(place(root, service)) {
        chown(into, Some(now.uid()), Some(now.gid()))?;
        fs::set_permissions(into, now.permissions())?;
    }
    let copy = File::open(from).with_context(|| format!("cannot read {}", from.display()))?;
    order(root, service, &service.restore, into, room).read(&copy)?;
    durable::sync_file_system(into)
}

fn order<'a>(
    root: &'a Root,
    service: &'a Service,
    command: &'a str,
    directory: &'a Path,
    room: &'a Room,
) -> Order<'a> {
    Order {
        root,
        service,
        command,
        directory,
        room,
        patience: PATIENCE,
    }
}

/// The data version of a generation's copy, if there is one.
pub(super) fn version(root: &Root, name: &str, generation: Generation) -> Option<String> {
    let folder = root.at(FOLDER).join(name).join(generation.to_string());
    folder.join(DATA).exists().then_some(())?;
    fs::read_to_string(folder.join(VERSION)).ok()
}

/// Restores a copy and keeps the current data aside. The service must be stopped. After a power cut, a second call
/// continues.
pub fn restore(root: &Root, restore: &Restore) -> Result<()> {
    let Restore {
        name,
        service,
        generation,
    } = restore;
    again(root, name, service, *generation).with_context(|| {
        format!("cannot restore the data of {name} from the copy of generation {generation}")
    })
}

fn again(root: &Root, name: &str, service: &Service, generation: Generation) -> Result<()> {
    let directory = place(root, service);
    let (half, whole) = (
        beside(&directory, "restoring"),
        beside(&directory, "restored"),
    );
    if !whole.exists() {
        let copy = root
            .at(FOLDER)
            .join(name)
            .join(generation.to_string())
            .join(DATA);
        // The way back must not end for want of room that others may never need.
        let room = Room::all_of(folder(root, name)?);
        recreate(root, service, &copy, &half, &room)?;
        cut::point("restored beside");
        durable::rename(&half, &whole)?;
    }
    if directory.exists() {
        durable::rename(&directory, &unused(root, name, "newer")?)?;
    }
    durable::rename(&whole, &directory)?;
    note(&format!(
        "the data of {name} were restored from the copy of generation {generation}; the newer data are kept in /{FOLDER}/{name}"
    ));
    Ok(())
}

/// Removes the data that earlier restores kept aside.
pub(super) fn forget_newer(root: &Root, name: &str) -> Result<()> {
    for entry in fs::read_dir(root.at(FOLDER).join(name))
        .into_iter()
        .flatten()
        .flatten()
    {
        if entry.file_name().to_string_lossy().starts_with("newer-") {
            remove(&entry.path())?;
        }
    }
    Ok(())
}

/// Removes a directory if it exists.
pub(crate) fn remove(folder: &Path) -> Result<()> {
    match fs::remove_dir_all(folder) {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
            Err(error).with_context(|| format!("cannot remove {}", folder.display()))
        }
        _ => Ok(()),
    }
}

/// Where its data are.
pub(crate) fn place(root: &Root, service: &Service) -> PathBuf {
    let path = service.directory.strip_prefix("/");
    root.at(path.unwrap_or(&service.directory))
}

/// A hidden directory next to another one, so that the two can be exchanged.
pub(crate) fn beside(directory: &Path, kind: &str) -> PathBuf {
    let own = directory.file_name().unwrap_or_default().to_string_lossy();
    directory.with_file_name(format!(".{own}.{kind}"))
}

/// A name in the service's folder for data that are kept aside: nothing that is there is lost.
pub(crate) fn unused(root: &Root, name: &str, kind: &str) -> Result<PathBuf> {
    let folder = folder(root, name)?;
    let mut names = (1..).map(|n| folder.join(format!("{kind}-{n}")));
    names
        .find(|path| !path.exists())
        .context("all names for data kept aside are in use")
}
