//! Pairs of modules that use each other: those in the code, and those that a document says do no harm.
//!
//! A module uses another one if its text names something in it, by a path or by `use`. A name that a module only passes
//! on counts as that of the module it comes from. Tests and macros do not count. This reads words, and knows no types: a
//! method that is called on a value of another module is not seen, unless the module also names where that comes from.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};

type Name = Vec<String>;

/// The pairs of one crate, as `a ↔ b` with the paths of the modules from the crate's root.
pub fn of_crate(folder: &Path) -> BTreeSet<String> {
    let modules = modules(&folder.join("src"));
    let uses: BTreeSet<(Name, Name)> = (modules.iter())
        .flat_map(|(name, module)| {
            let used = module.used.iter().filter_map(|path| {
                let path = absolute(&modules, name, path)?;
                // Who names a module itself, as `mod` and `use` do, takes nothing out of it.
                (!modules.contains_key(&path)).then(|| owner(&modules, &path, 0))?
            });
            used.map(|used| (name.clone(), used)).collect::<Vec<_>>()
        })
        .collect();
    let mutual = uses.iter().filter(|(a, b)| a < b);
    mutual
        .filter(|(a, b)| uses.contains(&(b.clone(), a.clone())))
        .map(|(a, b)| format!("{} ↔ {}", shown(a), shown(b)))
        .collect()
}

/// The pairs that the table under the heading about circles has, by crate. The name behind an arrow may be short: that of
/// a module in or beside the one before it; `*` is every module in it.
pub fn in_table(crates: &Path, text: &str) -> BTreeMap<String, BTreeSet<String>> {
    let section = text.split("### Circles between modules").nth(1).unwrap();
    let section = section.split("\n#").next().unwrap();
    let mut table: BTreeMap<String, BTreeSet<String>> = BTreeMap::new();
    for row in section.lines().filter(|line| line.starts_with("| `")) {
        let cells: Vec<&str> = row.split('|').map(str::trim).collect();
        let name = cells[1].trim_matches('`');
        let modules = modules(&crates.join(name).join("src"));
        for pairs in cells[2].split(';') {
            let (from, to) = pairs.split_once('↔').unwrap();
            let from = path_of(from);
            for to in to.split(',') {
                let to = path_of(to);
                let beside = from.split_last().map_or(&[][..], |(_, parent)| parent);
                let mut there: Vec<Name> = [&from[..], beside, &[]]
                    .map(|above| [above, &to].concat())
                    .into_iter()
                    .filter(|path| modules.contains_key(path))
                    .take(1)
                    .collect();
                if to == ["*"] {
                    let within =
                        |path: &Name| path.len() == from.len() + 1 && path.starts_with(&from);
                    there = modules
                        .keys()
                        .filter(|path| within(path))
                        .cloned()
                        .collect();
                }
                assert!(
                    !there.is_empty(),
                    "{name} has no module {}: {row}",
                    shown(&to)
                );
                for to in there {
                    let (a, b) = if from < to {
                        (&from, &to)
                    } else {
                        (&to, &from)
                    };
                    let pair = format!("{} ↔ {}", shown(a), shown(b));
                    table.entry(name.to_owned()).or_default().insert(pair);
                }
            }
        }
    }
    table
}

fn path_of(text: &str) -> Name {
    match text.trim().trim_matches('`') {
        "root" => Name::new(),
        path => path.split("::").map(str::to_owned).collect(),
    }
}

fn shown(name: &[String]) -> String {
    match name {
        [] => "root".into(),
        name => name.join("::"),
    }
}

/// What a module's text says.
#[derive(Default)]
struct Module {
    /// The modules in it.
    children: BTreeSet<String>,
    /// What names mean, by `use`.
    names: BTreeMap<String, Name>,
    /// Those of them that it only passes on.
    passed_on: BTreeMap<String, Name>,
    /// The paths of what it uses.
    used: Vec<Name>,
}

