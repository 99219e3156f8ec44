//! Kinds of devices: built in, and read from the YAML of the public [Device-Type Library].
//!
//! [Device-Type Library]: https://github.com/netbox-community/devicetype-library

mod device_type;
mod folder;
pub mod limits;
pub(crate) mod stream;
pub(crate) mod yaml;

use std::fmt;
use std::io::BufRead;
use std::sync::OnceLock;

use serde::Serialize;
use utoipa::ToSchema;

pub use folder::folder;
use stream::Documents;

use crate::plan::model::KindFields;

/// The most documents of an import.
pub const MOST_DOCUMENTS: usize = 10_000;
/// The most problems that are told: who has more of them has one cause.
pub const MOST_PROBLEMS: usize = 100;

/// What is wrong with a text, or worth knowing of it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, ToSchema)]
pub struct Problem {
    /// The line, from 1.
    pub line: Option<u64>,
    /// The field and what is wrong with it, in plain words.
    pub what: String,
}

impl fmt::Display for Problem {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.line {
            Some(line) => write!(out, "line {line}: {}", self.what),
            None => out.write_str(&self.what),
        }
    }
}

/// What a document of the library says.
#[derive(Debug, Clone, PartialEq)]
pub struct Described {
    /// The kind; none if it is one that has no place in a rack, such as a blade.
    pub kind: Option<KindFields>,
    /// What was not understood or not taken over.
    pub warnings: Vec<Problem>,
}

/// The generic kinds that come with the planner.
pub fn built_in() -> &'static [KindFields] {
    static KINDS: OnceLock<Vec<KindFields>> = OnceLock::new();
    KINDS.get_or_init(|| {
        let read = yaml::document(include_str!("built_in.yaml"), 10_000);
        // The file is a part of the program, and a test reads it.
        read.ok().flatten().expect("the built-in kinds are sound")
    })
}

/// Reads a stream of the library's YAML, document by document; a wrong one does not stop those after it. Of the stream no
/// more than one document is in memory, and it is read only as far as the caller goes.
pub fn documents(from: impl BufRead) -> impl Iterator<Item = Result<Described, Problem>> {
    limited(Documents::new(from, stream::LARGEST), MOST_DOCUMENTS)
}

fn limited<R: BufRead>(
    documents: Documents<R>,
    most: usize,
) -> impl Iterator<Item = Result<Described, Problem>> {
    documents
        .enumerate()
        .take(most + 1)
        .map(move |(at, document)| {
            let document = document?;
            if at < most {
                return device_type::read(&document);
            }
            let line = Some(document.line);
            let what = format!("more than {most} documents in one import");
            Err(Problem { line, what })
        })
}

/// The kinds of a stream, and what was not understood of them.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Kinds {
    /// The kinds, in the order of the stream.
    pub kinds: Vec<KindFields>,
    /// What was not understood or not taken over, at most [`MOST_PROBLEMS`].
    pub warnings: Vec<Problem>,
}

/// Reads a whole stream of the library's YAML: all of it, or what is wrong with it.
pub fn read_all(from: impl BufRead) -> Result<Kinds, Vec<Problem>> {
    let mut all = Kinds::default();
    let mut problems = Vec::new();
    for document in documents(from) {
        match document {
            Ok(found) => {
                all.kinds.extend(found.kind);
                let room = MOST_PROBLEMS - all.warnings.len();
                all.warnings.extend(found.warnings.into_iter().take(room));
            }
            Err(problem) => problems.push(problem),
        }
        if problems.len() == MOST_PROBLEMS {
            let what = "there may be more problems after these; the rest was not read".into();
            problems.push(Problem { line: None, what });
            break;
        }
    }
    if problems.is_empty() {
        Ok(all)
    } else {
        Err(problems)
    }
}

/// The kinds of a text; see [`read_all`], which tells warnings too.
pub fn read(text: &str) -> Result<Vec<KindFields>, Vec<Problem>> {
    read_all(text.as_bytes()).map(|all| all.kinds)
}

#[cfg(test)]
mod tests;
