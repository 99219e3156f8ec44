//! The card, as QEMU is told of it.

use std::path::{Path, PathBuf};

/// A file that is a machine's card.
#[derive(Debug, Clone)]
pub struct Drive {
    file: PathBuf,
    format: &'static str,
    log: Option<PathBuf>,
}

impl Drive {
    /// The bytes of `file` are those of the card.
    pub fn raw(file: &Path) -> Self {
        Self::of(file, "raw")
    }

    /// `file` is a layer over another one.
    pub fn layer(file: &Path) -> Self {
        Self::of(file, "qcow2")
    }

    fn of(file: &Path, format: &'static str) -> Self {
        Self {
            file: file.to_owned(),
            format,
            log: None,
        }
    }

    /// Whatever a machine writes onto it is logged in the file `log`, which is there already.
    pub fn logged(self, log: &Path) -> Self {
        Self {
            log: Some(log.to_owned()),
            ..self
        }
    }

    /// Where it is.
    pub fn file(&self) -> &Path {
        &self.file
    }

    /// Whether its bytes are those of the card.
    pub fn is_raw(&self) -> bool {
        self.format == "raw"
    }

    /// Writes reach the host's page cache, which a killed QEMU does not take with it: what the device had synced is
    /// kept and what it still held in its own memory is lost, as when a plug is pulled.
    pub(crate) fn argument(&self, interface: &str) -> String {
        let (file, format) = (quoted(&self.file), self.format);
        let contents = match &self.log {
            None => format!("file={file},format={format}"),
            Some(log) => format!(
                "driver=blklogwrites,file.driver={format},file.file.driver=file,file.file.filename={file},\
                 log.driver=file,log.filename={}",
                quoted(log)
            ),
        };
        format!("if={interface},id=disk,{contents},cache=writeback,discard=unmap")
    }
}

/// QEMU wants a comma within a value doubled.
pub(crate) fn quoted(path: &Path) -> String {
    path.display().to_string().replace(',', ",,")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_comma_in_a_file_name_does_not_end_it() {
        assert_eq!(
            Drive::raw(Path::new("/a,b")).argument("none"),
            "if=none,id=disk,file=/a,,b,format=raw,cache=writeback,discard=unmap"
        );
    }

    #[test]
    fn a_logged_layer_says_where_each_of_its_files_is() {
        let drive = Drive::layer(Path::new("/layer")).logged(Path::new("/log"));
        assert!(!drive.is_raw());
        assert_eq!(
            drive.argument("sd"),
            "if=sd,id=disk,driver=blklogwrites,file.driver=qcow2,file.file.driver=file,file.file.filename=/layer,\
             log.driver=file,log.filename=/log,cache=writeback,discard=unmap"
        );
    }
}
