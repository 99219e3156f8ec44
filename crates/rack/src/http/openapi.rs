//! `/api/openapi.json`: the description of the API, which is made of the same types that requests are read into.
//!
//! What types do not say is added here: the limits of texts and numbers. And what utoipa says in a way that no answer could satisfy is
//! said anew: a part that refuses fields it does not know cannot be one of several parts of a whole.

use std::sync::LazyLock;

use axum::http::header;
use axum::response::{IntoResponse, Response};
use bytes::Bytes;
use serde_json::{Map, Value, json};
use utoipa::openapi::OpenApi as Document;
use utoipa::openapi::security::{ApiKey, ApiKeyValue, Http, HttpAuthScheme, SecurityScheme};
use utoipa::{Modify, OpenApi};

use super::caller::COOKIE;
use super::refusal::{ConflictBody, RefusalBody};
use super::{
    audit, devices, export, imports, kinds, logos, plan, racks, search, session, tokens, users,
};
use crate::library::limits;
use crate::plan::model::{COLUMNS, MOST_UNITS};

#[derive(OpenApi)]
#[openapi(
    info(title = "rack", description = "A rack planner: racks, what is in them, whether it fits, and how warm it gets."),
    paths(
        session::show, session::log_in, session::log_out, session::change_password,
        users::list, users::create, users::change, users::remove,
        tokens::list, tokens::create, tokens::remove,
        audit::list,
        racks::list, racks::create, racks::one, racks::change, racks::remove, imports::rack,
        plan::show, plan::thermal, plan::optimise,
        export::svg, export::png, export::pdf, export::yaml, export::csv,
        devices::list, devices::create, devices::one, devices::change, devices::remove,
        devices::place, devices::check, devices::move_all,
        kinds::list, kinds::create, kinds::one, kinds::change, kinds::remove, imports::kinds,
        search::search,
        logos::list, logos::show, logos::set, logos::remove,
    ),
    components(schemas(RefusalBody, ConflictBody)),
    security(("token" = []), ("session" = [])),
    modifiers(&Proofs),
)]
struct Described;

/// How a caller proves who they are.
struct Proofs;

impl Modify for Proofs {
    fn modify(&self, document: &mut Document) {
        let components = document.components.get_or_insert_default();
        let token = SecurityScheme::Http(Http::new(HttpAuthScheme::Bearer));
        components.add_security_scheme("token", token);
        let text = "With the header X-CSRF-Token on everything that may change something.";
        let cookie = ApiKey::Cookie(ApiKeyValue::with_description(COOKIE, text));
        components.add_security_scheme("session", SecurityScheme::ApiKey(cookie));
    }
}

static DOCUMENT: LazyLock<Bytes> = LazyLock::new(|| described().to_string().into());

/// The description, which everybody may read.
pub(super) async fn document() -> Response {
    let kind = [(header::CONTENT_TYPE, "application/json")];
    (kind, DOCUMENT.clone()).into_response()
}

/// The description as JSON.
fn described() -> Value {
    let mut document = json!(Described::openapi());
    named(&mut document);
    without_aliases(&mut document);
    let schemas = document["components"]["schemas"].clone();
    join(&mut document, &schemas);
    limited(&mut document);
    bounded(&mut document);
    document
}

/// Gives each operation a name of its own, made of what it does and where.
fn named(document: &mut Value) {
    let Some(paths) = document["paths"].as_object_mut() else {
        return;
    };
    for (path, operations) in paths {
        let place = path.trim_start_matches("/api/").replace(['/', '.'], "_");
        let place = place.replace(['{', '}'], "");
        for (method, operation) in operations.as_object_mut().into_iter().flatten() {
            operation["operationId"] = format!("{method}_{place}").into();
        }
    }
}

