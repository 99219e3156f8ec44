//! A planner in memory: the API as the page knows it, with the real checks and the real heat, and with somebody else's hand in it.
//!
//! It has no database, so that the page's stories need none: what the real API does with one is told by that API's own tests.

use std::collections::BTreeMap;
use std::sync::{Arc, Condvar, Mutex, MutexGuard};

use axum::Router;
use axum::body::{Body, Bytes};
use axum::extract::{Path, State};
use axum::http::{HeaderMap, Method, Response, StatusCode, Uri};
use axum::routing::any;
use kit::Kit;
use kit::testing::{Bare, Running};
use rack::plan::model::{DeviceFields, Id, Kind, KindFields, Place, RackFields, Version};
use serde::de::DeserializeOwned;
use serde_json::{Value, json};

use crate::world::{Answer, Database, Told, World, changed, missing};

/// The password of every user.
pub const PASSWORD: &str = "correct horse";
const CSRF: &str = "only the page knows";

/// A planner that answers, on a port of its own.
pub struct Planner {
    running: Running,
    shared: Arc<Shared>,
}

struct Shared {
    world: Mutex<World>,
    released: Condvar,
}

impl Planner {
    /// One with nothing but the kinds that are built in.
    pub fn start() -> Self {
        let kinds = rack::library::built_in().iter().zip(1..);
        let kinds = kinds.map(|(fields, id)| {
            let fields = fields.clone();
            let kind = Kind {
                id,
                version: 1,
                built_in: true,
                fields,
            };
            (id, kind)
        });
        let world = World {
            racks: BTreeMap::new(),
            kinds: kinds.collect(),
            devices: BTreeMap::new(),
            database: Database::There,
            role: None,
            holds: false,
            changes: Vec::new(),
            log: Vec::new(),
            proposal: Vec::new(),
            next: 1000,
        };
        let shared = Arc::new(Shared {
            world: Mutex::new(world),
            released: Condvar::new(),
        });
        let served = shared.clone();
        let run = async move |_: Bare, kit: Kit| {
            let routes = Router::new()
                .route("/api/{*rest}", any(answer))
                .with_state(served)
                .merge(rack::page::files());
            kit.serve(routes).await
        };
        let running = Running::start("rack", Bare::default(), None, run);
        Planner { running, shared }
    }

    /// The address of the page.
    pub fn url(&self) -> String {
        format!("http://{}/", self.running.address)
    }

    /// What it has, to look at and to change behind the page's back.
    pub fn world(&self) -> MutexGuard<'_, World> {
        self.shared.world.lock().unwrap()
    }

    /// Answers the changes that were held.
    pub fn release(&self) {
        self.world().holds = false;
        self.shared.released.notify_all();
    }
}

fn invalid(field: &str, details: String) -> Told {
    (
        StatusCode::UNPROCESSABLE_ENTITY,
        json!({ "error": "invalid", "field": field, "details": details }),
    )
}

fn list(items: impl Iterator<Item = Value>) -> Answer {
    Ok((
        StatusCode::OK,
        json!({ "items": items.collect::<Vec<_>>(), "next": null }),
    ))
}

/// What a body says apart from its version.
fn fields<T: DeserializeOwned>(body: &Value, without: &[&str]) -> Result<T, Told> {
    let mut body = body.clone();
    let object = body
        .as_object_mut()
        .ok_or_else(|| invalid("", "no object".into()))?;
    for name in without {
        object.remove(*name);
    }
    serde_json::from_value(body).map_err(|error| invalid("", error.to_string()))
}

fn number(text: &str) -> Result<Id, Told> {
    text.parse().map_err(|_| missing())
}