/// All modules of a crate, by their paths.
fn modules(src: &Path) -> BTreeMap<Name, Module> {
    let root = ["lib.rs", "main.rs"].map(|file| src.join(file));
    let root = root.into_iter().find(|file| file.exists()).unwrap();
    let mut found = BTreeMap::new();
    let mut open = vec![(Name::new(), root, src.to_owned())];
    while let Some((name, file, folder)) = open.pop() {
        let mut module = read(&fs::read_to_string(&file).unwrap());
        module.children.retain(|child| {
            let files: [PathBuf; 2] =
                [format!("{child}.rs"), format!("{child}/mod.rs")].map(|file| folder.join(file));
            let file = files.into_iter().find(|file| file.exists());
            let is_there = file.is_some();
            open.extend(file.map(|file| {
                let path = [&name[..], std::slice::from_ref(child)].concat();
                (path, file, folder.join(child))
            }));
            is_there
        });
        found.insert(name, module);
    }
    found
}

/// The path from the root; none for a name of another crate or of the module itself.
fn absolute(modules: &BTreeMap<Name, Module>, at: &Name, path: &[String]) -> Option<Name> {
    let by_use = || {
        let meant = modules[at].names.get(&path[0])?;
        let meant = rooted(modules, at, meant).filter(|_| path.len() > 1)?;
        Some([&meant[..], &path[1..]].concat())
    };
    rooted(modules, at, path).or_else(by_use)
}

/// The same for a path that says itself where it begins.
fn rooted(modules: &BTreeMap<Name, Module>, at: &Name, path: &[String]) -> Option<Name> {
    let (mut above, mut rest) = (at.clone(), path);
    match path[0].as_str() {
        "crate" => (above, rest) = (Name::new(), &path[1..]),
        "self" => rest = &path[1..],
        "super" => {
            while rest.first().is_some_and(|word| word == "super") {
                above.pop();
                rest = &rest[1..];
            }
        }
        child if modules[at].children.contains(child) => {}
        _ => return None,
    }
    Some([&above[..], rest].concat())
}

/// The module that has what a path leads to.
fn owner(modules: &BTreeMap<Name, Module>, path: &[String], depth: usize) -> Option<Name> {
    let mut at = Name::new();
    let mut rest = path;
    while let Some(word) = rest.first() {
        let next = [&at[..], std::slice::from_ref(word)].concat();
        if modules.contains_key(&next) {
            (at, rest) = (next, &rest[1..]);
            continue;
        }
        if let Some(from) = modules[&at].passed_on.get(word).filter(|_| depth < 8) {
            let from = absolute(modules, &at, from)?;
            return owner(modules, &[&from[..], &rest[1..]].concat(), depth + 1);
        }
        break;
    }
    Some(at)
}

fn read(text: &str) -> Module {
    let words = without_tests(words(text));
    let mut module = Module::default();
    let is_word = |at: usize| words.get(at).is_some_and(|word| is_name(word));
    let is = |at: usize, what: &str| words.get(at).is_some_and(|word| word == what);
    let mut at = 0;
    while at < words.len() {
        if is(at, "mod") && is(at + 2, ";") {
            module.children.insert(words[at + 1].clone());
            at += 3;
        } else if is(at, "use") {
            let end = (at..words.len()).find(|end| is(*end, ";")).unwrap();
            let public = at > 0 && (is(at - 1, "pub") || is(at - 1, ")"));
            for (name, path) in branches(&words[at + 1..end]) {
                match public {
                    true => drop(module.passed_on.insert(name.clone(), path.clone())),
                    false => module.used.push(path.clone()),
                }
                module.names.insert(name, path);
            }
            at = end + 1;
        } else if is_word(at) {
            let begin = at;
            while is(at + 1, "::") && is_word(at + 2) {
                at += 2;
            }
            let follows = begin > 0 && (is(begin - 1, "::") || is(begin - 1, "$"));
            if at > begin && !follows && !is(at + 1, "!") {
                module
                    .used
                    .push(words[begin..=at].iter().step_by(2).cloned().collect());
            }
            at += 1;
        } else {
            at += 1;
        }
    }
    module
}

