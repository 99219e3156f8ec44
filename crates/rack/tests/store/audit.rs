//! The audit log.

use rack::store::AuditQuery;
use testbed::Result;

use crate::support::{at, device, rack, refusal, story, who};

fn all() -> AuditQuery {
    AuditQuery {
        limit: 1000,
        ..AuditQuery::default()
    }
}

#[test]
fn each_change_is_in_the_log_with_what_was_before_and_after() -> Result<()> {
    story(async |db| {
        let made = db.rack("A", 4).await?;
        let kind = db.kind("One", 2).await?;
        let web = db.device("web1", &kind).await?;
        let changed = db
            .store
            .change_rack(&who(), made.id, 1, &rack("B", 4))
            .await?;
        let placed = db
            .store
            .place(&who(), web.id, 1, Some(at(made.id, 1)))
            .await?;
        db.store.delete_device(&who(), web.id, 2).await?;
        let log = db.store.audit(all()).await?;
        let told: Vec<_> = log
            .iter()
            .map(|entry| (entry.action.as_str(), entry.what.as_str(), entry.id_of))
            .collect();
        let (rack, kind, web) = (Some(made.id), Some(kind.id), Some(web.id));
        assert_eq!(
            told,
            [
                ("delete", "device", web),
                ("move", "device", web),
                ("change", "rack", rack),
                ("create", "device", web),
                ("create", "kind", kind),
                ("create", "rack", rack),
            ]
        );
        assert!(
            log.iter()
                .all(|entry| entry.who == "ann" && entry.request == "r1")
        );
        assert!(log.windows(2).all(|pair| pair[0].at_ms >= pair[1].at_ms));
        assert_eq!(log[2].before, Some(serde_json::to_value(&made)?));
        assert_eq!(log[2].after, Some(serde_json::to_value(&changed)?));
        assert_eq!(log[1].after, Some(serde_json::to_value(&placed)?));
        assert_eq!((&log[0].before, &log[0].after), (&log[1].after, &None));
        let of_rack = AuditQuery {
            what: Some("rack".into()),
            id_of: rack,
            ..all()
        };
        assert_eq!(
            db.store.audit(of_rack).await?,
            [log[2].clone(), log[5].clone()]
        );
        let older = AuditQuery {
            before: Some(log[2].id),
            limit: 2,
            ..all()
        };
        assert_eq!(db.store.audit(older).await?, log[3..5]);
        Ok(())
    })
}

#[test]
fn what_was_refused_is_not_in_the_log_and_old_entries_go() -> Result<()> {
    story(async |db| {
        let (made, kind) = (db.rack("A", 4).await?, db.kind("One", 2).await?);
        let place = Some(at(made.id, 5));
        refusal(
            db.store
                .create_device(&who(), &device("a", kind.id), place)
                .await,
        );
        refusal(
            db.store
                .change_rack(&who(), made.id, 9, &rack("B", 4))
                .await,
        );
        assert_eq!(db.store.audit(all()).await?.len(), 2);
        let client = db.client().await?;
        client
            .batch_execute("UPDATE audit SET at = now() - interval '31 days' WHERE what = 'rack'")
            .await?;
        assert_eq!(db.store.tidy(32).await?, 0);
        assert_eq!(db.store.tidy(30).await?, 1);
        assert_eq!(db.store.audit(all()).await?.len(), 1);
        Ok(())
    })
}
