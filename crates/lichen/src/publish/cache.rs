//! The binary cache: what devices copy.

use super::Place;
use crate::command::stdout_of;
use crate::remote::closure;
use crate::store::nix;
use crate::ui::{self, Live};
use anyhow::Result;
use std::path::Path;

/// Brings what is missing of a closure into the binary cache, and has every path of it signed, also those that
/// were there before and know only an older key.
pub fn copy(place: &Place, toplevel: &Path, key: &Path) -> Result<()> {
    let live = Live::new();
    ui::say(format!("copying what is new of {}", toplevel.display()));
    for info in closure::of(toplevel)? {
        place.bring(&narinfo(&info.path))?;
    }
    let cache = format!("file://{}", place.folder().display());
    stdout_of(
        nix("nix")
            .args(["copy", "--to", &format!("{cache}?compression=zstd")])
            .arg(toplevel),
    )?;
    stdout_of(
        nix("nix")
            .args(["store", "sign", "--recursive", "--store", &cache])
            .arg("--key-file")
            .args([key, toplevel]),
    )?;
    ui::say(format!(
        "copied and signed in {}",
        ui::duration(live.elapsed())
    ));
    Ok(())
}

/// What a cache says of a store path.
fn narinfo(path: &str) -> String {
    let name = path.rsplit('/').next().unwrap_or_default();
    let hash = name.split('-').next().unwrap_or_default();
    format!("{hash}.narinfo")
}

#[cfg(test)]
mod tests {
    #[test]
    fn a_path_is_told_of_by_its_hash() {
        let narinfo = super::narinfo("/nix/store/x8kq0bc-lichen-climate");
        assert_eq!(narinfo, "x8kq0bc.narinfo");
    }
}
