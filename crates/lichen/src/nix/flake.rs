//! The address by which Nix finds the flake of a checkout, wherever the checkout is.

use crate::command::{bytes_of, program, stdout_of};
use crate::failure::Failure;
use crate::store;
use anyhow::{Context, Result};
use std::ffi::OsStr;
use std::fmt;
use std::os::unix::ffi::OsStrExt;
use std::path::Path;
use std::rc::Rc;
use tempfile::TempDir;

/// Since when Nix decodes `%20` in the path of an address: 2.26 does and 2.8 does not, with which this was tried.
const DECODES: (u32, u32) = (2, 20);

/// The address of a flake: what git knows of the checkout, and nothing of target/ or build/.
#[derive(Debug, Clone)]
pub struct Address {
    text: String,
    /// The folder that it is the address of, if it is a copy.
    _copy: Option<Rc<TempDir>>,
}

impl Address {
    /// Of the checkout in this folder.
    pub fn of(root: &Path) -> Result<Self> {
        Self::for_nix(root, || Ok(version()? >= DECODES))
    }

    fn for_nix(root: &Path, decodes: impl FnOnce() -> Result<bool>) -> Result<Self> {
        let git = root.join(".git").exists();
        let encoded = encoded(root);
        if root.to_str() == Some(&encoded) || decodes()? {
            // Without `shallow`, Nix refuses a shallow clone, although it needs no history.
            let text = if git {
                format!("git+file://{encoded}?shallow=1")
            } else {
                format!("path://{encoded}")
            };
            return Ok(Self { text, _copy: None });
        }
        if !git {
            return Err(Failure {
                what: format!(
                    "this version of Nix cannot be told the path {}",
                    root.display()
                ),
                hint: "move the checkout to a folder with a plain name, such as /srv/lichen".into(),
            }
            .into());
        }
        // It does not follow a link either.
        let copy =
            TempDir::with_prefix_in("lichen-", "/tmp").context("cannot make a temporary folder")?;
        copy_tracked(root, copy.path())
            .with_context(|| format!("cannot copy {} to a plain path", root.display()))?;
        Ok(Self {
            text: format!("path://{}", copy.path().display()),
            _copy: Some(Rc::new(copy)),
        })
    }
}

/// Copies the files that git knows, as they are in the folder now.
fn copy_tracked(root: &Path, to: &Path) -> Result<()> {
    let mut git = program("git");
    git.arg("-C").arg(root).args(["ls-files", "-z", "--cached"]);
    let files = bytes_of(&mut git)?;
    for file in files
        .split(|&byte| byte == 0)
        .filter(|file| !file.is_empty())
    {
        let file = Path::new(OsStr::from_bytes(file));
        let (from, to) = (root.join(file), to.join(file));
        let Ok(kind) = std::fs::symlink_metadata(&from) else {
            continue; // removed, and git has not been told
        };
        std::fs::create_dir_all(to.parent().context("a file without a folder")?)?;
        if kind.is_symlink() {
            std::os::unix::fs::symlink(std::fs::read_link(&from)?, &to)?;
        } else if kind.is_file() {
            std::fs::copy(&from, &to)?;
        }
    }
    Ok(())
}

impl fmt::Display for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

/// A path as an address has it: all but what is never special in one is encoded (RFC 3986, section 2.3).
fn encoded(path: &Path) -> String {
    let mut text = String::new();
    for &byte in path.as_os_str().as_bytes() {
        match byte {
            b'A'..=b'Z' | b'a'..=b'z' | b'0'..=b'9' | b'-' | b'.' | b'_' | b'~' | b'/' => {
                text.push(char::from(byte));
            }
            _ => text.push_str(&format!("%{byte:02X}")),
        }
    }
    text
}

/// A path as an expression of Nix has it; one that is written without quotes must not contain a space.
pub fn path_expression(path: &Path) -> String {
    let text = path.display().to_string();
    let text = text
        .replace('\\', r"\\")
        .replace('"', "\\\"")
        .replace("${", "\\${");
    format!("(/. + \"{text}\")")
}

