//! Copies and restores service data. DATA always holds either the complete old data or the complete new data: a copy
//! gets its final name only when it is complete, and data are restored beside the current ones and then swapped.

use super::{FOLDER, Service, folder};
use crate::confirm::until;
use crate::journal::note;
use crate::root::Root;
use crate::state::Generation;
use anyhow::{Context, Result, ensure};
use durable::cut;
use std::fs::{self, File, OpenOptions};
use std::io::Read;
use std::os::unix::fs::{MetadataExt, PermissionsExt, chown};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Duration;

/// How long a command may take.
const PATIENCE: Duration = Duration::from_secs(300);
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
    take(root, service, &temporary)?;
    cut::point("copy");
    durable::atomic_write(&folder.join(VERSION), service.version.as_bytes(), 0o600)?;
    fs::rename(&temporary, folder.join(DATA))?;
    cut::point("copy's name");
    durable::sync_entry(&folder.join(DATA)).context("cannot sync the copy")
}

/// Has a service write a copy of its data into the file `to`, durably.
pub(crate) fn take(root: &Root, service: &Service, to: &Path) -> Result<()> {
    let mut options = OpenOptions::new();
    let file = options
        .write(true)
        .create(true)
        .truncate(true)
        .open(to)
        .with_context(|| format!("cannot write {}", to.display()))?;
    // The service's user reads the copy through an open descriptor on restore; no other user can enter the directory.
    file.set_permissions(fs::Permissions::from_mode(0o644))?;
    let directory = place(root, service);
    run(
        root,
        service,
        &service.backup,
        &directory,
        Stdio::null(),
        file.try_clone()?.into(),
    )?;
    ensure!(
        file.metadata()?.len() > 0,
        "`{}` wrote nothing",
        service.backup
    );
    Ok(file.sync_all()?)
}

/// Has a service recreate its data in the new directory `into`, from the copy in the file `from`, durably.
pub(crate) fn recreate(root: &Root, service: &Service, from: &Path, into: &Path) -> Result<()> {
    remove(into)?;
    fs::create_dir(into).with_context(|| format!("cannot make {}", into.display()))?;
    if let Ok(now) = fs::metadata(place(root, service)) {
        chown(into, Some(now.uid()), Some(now.gid()))?;
        fs::set_permissions(into, now.permissions())?;
    }
    let copy = File::open(from).with_context(|| format!("cannot read {}", from.display()))?;
    run(
        root,
        service,
        &service.restore,
        into,
        copy.into(),
        Stdio::null(),
    )?;
    durable::sync_file_system(into)
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
        recreate(root, service, &copy, &half)?;
        cut::point("restored beside");
        durable::rename(&half, &whole)?;
    }
    if directory.exists() {
        durable::rename(&directory, &unused(root, name)?)?;
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

fn unused(root: &Root, name: &str) -> Result<PathBuf> {
    let folder = folder(root, name)?;
    let mut names = (1..).map(|n| folder.join(format!("newer-{n}")));
    names
        .find(|path| !path.exists())
        .context("all names for data kept aside are in use")
}

/// Runs a command of a service as its user.
fn run(
    root: &Root,
    service: &Service,
    command: &str,
    directory: &Path,
    stdin: Stdio,
    stdout: Stdio,
) -> Result<()> {
    let mut program = Command::new("/usr/bin/setpriv");
    program.args([
        "--reuid",
        &service.user,
        "--regid",
        &service.user,
        "--init-groups",
    ]);
    program.args(["--", "/bin/sh"]);
    if !root.is_device() {
        program = Command::new("/bin/sh");
    }
    // Only its user can read the files that it creates.
    program.args(["-c", &format!("umask 077\n{command}")]);
    program.env("DIRECTORY", directory);
    program.stdin(stdin).stdout(stdout).stderr(Stdio::piped());
    // A process group of its own, so that its child processes are ended with it.
    let mut child = program
        .process_group(0)
        .spawn()
        .context("cannot run /bin/sh")?;
    let group = rustix::process::Pid::from_child(&child);
    let mut status = None;
    let ended = until(PATIENCE, || {
        status = child.try_wait().ok().flatten();
        status.is_some()
    });
    if !ended {
        rustix::process::kill_process_group(group, rustix::process::Signal::KILL)?;
        child.wait()?;
    }
    ensure!(
        ended,
        "`{command}` did not finish within {} s",
        PATIENCE.as_secs()
    );
    let mut said = String::new();
    if let Some(mut stderr) = child.stderr.take() {
        stderr.read_to_string(&mut said)?;
    }
    let ok = status.is_some_and(|status| status.success());
    ensure!(ok, "`{command}` failed: {}", said.trim());
    Ok(())
}
