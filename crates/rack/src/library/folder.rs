//! A folder of the library's YAML, for the command line.

use std::collections::VecDeque;
use std::fs::File;
use std::io::BufReader;
use std::path::{Path, PathBuf};

use super::{Described, MOST_DOCUMENTS, Problem, documents};

/// How deep folders may be nested: the library has two levels.
const DEPTH: usize = 8;

/// Reads the files `*.yaml` and `*.yml` of a folder and of those in it, in the order of their names. A checkout of the whole
/// library is read at its `device-types`, because its other folders have no kinds of devices. Links are not followed. Each
/// item is a file with what is in it, or with what is wrong with it or with the folder.
pub fn folder(
    path: &Path,
) -> impl Iterator<Item = (PathBuf, Result<Vec<Described>, Vec<Problem>>)> {
    let checkout = path.join("device-types");
    let begin = if checkout.is_dir() {
        checkout
    } else {
        path.into()
    };
    Files {
        waiting: VecDeque::from([(begin, 0, Sort::Folder)]),
        count: 0,
    }
}

#[derive(Clone, Copy)]
enum Sort {
    Folder,
    File,
}

/// The files of a folder, which is read no further than the caller goes.
struct Files {
    /// What is still to be read, the next first, with its depth.
    waiting: VecDeque<(PathBuf, usize, Sort)>,
    /// The number of documents that were read.
    count: usize,
}

impl Files {
    /// Puts what is in a folder before all that waits.
    fn open(&mut self, folder: &Path, depth: usize) -> std::io::Result<()> {
        if depth > DEPTH {
            let what = format!("folders are nested deeper than {DEPTH} levels");
            return Err(std::io::Error::other(what));
        }
        let mut found = Vec::new();
        for entry in std::fs::read_dir(folder)? {
            let entry = entry?;
            let path = entry.path();
            let sort = entry.file_type()?;
            if sort.is_dir() {
                found.push((path, depth + 1, Sort::Folder));
            } else if sort.is_file() && is_yaml(&path) {
                found.push((path, depth + 1, Sort::File));
            }
        }
        found.sort_by(|a, b| b.0.cmp(&a.0));
        for entry in found {
            self.waiting.push_front(entry);
        }
        Ok(())
    }

    fn read(&mut self, path: &Path) -> Result<Vec<Described>, Vec<Problem>> {
        let file = File::open(path).map_err(|error| vec![unreadable(&error)])?;
        let mut kinds = Vec::new();
        let mut problems = Vec::new();
        for document in documents(BufReader::new(file)) {
            self.count += 1;
            if self.count > MOST_DOCUMENTS {
                let what = format!("more than {MOST_DOCUMENTS} documents in one import");
                problems.push(Problem { line: None, what });
                self.waiting.clear();
                break;
            }
            match document {
                Ok(kind) => kinds.push(kind),
                Err(problem) => problems.push(problem),
            }
        }
        if problems.is_empty() {
            Ok(kinds)
        } else {
            Err(problems)
        }
    }
}

impl Iterator for Files {
    type Item = (PathBuf, Result<Vec<Described>, Vec<Problem>>);

    fn next(&mut self) -> Option<Self::Item> {
        while let Some((path, depth, sort)) = self.waiting.pop_front() {
            match sort {
                Sort::File => {
                    let read = self.read(&path);
                    return Some((path, read));
                }
                Sort::Folder => {
                    if let Err(error) = self.open(&path, depth) {
                        return Some((path, Err(vec![unreadable(&error)])));
                    }
                }
            }
        }
        None
    }
}

fn is_yaml(path: &Path) -> bool {
    path.extension()
        .is_some_and(|end| end == "yaml" || end == "yml")
}

fn unreadable(error: &std::io::Error) -> Problem {
    Problem {
        line: None,
        what: format!("cannot be read: {error}"),
    }
}
