//! The inputs of stories, by name: each with its path and the digest of its content.

use crate::command::stdout_of;
use crate::hash;
use crate::store;
use anyhow::{Context, Result};
use sha2::{Digest, Sha256};
use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

/// All the inputs that a story may request, and the parts of each.
#[derive(Debug, Default)]
pub struct Inputs(BTreeMap<String, Input>);

#[derive(Debug)]
struct Input {
    /// The path; none for inputs that are only compiled into the story program.
    path: Option<PathBuf>,
    /// The files whose opening shows that the input is used; see [`super::audit`].
    files: Vec<PathBuf>,
    digest: String,
}

impl Inputs {
    /// An input that is one file, identified by its content.
    pub fn file(&mut self, name: &str, file: &Path) -> Result<()> {
        self.files(name, file, &[file.to_owned()])
    }

    /// An input of several files; stories get `path`.
    pub fn files(&mut self, name: &str, path: &Path, files: &[PathBuf]) -> Result<()> {
        // Resolve links now, because they may change while stories run.
        let real = |path: &Path| fs::canonicalize(path).with_context(|| path.display().to_string());
        let mut hasher = Sha256::new();
        let mut reals = Vec::new();
        for file in files {
            hasher.update(hash::file_sha256(file)?);
            reals.push(real(file)?);
        }
        let input = Input {
            path: Some(real(path)?),
            files: reals,
            digest: hash::hex(&hasher.finalize()),
        };
        self.0.insert(name.to_owned(), input);
        Ok(())
    }

    /// Inputs in the Nix store, identified by the hashes that Nix stores for them.
    pub fn trees(&mut self, trees: &[(&str, &Path)]) -> Result<()> {
        let mut query = store::nix("nix-store");
        query.args(["--query", "--hash"]);
        query.args(trees.iter().map(|(_, path)| path));
        let text = stdout_of(&mut query)?;
        let mut hashes = text.lines();
        for (name, path) in trees {
            let digest = hashes.next().context("nix-store gave too few hashes")?;
            self.known(name, Some(path), digest);
        }
        Ok(())
    }

    /// An input whose digest is computed by the caller.
    pub fn known(&mut self, name: &str, path: Option<&Path>, digest: &str) {
        let input = Input {
            path: path.map(Path::to_owned),
            files: Vec::new(),
            digest: digest.to_owned(),
        };
        self.0.insert(name.to_owned(), input);
    }

    /// Replaces the digest of the content with another one.
    pub fn versioned(&mut self, name: &str, digest: &str) {
        if let Some(input) = self.0.get_mut(name) {
            input.digest = digest.to_owned();
        }
    }

    /// The current digest of an input, if there is one with this name.
    pub fn digest(&self, name: &str) -> Option<&str> {
        self.0.get(name).map(|input| input.digest.as_str())
    }

    /// The watched files, each with the name of its input.
    pub fn watched(&self) -> impl Iterator<Item = (&Path, &str)> {
        self.0.iter().flat_map(|(name, input)| {
            let files = input.files.iter();
            files.map(move |file| (file.as_path(), name.as_str()))
        })
    }

    /// Writes the file that tells stories the paths; see `testbed::input`.
    pub fn write(&self, file: &Path) -> Result<()> {
        let paths = self.0.iter().filter_map(|(name, input)| {
            let path = input.path.as_ref()?;
            Some((name, path))
        });
        let paths: BTreeMap<_, _> = paths.collect();
        fs::write(file, serde_json::to_string_pretty(&paths)?)
            .with_context(|| format!("cannot write {}", file.display()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_byte_more_is_another_digest_and_the_same_bytes_elsewhere_are_not() {
        let folder = tempfile::tempdir().unwrap();
        let [one, other] = ["one", "other"].map(|name| folder.path().join(name));
        let digest = |file: &Path| {
            let mut inputs = Inputs::default();
            inputs.file("image x", file).unwrap();
            inputs.digest("image x").unwrap().to_owned()
        };
        fs::write(&one, "bytes").unwrap();
        fs::write(&other, "bytes").unwrap();
        let before = digest(&one);
        assert_eq!(digest(&other), before);
        fs::write(&one, "bytes!").unwrap();
        assert_ne!(digest(&one), before);
    }
}
