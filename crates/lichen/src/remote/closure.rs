//! Closures in this machine's Nix store: what Nix knows about their paths, the archives, and signatures.

use crate::command;
use crate::failure::Hint;
use crate::store::nix;
use anyhow::{Context, Result};
use protocol::transfer::PathInfo;
use serde_json::Value;
use std::path::{Path, PathBuf};
use std::process::Command;

/// Every path that `toplevel` needs, with what Nix's database says about it.
pub fn of(toplevel: &Path) -> Result<Vec<PathInfo>> {
    path_info(
        nix("nix")
            .args(["path-info", "--json", "--recursive"])
            .arg(toplevel),
    )
}

/// The same for just these paths, which must all exist.
pub fn these(paths: &[&PathBuf]) -> Result<Vec<PathInfo>> {
    if paths.is_empty() {
        return Ok(Vec::new());
    }
    path_info(nix("nix").args(["path-info", "--json"]).args(paths))
}

fn path_info(command: &mut Command) -> Result<Vec<PathInfo>> {
    infos(&command::stdout_of(command)?).context("cannot understand the output of `nix path-info`")
}

/// Up to Nix 2.18 the output is a list; later versions print an object with a member for each path.
fn infos(json: &str) -> Result<Vec<PathInfo>> {
    let listed = match serde_json::from_str(json)? {
        Value::Array(list) => list,
        Value::Object(by_path) => by_path
            .into_iter()
            .map(|(path, mut info)| {
                if let Value::Object(info) = &mut info {
                    info.insert("path".into(), path.into());
                }
                info
            })
            .collect(),
        other => anyhow::bail!("neither a list nor an object: {other}"),
    };
    listed
        .into_iter()
        .map(|info| Ok(serde_json::from_value(info)?))
        .collect()
}

/// The archive (NAR) of a path.
pub fn archive(path: &str) -> Result<Vec<u8>> {
    command::bytes_of(nix("nix-store").args(["--dump", path]))
}

/// Signs everything that `toplevel` needs, and returns only the new signatures.
pub fn signed(toplevel: &Path, key: &Path) -> Result<Vec<PathInfo>> {
    sign(toplevel, key)?;
    let text =
        std::fs::read_to_string(key).with_context(|| format!("cannot read {}", key.display()))?;
    let name = text.split(':').next().unwrap_or_default();
    let mut infos = of(toplevel)?;
    for info in &mut infos {
        info.signatures
            .retain(|signature| signature.split(':').next() == Some(name));
    }
    Ok(infos)
}

fn sign(toplevel: &Path, key: &Path) -> Result<()> {
    let mut nix = nix("nix");
    nix.args(["store", "sign", "--recursive", "--key-file"])
        .arg(key)
        .arg(toplevel);
    command::stdout_of(&mut nix)
        .with_context(|| format!("cannot sign with {}", key.display()))
        .hint("`lichen key show` says whether the key is any good; with a nix-daemon, whoever signs has to be one of its trusted-users")
        .map(drop)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_old_and_new_nix_say_is_the_same() {
        let info =
            r#""narHash":"sha256-x","narSize":5,"references":["/nix/store/b"],"deriver":null"#;
        let old = format!(r#"[{{"path":"/nix/store/a",{info}}}]"#);
        let new =
            format!(r#"{{"/nix/store/a":{{{info},"ca":null,"signatures":[],"ultimate":true}}}}"#);
        let infos = infos(&old).unwrap().into_iter().zip(infos(&new).unwrap());
        for (old, new) in infos {
            assert_eq!(old, new);
            assert_eq!((old.path.as_str(), old.nar_size), ("/nix/store/a", 5));
        }
    }
}
