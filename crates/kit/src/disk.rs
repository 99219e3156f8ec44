//! The file system that holds the service's state.

use std::path::{Path, PathBuf};

/// The size of a file system, and the space available to services.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct Space {
    pub(crate) size_bytes: u64,
    pub(crate) available_bytes: u64,
}

/// The state directory that systemd gave the service, if it gave one.
pub fn state_directory() -> Option<PathBuf> {
    let directories = std::env::var_os("STATE_DIRECTORY")?;
    Some(directories.to_str()?.split(':').next()?.into())
}

/// Measures the file system of the state directory.
pub(crate) fn of_state() -> Option<Space> {
    space(&state_directory()?)
}

fn space(path: &Path) -> Option<Space> {
    let stat = rustix::fs::statvfs(path).ok()?;
    Some(Space {
        size_bytes: stat.f_blocks * stat.f_frsize,
        available_bytes: stat.f_bavail * stat.f_frsize,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_directory_has_the_space_of_its_file_system() {
        let space = space(&std::env::temp_dir()).unwrap();
        assert!(space.available_bytes <= space.size_bytes && space.size_bytes > 1_000_000);
        assert_eq!(super::space(Path::new("/nonexistent")), None);
    }
}
