//! Kinds of devices.

use std::time::Instant;

use rack::library;
use rack::plan::model::KindFields;
use rack::store::{Error, Imported, KindQuery};
use testbed::{Result, figures};

use crate::support::{at, device, kind, refusal, story, who};

fn asked(q: &str) -> KindQuery {
    KindQuery {
        q: Some(q.into()),
        limit: 100,
        after: None,
    }
}

#[test]
fn a_kind_is_made_changed_and_deleted() -> Result<()> {
    story(async |db| {
        let made = db.kind("Server", 2).await?;
        assert_eq!((made.version, made.built_in), (1, false));
        let taken = refusal(db.store.create_kind(&who(), &kind("Server", 4)).await);
        assert_eq!(
            taken.to_string(),
            "there is already a kind named `Acme Server`"
        );
        let wish = KindFields {
            watts: 12.5,
            shelf: true,
            ..kind("Shelf", 3)
        };
        let changed = db.store.change_kind(&who(), made.id, 1, &wish).await?;
        assert_eq!((changed.version, &changed.fields), (2, &wish));
        assert_eq!(db.store.kind(made.id).await?, changed);
        let user = db.device("web1", &changed).await?;
        let used = refusal(db.store.delete_kind(&who(), made.id, 2).await);
        assert_eq!(
            used.to_string(),
            "the kind is still in use: devices of it: 1"
        );
        db.store.delete_device(&who(), user.id, 1).await?;
        let old = refusal(db.store.delete_kind(&who(), made.id, 1).await);
        assert!(matches!(old, Error::Changed { now: 2, .. }), "{old}");
        db.store.delete_kind(&who(), made.id, 2).await?;
        let gone = refusal(db.store.kind(made.id).await);
        assert!(matches!(gone, Error::Missing { what: "kind", .. }));
        Ok(())
    })
}

#[test]
fn those_that_came_with_the_planner_are_there_once_and_stay() -> Result<()> {
    story(async |db| {
        let query = KindQuery {
            limit: 1000,
            ..KindQuery::default()
        };
        let built_in = db.store.kinds(query.clone()).await?;
        assert_eq!(built_in.len(), library::built_in().len());
        db.store.migrate().await?;
        assert_eq!(db.store.kinds(query).await?, built_in);
        let first = &built_in[0];
        let store = &db.store;
        let kept = refusal(store.change_kind(&who(), first.id, 1, &kind("X", 2)).await);
        assert!(kept.to_string().contains("came with the planner"), "{kept}");
        let kept = refusal(store.delete_kind(&who(), first.id, 1).await);
        assert!(kept.to_string().contains("came with the planner"), "{kept}");
        let mut other = first.fields.clone();
        other.watts += 1.0;
        let imported = store.import_kinds(&who(), vec![other]).await?;
        assert_eq!(imported.kept, 1);
        assert_eq!(&store.kind(first.id).await?, first);
        Ok(())
    })
}

#[test]
fn a_kind_in_use_must_go_on_to_fit() -> Result<()> {
    story(async |db| {
        let (made, other) = (db.kind("Server", 2).await?, db.kind("Other", 2).await?);
        let rack = db.rack("R1", 12).await?;
        for (name, kind, unit) in [("web1", made.id, 1), ("web2", other.id, 2)] {
            let place = Some(at(rack.id, unit));
            db.store
                .create_device(&who(), &device(name, kind), place)
                .await?;
        }
        let higher = kind("Server", 4);
        let refused = refusal(db.store.change_kind(&who(), made.id, 1, &higher).await);
        assert!(matches!(refused, Error::Conflicts(_)), "{refused}");
        let refused = refusal(
            db.store
                .import_kinds(&who(), vec![kind("New", 2), higher])
                .await,
        );
        assert!(matches!(refused, Error::Conflicts(_)), "{refused}");
        assert_eq!(db.store.kind(made.id).await?, made);
        assert_eq!(db.store.kinds(asked("New")).await?, []);
        let lower = kind("Server", 1);
        db.store.change_kind(&who(), made.id, 1, &lower).await?;
        Ok(())
    })
}

#[test]
fn kinds_are_found_by_words_and_read_page_by_page() -> Result<()> {
    story(async |db| {
        for number in 0..25 {
            db.kind(&format!("Zeta-{number:02}"), 2).await?;
        }
        let (mut found, mut query) = (Vec::new(), asked("zeta acme"));
        query.limit = 10;
        loop {
            let page = db.store.kinds(query.clone()).await?;
            let Some(last) = page.last() else { break };
            query.after = Some(last.id);
            found.extend(page.into_iter().map(|kind| kind.fields.model));
        }
        let expected: Vec<String> = (0..25).map(|number| format!("Zeta-{number:02}")).collect();
        assert_eq!(found, expected);
        assert_eq!(db.store.kinds(asked("eta-1")).await?.len(), 10);
        assert_eq!(db.store.kinds(asked("zeta nothing")).await?, []);
        Ok(())
    })
}

#[test]
fn ten_thousand_kinds_are_imported_at_once_and_twice_is_once() -> Result<()> {
    story(async |db| {
        let mut kinds: Vec<KindFields> = (0..10_000)
            .map(|number| kind(&format!("Model {number}"), 1 + (number % 20) as u8))
            .collect();
        let began = Instant::now();
        let first = db.store.import_kinds(&who(), kinds.clone()).await?;
        let took = began.elapsed();
        let created = 10_000;
        assert_eq!(
            first,
            Imported {
                created,
                ..Imported::default()
            }
        );
        let before = db.count("SELECT count(*) FROM audit").await?;
        let began = Instant::now();
        let second = db.store.import_kinds(&who(), kinds.clone()).await?;
        let again = began.elapsed();
        assert_eq!(
            (second.same, second.created, second.changed),
            (10_000, 0, 0)
        );
        assert_eq!(db.count("SELECT count(*) FROM audit").await?, before);
        kinds[7].watts += 1.0;
        kinds.truncate(10);
        kinds.push(kinds[0].clone());
        let third = db.store.import_kinds(&who(), kinds.clone()).await?;
        assert_eq!((third.same, third.changed, third.created), (10, 1, 0));
        figures(format!(
            "10,000 kinds imported in {} ms; again, without a change, in {} ms",
            took.as_millis(),
            again.as_millis()
        ));
        Ok(())
    })
}

#[test]
fn an_import_with_a_mistake_changes_nothing() -> Result<()> {
    story(async |db| {
        let before = db.count("SELECT count(*) FROM kinds").await?;
        for (wrong, field, why) in [
            (kind("A", 201), "Acme A: halves", "between"),
            (kind("New", 4), "Acme New", "twice"),
        ] {
            let refused = refusal(
                db.store
                    .import_kinds(&who(), vec![kind("New", 2), wrong])
                    .await,
            );
            let text = refused.to_string();
            assert!(text.starts_with(field) && text.contains(why), "{text}");
        }
        assert_eq!(db.count("SELECT count(*) FROM kinds").await?, before);
        Ok(())
    })
}