async fn answer(
    State(shared): State<Arc<Shared>>,
    Path(path): Path<String>,
    method: Method,
    uri: Uri,
    headers: HeaderMap,
    body: Bytes,
) -> Response<Body> {
    let query: BTreeMap<String, String> =
        url::form_urlencoded::parse(uri.query().unwrap_or_default().as_bytes())
            .into_owned()
            .collect();
    let body = serde_json::from_slice(&body).unwrap_or(Value::Null);
    let shows = headers
        .get("X-CSRF-Token")
        .is_some_and(|token| token == CSRF);
    let answered = tokio::task::spawn_blocking(move || {
        let mut world = shared.world.lock().unwrap();
        if method != Method::GET && path != "session" {
            world.changes.push(format!("{method} {path}"));
            world = shared
                .released
                .wait_while(world, |world| world.holds)
                .unwrap();
        }
        let parts: Vec<&str> = path.split('/').collect();
        let stale = world.database == Database::Kept && method == Method::GET;
        let answer = if world.database == Database::There || stale {
            respond(&mut world, &method, &parts, &query, &body, shows)
        } else {
            let error =
                json!({ "error": "the database does not answer", "details": "connection refused" });
            Err((StatusCode::SERVICE_UNAVAILABLE, error))
        };
        (answer.unwrap_or_else(|refused| refused), stale)
    });
    let ((status, body), stale) = answered.await.unwrap();
    let text = if status == StatusCode::NO_CONTENT {
        String::new()
    } else {
        body.to_string()
    };
    let response = Response::builder()
        .status(status)
        .header("Content-Type", "application/json");
    let response = if stale {
        response.header("X-Cache", "stale")
    } else {
        response
    };
    response.body(text.into()).unwrap()
}

