//! A story, and which ones are wanted.

use super::preparation::IMAGES;
use super::sources::Sources;
use super::verdicts::{Digests, Record};
use crate::workspace::Workspace;
use anyhow::Result;
use std::time::{Duration, Instant};

/// The selection of stories.
#[derive(Debug, Default)]
pub struct Wanted<'a> {
    /// Only stories whose name, including the group, contains one of these texts; all, if there is none.
    pub containing: Vec<&'a str>,
    /// Include slow stories.
    pub slow: bool,
    /// Ignore earlier verdicts.
    pub fresh: bool,
    /// Explain why stories would run, and run none.
    pub why: bool,
    /// Also run today's part of the slow stories, as long as there is time left, counted from this moment.
    pub rotation: Option<Instant>,
}

/// One story.
#[derive(Debug)]
pub struct Story {
    pub name: String,
    pub slow: bool,
    pub sources: Digests,
    pub record: Record,
    /// How long it should take.
    pub takes: Duration,
}

impl Story {
    #[cfg(test)]
    pub fn of_test(name: &str, slow: bool) -> Self {
        Story {
            name: name.to_owned(),
            slow,
            sources: Digests::from([("tests/src".to_owned(), "1".to_owned())]),
            record: Record::default(),
            takes: Duration::ZERO,
        }
    }

    pub fn group(&self) -> &str {
        group_of(&self.name)
    }

    /// The images that only slow stories use, as far as this one may use them.
    pub fn test_images(&self, workspace: &Workspace, sources: &Sources) -> Result<Vec<String>> {
        let mut images = Vec::new();
        for image in workspace.test_images() {
            let used = sources.says(self.group(), &image)? || sources.says(self.group(), IMAGES)?;
            if self.slow && used {
                images.push(image);
            }
        }
        Ok(images)
    }
}

pub fn group_of(story: &str) -> &str {
    story.split("::").next().unwrap_or(story)
}
