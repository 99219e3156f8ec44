//! Search in everything that people wrote.
//!
//! A question is a few words; found is what has all of them, or words that begin with them, in any order. The database keeps the words
//! of each thing in an index. Only if nothing is found that way, names are looked through for the text as it is.

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::error::{Attempt, Error};
use super::rows::Columns;
use super::{Store, again, limited};
use crate::plan::model::Id;

/// The longest question, in characters; the rest is not looked for.
const LONGEST: usize = 200;
/// How much of a text is shown around what was found in it, in characters.
const EXCERPT: usize = 120;

/// Something that was found.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, ToSchema)]
pub struct Hit {
    /// What it is.
    pub kind_of: HitKind,
    /// Its number.
    pub id: Id,
    /// Its name.
    pub name: String,
    /// Where it is: the location of a rack, the rack of a device, the category of a kind.
    #[serde(rename = "where")]
    pub where_: String,
    /// The part of its text that has the first of the words.
    pub excerpt: String,
}

/// What was found.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "kebab-case")]
#[allow(missing_docs, reason = "the names say it")]
pub enum HitKind {
    Rack,
    Device,
    Kind,
}

/// A question, as statements want it.
pub(super) struct Question {
    /// The text, which the database cuts into words.
    pub(super) words: String,
    /// The text as a pattern for what contains it.
    pub(super) like: String,
}

impl Question {
    pub(super) fn new(text: &str) -> Self {
        // The database's texts cannot have NUL.
        let text = text.trim().chars().filter(|c| *c != '\0').take(LONGEST);
        let words: String = text.collect();
        let mut like = String::from("%");
        for c in words.chars() {
            if matches!(c, '%' | '_' | '\\') {
                like.push('\\');
            }
            like.push(c);
        }
        like.push('%');
        Question { words, like }
    }
}

/// What is found by words, through the indexes. Of more than 2,000 things of one sort, which a word such as `server` may be in, any 2,000
/// are considered: nobody looks through them, and to rank tens of thousands would take a second.
const BY_WORDS: &str = "
    WITH q AS MATERIALIZED (SELECT rack_question($1) AS words),
    k AS MATERIALIZED (SELECT k.* FROM kinds k, q WHERE k.search @@ q.words LIMIT 2000),
    found AS (
        (SELECT 'rack' AS what, r.id, r.name, ts_rank(r.search, q.words) AS rank FROM racks r, q WHERE r.search @@ q.words LIMIT 2000)
        UNION ALL
        SELECT 'kind', k.id, k.manufacturer || ' ' || k.model, ts_rank(k.search, q.words) FROM k, q
        UNION ALL
        (SELECT 'device', d.id, d.name, ts_rank(d.search, q.words) FROM q, devices d WHERE d.search @@ q.words LIMIT 2000)
        UNION ALL
        (SELECT 'device', d.id, d.name, ts_rank(k.search, q.words) / 2 FROM q, k, devices d
        WHERE d.kind = k.id AND NOT d.search @@ q.words LIMIT 2000)
    ),
    best AS (SELECT *, lower(name) = lower($1) AS is_it FROM found ORDER BY is_it DESC, rank DESC, name, what, id LIMIT $2)
    SELECT b.what, b.id, b.name,
        CASE b.what WHEN 'rack' THEN r.location WHEN 'kind' THEN k.category ELSE coalesce(i.name, '') END,
        CASE b.what WHEN 'rack' THEN r.notes WHEN 'kind' THEN ''
            ELSE concat_ws(' ', k.manufacturer, k.model, rack_joined(d.tags), d.notes) END
    FROM best b
    LEFT JOIN racks r ON b.what = 'rack' AND r.id = b.id
    LEFT JOIN devices d ON b.what = 'device' AND d.id = b.id
    LEFT JOIN kinds k ON k.id = CASE b.what WHEN 'kind' THEN b.id WHEN 'device' THEN d.kind END
    LEFT JOIN racks i ON i.id = d.rack
    ORDER BY b.is_it DESC, b.rank DESC, b.name, b.what, b.id";

