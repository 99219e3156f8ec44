//! The mounts themselves, through the file-descriptor mount API: an overlay's lower folders are given one by
//! one, so neither their number nor a comma in a name matters.

use std::path::{Path, PathBuf};

use rustix::{
    fd::OwnedFd,
    fs::CWD,
    io::Result,
    mount::{
        FsMountFlags, FsOpenFlags, MountAttrFlags, MountPropagationFlags, MoveMountFlags,
        UnmountFlags, fsconfig_create, fsconfig_set_flag, fsconfig_set_string, fsmount, fsopen,
        mount_bind, mount_change, move_mount, unmount,
    },
};

/// An erofs image, read-only, straight from its file.
pub fn erofs(file: &Path, target: &Path) -> Result<()> {
    let fs = fsopen("erofs", FsOpenFlags::FSOPEN_CLOEXEC)?;
    fsconfig_set_string(&fs, "source", file)?;
    fsconfig_set_flag(&fs, "ro")?;
    attach(
        &made(
            &fs,
            MountAttrFlags::MOUNT_ATTR_RDONLY | MountAttrFlags::MOUNT_ATTR_NODEV,
        )?,
        target,
    )
}

/// An overlay of `lower` (topmost first); read-only unless there are an upper and a work folder. It is not
/// mounted anywhere yet.
pub fn new_overlay(lower: &[PathBuf], upper: Option<(&Path, &Path)>) -> Result<OwnedFd> {
    let fs = fsopen("overlay", FsOpenFlags::FSOPEN_CLOEXEC)?;
    fsconfig_set_string(&fs, "source", "lichen")?;
    for dir in lower {
        fsconfig_set_string(&fs, "lowerdir+", dir)?;
    }
    let mut flags = MountAttrFlags::MOUNT_ATTR_NODEV;
    if let Some((upper, work)) = upper {
        fsconfig_set_string(&fs, "upperdir", upper)?;
        fsconfig_set_string(&fs, "workdir", work)?;
    } else {
        fsconfig_set_flag(&fs, "ro")?;
        flags |= MountAttrFlags::MOUNT_ATTR_RDONLY;
    }
    made(&fs, flags)
}

/// The root itself: small, for folders and links only.
pub fn tmpfs(target: &Path) -> Result<()> {
    let fs = fsopen("tmpfs", FsOpenFlags::FSOPEN_CLOEXEC)?;
    fsconfig_set_string(&fs, "source", "root")?;
    fsconfig_set_string(&fs, "mode", "755")?;
    fsconfig_set_string(&fs, "size", "64m")?;
    attach(&made(&fs, MountAttrFlags::MOUNT_ATTR_NODEV)?, target)
}

/// The same files a second time.
pub fn bind(source: &Path, target: &Path) -> Result<()> {
    mount_bind(source, target)
}

/// What is mounted in there from now on is seen there alone.
pub fn private(target: &Path) -> Result<()> {
    mount_change(target, MountPropagationFlags::PRIVATE)
}

/// Below what is mounted at `target` now, where nobody sees it yet. util-linux's mount can't say this.
pub fn beneath(mount: &OwnedFd, target: &Path) -> Result<()> {
    let flags = MoveMountFlags::MOVE_MOUNT_F_EMPTY_PATH | MoveMountFlags::MOVE_MOUNT_BENEATH;
    move_mount(mount, "", CWD, target, flags)
}

/// Takes away what is on top at `target`; those who use it keep it.
pub fn detach(target: &Path) -> Result<()> {
    unmount(target, UnmountFlags::DETACH)
}

/// On top of what is at `target`.
pub fn attach(mount: &OwnedFd, target: &Path) -> Result<()> {
    move_mount(
        mount,
        "",
        CWD,
        target,
        MoveMountFlags::MOVE_MOUNT_F_EMPTY_PATH,
    )
}

fn made(fs: &OwnedFd, flags: MountAttrFlags) -> Result<OwnedFd> {
    fsconfig_create(fs)?;
    fsmount(fs, FsMountFlags::FSMOUNT_CLOEXEC, flags)
}