/// Says what a number of a thing or of a version is, where utoipa refers to a schema of the name of its type; and that a picture is
/// bytes, not a list of numbers.
fn without_aliases(value: &mut Value) {
    const ALIAS: &str = "#/components/schemas/i64";
    match value {
        Value::Array(list) => list.iter_mut().for_each(without_aliases),
        Value::Object(object) => {
            object.remove("i64");
            if object.get("$ref").is_some_and(|name| name == ALIAS) {
                object.remove("$ref");
                object.insert("type".into(), "integer".into());
                object.insert("format".into(), "int64".into());
                object.insert("minimum".into(), 0.into());
            }
            if object.get("type").is_some_and(|kind| kind == "array")
                && object["items"]["format"] == "int32"
                && object.len() == 2
            {
                *object = Map::from_iter([
                    ("type".into(), "string".into()),
                    ("format".into(), "binary".into()),
                ]);
            }
            object.values_mut().for_each(without_aliases);
        }
        _ => {}
    }
}

/// Puts the parts of each whole (`allOf`) together as one object.
fn join(value: &mut Value, schemas: &Value) {
    match value {
        Value::Array(list) => list.iter_mut().for_each(|value| join(value, schemas)),
        Value::Object(object) => {
            object.values_mut().for_each(|value| join(value, schemas));
            if let Some(Value::Array(parts)) = object.remove("allOf") {
                let whole = whole(parts, schemas);
                object.extend(whole);
            }
        }
        _ => {}
    }
}

fn whole(parts: Vec<Value>, schemas: &Value) -> Map<String, Value> {
    let (mut properties, mut required, mut is_closed) = (Map::new(), Vec::new(), false);
    for mut part in parts {
        if let Some(name) = part["$ref"].as_str() {
            let name = name.rsplit('/').next().unwrap_or_default();
            part = schemas[name].clone();
            join(&mut part, schemas);
        }
        if let Value::Object(more) = part["properties"].take() {
            properties.extend(more);
        }
        if let Value::Array(more) = part["required"].take() {
            required.extend(more);
        }
        is_closed |= part["additionalProperties"] == false;
    }
    let mut whole = Map::new();
    whole.insert("type".into(), "object".into());
    whole.insert("properties".into(), properties.into());
    whole.insert("required".into(), required.into());
    if is_closed {
        whole.insert("additionalProperties".into(), false.into());
    }
    whole
}

/// Characters that no text has.
const NEVER: &str = r"\u0000-\u0008\u000b\u000c\u000e-\u001f\u007f-\u009f";
/// Characters that no name has, beside those; see [`limits`].
const NOT_IN_LINES: &str = r"\t\n\r\u2028-\u202e\u2066-\u2069\ufffe\uffff";
/// Those of them that notes do not have either.
const NOT_IN_NOTES: &str = r"\u2028-\u202e\u2066-\u2069\ufffe\uffff";

/// A text in one line, which neither begins nor ends with a space.
fn line(least: usize, most: usize) -> Value {
    let refused = format!("{NEVER}{NOT_IN_LINES}");
    let some = format!(r"[^\s{refused}](?:[^{refused}]*[^\s{refused}])?");
    let pattern = match least {
        0 => format!("^(?:{some})?$"),
        _ => format!("^{some}$"),
    };
    json!({ "minLength": least, "maxLength": most, "pattern": pattern })
}

/// A text in any number of lines.
fn text(most: usize) -> Value {
    json!({ "maxLength": most, "pattern": format!("^[^{NEVER}{NOT_IN_NOTES}]*$") })
}

/// A text that is not looked into further.
fn any() -> Value {
    json!({ "pattern": format!("^[^{NEVER}]*$") })
}