/// The names that a tree of `use` brings, and their paths.
fn branches(words: &[String]) -> Vec<(String, Name)> {
    let Some(open) = words.iter().position(|word| word == "{") else {
        let (path, other) = match words.iter().position(|word| word == "as") {
            Some(at) => (&words[..at], words.get(at + 1)),
            None => (words, None),
        };
        let mut path: Name = path.iter().filter(|word| is_name(word)).cloned().collect();
        if path.len() > 1 && path.last().is_some_and(|last| last == "self") {
            path.pop();
        }
        let name = other.or(path.last()).cloned();
        return name.map(|name| (name, path)).into_iter().collect();
    };
    let stem: Name = words[..open]
        .iter()
        .filter(|word| is_name(word))
        .cloned()
        .collect();
    let (mut depth, mut from, mut found) = (0, open + 1, Vec::new());
    for at in open..words.len() {
        match words[at].as_str() {
            "{" => depth += 1,
            "}" => depth -= 1,
            _ => {}
        }
        let ends = (depth == 1 && words[at] == ",") || (depth == 0 && words[at] == "}");
        if ends {
            let branch: Name = stem.iter().chain(&words[from..at]).cloned().collect();
            if at > from {
                found.extend(branches(&branch));
            }
            from = at + 1;
        }
    }
    found
}

/// Leaves out what only tests compile.
fn without_tests(words: Vec<String>) -> Vec<String> {
    const ATTRIBUTE: [&str; 7] = ["#", "[", "cfg", "(", "test", ")", "]"];
    let mut kept = Vec::new();
    let mut at = 0;
    while at < words.len() {
        if words[at..].len() < ATTRIBUTE.len() || words[at..at + ATTRIBUTE.len()] != ATTRIBUTE {
            kept.push(words[at].clone());
            at += 1;
            continue;
        }
        // Up to the end of the item: its semicolon, or the brace that closes it.
        let mut depth = 0;
        at += ATTRIBUTE.len();
        while at < words.len() {
            match words[at].as_str() {
                "{" | "[" | "(" => depth += 1,
                "}" | "]" | ")" => depth -= 1,
                _ => {}
            }
            at += 1;
            if depth == 0 && matches!(words[at - 1].as_str(), "}" | ";") {
                break;
            }
        }
    }
    kept
}

fn is_name(word: &str) -> bool {
    word.starts_with(|c: char| c == '_' || c.is_ascii_alphabetic())
}

/// The words and signs of Rust, without comments and what is in quotes.
fn words(text: &str) -> Vec<String> {
    let mut words = Vec::new();
    let mut rest = text;
    let after = |text: &'_ str, end: &str| text.find(end).map_or(text.len(), |at| at + end.len());
    while let Some(first) = rest.chars().next() {
        let end = if rest.starts_with("//") {
            after(rest, "\n")
        } else if rest.starts_with("/*") {
            after(rest, "*/")
        } else if let Some(fence) = raw(rest) {
            let begin = after(rest, "\"");
            begin + after(&rest[begin..], &format!("\"{fence}"))
        } else if first == '"' {
            quoted(rest, '"')
        } else if first == '\'' {
            // A character; or else a lifetime, of which only the sign is passed over.
            let is_character =
                rest[1..].starts_with('\\') || rest[1..].chars().nth(1) == Some('\'');
            if is_character { quoted(rest, '\'') } else { 1 }
        } else if is_name(rest) {
            let name = |c: char| c == '_' || c.is_ascii_alphanumeric();
            let end = rest.find(|c| !name(c)).unwrap_or(rest.len());
            words.push(rest[..end].to_owned());
            end
        } else if rest.starts_with("::") {
            words.push("::".into());
            2
        } else {
            if !first.is_whitespace() {
                words.push(first.into());
            }
            first.len_utf8()
        };
        rest = &rest[end..];
    }
    words
}

/// The `#`s of a raw string, if one begins here.
fn raw(text: &str) -> Option<&str> {
    let text = text.strip_prefix('b').unwrap_or(text).strip_prefix('r')?;
    let signs = text.find(|c| c != '#')?;
    text[signs..].starts_with('"').then(|| &text[..signs])
}

/// Where what is in quotes ends.
fn quoted(text: &str, quote: char) -> usize {
    let mut escaped = false;
    for (at, c) in text.char_indices().skip(1) {
        match c {
            _ if escaped => escaped = false,
            '\\' => escaped = true,
            c if c == quote => return at + 1,
            _ => {}
        }
    }
    text.len()
}
