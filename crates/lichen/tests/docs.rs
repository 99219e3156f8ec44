//! What the documents say is so: links and anchors lead somewhere, every command that they show is one that the
//! programs understand, and the stories that they name as proofs exist. Every Markdown file of the checkout is read.

#[path = "docs/claims.rs"]
mod claims;
#[path = "docs/commands.rs"]
mod commands;
#[path = "docs/markdown.rs"]
mod markdown;

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};

use commands::Programs;
use markdown::Document;

/// The checkout.
fn root() -> PathBuf {
    let here = Path::new(env!("CARGO_MANIFEST_DIR"));
    here.ancestors().nth(2).unwrap().to_path_buf()
}

/// Every Markdown file below `folder` but those that a build leaves behind, by its path from there.
fn documents(folder: &Path) -> BTreeMap<PathBuf, Document> {
    let mut found = BTreeMap::new();
    let mut folders = vec![folder.to_path_buf()];
    while let Some(next) = folders.pop() {
        for entry in fs::read_dir(next).unwrap() {
            let path = entry.unwrap().path();
            let name = path.file_name().unwrap().to_string_lossy().into_owned();
            let hidden = name.starts_with('.') && name != ".github";
            if path.is_symlink() || hidden || name == "target" || name == "build" {
                continue;
            }
            if path.is_dir() {
                folders.push(path);
            } else if name.ends_with(".md") {
                let document = Document::read(&fs::read_to_string(&path).unwrap());
                found.insert(path.strip_prefix(folder).unwrap().to_path_buf(), document);
            }
        }
    }
    found
}

/// The broken links in documents below `folder`, one line each.
fn broken_links(folder: &Path, documents: &BTreeMap<PathBuf, Document>) -> Vec<String> {
    let mut broken = Vec::new();
    for (path, document) in documents {
        for link in &document.links {
            let (target, anchor) = link.to.split_once('#').unwrap_or((&link.to, ""));
            // Links to other sites are not followed: a test must not fail because somebody else's server is down.
            if ["http:", "https:", "mailto:"]
                .iter()
                .any(|scheme| target.starts_with(scheme))
            {
                continue;
            }
            let at = format!("{}, line {}: {}", path.display(), link.line, link.to);
            let aimed = match target {
                "" => path.clone(),
                _ => normal(&path.parent().unwrap().join(target)),
            };
            if !folder.join(&aimed).exists() {
                broken.push(format!("{at}: there is no {}", aimed.display()));
            } else if !anchor.is_empty()
                && let Some(other) = documents.get(&aimed)
                && !other.anchors.contains(anchor)
            {
                broken.push(format!("{at}: {} has no heading for it", aimed.display()));
            }
        }
    }
    broken
}

/// The path without `.` and `..`.
fn normal(path: &Path) -> PathBuf {
    let mut parts = PathBuf::new();
    for part in path.components() {
        match part {
            std::path::Component::ParentDir => drop(parts.pop()),
            std::path::Component::CurDir => {}
            part => parts.push(part),
        }
    }
    parts
}

/// The commands in documents that no program understands, one line each.
fn wrong_commands(programs: &mut Programs, documents: &BTreeMap<PathBuf, Document>) -> Vec<String> {
    let mut wrong = Vec::new();
    for (path, document) in documents {
        for shown in &document.code {
            for command in commands::of(&shown.text) {
                if let Err(complaint) = programs.understands(&command) {
                    let line = shown.line;
                    wrong.push(format!(
                        "{}, line {line}: {}: {complaint}",
                        path.display(),
                        command.join(" ")
                    ));
                }
            }
        }
    }
    wrong
}

#[test]
fn links_lead_somewhere() {
    let documents = documents(&root());
    let broken = broken_links(&root(), &documents);
    assert!(broken.is_empty(), "\n{}", broken.join("\n"));
    let links = documents.values().map(|d| d.links.len()).sum::<usize>();
    assert!(links > 50, "only {links} links were found");
}

#[test]
fn every_document_is_linked_to() {
    let documents = documents(&root());
    let linked: BTreeSet<PathBuf> = (documents.iter())
        .flat_map(|(path, document)| {
            let folder = path.parent().unwrap();
            let files = document
                .links
                .iter()
                .map(|link| link.to.split('#').next().unwrap());
            files
                .map(|file| normal(&folder.join(file)))
                .collect::<Vec<_>>()
        })
        .collect();
    let lost: Vec<_> = (documents.keys())
        .filter(|path| path.starts_with("docs") && !linked.contains(*path))
        .collect();
    assert!(lost.is_empty(), "nothing leads to {lost:?}");
}

