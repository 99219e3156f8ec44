//! Users, sessions, tokens, logos and facts.

use std::sync::Arc;
use std::time::Duration;

use rack::store::{Error, Role};
use testbed::{Result, ensure};

use crate::support::{refusal, story, who};

#[test]
fn a_user_is_made_found_changed_and_deleted() -> Result<()> {
    story(async |db| {
        let store = &db.store;
        let root = store
            .create_user(&who(), "admin", Role::Admin, "hash1")
            .await?;
        let ann = store
            .create_user(&who(), "Änn", Role::View, "hash2")
            .await?;
        let found = store.user_by_name("äNN").await?;
        assert_eq!(found, Some((ann.clone(), "hash2".into())));
        assert_eq!(store.user_by_name("ann\0").await?, None);
        assert_eq!(store.password(ann.id).await?, "hash2");
        let taken = refusal(store.create_user(&who(), "ADMIN", Role::View, "x").await);
        assert!(matches!(taken, Error::Taken { .. }), "{taken}");
        for name in ["", " ann", "a\nb"] {
            let invalid = refusal(store.create_user(&who(), name, Role::View, "x").await);
            assert!(matches!(invalid, Error::Invalid { .. }), "{invalid}");
        }
        let changed = store
            .change_user(&who(), ann.id, 1, "Änn", Role::Edit, None)
            .await?;
        assert_eq!((changed.version, changed.role), (2, Role::Edit));
        assert_eq!(store.password(ann.id).await?, "hash2");
        let old = refusal(
            store
                .change_user(&who(), ann.id, 1, "Änn", Role::Edit, None)
                .await,
        );
        assert!(matches!(old, Error::Changed { now: 2, .. }), "{old}");
        assert_eq!(store.users().await?, [root, changed]);
        store.delete_user(&who(), ann.id, 2).await?;
        assert_eq!(store.user_by_name("Änn").await?, None);
        let log = "SELECT count(*) FROM audit WHERE before::text || after::text LIKE '%hash%'";
        assert_eq!(db.count(log).await?, 0);
        Ok(())
    })
}

#[test]
fn the_last_administrator_stays_one() -> Result<()> {
    story(async |db| {
        let store = &db.store;
        let root = store.create_user(&who(), "root", Role::Admin, "x").await?;
        let last = refusal(store.delete_user(&who(), root.id, 1).await);
        assert_eq!(
            last.to_string(),
            "the user is still in use: nobody else is an administrator"
        );
        let last = refusal(
            store
                .change_user(&who(), root.id, 1, "root", Role::Edit, None)
                .await,
        );
        assert!(matches!(last, Error::InUse { .. }), "{last}");
        // Two who remove each other at once.
        let db = Arc::new(db);
        for _ in 0..10 {
            let other = db
                .store
                .create_user(&who(), "other", Role::Admin, "x")
                .await?;
            let root = db.store.user_by_name("root").await?;
            let ids = [Some(other), root.map(|(user, _)| user)];
            let removed = ids.into_iter().flatten().map(|user| {
                let db = db.clone();
                tokio::spawn(
                    async move { db.store.delete_user(&who(), user.id, user.version).await },
                )
            });
            let mut gone = 0;
            for outcome in removed.collect::<Vec<_>>() {
                match outcome.await? {
                    Ok(()) => gone += 1,
                    Err(Error::InUse { .. }) => {}
                    Err(error) => testbed::bail!(error),
                }
            }
            let left = db.store.users().await?;
            ensure!(
                gone == 1 && left.len() == 1,
                "{gone} are gone, {left:?} are left"
            );
            let left = &left[0];
            db.store
                .change_user(&who(), left.id, left.version, "root", Role::Admin, None)
                .await?;
        }
        Ok(())
    })
}

