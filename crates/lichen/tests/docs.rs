//! What the documents say is so: links and anchors lead somewhere, every command that they show is one that the
//! programs understand, and the stories that they name as proofs exist. Every Markdown file of the checkout is read.

#[path = "docs/circles.rs"]
mod circles;
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
fn circles_between_modules_are_those_that_are_said_to_do_no_harm() {
    let crates = root().join("crates");
    let text = fs::read_to_string(root().join("CONTRIBUTING.md")).unwrap();
    let mut found = BTreeMap::new();
    for entry in fs::read_dir(&crates).unwrap() {
        let folder = entry.unwrap();
        let circles = circles::of_crate(&folder.path());
        if !circles.is_empty() {
            found.insert(folder.file_name().into_string().unwrap(), circles);
        }
    }
    assert_eq!(
        found,
        circles::in_table(&crates, &text),
        "what is in crates/ and what is in CONTRIBUTING.md"
    );
}

#[test]
fn a_circle_is_noticed_and_what_only_looks_like_one_is_not() {
    let crates = tempfile::tempdir().unwrap();
    let src = crates.path().join("ring/src");
    fs::create_dir_all(src.join("bell")).unwrap();
    for (file, text) in [
        (
            "lib.rs",
            "pub mod bell;\nmod rope;\npub use rope::Rope;\nmod tower { pub use crate::bell::Bell; }\n",
        ),
        (
            "rope.rs",
            "use crate::bell::{clapper::Clapper as Tongue, Bell};\n/// Not a `crate::Rope`.\npub struct Rope<'a>(&'a Bell, Tongue);\n",
        ),
        (
            "bell/mod.rs",
            "mod clapper;\nmod sound;\npub struct Bell(char);\nconst C: char = '\\'';\nconst NOT: &str = \"crate::Rope\";\n\
            fn ring() { clapper::swing() }\n#[cfg(test)]\nmod tests { use crate::Rope; }\n",
        ),
        (
            "bell/clapper.rs",
            "pub struct Clapper;\npub fn swing() { crate::fail!(\"{}\", super::Bell('x')) }\n",
        ),
        (
            "bell/sound.rs",
            "fn heard() -> crate::Rope<'static> { todo!() }\n",
        ),
    ] {
        fs::write(src.join(file), text).unwrap();
    }
    let found = circles::of_crate(&crates.path().join("ring"));
    assert_eq!(found, BTreeSet::from(["bell ↔ bell::clapper".to_owned()]));
    let text = "### Circles between modules\n| crate | modules |\n|---|---|\n| `ring` | `bell` ↔ `clapper` | why |\n";
    let table = circles::in_table(crates.path(), text);
    assert_eq!(table, BTreeMap::from([("ring".to_owned(), found)]));
    // The bell hangs on the rope: that the rope hangs on the bell, too, is now a circle, although the name is passed on.
    fs::write(src.join("bell/sound.rs"), "").unwrap();
    let bell = fs::read_to_string(src.join("bell/mod.rs")).unwrap();
    fs::write(src.join("bell/mod.rs"), format!("use crate::Rope;\n{bell}")).unwrap();
    let found = circles::of_crate(&crates.path().join("ring"));
    assert!(found.contains("bell ↔ rope"), "{found:?}");
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
