//! Layers in, root file system out: the one place that knows how a generation becomes a mounted tree.
//!
//! A toplevel names its layers, topmost first. Each is an erofs file in the store on DATA, mounted straight
//! from the file (no loop device). `/usr` is a read-only overlay of the layers' `usr`, `/etc` an overlay of
//! their `etc` with an upper folder in memory. The root itself is a tmpfs: what is not on DATA is gone at
//! the next boot.
//!
//! It refuses a toplevel whose layers are not all there, before anything is mounted.

mod mount;
mod next;
pub mod superblock;
mod swap;

pub use next::{NEXT, Next};
pub use swap::Stack;

use std::{
    fmt, fs,
    io::{self, Write},
    os::fd::OwnedFd,
    os::unix::fs::{DirBuilderExt, PermissionsExt, symlink},
    path::{Path, PathBuf},
};

/// Where layers are mounted, one folder each, named like their store path.
pub const LAYERS: &str = "/run/layers";

/// A file on DATA that asks for a factory reset.
pub const RESET: &str = "factory-reset";

/// Something that could not be done, and to what.
#[derive(Debug)]
pub struct Error {
    what: String,
    cause: io::Error,
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.what, self.cause)
    }
}

impl std::error::Error for Error {}

/// What this crate's operations return.
pub type Result<T, E = Error> = std::result::Result<T, E>;

trait Context<T> {
    fn context(self, what: impl FnOnce() -> String) -> Result<T>;
}

impl<T, E: Into<io::Error>> Context<T> for std::result::Result<T, E> {
    fn context(self, what: impl FnOnce() -> String) -> Result<T> {
        self.map_err(|cause| Error {
            what: what(),
            cause: cause.into(),
        })
    }
}

/// A generation's layers as files on DATA, topmost first.
#[derive(Debug, PartialEq, Eq)]
pub struct Layers(Vec<PathBuf>);

impl Layers {
    /// Reads a toplevel's `layers` file. `data` is where DATA is mounted, `toplevel` a store path as the
    /// running system sees it (`/nix/store/…`).
    pub fn of(data: &Path, toplevel: &Path) -> Result<Self> {
        let list = on_data(data, toplevel).join("layers");
        let text = fs::read_to_string(&list).context(|| format!("reading {}", list.display()))?;
        let layers: Vec<PathBuf> = text
            .lines()
            .map(|line| on_data(data, Path::new(line)))
            .collect();
        for layer in &layers {
            fs::metadata(layer).context(|| format!("layer {}", layer.display()))?;
        }
        Ok(Self(layers))
    }

    /// Mounts each layer that is not mounted yet; returns their mount points, topmost first.
    fn mount(&self) -> Result<Vec<PathBuf>> {
        self.0
            .iter()
            .map(|layer| {
                let target = Path::new(LAYERS).join(layer.file_name().unwrap_or_default());
                // A folder alone says nothing: mounting may have failed before.
                if !swap::is_mounted(&target) {
                    mkdir(&target, 0o755)?;
                    mount::erofs(layer, &target)
                        .context(|| format!("mounting layer {}", layer.display()))?;
                }
                Ok(target)
            })
            .collect()
    }
}

/// `/nix/store/x` as found below the mounted DATA partition.
fn on_data(data: &Path, store_path: &Path) -> PathBuf {
    data.join(store_path.strip_prefix("/").unwrap_or(store_path))
}

/// Mounts the root of a generation at `root`, which systemd can then be started in; before, the factory reset if one
/// was asked for.
pub fn assemble(data: &Path, toplevel: &Path, root: &Path) -> Result<()> {
    let layers = Layers::of(data, toplevel)?.mount()?;
    reset_if_asked(data)?;
    mkdir(root, 0o755)?;
    mount::tmpfs(root).context(|| format!("mounting a tmpfs at {}", root.display()))?;
    furnish(data, &layers, root)
}

/// Makes the empty `root` the root of a generation.
fn furnish(data: &Path, layers: &[PathBuf], root: &Path) -> Result<()> {
    for dir in [
        "usr", "etc", "var", "nix", "proc", "sys", "dev", "run", "home", "mnt", "boot",
    ] {
        mkdir(&root.join(dir), 0o755)?;
    }
    mkdir(&root.join("root"), 0o700)?;
    mkdir(&root.join("tmp"), 0o755)?;
    let open = fs::Permissions::from_mode(0o1777);
    fs::set_permissions(root.join("tmp"), open).context(|| "opening /tmp to all".to_owned())?;
    for (link, target) in [("bin", "usr/bin"), ("sbin", "usr/sbin"), ("lib", "usr/lib")] {
        symlink(target, root.join(link)).context(|| format!("linking /{link}"))?;
    }

    let usr = root.join("usr");
    mount::new_overlay(&having(layers, "usr"), None)
        .and_then(|overlay| mount::attach(&overlay, &usr))
        .context(|| "mounting /usr".to_owned())?;

    let etc = etc_overlay(data, layers)?;
    mount::attach(&etc, &root.join("etc")).context(|| "mounting /etc".to_owned())?;

    for dir in ["var", "nix"] {
        let source = data.join(dir);
        mkdir(&source, 0o755)?;
        mount::bind(&source, &root.join(dir)).context(|| format!("mounting /{dir}"))?;
    }
    Ok(())
}

