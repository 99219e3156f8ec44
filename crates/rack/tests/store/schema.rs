//! The schema: made once, whoever makes it, and never taken back.

use rack::config::DatabaseSettings;
use rack::store::{Error, SCHEMA, Store};
use testbed::{Result, ensure};

use crate::support::{bare, refusal, story};

#[test]
fn several_processes_may_start_on_one_empty_database() -> Result<()> {
    bare(async |db| {
        ensure!(db.store.schema().await? == 0);
        let stores = (0..6).map(|_| Store::open(&db.settings, None));
        let stores = stores.collect::<Result<Vec<_>, _>>()?;
        let starts = stores.into_iter().map(|store| {
            tokio::spawn(async move {
                store.migrate().await?;
                store.racks().await
            })
        });
        for start in starts.collect::<Vec<_>>() {
            ensure!(start.await??.is_empty());
        }
        ensure!(db.store.schema().await? == SCHEMA);
        ensure!(db.count("SELECT count(*) FROM rack_schema").await? == 1);
        Ok(())
    })
}

#[test]
fn who_changes_the_schema_may_take_longer_than_who_asks() -> Result<()> {
    bare(async |db| {
        let settings = DatabaseSettings {
            statement_seconds: 1,
            ..db.settings.clone()
        };
        let mut blocker = db.client().await?;
        let held = blocker.transaction().await?;
        // The lock that another process has while it changes the schema.
        held.batch_execute("SELECT pg_advisory_xact_lock(1918985067)")
            .await?;
        let store = Store::open(&settings, None)?;
        let started = tokio::spawn(async move { store.migrate().await });
        let waits = "SELECT count(*) FROM pg_stat_activity WHERE wait_event = 'advisory' AND datname = current_database() \
                     AND clock_timestamp() - query_start > interval '1.5 s'";
        db.wait_for(waits, 1).await?;
        held.rollback().await?;
        started.await??;
        Ok(())
    })
}

#[test]
fn a_database_of_a_newer_schema_is_left_alone() -> Result<()> {
    story(async |db| {
        let newer = format!("UPDATE rack_schema SET version = {}", SCHEMA + 1);
        db.client().await?.batch_execute(&newer).await?;
        let refused = refusal(db.store.migrate().await);
        let Error::Newer { found, known } = refused else {
            testbed::bail!(refused);
        };
        ensure!((found, known) == (SCHEMA + 1, SCHEMA));
        ensure!(db.store.schema().await? == SCHEMA + 1);
        Ok(())
    })
}

#[test]
fn what_is_cut_short_has_changed_nothing() -> Result<()> {
    bare(async |db| {
        // A table of this name, which somebody else has made, is in the way of the last statements.
        let client = db.client().await?;
        client.batch_execute("CREATE TABLE facts ()").await?;
        let refused = refusal(db.store.migrate().await);
        ensure!(matches!(refused, Error::Fault(_)), "{refused}");
        let tables = "SELECT count(*) FROM pg_tables WHERE schemaname = 'public'";
        ensure!(db.count(tables).await? == 1);
        client.batch_execute("DROP TABLE facts").await?;
        db.store.migrate().await?;
        Ok(())
    })
}
