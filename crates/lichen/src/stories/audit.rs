//! Detects that stories open files that they have not declared as inputs.
//!
//! The kernel reports every opening of a watched file by any process: QEMU, `lichen`, or a story itself. If no running
//! story has declared the input, the verdict would not depend on it, so that verdict is not kept.

use super::inputs::Inputs;
use anyhow::{Context, Result};
use rustix::fs::inotify::{self, CreateFlags, ReadFlags, WatchFlags};
use std::collections::{BTreeSet, HashMap};
use std::mem::MaybeUninit;
use std::os::fd::OwnedFd;

/// Watches the files of all inputs.
#[derive(Debug)]
pub struct Audit {
    events: OwnedFd,
    names: HashMap<i32, String>,
}

impl Audit {
    /// Starts watching.
    pub fn of(inputs: &Inputs) -> Result<Self> {
        let events = inotify::init(CreateFlags::CLOEXEC | CreateFlags::NONBLOCK)
            .context("cannot watch the inputs of stories")?;
        let mut names = HashMap::new();
        for (file, name) in inputs.watched() {
            let watch = inotify::add_watch(&events, file, WatchFlags::OPEN)
                .with_context(|| format!("cannot watch {}", file.display()))?;
            names.insert(watch, name.to_owned());
        }
        Ok(Audit { events, names })
    }

    /// The names of the inputs whose files were opened since the last call.
    pub fn opened(&self) -> BTreeSet<String> {
        let mut buffer = [MaybeUninit::uninit(); 4096];
        let mut reader = inotify::Reader::new(&self.events, &mut buffer);
        let mut opened = BTreeSet::new();
        // The loop ends when there are no more events.
        while let Ok(event) = reader.next() {
            // After an overflow of the queue, any file may have been opened.
            if event.events().contains(ReadFlags::QUEUE_OVERFLOW) {
                opened.extend(self.names.values().cloned());
            }
            opened.extend(self.names.get(&event.wd()).cloned());
        }
        opened
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs;

    #[test]
    fn what_is_opened_is_told_once_and_what_is_not_is_not() {
        let folder = tempfile::tempdir().unwrap();
        let mut inputs = Inputs::default();
        for name in ["image a", "image b"] {
            let file = folder.path().join(name);
            fs::write(&file, name).unwrap();
            inputs.file(name, &file).unwrap();
        }
        let audit = Audit::of(&inputs).unwrap();
        assert!(audit.opened().is_empty());
        fs::read(folder.path().join("image a")).unwrap();
        assert_eq!(audit.opened(), BTreeSet::from(["image a".to_owned()]));
        assert!(audit.opened().is_empty());
    }
}
