//! Without the cache the planner is slower and never wrong; without the database it tells what it knows, says so, and loses nothing
//! silently.

use kit::testing::eventually;
use serde_json::json;
use testbed::Result;

use crate::servers::{Caller, PASSWORD, World};

#[test]
fn without_the_database_reads_are_old_and_say_so_and_writes_are_refused() -> Result<()> {
    let world = World::alone()?;
    let ada = world.user("ada", "edit");
    let rack = json!({ "name": "R1", "units": 12 });
    let id = ada.post("/api/racks", &rack).expect(201).id();
    let path = format!("/api/racks/{id}/plan");
    ada.get(&path).expect(200);

    world.servers.kill_database()?;
    let refused = ada
        .post("/api/racks", &json!({ "name": "R2", "units": 12 }))
        .expect(503);
    assert!(refused.header("retry-after").is_some(), "{refused:?}");
    assert!(refused.json()["details"].is_string());
    world.until_ready_is(503);
    assert_eq!(world.planner.get("/health/live").status, 200);
    let old = ada.get(&path).expect(200);
    assert_eq!(old.json()["rack"]["name"], "R1");
    ada.get("/api/racks/999999/plan").expect(503);
    let login = json!({ "name": "admin", "password": PASSWORD });
    world.nobody().post("/api/session", &login).expect(503);

    world.servers.start_database()?;
    world.until_ready_is(200);
    let names = ada.get("/api/racks").expect(200).json();
    assert_eq!(names["items"].as_array().unwrap().len(), 1, "{names}");
    ada.post("/api/racks", &json!({ "name": "R2", "units": 12 }))
        .expect(201);
    Ok(())
}

#[test]
fn without_the_cache_everything_is_right() -> Result<()> {
    let world = World::alone()?;
    let ada = world.user("ada", "edit");
    let rack = json!({ "name": "R1", "units": 12 });
    let id = ada.post("/api/racks", &rack).expect(201).id();
    let path = format!("/api/racks/{id}/plan");
    ada.get(&path).expect(200);
    world.servers.kill_cache()?;
    for version in 1..=5 {
        let name = format!("R1 of version {version}");
        let change = json!({ "version": version, "name": name, "units": 12 });
        ada.put(&format!("/api/racks/{id}"), &change).expect(200);
        assert_eq!(ada.get(&path).expect(200).json()["rack"]["name"], name);
    }
    assert_eq!(world.planner.get("/health/ready").status, 200);
    Ok(())
}

#[test]
fn a_planner_that_starts_before_its_database_says_so_and_begins_when_it_comes() -> Result<()> {
    let world = World::alone()?;
    world.servers.kill_database()?;
    let folder = tempfile::tempdir()?;
    let early = world.another(folder.path());
    eventually("the early planner tells its state", || {
        let ready = early.get("/health/ready")?;
        (ready.json()["status"] == "failed").then_some(())
    });
    let login = json!({ "name": "admin", "password": PASSWORD });
    let caller = Caller::new(early.address);
    let refused = caller.post("/api/session", &login).expect(503).json();
    assert_eq!(refused["error"], "the database is not ready");
    world.servers.start_database()?;
    let early = early.ready();
    caller.post("/api/session", &login).expect(200);
    early.stop();
    Ok(())
}
