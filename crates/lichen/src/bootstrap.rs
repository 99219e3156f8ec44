//! The first builder: a static busybox out of its locked package, in a folder of its own, since Nix calls a
//! builder by the last part of its path and busybox goes by that name.

use crate::command::{bytes_of, program};
use crate::debian::lock::PackageLock;
use crate::failure::Failure;
use crate::{hash, store};
use anyhow::{Context, Result, bail};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

/// Takes the executable out of the package.
pub fn extract(deb: &Path) -> Result<Vec<u8>> {
    let tar = bytes_of(program("dpkg-deb").arg("--fsys-tarfile").arg(deb))?;
    file_in_tar(&tar, "usr/bin/busybox")
        .with_context(|| format!("{} has no usr/bin/busybox", deb.display()))
}

/// The hash the lock records.
pub fn hash_of(deb: &Path) -> Result<String> {
    Ok(hash::folder_nar_sha256("busybox", &extract(deb)?))
}

/// Where the build looks for it.
pub fn store_path(lock: &PackageLock) -> PathBuf {
    hash::recursive_store_path("bootstrap", &lock.bootstrap.busybox)
}

/// Puts it into the store, checked against the lock.
pub fn seed(lock: &PackageLock, deb: &Path, scratch: &Path) -> Result<()> {
    let content = extract(deb)?;
    let found = hash::folder_nar_sha256("busybox", &content);
    if found != lock.bootstrap.busybox {
        let what = format!(
            "the busybox of {} does not have the hash in the lock:\n  expected {}\n  found    {found}",
            lock.bootstrap.deb, lock.bootstrap.busybox
        );
        return Err(Failure {
            what,
            hint: "./lichen lock".into(),
        }
        .into());
    }
    let folder = scratch.join("bootstrap");
    std::fs::create_dir_all(&folder)
        .with_context(|| format!("cannot create {}", folder.display()))?;
    let file = folder.join("busybox");
    std::fs::write(&file, content).with_context(|| format!("cannot write {}", file.display()))?;
    std::fs::set_permissions(&file, std::fs::Permissions::from_mode(0o755))?;
    let added = store::add_recursive(&folder)?;
    if added != store_path(lock) {
        bail!(
            "Nix put busybox at {}, not at {}",
            added.display(),
            store_path(lock).display()
        );
    }
    Ok(())
}

/// The content of one file of a tar archive of plain ustar names.
fn file_in_tar(tar: &[u8], path: &str) -> Option<Vec<u8>> {
    let mut at = 0;
    while at + 512 <= tar.len() && tar[at] != 0 {
        let text = |from: usize, to: usize| {
            let field = &tar[at + from..at + to];
            String::from_utf8_lossy(field.split(|b| *b == 0).next().unwrap_or_default())
                .trim()
                .to_owned()
        };
        let size = usize::from_str_radix(&text(124, 136), 8).ok()?;
        let body = at + 512;
        if text(0, 100).trim_start_matches("./") == path && matches!(tar[at + 156], b'0' | 0) {
            return tar.get(body..body + size).map(<[u8]>::to_vec);
        }
        at = body + size.next_multiple_of(512);
    }
    None
}