fn respond(
    world: &mut World,
    method: &Method,
    parts: &[&str],
    query: &BTreeMap<String, String>,
    body: &Value,
    shows: bool,
) -> Answer {
    let ok = |value: Value| Ok((StatusCode::OK, value));
    let version = |known: Version| {
        let sent = query
            .get("version")
            .and_then(|text| text.parse().ok())
            .or(body["version"].as_i64());
        if sent == Some(known) {
            Ok(())
        } else {
            Err(changed(known))
        }
    };
    let session = |role: &str| json!({ "user": { "id": 1, "version": 1, "name": "ada", "role": role }, "role": role, "csrf": CSRF });
    if let ("POST", ["session"]) = (method.as_str(), parts) {
        if body["password"] != PASSWORD {
            return Err((
                StatusCode::UNAUTHORIZED,
                json!({ "error": "not logged in", "details": "wrong" }),
            ));
        }
        let role = *world.role.insert(match body["name"].as_str() {
            Some("eve") => "view",
            Some("ed") => "edit",
            _ => "admin",
        });
        return ok(session(role));
    }
    let Some(role) = world.role else {
        return Err((
            StatusCode::UNAUTHORIZED,
            json!({ "error": "not logged in" }),
        ));
    };
    if let ("DELETE", ["session"]) = (method.as_str(), parts) {
        world.role = None;
        return Ok((StatusCode::NO_CONTENT, Value::Null));
    }
    if method != Method::GET && (role == "view" || !shows) {
        return Err((
            StatusCode::FORBIDDEN,
            json!({ "error": "not permitted", "details": "you may only look" }),
        ));
    }
    match (method.as_str(), parts) {
        ("GET", ["session"]) => ok(session(role)),
        ("GET", ["racks"]) => list(world.racks.values().map(|rack| json!(rack))),
        ("POST", ["racks"]) => {
            let fields: RackFields = fields(body, &[])?;
            rack::library::limits::check_rack(&fields).map_err(|(name, why)| invalid(name, why))?;
            let made = json!(world.add_rack(fields));
            world.log("create", "rack", Value::Null, made.clone());
            Ok((StatusCode::CREATED, made))
        }
        ("PUT", ["racks", id]) => {
            let rack = world.racks.get_mut(&number(id)?).ok_or_else(missing)?;
            version(rack.version)?;
            rack.fields = fields(body, &["version"])?;
            rack.version += 1;
            ok(json!(rack))
        }
        ("DELETE", ["racks", id]) => {
            let removed = world.racks.remove(&number(id)?).ok_or_else(missing)?;
            world.log("delete", "rack", json!(removed), Value::Null);
            Ok((StatusCode::NO_CONTENT, Value::Null))
        }
        ("GET", ["racks", id, "plan"]) => world.plan(number(id)?),
        ("POST", ["racks", _, "optimise"]) => {
            let moves = world.proposal.iter().map(|(id, place)| json!({ "device": id, "version": world.devices[id].version, "place": place }));
            ok(
                json!({ "moves": moves.collect::<Vec<_>>(), "before": { "total": 9500, "low": 4000, "heat": 500, "gaps": 5000, "moves": 0 }, "after": { "total": 4250, "low": 2000, "heat": 250, "gaps": 0, "moves": 2000 }, "exhausted": true }),
            )
        }
        ("GET", ["devices"]) => {
            let placed = query.get("unplaced").is_none();
            list(
                world
                    .devices
                    .values()
                    .filter(|device| placed || device.place.is_none())
                    .map(|device| json!(device)),
            )
        }
        ("POST", ["devices"]) => {
            let place: Option<Place> = serde_json::from_value(body["place"].clone()).unwrap();
            let fields: DeviceFields = fields(body, &["place"])?;
            rack::library::limits::check_device(&fields)
                .map_err(|(name, why)| invalid(name, why))?;
            let made = json!(world.add_device(fields, place));
            world.log("create", "device", Value::Null, made.clone());
            Ok((StatusCode::CREATED, made))
        }
        ("GET", ["devices", id]) => ok(json!(world.devices.get(&number(id)?).ok_or_else(missing)?)),
        ("PUT", ["devices", id]) => {
            let device = world.devices.get_mut(&number(id)?).ok_or_else(missing)?;
            version(device.version)?;
            let fields: DeviceFields = fields(body, &["version"])?;
            rack::library::limits::check_device(&fields)
                .map_err(|(name, why)| invalid(name, why))?;
            let before = json!(device);
            device.fields = fields;
            device.version += 1;
            let after = json!(device);
            world.log("change", "device", before, after.clone());
            ok(after)
        }
        ("DELETE", ["devices", id]) => {
            let id = number(id)?;
            version(world.devices.get(&id).ok_or_else(missing)?.version)?;
            let removed = json!(world.devices.remove(&id));
            world.log("delete", "device", removed, Value::Null);
            Ok((StatusCode::NO_CONTENT, Value::Null))
        }
        ("PUT", ["devices", id, "place"]) => {
            let place = serde_json::from_value(body["place"].clone()).unwrap();
            world.place(
                number(id)?,
                body["version"].as_i64().unwrap_or_default(),
                place,
            )
        }
        ("POST", ["moves"]) => {
            let mut moved = Vec::new();
            for one in body["moves"].as_array().into_iter().flatten() {
                let id = one["device"].as_i64().unwrap_or_default();
                version_is(world, id, one["version"].as_i64())?;
                let place = serde_json::from_value(one["place"].clone()).unwrap();
                moved.push(json!(world.put(id, place)));
            }
            ok(json!(moved))
        }
        ("GET", ["kinds"]) => {
            let words = query
                .get("q")
                .map(|words| words.to_lowercase())
                .unwrap_or_default();
            let kinds = world.kinds.values().filter(|kind| {
                format!("{} {}", kind.fields.manufacturer, kind.fields.model)
                    .to_lowercase()
                    .contains(&words)
            });
            list(kinds.map(|kind| json!(kind)))
        }
        ("GET", ["kinds", id]) => ok(json!(world.kinds.get(&number(id)?).ok_or_else(missing)?)),
        ("POST", ["kinds"]) => {
            let fields: KindFields = fields(body, &[])?;
            rack::library::limits::check_kind(&fields).map_err(|(name, why)| invalid(name, why))?;
            let id = world.id();
            let kind = Kind {
                id,
                version: 1,
                built_in: false,
                fields,
            };
            world.kinds.insert(id, kind.clone());
            Ok((StatusCode::CREATED, json!(kind)))
        }
        ("GET", ["search"]) => {
            let found = world.search(query.get("q").map(String::as_str).unwrap_or_default());
            list(found.as_array().unwrap().clone().into_iter())
        }
        ("GET", ["audit"]) => list(world.log.clone().into_iter()),
        ("GET", ["users"]) => list(std::iter::once(session("admin")["user"].clone())),
        ("GET", ["tokens" | "logos"]) => list(std::iter::empty()),
        _ => Err(missing()),
    }
}

fn version_is(world: &World, id: Id, sent: Option<Version>) -> Result<(), Told> {
    let known = world.devices.get(&id).ok_or_else(missing)?.version;
    if sent == Some(known) {
        Ok(())
    } else {
        Err(changed(known))
    }
}
