//! The reference of options as one HTML file, which loads nothing else and works as a plain list without JavaScript.

use serde::Deserialize;

/// An option, as described by `modules/docs`.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Entry {
    name: String,
    r#type: String,
    read_only: bool,
    description: String,
    declarations: Vec<String>,
    default: Option<String>,
    example: Option<String>,
}

const TEMPLATE: &str = include_str!("docs_page.html");

/// The page.
pub fn page(mut options: Vec<Entry>) -> String {
    // Most readers look for the options of Lichen and of the services.
    options.sort_by_key(|option| !option.name.starts_with("services."));
    let list: String = options.iter().map(Entry::article).collect();
    TEMPLATE
        .replace("{count}", &options.len().to_string())
        .replace("{list}", &list)
}

impl Entry {
    fn article(&self) -> String {
        let name = escaped(&self.name);
        let read_only = if self.read_only { " (read-only)" } else { "" };
        let mut facts = format!("<dt>Type</dt><dd>{}{read_only}</dd>", escaped(&self.r#type));
        for (label, value) in [("Default", &self.default), ("Example", &self.example)] {
            if let Some(value) = value {
                facts += &format!("<dt>{label}</dt><dd>{}</dd>", nix(value));
            }
        }
        let declared = escaped(&self.declarations.join(", "));
        format!(
            "<article id=\"{name}\">\n<h2><a href=\"#{name}\">{name}</a></h2>\n{}<dl>{facts}<dt>Declared in</dt><dd>{declared}</dd></dl>\n</article>\n",
            prose(&self.description)
        )
    }
}

fn nix(value: &str) -> String {
    match value.contains('\n') {
        true => format!("<pre><code>{}</code></pre>", escaped(value)),
        false => format!("<code>{}</code>", escaped(value)),
    }
}

/// A description: paragraphs, lists, and code between backticks.
fn prose(text: &str) -> String {
    let mut html = String::new();
    for block in text
        .split("\n\n")
        .map(str::trim)
        .filter(|block| !block.is_empty())
    {
        let items: Option<Vec<&str>> = block
            .lines()
            .map(|line| line.trim().strip_prefix("- "))
            .collect();
        html += &match items {
            Some(items) => {
                let items: String = items
                    .iter()
                    .map(|item| format!("<li>{}</li>", inline(item)))
                    .collect();
                format!("<ul>{items}</ul>\n")
            }
            None => format!("<p>{}</p>\n", inline(block)),
        };
    }
    html
}

fn inline(text: &str) -> String {
    let parts = text.split('`').enumerate().map(|(n, part)| match n % 2 {
        0 => escaped(part),
        _ => format!("<code>{}</code>", escaped(part)),
    });
    parts.collect()
}

fn escaped(text: &str) -> String {
    text.replace('&', "&amp;")
        .replace('<', "&lt;")
        .replace('>', "&gt;")
        .replace('"', "&quot;")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn option(name: &str) -> Entry {
        Entry {
            name: name.into(),
            r#type: "string".into(),
            read_only: false,
            description: "What `a < b` means.\n\n- one\n- two".into(),
            declarations: vec!["modules/services/x.nix".into()],
            default: Some("\"<name>\"".into()),
            example: Some("{\n  a = 1;\n}".into()),
        }
    }

    #[test]
    fn every_option_is_on_the_page_with_all_there_is_to_know() {
        let page = page(vec![option("boot.of.<name>.x"), option("services.x.y")]);
        assert!(page.contains("2 options"), "{page}");
        for part in [
            "<article id=\"services.x.y\">",
            "<a href=\"#boot.of.&lt;name&gt;.x\">boot.of.&lt;name&gt;.x</a>",
            "<p>What <code>a &lt; b</code> means.</p>\n<ul><li>one</li><li>two</li></ul>",
            "<dt>Default</dt><dd><code>&quot;&lt;name&gt;&quot;</code></dd>",
            "<dt>Example</dt><dd><pre><code>{\n  a = 1;\n}</code></pre></dd>",
            "<dt>Declared in</dt><dd>modules/services/x.nix</dd>",
        ] {
            assert!(page.contains(part), "no {part} in {page}");
        }
        assert!(
            page.find("services.x.y") < page.find("boot.of"),
            "services come first"
        );
    }

    #[test]
    fn the_page_loads_nothing() {
        let page = page(Vec::new());
        for part in ["src=", "href=\"http", "url(", "@import", "fetch("] {
            assert!(!page.contains(part), "{part}");
        }
    }
}
