//! Who touches a service's folder is the service: root, who restores a backup, would follow whatever links a service that was
//! broken into has laid there.

use std::os::unix::fs::MetadataExt;
use std::path::Path;

use anyhow::Context;
use rustix::process::{Gid, Uid, getegid, geteuid, getgroups};
use rustix::thread::{set_thread_groups, set_thread_res_gid, set_thread_res_uid};

/// While it lives, this thread is the owner of a folder in all that it does with files, if it is root's.
#[derive(Debug)]
pub(crate) struct AsOwner(Option<Caller>);

/// Who called.
#[derive(Debug)]
struct Caller {
    user: Uid,
    group: Gid,
    groups: Vec<Gid>,
}

impl AsOwner {
    /// Becomes the owner of `folder`. Nobody but root can, and nobody else needs to.
    pub(crate) fn of(folder: &Path) -> anyhow::Result<Self> {
        let found = std::fs::metadata(folder)
            .with_context(|| format!("cannot inspect {}", folder.display()))?;
        let (user, group) = (Uid::from_raw(found.uid()), Gid::from_raw(found.gid()));
        if !geteuid().is_root() || user.is_root() {
            return Ok(AsOwner(None));
        }
        let caller = Caller {
            user: geteuid(),
            group: getegid(),
            groups: getgroups()?,
        };
        // From here on, whatever fails is taken back.
        let became = AsOwner(Some(caller));
        set_thread_groups(&[])?;
        set_thread_res_gid(None, group, None)?;
        set_thread_res_uid(None, user, None)?;
        Ok(became)
    }
}

impl Drop for AsOwner {
    fn drop(&mut self) {
        let Some(Caller {
            user,
            group,
            groups,
        }) = &self.0
        else {
            return;
        };
        // Its real user is root all the time, so these do not fail.
        let _ = set_thread_res_uid(None, *user, None);
        let _ = set_thread_res_gid(None, *group, None);
        let _ = set_thread_groups(groups);
    }
}
