//! Counts the rings of a bell. A bell posts to `/ring`; a page and a metric show how often it has rung.

use std::process::ExitCode;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use axum::Router;
use axum::extract::State;
use axum::response::Html;
use axum::routing::{get, post};
use kit::api::Problem;
use kit::database::{Database, Schema};
use kit::{Actor, CommandLine, Component, Configuration, HttpSettings, Kit, Worker};
use serde::Deserialize;

const FILE: &str = "rings.db";
const COUNT: &str = "SELECT count(*) FROM rings";
const SCHEMA: Schema = Schema {
    name: "rings",
    application: i32::from_be_bytes(*b"RING"),
    version: 1,
    tables: "CREATE TABLE rings (at_ms INTEGER NOT NULL);",
    counted: "rings",
};

/// What config.json says, which the module writes.
#[derive(Debug, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
struct Config {
    http: HttpSettings,
}

impl Configuration for Config {
    fn http(&self) -> &HttpSettings {
        &self.http
    }
}

/// Owns the file, on a thread of its own.
struct Keeper {
    database: Database,
    count: Arc<AtomicU64>,
    component: Component,
}

impl Keeper {
    /// Returns once the ring is on the card.
    fn ring(&mut self) -> anyhow::Result<u64> {
        let rings = &self.database;
        let added = rings.execute("INSERT INTO rings VALUES (?1)", [kit::clock::now_ms()]);
        match added.and_then(|_| rings.query_row(COUNT, [], |row| row.get(0))) {
            Ok(count) => {
                self.component.ok();
                self.count.store(count, Ordering::Relaxed);
                Ok(count)
            }
            Err(error) => {
                self.component.degraded(format!("cannot write: {error}"));
                Err(error.into())
            }
        }
    }
}

impl Actor for Keeper {
    fn stop(self) -> anyhow::Result<()> {
        self.database.close();
        Ok(())
    }
}

async fn ring(State(keeper): State<Worker<Keeper>>) -> Result<String, Problem> {
    let rung = keeper.ask(Keeper::ring).await;
    match rung.map_err(Into::into).flatten() {
        Ok(count) => Ok(format!("{count}\n")),
        Err(error) => Err(Problem::unavailable("not counted", &error)),
    }
}

fn page(count: u64) -> Html<String> {
    Html(format!("<!doctype html><p>It has rung {count} times.</p>"))
}

async fn run(_config: Config, kit: Kit) -> anyhow::Result<()> {
    let directory = kit::state_directory().unwrap_or_else(|| ".".into());
    let (database, _aside) = SCHEMA.open_or_set_aside(&directory.join(FILE), false)?;
    let rung = database.query_row(COUNT, [], |row| row.get(0))?;
    let count = Arc::new(AtomicU64::new(rung));
    let keeper = kit.worker("rings", Duration::from_secs(30), |component| Keeper {
        database,
        count: count.clone(),
        component,
    })?;
    let shown = count.clone();
    let routes = Router::new()
        .route("/", get(async move || page(shown.load(Ordering::Relaxed))))
        .route("/ring", post(ring))
        .with_state(keeper);
    kit.register_metrics(move |table| {
        kit::metrics! { table;
            counter "rings", "How often the bell has rung" => count.load(Ordering::Relaxed);
        }
    });
    kit.serve(routes).await
}

fn main() -> ExitCode {
    let state = kit::State {
        what: "the rings",
        directory: "/var/lib/rings",
        file: FILE,
        back_up: |from, to| Ok(format!("{} rings", SCHEMA.back_up(from, to)?)),
        restore: |from, to| Ok(format!("{} rings", SCHEMA.restore(from, to, |_| Ok(()))?)),
    };
    CommandLine::new(kit::service!("rings"), "Counts the rings of a bell", run)
        .state(state)
        .main()
}