/// What has the text anywhere in its name, or some words in its own text and the others in that of its kind.
const BY_NAME: &str = "
    WITH q AS MATERIALIZED (SELECT rack_question($1) AS words),
    found AS (
        SELECT 'rack' AS what, r.id, r.name, r.location AS place, r.notes AS text FROM racks r WHERE r.name ILIKE $2
        UNION ALL
        SELECT 'kind', k.id, k.manufacturer || ' ' || k.model, k.category, '' FROM kinds k
        WHERE k.manufacturer || ' ' || k.model ILIKE $2
        UNION ALL
        SELECT 'device', d.id, d.name, coalesce(r.name, ''), concat_ws(' ', k.manufacturer, k.model, rack_joined(d.tags), d.notes)
        FROM q, devices d JOIN kinds k ON k.id = d.kind LEFT JOIN racks r ON r.id = d.rack
        WHERE d.name ILIKE $2 OR (numnode(q.words) > 1 AND (d.search || k.search) @@ q.words)
    )
    SELECT what, id, name, place, text FROM found ORDER BY name, what, id LIMIT $3";

impl Store {
    /// What has these words, the best first; nothing if there are none.
    ///
    /// # Errors
    /// [`Error::Gone`] or [`Error::Busy`].
    pub async fn search(&self, q: &str, limit: usize) -> Result<Vec<Hit>, Error> {
        let question = Question::new(q);
        if question.words.is_empty() {
            return Ok(Vec::new());
        }
        let limit = limited(limit);
        again(|| async {
            let session = self.connections.session().await?;
            let Question { words, like } = &question;
            let mut rows = session.rows(BY_WORDS, &[words, &limit]).await?;
            if rows.is_empty() {
                rows = session.rows(BY_NAME, &[words, like, &limit]).await?;
            }
            rows.iter().map(|row| hit(row, words)).collect()
        })
        .await
    }
}

fn hit(row: &tokio_postgres::Row, words: &str) -> Attempt<Hit> {
    let mut columns = Columns::of(row);
    Ok(Hit {
        kind_of: columns.word()?,
        id: columns.next()?,
        name: columns.next()?,
        where_: columns.next()?,
        excerpt: excerpt(columns.next()?, words),
    })
}

/// The part of `text` around the first place where one of the words begins, or its beginning.
fn excerpt(text: &str, words: &str) -> String {
    let lower = |text: &str| {
        text.chars()
            .flat_map(char::to_lowercase)
            .collect::<String>()
    };
    let words: Vec<String> = words
        .split(|c: char| !c.is_alphanumeric())
        .filter(|word| !word.is_empty())
        .map(lower)
        .collect();
    let text: Vec<&str> = text.split_whitespace().collect();
    let begins = |shown: &&str| {
        let shown = lower(shown);
        let mut parts = shown.split(|c: char| !c.is_alphanumeric());
        parts.any(|part| words.iter().any(|word| part.starts_with(word.as_str())))
    };
    // A few words before it say what it is about.
    let first = text.iter().position(begins).unwrap_or(0).saturating_sub(4);
    let mut excerpt = String::from(if first > 0 { "…" } else { "" });
    let shown = text.get(first..).unwrap_or_default().join(" ");
    excerpt.extend(shown.chars().take(EXCERPT));
    if shown.chars().nth(EXCERPT).is_some() {
        excerpt.push('…');
    }
    excerpt
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_excerpt_is_around_the_first_word_that_was_asked_for() {
        let text = "Bought in 2019 from the shop at the corner, serial SN-4711, owner Jürgen";
        for (words, expected) in [
            ("sn", "…at the corner, serial SN-4711, owner Jürgen"),
            ("4711 x", "…at the corner, serial SN-4711, owner Jürgen"),
            ("JÜRG", "…corner, serial SN-4711, owner Jürgen"),
            ("bought", text),
            ("nowhere", text),
            ("", text),
        ] {
            assert_eq!(excerpt(text, words), expected, "{words}");
        }
        assert_eq!(excerpt("", "x"), "");
        let long = excerpt(&"ö".repeat(500), "x");
        assert_eq!(long.chars().count(), EXCERPT + 1);
    }

    #[test]
    fn signs_with_a_meaning_in_patterns_mean_themselves() {
        let question = Question::new(" 100%_\\\0 ");
        assert_eq!(question.words, "100%_\\");
        assert_eq!(question.like, r"%100\%\_\\%");
        assert_eq!(Question::new(&"x".repeat(9000)).words.len(), LONGEST);
    }
}
