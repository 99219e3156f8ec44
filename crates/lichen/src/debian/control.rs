//! Debian control paragraphs: `Field: value` with continuation lines, paragraphs split by blank lines.

use std::collections::BTreeMap;

/// One paragraph: fields by their names in lower case.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Paragraph {
    fields: BTreeMap<String, String>,
    text: String,
}

impl Paragraph {
    /// The value of a field, "" when it is absent.
    pub fn get(&self, field: &str) -> &str {
        self.fields
            .get(&field.to_ascii_lowercase())
            .map_or("", String::as_str)
    }

    /// The paragraph as it was written, ending in a newline.
    pub fn text(&self) -> &str {
        &self.text
    }
}

/// Parses one paragraph.
pub fn parse(text: &str) -> Paragraph {
    let mut paragraph = Paragraph {
        text: format!("{}\n", text.trim_end()),
        ..Paragraph::default()
    };
    let mut last = String::new();
    for line in text.lines() {
        if line.starts_with([' ', '\t']) {
            if let Some(value) = paragraph.fields.get_mut(&last) {
                value.push('\n');
                value.push_str(line.trim());
            }
        } else if let Some((field, value)) = line.split_once(':') {
            last = field.to_ascii_lowercase();
            paragraph
                .fields
                .insert(last.clone(), value.trim().to_owned());
        }
    }
    paragraph
}

/// The paragraphs of a file, as slices: most of an index is not wanted, and not worth parsing.
pub fn paragraphs(text: &str) -> impl Iterator<Item = &str> {
    text.split("\n\n")
        .map(|p| p.trim_matches('\n'))
        .filter(|p| !p.is_empty())
}

/// The value of a one-line field, without parsing the paragraph.
pub fn field<'a>(paragraph: &'a str, name: &str) -> &'a str {
    paragraph
        .lines()
        .find_map(|l| l.strip_prefix(name)?.strip_prefix(':'))
        .map_or("", str::trim)
}

#[cfg(test)]
mod tests {
    use super::*;

    const INDEX: &str = "Package: dbus\nVersion: 1.16.2-2\nDepends: dbus-bin (= 1.16.2-2),\n dbus-daemon\nFilename: pool/d\n\n\
                         Package: zstd\nFilename: pool/z\n\n";

    #[test]
    fn an_index_splits_into_paragraphs_with_continued_fields() {
        let all: Vec<&str> = paragraphs(INDEX).collect();
        assert_eq!(all.len(), 2);
        let dbus = parse(all[0]);
        assert_eq!(dbus.get("depends"), "dbus-bin (= 1.16.2-2),\ndbus-daemon");
        assert_eq!(dbus.get("Provides"), "");
        assert_eq!(field(all[1], "Filename"), "pool/z");
    }
}