/// "nix (Nix) 2.26.3" → (2, 26)
fn version() -> Result<(u32, u32)> {
    let said = stdout_of(store::nix("nix").arg("--version"))?;
    let mut numbers = said
        .trim()
        .rsplit(' ')
        .next()
        .unwrap_or_default()
        .split('.');
    let mut next = || numbers.next()?.parse().ok();
    next()
        .zip(next())
        .with_context(|| format!("cannot tell the version of Nix from `{}`", said.trim()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::command::run;

    const FLAKE: &str = "{ outputs = { self }: { here = builtins.readFile ./it; }; }";

    /// A checkout of this name whose branch is not `master`; clean, dirty or a shallow clone.
    fn checkout(folder: &Path, name: &str, kind: &str) -> std::path::PathBuf {
        let root = folder.join(name);
        std::fs::create_dir(&root).unwrap();
        std::fs::write(root.join("flake.nix"), FLAKE).unwrap();
        std::fs::write(root.join("it"), name).unwrap();
        let git = |folder: &Path, args: &[&str]| {
            let who = ["-c", "user.name=a", "-c", "user.email=a@example.org"];
            let done = run(program("git").current_dir(folder).args(who).args(args)).unwrap();
            assert!(done.status.success(), "git {args:?}: {done:?}");
        };
        git(&root, &["init", "-q", "-b", "trunk"]);
        git(&root, &["add", "."]);
        git(&root, &["commit", "-q", "-m", name]);
        match kind {
            "dirty" => std::fs::write(root.join("it"), format!("{name} dirty")).unwrap(),
            "shallow" => {
                let from = format!("file://{}", root.display());
                let to = folder.join(format!("{name} shallow"));
                let to_text = to.to_str().unwrap();
                git(folder, &["clone", "-q", "--depth", "1", &from, to_text]);
                return to;
            }
            _ => {}
        }
        root
    }

    fn read(root: &Path) -> String {
        let address = Address::of(root).unwrap();
        let mut nix = store::nix("nix");
        nix.args(["eval", "--raw", "--no-write-lock-file"]);
        stdout_of(nix.arg(format!("{address}#here"))).unwrap()
    }

    #[test]
    fn a_checkout_is_found_whatever_its_folder_is_called() {
        let folder = tempfile::tempdir().unwrap();
        for name in [
            "plain", "a b", "ü", "a#b", "a?b", "a%20b", "a\"b", "a$b", "a[b]",
        ] {
            let root = checkout(folder.path(), name, "clean");
            assert_eq!(read(&root), name);
        }
        let dirty = checkout(folder.path(), "c d", "dirty");
        assert_eq!(read(&dirty), "c d dirty");
    }

    #[test]
    fn a_shallow_clone_is_as_good_as_another() {
        let folder = tempfile::tempdir().unwrap();
        let root = checkout(folder.path(), "deep", "shallow");
        assert_eq!(read(&root), "deep");
    }

    #[test]
    fn a_nix_that_decodes_addresses_is_told_the_path_itself() {
        let folder = tempfile::tempdir().unwrap();
        let root = checkout(folder.path(), "a ü", "clean");
        let address = Address::for_nix(&root, || Ok(true)).unwrap().to_string();
        let expected = format!(
            "git+file://{}/a%20%C3%BC?shallow=1",
            folder.path().display()
        );
        assert_eq!(address, expected);
    }

    #[test]
    fn a_nix_that_does_not_gets_a_copy_of_what_git_knows() {
        let folder = tempfile::tempdir().unwrap();
        let root = checkout(folder.path(), "a b", "dirty");
        std::fs::write(root.join("unknown"), "").unwrap();
        let address = Address::for_nix(&root, || Ok(false)).unwrap();
        let text = address.to_string();
        let copy = Path::new(text.strip_prefix("path://").unwrap());
        assert_eq!(
            std::fs::read_to_string(copy.join("it")).unwrap(),
            "a b dirty"
        );
        assert!(!copy.join("unknown").exists());
        drop(address);
        assert!(!copy.exists());
    }
}
