//! Both give the same answers to the same requests: otherwise it would be nothing to compare how fast they are.

use std::net::SocketAddr;

use anyhow::{Context, Result, ensure};
use kit::testing::call;
use serde_json::{Value, json};

use crate::world::World;

/// Sums of floating-point numbers in another order may be different by so much of themselves.
const CLOSE: f64 = 1e-9;

/// Asks both, before and after changes that each of them makes; says how many answers were the same.
pub fn both(world: &World, planner: SocketAddr, fastapi: SocketAddr) -> Result<usize> {
    let [first, last] = [world.racks[0], *world.racks.last().context("no racks")?];
    let (mover, other) = (world.movers[0], world.movers[1]);
    let reads = [
        format!("/api/racks/{first}/plan"),
        format!("/api/racks/{last}/plan"),
        format!("/api/racks/{}/plan", world.untidy),
        format!("/api/devices?rack={first}&limit=10"),
        format!("/api/devices?rack={first}&limit=10&after={other}"),
        "/api/devices?q=team-3+production&limit=500".into(),
        "/api/devices?unplaced=true".into(),
        format!("/api/devices/{mover}"),
        "/api/search?q=maker+3".into(),
        "/api/search?q=hall+1&limit=7".into(),
        "/api/search?q=del%2012".into(),
        "/api/search?q=nothing+has+this".into(),
        "/api/search?q=SN-0010".into(),
    ];
    let token = world.authorization();
    let ask = |at, method: &str, path: &str, body: &Value| -> Result<(u16, Value)> {
        let headers = [
            ("authorization", token.as_str()),
            ("content-type", "application/json"),
        ];
        let body = match method {
            "GET" => String::new(),
            _ => body.to_string(),
        };
        let answer = call(at, method, path, &headers, &body);
        Ok((answer.status, serde_json::from_str(&answer.text)?))
    };
    let mut compared = 0;
    let mut agree = |method: &str, path: &str, body: &Value| -> Result<(u16, Value)> {
        let (ours, theirs) = (
            ask(planner, method, path, body)?,
            ask(fastapi, method, path, body)?,
        );
        ensure!(
            ours.0 == theirs.0,
            "{method} {path}: rack says {} {}, FastAPI says {} {}",
            ours.0,
            ours.1,
            theirs.0,
            theirs.1
        );
        if let Some(what) = difference(path, &ours.1, &theirs.1) {
            anyhow::bail!("{method} {what}");
        }
        compared += 1;
        Ok(ours)
    };
    // The second time from the cache.
    for path in reads.iter().chain(&reads) {
        let (status, answer) = agree("GET", path, &Value::Null)?;
        ensure!(status == 200, "{path}: {status} {answer}");
    }
    let (_, untidy) = agree("GET", &reads[2], &Value::Null)?;
    let conflicts = untidy["conflicts"].as_array().map_or(0, Vec::len);
    ensure!(conflicts >= 8, "only {conflicts} conflicts: {untidy}");

    // What does not fit is refused for the same reasons.
    let (_, device) = agree("GET", &format!("/api/devices/{mover}"), &Value::Null)?;
    let path = format!("/api/devices/{mover}/place");
    for change in [
        json!({ "bottom": 0 }),
        json!({ "bottom": 83 }),
        json!({ "left": 3 }),
        json!({ "bottom": 0, "face": "rear" }),
    ] {
        let mut place = device["place"].clone();
        kit::testing::merge(&mut place, change);
        let wish = json!({ "version": device["version"], "place": place });
        let (status, answer) = agree("PUT", &path, &wish)?;
        ensure!(status == 409, "{wish}: {status} {answer}");
    }

    // Each of them changes the device once; what comes back is the same but for the version, and both then tell the same of the rack.
    let mut fields = device.clone();
    let strange = ["id", "place"];
    for name in strange {
        fields.as_object_mut().context("not a device")?.remove(name);
    }
    fields["notes"] = "Changed by both".into();
    for (at, bottom) in [(planner, 70), (fastapi, 68)] {
        let (_, now) = ask(at, "GET", &format!("/api/devices/{mover}"), &Value::Null)?;
        let mut place = now["place"].clone();
        place["bottom"] = bottom.into();
        let wish = json!({ "version": now["version"], "place": place });
        let (status, moved) = ask(at, "PUT", &path, &wish)?;
        ensure!(status == 200 && moved["place"] == place, "{status} {moved}");
        fields["version"] = moved["version"].clone();
        let (status, changed) = ask(at, "PUT", &format!("/api/devices/{mover}"), &fields)?;
        ensure!(
            status == 200 && changed["notes"] == fields["notes"],
            "{status} {changed}"
        );
        // Neither knows of the other's changes in its own cache.
        world.forget_cached()?;
        for path in &reads {
            agree("GET", path, &Value::Null)?;
        }
        let (_, log) = ask(at, "GET", &format!("/api/devices/{mover}"), &Value::Null)?;
        ensure!(
            log["version"].as_i64() == now["version"].as_i64().map(|version| version + 2),
            "{log}"
        );
    }
    Ok(compared)
}

/// The first difference of two values, if there is one.
fn difference(path: &str, ours: &Value, theirs: &Value) -> Option<String> {
    match (ours, theirs) {
        (Value::Object(one), Value::Object(other)) => {
            let names = one.keys().chain(other.keys());
            names
                .map(|name| difference(&format!("{path} {name}"), &ours[name], &theirs[name]))
                .find_map(|found| found)
        }
        (Value::Array(one), Value::Array(other)) if one.len() == other.len() => {
            let pairs = one.iter().zip(other).enumerate();
            pairs
                .map(|(at, (one, other))| difference(&format!("{path} {at}"), one, other))
                .find_map(|found| found)
        }
        (Value::Number(one), Value::Number(other)) => {
            let (one, other) = (one.as_f64()?, other.as_f64()?);
            let is_close = (one - other).abs() <= CLOSE * one.abs().max(1.0);
            (!is_close).then(|| format!("{path}: {one} is not {other}"))
        }
        _ => (ours != theirs).then(|| format!("{path}: {ours} is not {theirs}")),
    }
}