/// Adds the limits of fields, which the library knows, to what is sent.
fn limited(document: &mut Value) {
    let number = |range: std::ops::RangeInclusive<f64>| json!({ "minimum": range.start(), "maximum": range.end() });
    let name = || line(1, limits::NAME);
    let (watts, kilograms) = (|| number(limits::WATTS), || number(limits::KILOGRAMS));
    let mut tags =
        json!({ "maxItems": limits::TAGS, "uniqueItems": true, "items": { "type": "string" } });
    extend(tags.get_mut("items"), &line(1, limits::TAG));
    for (of, field, limit) in [
        ("RackFields", "name", name()),
        ("RackFields", "location", line(0, limits::LOCATION)),
        (
            "RackFields",
            "units",
            json!({ "minimum": 1, "maximum": MOST_UNITS }),
        ),
        ("RackFields", "watts", watts()),
        ("RackFields", "kilograms", kilograms()),
        ("RackFields", "inlet_celsius", number(limits::INLET_CELSIUS)),
        ("RackFields", "notes", text(limits::NOTES)),
        ("KindFields", "manufacturer", name()),
        ("KindFields", "model", name()),
        (
            "KindFields",
            "halves",
            json!({ "minimum": 0, "maximum": limits::HALVES }),
        ),
        (
            "KindFields",
            "columns",
            json!({ "minimum": 1, "maximum": COLUMNS }),
        ),
        ("KindFields", "watts", watts()),
        ("KindFields", "kilograms", kilograms()),
        ("KindFields", "category", line(0, limits::CATEGORY)),
        ("DeviceFields", "name", name()),
        ("DeviceFields", "kind", json!({ "minimum": 1 })),
        ("DeviceFields", "watts", watts()),
        ("DeviceFields", "kilograms", kilograms()),
        ("DeviceFields", "notes", text(limits::NOTES)),
        ("DeviceFields", "tags", tags),
        ("NewUser", "name", line(1, users::NAME)),
        ("NewUser", "password", any()),
        ("UserFields", "name", line(1, users::NAME)),
        ("UserFields", "password", any()),
        ("NewToken", "name", line(1, tokens::NAME)),
        ("Wish", "low", json!({ "maximum": u32::MAX })),
        ("Wish", "heat", json!({ "maximum": u32::MAX })),
        ("Wish", "gaps", json!({ "maximum": u32::MAX })),
        ("Wish", "moves", json!({ "maximum": u32::MAX })),
        ("Wish", "milliseconds", json!({ "maximum": u32::MAX })),
        ("Wish", "seed", json!({ "maximum": u64::MAX })),
        ("Login", "name", any()),
        ("Login", "password", any()),
        ("NewPassword", "current", any()),
        ("NewPassword", "new", any()),
    ] {
        // A change, or a thing that is to be, has the fields beside others.
        let change = format!("Change_{of}");
        let new = if of == "DeviceFields" {
            "NewDevice"
        } else {
            of
        };
        for schema in [of, &change, new] {
            let place = format!("/components/schemas/{schema}/properties/{field}");
            extend(document.pointer_mut(&place), &limit);
        }
    }
    let places = document.pointer_mut("/components/schemas/Place/oneOf");
    for place in places.and_then(Value::as_array_mut).into_iter().flatten() {
        extend(Some(&mut *place), &json!({ "additionalProperties": false }));
        for (field, limit) in [
            // A place is judged whatever it is, and there is no such shelf.
            ("shelf", json!({ "minimum": i64::MIN })),
            ("bottom", json!({ "maximum": u8::MAX })),
            ("left", json!({ "maximum": u8::MAX })),
        ] {
            extend(place.pointer_mut(&format!("/properties/{field}")), &limit);
        }
    }
}

fn extend(place: Option<&mut Value>, more: &Value) {
    if let (Some(Value::Object(place)), Value::Object(more)) = (place, more) {
        place.extend(more.clone());
    }
}

/// Adds what a number of so many bits can hold, and that a number in a path is one or more.
fn bounded(value: &mut Value) {
    match value {
        Value::Array(list) => list.iter_mut().for_each(bounded),
        Value::Object(object) => {
            let (least, most) = match object.get("format").and_then(Value::as_str) {
                Some("int64") => (json!(i64::MIN), json!(i64::MAX)),
                Some("int32") => (json!(i32::MIN), json!(i32::MAX)),
                _ => (Value::Null, Value::Null),
            };
            if !least.is_null() {
                object.entry("minimum").or_insert(least);
                object.entry("maximum").or_insert(most);
            }
            let place = object.get("in").and_then(Value::as_str);
            let place = place.unwrap_or_default().to_owned();
            if let Some(schema) = object.get_mut("schema") {
                let is_number = schema["type"] == "integer";
                let limit = match place.as_str() {
                    "path" if is_number => json!({ "minimum": 1 }),
                    "path" => line(1, limits::NAME),
                    "query" if schema["maxLength"].is_number() => any(),
                    _ => Value::Null,
                };
                extend(Some(schema), &limit);
            }
            object.values_mut().for_each(bounded);
        }
        _ => {}
    }
}

#[cfg(test)]
#[path = "openapi_tests.rs"]
mod tests;