#[test]
fn sessions_end_in_time_and_with_the_password() -> Result<()> {
    story(async |db| {
        let store = &db.store;
        let root = store.create_user(&who(), "root", Role::Admin, "x").await?;
        let (one, other, over) = ([1; 32], [2; 32], [3; 32]);
        let day = Duration::from_secs(86_400);
        let ends = store.create_session(root.id, &one, day).await?;
        store.create_session(root.id, &other, day).await?;
        store.create_session(root.id, &over, Duration::ZERO).await?;
        let session = store.session(&one).await?;
        let session = session.ok_or_else(|| testbed::Error::msg("no session"))?;
        assert_eq!((&session.user, session.expires_at_ms), (&root, ends));
        assert_eq!(store.session(&over).await?, None);
        assert_eq!(store.session(&[9; 32]).await?, None);
        store.tidy(365).await?;
        assert_eq!(db.count("SELECT count(*) FROM sessions").await?, 2);
        store.delete_session(&other).await?;
        assert_eq!(store.session(&other).await?, None);
        store
            .change_user(&who(), root.id, 1, "root", Role::Admin, None)
            .await?;
        assert!(store.session(&one).await?.is_some());
        store
            .change_user(&who(), root.id, 2, "root", Role::Admin, Some("y"))
            .await?;
        assert_eq!(store.session(&one).await?, None);
        let missing = refusal(store.create_session(999, &one, day).await);
        assert_eq!(missing.to_string(), "there is no user 999");
        Ok(())
    })
}

#[test]
fn a_token_may_never_do_more_than_its_user() -> Result<()> {
    story(async |db| {
        let store = &db.store;
        store.create_user(&who(), "root", Role::Admin, "x").await?;
        let ann = store.create_user(&who(), "ann", Role::Edit, "x").await?;
        let hash = [7; 32];
        let token = store
            .create_token(&who(), ann.id, "script", Role::Edit, &hash)
            .await?;
        assert_eq!(
            (token.user, token.user_name.as_str(), token.role),
            (ann.id, "ann", Role::Edit)
        );
        let taken = refusal(
            store
                .create_token(&who(), ann.id, "script", Role::View, &[8; 32])
                .await,
        );
        assert_eq!(taken.to_string(), "there is already a token named `script`");
        let bearer = store.token(&hash).await?;
        assert_eq!(
            bearer.map(|bearer| (bearer.user, bearer.role)),
            Some((ann.clone(), Role::Edit))
        );
        let ann = store
            .change_user(&who(), ann.id, 1, "ann", Role::View, None)
            .await?;
        let bearer = store.token(&hash).await?;
        assert_eq!(bearer.map(|bearer| bearer.role), Some(Role::View));
        assert_eq!(store.tokens().await?[0].role, Role::View);
        let second = store
            .create_token(&who(), ann.id, "second", Role::Admin, &[9; 32])
            .await?;
        store.delete_token(&who(), second.id).await?;
        let gone = refusal(store.delete_token(&who(), second.id).await);
        assert!(
            matches!(gone, Error::Missing { what: "token", .. }),
            "{gone}"
        );
        store.delete_user(&who(), ann.id, 2).await?;
        assert_eq!(store.token(&hash).await?, None);
        assert_eq!(store.tokens().await?, []);
        let missing = refusal(
            store
                .create_token(&who(), 999, "a", Role::View, &hash)
                .await,
        );
        assert_eq!(missing.to_string(), "there is no user 999");
        Ok(())
    })
}

#[test]
fn a_logo_is_set_replaced_and_deleted() -> Result<()> {
    story(async |db| {
        let store = &db.store;
        assert_eq!(store.logo("Acme").await?, None);
        let set = store.set_logo(&who(), "Acme", b"one", (64, 32)).await?;
        assert_eq!((set.version, set.width, set.height), (1, 64, 32));
        let set = store.set_logo(&who(), "ACME", b"two", (32, 32)).await?;
        assert_eq!((set.version, set.manufacturer.as_str()), (2, "ACME"));
        let found = store.logo("acme ").await?;
        assert_eq!(
            found.map(|logo| (logo.version, logo.png)),
            Some((2, b"two".to_vec()))
        );
        assert_eq!(store.logos().await?, [set]);
        assert!(store.delete_logo(&who(), "Acme").await?);
        assert!(!store.delete_logo(&who(), "Acme").await?);
        let log = "SELECT string_agg(action, ' ' ORDER BY id) = 'create change delete' FROM audit WHERE what = 'logo'";
        let row = db.client().await?.query_one(log, &[]).await?;
        assert!(row.try_get::<_, bool>(0)?);
        Ok(())
    })
}

#[test]
fn a_fact_is_what_was_said_last() -> Result<()> {
    story(async |db| {
        assert_eq!(db.store.fact("a").await?, None);
        db.store.set_fact("a", "1").await?;
        db.store.set_fact("a", "2").await?;
        assert_eq!(db.store.fact("a").await?.as_deref(), Some("2"));
        Ok(())
    })
}
