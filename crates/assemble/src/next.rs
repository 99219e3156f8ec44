//! The root of another generation beside the one that runs, for systemd to start over in: its soft-reboot goes into
//! whatever root lies in `/run/nextroot` (systemd-soft-reboot.service(8)).
//!
//! systemd takes `/run` along without what is mounted in it, unless the new root has a `/run` of its own. So it gets
//! one: the same memory, since PID 1's sockets are in it, with DATA and the generation's layers mounted as after a boot.

use crate::{Context, Error, Layers, Result, furnish, mkdir, mount, swap};
use std::{fs, path::Path};

/// Where systemd looks for it.
pub const NEXT: &str = "/run/nextroot";

const RUN: &str = "/run";

/// A root in [`NEXT`]; taken down again when dropped, unless it is kept.
#[derive(Debug)]
pub struct Next(());

impl Next {
    /// Assembles the root of `toplevel`. `name` is a file of that root alone, with a `text` that tells whoever starts
    /// in it where it is.
    pub fn assemble(data: &Path, toplevel: &Path, (name, text): (&str, &str)) -> Result<Self> {
        let root = Path::new(NEXT);
        let layers = Layers::of(data, toplevel)?.mount()?;
        mkdir(root, 0o755)?;
        // What was kept and never gone to.
        while swap::is_mounted(root) {
            take_down()?;
        }
        mount::tmpfs(root).context(|| format!("mounting a tmpfs at {NEXT}"))?;
        let next = Self(());
        // Nothing that is mounted in it may appear elsewhere, least of all in the /run that it shares.
        mount::private(root).context(|| format!("making {NEXT} private"))?;
        furnish(data, &layers, root)?;
        let run = root.join("run");
        mount::bind(Path::new(RUN), &run)
            .and_then(|()| mount::private(&run))
            .context(|| "mounting /run".to_owned())?;
        for place in layers.iter().map(|layer| layer.as_path()).chain([data]) {
            let target = run.join(place.strip_prefix(RUN).unwrap_or(place));
            mount::bind(place, &target).context(|| format!("mounting {}", target.display()))?;
        }
        #[expect(clippy::disallowed_methods, reason = "it is a tmpfs")]
        fs::write(root.join(name), text).context(|| format!("writing /{name}"))?;
        Ok(next)
    }

    /// It is gone to.
    pub fn keep(self) {
        std::mem::forget(self);
    }
}

impl Drop for Next {
    fn drop(&mut self) {
        // Nobody goes there; what stays of it costs memory until the next boot.
        let _ = take_down();
    }
}

fn take_down() -> Result<(), Error> {
    mount::detach(Path::new(NEXT)).context(|| format!("detaching {NEXT}"))
}
