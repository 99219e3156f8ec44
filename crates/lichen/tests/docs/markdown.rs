//! The parts of Markdown that these documents use: headings, links, code.

use std::collections::{BTreeMap, BTreeSet};

/// The parts of a document that can be wrong.
#[derive(Debug, Default)]
pub struct Document {
    /// What links may name after `#`.
    pub anchors: BTreeSet<String>,
    /// Links and pictures.
    pub links: Vec<Link>,
    /// Code that a reader may type: blocks marked `sh`, a line each, and code within sentences.
    pub code: Vec<Code>,
}

/// Where a document points to.
#[derive(Debug)]
pub struct Link {
    /// Counted from 1.
    pub line: usize,
    /// As it is written.
    pub to: String,
}

/// A piece of code.
#[derive(Debug)]
pub struct Code {
    /// Counted from 1.
    pub line: usize,
    /// Without its marks.
    pub text: String,
}

impl Document {
    /// Parses a Markdown text.
    pub fn read(text: &str) -> Self {
        let mut document = Self::default();
        let mut headings = BTreeMap::new();
        let mut block: Option<String> = None;
        let mut unfinished: Option<Code> = None;
        for (line, text) in (1..).zip(text.lines()) {
            if let Some(language) = text.trim_start().strip_prefix("```") {
                block = match block {
                    Some(_) => None,
                    None => Some(language.trim().to_owned()),
                };
                continue;
            }
            match &block {
                Some(language) if language == "sh" => {
                    let mut code = unfinished.take().unwrap_or(Code {
                        line,
                        text: String::new(),
                    });
                    // A line that ends in a backslash continues in the next one.
                    let (words, goes_on) = match text.strip_suffix('\\') {
                        Some(words) => (words, true),
                        None => (text, false),
                    };
                    code.text += words;
                    match goes_on {
                        true => unfinished = Some(code),
                        false => document.code.push(code),
                    }
                }
                Some(_) => {}
                None => document.prose(line, text, &mut headings),
            }
        }
        document
    }

    fn prose(&mut self, line: usize, text: &str, headings: &mut BTreeMap<String, usize>) {
        if let Some(heading) = text.strip_prefix('#') {
            let slug = slug(heading.trim_start_matches('#'));
            let before = headings.entry(slug.clone()).or_insert(0);
            self.anchors.insert(match *before {
                0 => slug,
                n => format!("{slug}-{n}"),
            });
            *before += 1;
        }
        let mut outside = String::new();
        for (n, part) in text.split('`').enumerate() {
            match n % 2 {
                0 => outside.push_str(part),
                _ => self.code.push(Code {
                    line,
                    text: part.to_owned(),
                }),
            }
        }
        for (before, after) in [("](", ')'), ("src=\"", '"'), ("href=\"", '"')] {
            for part in outside.split(before).skip(1) {
                let to = part.split(after).next().unwrap_or_default().to_owned();
                self.links.push(Link { line, to });
            }
        }
        if let Some((id, _)) = outside
            .split_once("<a id=\"")
            .and_then(|(_, rest)| rest.split_once('"'))
        {
            self.anchors.insert(id.to_owned());
        }
    }
}

/// The anchor that a heading gets on the sites that show these documents.
fn slug(heading: &str) -> String {
    let kept = heading.trim().chars().filter_map(|c| match c {
        ' ' => Some('-'),
        '-' | '_' => Some(c),
        c if c.is_alphanumeric() => Some(c.to_ascii_lowercase()),
        _ => None,
    });
    kept.collect()
}
