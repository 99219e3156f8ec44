//! Schemathesis makes requests of the description of the API, right and wrong ones, and finds no fault with the answers.

use std::process::Command;

use serde_json::json;
use testbed::{Result, ensure, figures};

use crate::servers::World;

/// The program of Schemathesis 4.
const PROGRAM: &str = "SCHEMATHESIS";
/// How it is told what the description cannot say.
const SETTINGS: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/http/schemathesis.toml");

#[test]
#[ignore = "takes some minutes: SCHEMATHESIS names the program `st` of Schemathesis 4"]
fn schemathesis_finds_no_fault() -> Result<()> {
    let program = std::env::var(PROGRAM)?;
    let world = World::with(json!({ "limits": { "requests_per_minute": 0 } }))?;
    let token = json!({ "name": "fuzz", "role": "admin" });
    let token = world
        .user("fuzz", "admin")
        .post("/api/tokens", &token)
        .expect(201)
        .json();
    let header = format!(
        "Authorization: Bearer {}",
        token["token"].as_str().unwrap_or_default()
    );
    let address = world.planner.address;
    // It keeps what it has found where it runs.
    let folder = tempfile::tempdir()?;
    let run = Command::new(program)
        .current_dir(folder.path())
        .args(["--config-file", SETTINGS, "--no-color", "run"])
        .arg(format!("http://{address}/api/openapi.json"))
        .args(["--header", &header, "--max-examples", "30"])
        .args(["--continue-on-failure", "--generation-database", "none"])
        .output()?;
    let said = String::from_utf8_lossy(&run.stdout);
    ensure!(run.status.success(), "{said}");
    let last = said
        .lines()
        .rev()
        .find(|line| line.contains("generated"))
        .unwrap_or_default();
    figures(format!("Schemathesis: {}", last.trim()));
    // It was there until the end.
    world.admin().get("/api/racks").expect(200);
    Ok(())
}
