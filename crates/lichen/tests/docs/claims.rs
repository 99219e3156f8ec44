//! What documents name as the proof of a claim: stories, and files of tests.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

/// All stories of a checkout, by `group::name`, and whether each is slow.
pub fn stories(root: &Path) -> BTreeMap<String, bool> {
    let mut stories = BTreeMap::new();
    for entry in fs::read_dir(root.join("tests/tests")).unwrap() {
        let path = entry.unwrap().path();
        if path.extension().is_none_or(|end| end != "rs") {
            continue;
        }
        let group = path.file_stem().unwrap().to_string_lossy().into_owned();
        let (mut test, mut slow) = (false, false);
        for line in fs::read_to_string(&path).unwrap().lines() {
            match line {
                "#[test]" => (test, slow) = (true, false),
                _ if line.starts_with("#[ignore") => slow = true,
                _ if test && line.starts_with("fn ") => {
                    let name = line["fn ".len()..].split('(').next().unwrap();
                    stories.insert(format!("{group}::{name}"), slow);
                    test = false;
                }
                _ => {}
            }
        }
    }
    stories
}

/// What is wrong with the stories and files that a Markdown text names: those that are not there, and stories of which
/// it says wrongly, or does not say, that they are slow.
pub fn wrong(root: &Path, stories: &BTreeMap<String, bool>, text: &str) -> Vec<String> {
    let mut wrong = Vec::new();
    for (number, line) in (1..).zip(text.lines()) {
        let parts: Vec<&str> = line.split('`').collect();
        // Every other part is code.
        for (code, after) in parts.iter().skip(1).zip(parts.iter().skip(2)).step_by(2) {
            let complaint = if is_story(code) {
                let said = after.starts_with(" (slow)");
                match stories.get(*code) {
                    None => "there is no such story",
                    Some(true) if !said => "the story is slow",
                    Some(false) if said => "the story is not slow",
                    Some(_) => continue,
                }
            } else if is_file(code) && !root.join(code).exists() {
                "there is no such file"
            } else {
                continue;
            };
            wrong.push(format!("line {number}: {code}: {complaint}"));
        }
    }
    wrong
}

fn is_story(code: &str) -> bool {
    let word = |c: char| c == '_' || c.is_ascii_lowercase() || c.is_ascii_digit();
    code.split_once("::").is_some_and(|(group, name)| {
        !group.is_empty() && !name.is_empty() && group.chars().chain(name.chars()).all(word)
    })
}

fn is_file(code: &str) -> bool {
    code.contains('/') && (code.ends_with(".rs") || code.ends_with(".nix"))
}
