//! Package relations: `a (>= 1) | b:any, c [arm64]`. Versions are apt's business; here only names count.

/// The names of a relation field: a list of groups, each a list of alternatives.
pub fn groups(field: &str) -> Vec<Vec<String>> {
    field
        .split(',')
        .map(|group| {
            group
                .split('|')
                .map(name)
                .filter(|n| !n.is_empty())
                .map(str::to_owned)
                .collect::<Vec<_>>()
        })
        .filter(|group| !group.is_empty())
        .collect()
}

/// The names of a list such as Provides.
pub fn names(field: &str) -> Vec<String> {
    groups(field).into_iter().flatten().collect()
}

/// A name without version, architecture list or `:any`.
fn name(relation: &str) -> &str {
    let relation = relation.trim();
    let end = relation
        .find(|c: char| c.is_whitespace() || matches!(c, '(' | '[' | ':' | '<'))
        .unwrap_or(relation.len());
    &relation[..end]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn relations_become_names() {
        assert_eq!(
            groups(
                "libc6 (>= 2.38), default-dbus-system-bus | dbus-system-bus,perl:any , libx [arm64],"
            ),
            [
                vec!["libc6"],
                vec!["default-dbus-system-bus", "dbus-system-bus"],
                vec!["perl"],
                vec!["libx"]
            ]
        );
        assert_eq!(
            names("awk, mail-transport-agent (= 1)"),
            ["awk", "mail-transport-agent"]
        );
        assert!(groups("").is_empty());
    }
}
