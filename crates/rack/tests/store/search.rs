//! Search.

use rack::plan::model::DeviceFields;
use rack::store::HitKind;
use testbed::Result;

use crate::support::{Db, at, device, story, who};

async fn names(db: &Db, q: &str) -> Result<Vec<String>> {
    let hits = db.store.search(q, 100).await?;
    Ok(hits.into_iter().map(|hit| hit.name).collect())
}

#[test]
fn everything_is_found_by_its_words() -> Result<()> {
    story(async |db| {
        let mut wish = crate::support::rack("Zürich 1", 42);
        wish.notes = "Stromzähler 4711, Schlüssel bei Jürgen".into();
        let rack = db.store.create_rack(&who(), &wish).await?;
        let kind = db.kind("DL380-G9", 4).await?;
        let wish = DeviceFields {
            notes: "Serial CZ-1234/B, bought 2019".into(),
            tags: vec!["backup".into()],
            ..device("zh1-db.example.org", kind.id)
        };
        db.store
            .create_device(&who(), &wish, Some(at(rack.id, 1)))
            .await?;
        let db1 = "zh1-db.example.org";
        for (q, expected) in [
            ("zürich", vec!["Zürich 1"]),
            ("ZÜR", vec!["Zürich 1"]),
            ("jürgen schlüssel", vec!["Zürich 1"]),
            ("4711", vec!["Zürich 1"]),
            ("cz-1234", vec![db1]),
            ("1234/b", vec![db1]),
            ("backup", vec![db1]),
            ("zh1 db", vec![db1]),
            ("dl380", vec!["Acme DL380-G9", db1]),
            ("acme server", vec!["Acme DL380-G9", db1]),
            // One word of its own, and one of its kind.
            ("dl380 backup", vec![db1]),
            // In the middle of a word, if no word begins so.
            ("xample", vec![db1]),
            ("380", vec!["Acme DL380-G9"]),
            ("nothing", vec![]),
            ("", vec![]),
            (" ", vec![]),
        ] {
            let mut found = names(&db, q).await?;
            found.sort();
            assert_eq!(found, expected, "{q}");
        }
        let hits = db.store.search("bought", 10).await?;
        let hit = &hits[0];
        assert_eq!(
            (hit.kind_of, hit.where_.as_str()),
            (HitKind::Device, "Zürich 1")
        );
        assert_eq!(
            hit.excerpt,
            "…DL380-G9 backup Serial CZ-1234/B, bought 2019"
        );
        Ok(())
    })
}

#[test]
fn a_question_is_never_a_command() -> Result<()> {
    story(async |db| {
        db.rack("100%", 42).await?;
        for q in [
            "'; DROP TABLE racks; --",
            "a & | ! ( ) :* <-> b",
            "\\",
            "%",
            "_",
            "\0",
            "'\"`$1",
            "::*",
            "-- -",
            "\u{202e}",
            &"x ".repeat(10_000),
            &"y".repeat(10_000),
            "𝔘𝔫𝔦 🦀",
        ] {
            db.store.search(q, 10).await?;
            let q = Some(q.to_owned());
            let query = rack::store::DeviceQuery {
                q: q.clone(),
                limit: 10,
                ..Default::default()
            };
            db.store.devices(query).await?;
            let query = rack::store::KindQuery {
                q,
                limit: 10,
                after: None,
            };
            db.store.kinds(query).await?;
        }
        assert_eq!(names(&db, "%").await?, ["100%"]);
        Ok(())
    })
}

#[test]
fn what_is_named_so_comes_first() -> Result<()> {
    story(async |db| {
        let kind = db.kind("One", 2).await?;
        for number in 0..50 {
            let fields = DeviceFields {
                notes: "web1 is its neighbour".into(),
                ..device(&format!("db{number}"), kind.id)
            };
            db.store.create_device(&who(), &fields, None).await?;
        }
        db.device("web10", &kind).await?;
        db.device("web1", &kind).await?;
        let found = db.store.search("web1", 5).await?;
        assert_eq!(found.len(), 5);
        assert_eq!(
            (found[0].name.as_str(), found[1].name.as_str()),
            ("web1", "web10")
        );
        Ok(())
    })
}
