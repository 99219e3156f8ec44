//! Nix's errors as one plain message: what failed, where, and what to do.

use super::events::{Message, Steps, step_name};
use crate::failure::Failure;
use std::path::Path;

/// One clean error from all that Nix said. `read` gives a file of the checkout by its relative path; `untracked` are those
/// that git does not know.
pub fn explain(
    steps: &Steps,
    read: &dyn Fn(&str) -> Option<String>,
    untracked: &[String],
    log: &str,
) -> Failure {
    let everything: String = steps
        .tails
        .values()
        .flatten()
        .chain(steps.errors.iter().map(|e| &e.text))
        .fold(String::new(), |mut all, line| {
            all.push_str(line);
            all.push('\n');
            all
        });
    if everything.contains("No space left on device") {
        return Failure {
            what: format!("no space for the build ({log})"),
            hint: "free some; `nix-collect-garbage` drops old builds".into(),
        };
    }
    if [
        "setting up uid map",
        "creating new namespace failed",
        "no permissions to create new namespace",
    ]
    .iter()
    .any(|sign| everything.to_lowercase().contains(sign))
    {
        return Failure {
            what: "this machine lets nobody make user namespaces, which the build runs its programs in".into(),
            hint: "sysctl -w kernel.unprivileged_userns_clone=1 user.max_user_namespaces=15000; in a container, allow them there".into(),
        };
    }
    let failed = steps.errors.iter().find_map(|e| {
        let derivation = e
            .text
            .trim()
            .strip_prefix("builder for '")?
            .split('\'')
            .next()?;
        Some(step_name(Path::new(derivation)))
    });
    if let Some(step) = failed {
        let tail = steps
            .tails
            .get(&step)
            .map(|lines| lines.join("\n  "))
            .unwrap_or_default();
        return Failure {
            what: format!("building {step} failed:\n  {tail}"),
            hint: format!("the whole log is {log}"),
        };
    }
    match steps.errors.last() {
        Some(error) => evaluation(error, read, untracked),
        None => Failure {
            what: "nix failed and said nothing".into(),
            hint: format!("see {log}"),
        },
    }
}

/// That a build does not see some files.
pub fn untracked(files: &[String]) -> Failure {
    let shown: Vec<String> = files.iter().take(5).map(|file| quoted(file)).collect();
    let more = match files.len() - shown.len() {
        0 => String::new(),
        more => format!(" and {more} more"),
    };
    Failure {
        what: format!(
            "git does not know {}{more}, so the build does not see it",
            files.iter().take(5).cloned().collect::<Vec<_>>().join(", ")
        ),
        hint: format!("git add --intent-to-add {}", shown.join(" ")),
    }
}

/// A file's name as a shell wants it.
fn quoted(file: &str) -> String {
    let plain = |c: char| c.is_ascii_alphanumeric() || "/._-+".contains(c);
    if file.chars().all(plain) {
        file.to_owned()
    } else {
        format!("'{}'", file.replace('\'', r"'\''"))
    }
}

fn evaluation(
    error: &Message,
    read: &dyn Fn(&str) -> Option<String>,
    unknown: &[String],
) -> Failure {
    let text = strip_store(error.text.trim());
    let lacks = text.contains("does not provide attribute");
    let concerned = |file: &&String| lacks || text.contains(file.as_str());
    let concerned: Vec<String> = unknown.iter().filter(concerned).cloned().collect();
    if !concerned.is_empty() {
        return untracked(&concerned);
    }
    if let Some(file) = text.split("run-lichen-fetch-first/").nth(1) {
        let file = file.split('\'').next().unwrap_or(file);
        return Failure {
            what: format!("{file} is not in the Nix store"),
            hint: "./lichen fetch".into(),
        };
    }
    let file = error.file.as_deref().map(strip_store);
    let place = match (&file, error.line) {
        (Some(file), Some(line)) => format!("\n  in {file}, line {line}"),
        _ => String::new(),
    };
    if let Some(name) = text
        .strip_prefix("attribute '")
        .and_then(|t| t.split('\'').next())
    {
        let line = file.as_deref().and_then(read).and_then(|t| {
            t.lines()
                .nth(error.line?.checked_sub(1)?)
                .map(str::to_owned)
        });
        let line = line.unwrap_or_default();
        if line.contains(&format!("pkgs.{name}"))
            || (line.contains("with pkgs") && line.contains(name))
        {
            return missing_package(name, &place);
        }
    }
    if let Some(name) = text
        .strip_prefix("undefined variable '")
        .and_then(|t| t.split('\'').next())
    {
        let source = file.as_deref().and_then(read).unwrap_or_default();
        if source.contains("with pkgs") {
            return missing_package(name, &place);
        }
    }
    if lacks {
        return Failure {
            what: text,
            hint: "`nix flake show` lists what there is".into(),
        };
    }
    let hint = if place.is_empty() {
        "correct the configuration; ./lichen docs writes the reference of all options".into()
    } else {
        format!("correct {}", file.unwrap_or_default())
    };
    Failure {
        what: format!("{text}{place}"),
        hint,
    }
}

fn missing_package(name: &str, place: &str) -> Failure {
    Failure {
        what: format!("package '{name}' is not in the lock{place}"),
        hint: "add it to image/debian/packages.toml [sets.extra], then ./lichen lock".into(),
    }
}

/// Files of the checkout by their names there, not by those of their copies in the store.
fn strip_store(text: &str) -> String {
    let mut parts = text.split("/nix/store/");
    let mut out = parts.next().unwrap_or_default().to_owned();
    for part in parts {
        match part.split_once("-source/") {
            Some((hash, rest)) if hash.len() == 32 => out.push_str(rest),
            _ => {
                out.push_str("/nix/store/");
                out.push_str(part);
            }
        }
    }
    out
}

#[cfg(test)]
#[path = "errors_tests.rs"]
mod tests;