#[test]
fn the_map_of_the_crates_is_complete() {
    let map = fs::read_to_string(root().join("CONTRIBUTING.md")).unwrap();
    let named: BTreeSet<&str> = map
        .split('`')
        .filter_map(|code| code.strip_prefix("crates/"))
        .collect();
    let named: BTreeSet<&str> = named
        .into_iter()
        .filter(|name| !name.contains(['/', 'N']))
        .collect();
    let folders = fs::read_dir(root().join("crates")).unwrap();
    let there: BTreeSet<String> = folders
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .collect();
    assert_eq!(
        named,
        there.iter().map(String::as_str).collect(),
        "crates in CONTRIBUTING.md, and in crates/"
    );
}

#[test]
fn commands_are_understood() {
    let documents = documents(&root());
    let mut programs = Programs::default();
    let wrong = wrong_commands(&mut programs, &documents);
    assert!(wrong.is_empty(), "\n{}", wrong.join("\n"));
    let seen = programs.seen();
    assert!(seen > 50, "only {seen} commands were found");
}

#[test]
fn what_is_named_as_a_proof_is_there() {
    let stories = claims::stories(&root());
    assert!(stories.len() > 50, "only {} stories", stories.len());
    for name in ["docs/testing.md", "docs/figures.md"] {
        let text = fs::read_to_string(root().join(name)).unwrap();
        let wrong = claims::wrong(&root(), &stories, &text);
        assert!(wrong.is_empty(), "{name}:\n{}", wrong.join("\n"));
    }
}

#[test]
fn a_proof_that_does_not_exist_is_noticed() {
    let folder = tempfile::tempdir().unwrap();
    fs::create_dir_all(folder.path().join("tests/tests")).unwrap();
    fs::write(
        folder.path().join("tests/tests/boot.rs"),
        "#[test]\nfn quick() {}\n\n#[test]\n#[ignore = \"slow\"]\nfn slow() {}\n\nfn helper() {}\n",
    )
    .unwrap();
    let stories = claims::stories(folder.path());
    let text = "`boot::quick`, `boot::slow` (slow), `tests/tests/boot.rs`, `./lichen test --why ::`\n\
        | `boot::gone` | `boot::slow`, `boot::quick` (slow), `boot::helper`, `crates/none.rs` |\n";
    assert_eq!(
        claims::wrong(folder.path(), &stories, text),
        [
            "line 2: boot::gone: there is no such story",
            "line 2: boot::slow: the story is slow",
            "line 2: boot::quick: the story is not slow",
            "line 2: boot::helper: there is no such story",
            "line 2: crates/none.rs: there is no such file",
        ]
    );
}

#[test]
fn a_link_to_nothing_and_a_command_that_does_not_exist_are_noticed() {
    let folder = tempfile::tempdir().unwrap();
    let text = "# One heading\n\n\
        [right](#one-heading), [gone](gone.md), [wrong anchor](#two-headings), ![no picture](p.png)\n\n\
        `lichen build APPLIANCE --chekc`, `lichenctl statsu`, `./lichen build climate --check`\n\n\
        ```sh\n./lichen deploy rack7 climate --bot   # a comment\nclimate backup\\\n  --nowhere FILE\n```\n";
    fs::write(folder.path().join("page.md"), text).unwrap();
    let documents = documents(folder.path());

    let broken = broken_links(folder.path(), &documents);
    assert_eq!(
        broken,
        [
            "page.md, line 3: gone.md: there is no gone.md",
            "page.md, line 3: #two-headings: page.md has no heading for it",
            "page.md, line 3: p.png: there is no p.png",
        ]
    );

    let wrong = wrong_commands(&mut Programs::default(), &documents);
    let beginnings = [
        "page.md, line 5: lichen build 1 --chekc: error: unexpected argument '--chekc'",
        "page.md, line 5: lichenctl statsu: error: unrecognized subcommand 'statsu'",
        "page.md, line 8: lichen deploy rack7 climate --bot: error: unexpected argument '--bot'",
        "page.md, line 9: climate backup --nowhere 1: error: unexpected argument '--nowhere'",
    ];
    assert_eq!(wrong.len(), beginnings.len(), "{wrong:#?}");
    for (wrong, beginning) in wrong.iter().zip(beginnings) {
        assert!(wrong.starts_with(beginning), "{wrong}");
    }
}