/// Removes what services and owner left on DATA, if that was asked for. The request goes last: a power cut before
/// makes the next boot go on with it.
fn reset_if_asked(data: &Path) -> Result<()> {
    let request = data.join(RESET);
    if !request.exists() {
        return Ok(());
    }
    let gone = |result: io::Result<()>| match result {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
        _ => Ok(()),
    };
    let reset = || -> io::Result<()> {
        gone(fs::remove_dir_all(data.join("var")))?;
        gone(fs::remove_file(data.join("machine-id")))?;
        fs::create_dir(data.join("var"))?;
        fs::set_permissions(data.join("var"), fs::Permissions::from_mode(0o755))?;
        fs::File::open(data)?.sync_all()?;
        fs::remove_file(&request)?;
        fs::File::open(data)?.sync_all()
    };
    reset().context(|| format!("the factory reset that {} asks for", request.display()))
}

/// The overlay of `/etc`, not mounted anywhere yet.
fn etc_overlay(data: &Path, layers: &[PathBuf]) -> Result<OwnedFd> {
    // A name of its own per assembly: an overlay's upper folder must never serve two overlays.
    let private = unused(Path::new("/run/etc-overlay"))?;
    let (upper, work) = (private.join("upper"), private.join("work"));
    mkdir(&upper, 0o755)?;
    mkdir(&work, 0o755)?;
    #[expect(clippy::disallowed_methods, reason = "it is a tmpfs")]
    fs::write(upper.join("machine-id"), machine_id(data)?)
        .context(|| "writing /etc/machine-id".to_owned())?;
    mount::new_overlay(&having(layers, "etc"), Some((&upper, &work)))
        .context(|| "making the overlay of /etc".to_owned())
}

/// The layers' folders of this name, for an overlay.
fn having(layers: &[PathBuf], dir: &str) -> Vec<PathBuf> {
    layers
        .iter()
        .map(|layer| layer.join(dir))
        .filter(|path| path.is_dir())
        .collect()
}

/// `base`-N, for the first N that does not exist.
fn unused(base: &Path) -> Result<PathBuf> {
    let mut number = 0;
    loop {
        let path = PathBuf::from(format!("{}-{number}", base.display()));
        match fs::DirBuilder::new().mode(0o755).create(&path) {
            Ok(()) => return Ok(path),
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => number += 1,
            Err(cause) => {
                return Err(Error {
                    what: format!("creating {}", path.display()),
                    cause,
                });
            }
        }
    }
}

/// The identity of this device, made at its first boot and kept on DATA. A file that a power cut left
/// empty counts as missing.
fn machine_id(data: &Path) -> Result<String> {
    let path = data.join("machine-id");
    if let Ok(id) = fs::read_to_string(&path)
        && id.trim_end().len() == 32
    {
        return Ok(id);
    }
    let uuid = "/proc/sys/kernel/random/uuid";
    let uuid = fs::read_to_string(uuid).context(|| format!("reading {uuid}"))?;
    let id = uuid.replace('-', "");
    let temporary = data.join("machine-id.new");
    let write = || -> io::Result<()> {
        #[expect(clippy::disallowed_methods, reason = "synced and renamed below")]
        let mut file = fs::File::create(&temporary)?;
        file.write_all(id.as_bytes())?;
        file.sync_all()?;
        fs::rename(&temporary, &path)?;
        fs::File::open(data)?.sync_all()
    };
    write().context(|| format!("writing {}", path.display()))?;
    Ok(id)
}

fn mkdir(path: &Path, mode: u32) -> Result<()> {
    fs::DirBuilder::new()
        .recursive(true)
        .mode(mode)
        .create(path)
        .context(|| format!("creating {}", path.display()))
}

#[cfg(test)]
#[expect(
    clippy::disallowed_methods,
    reason = "what a test writes need not survive a cut"
)]
mod tests {
    use super::*;

    #[test]
    fn a_generation_is_refused_when_one_of_its_layers_is_missing() {
        let data = tempfile::tempdir().unwrap();
        let data = data.path();
        let toplevel = data.join("nix/store/t");
        fs::create_dir_all(&toplevel).unwrap();
        fs::write(data.join("nix/store/base.erofs"), "").unwrap();
        fs::write(
            toplevel.join("layers"),
            "/nix/store/config.erofs\n/nix/store/base.erofs\n",
        )
        .unwrap();
        let error = Layers::of(data, Path::new("/nix/store/t"))
            .unwrap_err()
            .to_string();
        assert!(error.contains("config.erofs"), "{error}");

        fs::write(data.join("nix/store/config.erofs"), "").unwrap();
        let layers = Layers::of(data, Path::new("/nix/store/t")).unwrap();
        assert_eq!(
            layers.0,
            [
                data.join("nix/store/config.erofs"),
                data.join("nix/store/base.erofs")
            ]
        );
    }

    #[test]
    fn a_device_keeps_its_machine_id_and_replaces_a_torn_one() {
        let data = tempfile::tempdir().unwrap();
        let data = data.path();
        let first = machine_id(data).unwrap();
        assert_eq!(machine_id(data).unwrap(), first);
        fs::write(data.join("machine-id"), "").unwrap();
        assert_eq!(machine_id(data).unwrap().trim_end().len(), 32);
    }

    #[test]
    fn a_factory_reset_takes_state_and_identity_and_nothing_else() {
        let data = tempfile::tempdir().unwrap();
        let data = data.path();
        for folder in ["var/lib/x", "nix/store"] {
            fs::create_dir_all(data.join(folder)).unwrap();
        }
        fs::write(data.join("machine-id"), "x").unwrap();
        reset_if_asked(data).unwrap();
        assert!(data.join("var/lib/x").exists(), "nobody asked");

        fs::write(data.join(RESET), "").unwrap();
        // As after a cut in the middle.
        fs::remove_file(data.join("machine-id")).unwrap();
        reset_if_asked(data).unwrap();
        assert_eq!(fs::read_dir(data.join("var")).unwrap().count(), 0);
        assert!(data.join("nix/store").exists());
        assert!(!data.join(RESET).exists());
    }
}
