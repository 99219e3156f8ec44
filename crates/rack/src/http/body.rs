//! What requests bring: JSON bodies, numbers and names in paths, queries. Whatever is wrong with them is refused here, by the name
//! of the field, before anything else looks at it.

use axum::body::Body as Stream;
use axum::extract::{FromRequest, FromRequestParts, Path, Request};
use axum::http::request::Parts;
use axum::http::{HeaderMap, header};
use bytes::{Bytes, BytesMut};
use futures_util::StreamExt;
use serde::Deserialize;
use serde::de::DeserializeOwned;
use serde_json::{Map, Value};
use utoipa::{IntoParams, ToSchema};

use super::refusal::Refusal;
use crate::plan::model::{Id, Version};

/// The largest JSON body, in bytes: a few thousand moves.
const MOST_JSON: usize = 1 << 20;
/// How many things a list has at most, and unless another number is asked for.
pub(super) const MOST_LISTED: usize = 500;
const USUALLY_LISTED: usize = 100;
/// The longest text in a query or a path, in characters.
pub(super) const MOST_TEXT: usize = 200;
/// All whole numbers up to this one are exact where numbers have a point: 2⁵³.
const EXACT: f64 = 9_007_199_254_740_992.0;
/// The fields of bodies that are lists.
const LISTS: [&str; 2] = ["tags", "moves"];

/// A JSON body.
#[derive(Debug)]
pub(super) struct Body<T>(pub T);

/// The JSON body of a change: what a thing shall be, and which version of it the caller has seen.
#[derive(Debug, ToSchema)]
pub(super) struct Change<T> {
    /// The version that the caller has seen; if there is a later one, nothing is changed.
    pub(super) version: Version,
    /// What it shall be.
    #[serde(flatten)]
    pub(super) fields: T,
}

/// The query of a removal.
#[derive(Debug, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(super) struct Seen {
    /// The version that the caller has seen; if there is a later one, nothing is removed.
    #[param(minimum = 0)]
    pub(super) version: Version,
}

/// The number of a thing in a path.
#[derive(Debug, Clone, Copy, IntoParams)]
#[into_params(names("id"), parameter_in = Path)]
pub(super) struct Number(pub Id);

/// The name of a manufacturer in a path.
#[derive(Debug, IntoParams)]
#[into_params(names("manufacturer"), parameter_in = Path)]
pub(super) struct Name(pub String);

/// The number of a thing, or 0 for before all of them, in a query.
#[derive(Debug, Clone, Copy, Deserialize)]
#[serde(try_from = "Id")]
pub(super) struct Natural(pub Id);

impl TryFrom<Id> for Natural {
    type Error = &'static str;

    fn try_from(number: Id) -> Result<Self, &'static str> {
        match number >= 0 {
            true => Ok(Natural(number)),
            false => Err("must be 0 or more"),
        }
    }
}

/// A query.
#[derive(Debug)]
pub(super) struct Query<T>(pub T);

/// A part of a list.
#[derive(Debug, serde::Serialize, ToSchema)]
pub(super) struct List<T> {
    /// The things.
    pub(super) items: Vec<T>,
    /// What to ask for the next part with (`after`), if there is one.
    pub(super) next: Option<Id>,
}

impl<T> List<T> {
    /// A part of a list of which one more than `limit` was read, if there are so many.
    pub(super) fn part(mut items: Vec<T>, limit: usize, id: impl Fn(&T) -> Id) -> Self {
        let more = items.len() > limit;
        items.truncate(limit);
        let next = items.last().filter(|_| more).map(id);
        List { items, next }
    }

    /// All of a list.
    pub(super) fn all(items: Vec<T>) -> Self {
        List { items, next: None }
    }
}

/// How many things are asked for.
pub(super) fn limit(asked: Option<usize>) -> Result<usize, Refusal> {
    match asked.unwrap_or(USUALLY_LISTED) {
        limit @ 1..=MOST_LISTED => Ok(limit),
        _ => Err(Refusal::invalid(
            "limit",
            format!("must be between 1 and {MOST_LISTED}"),
        )),
    }
}

impl<S: Sync, T: DeserializeOwned> FromRequest<S> for Body<T> {
    type Rejection = Refusal;

    async fn from_request(request: Request, _: &S) -> Result<Self, Refusal> {
        typed(object(request).await?).map(Body)
    }
}

impl<S: Sync, T: DeserializeOwned> FromRequest<S> for Change<T> {
    type Rejection = Refusal;

    async fn from_request(request: Request, _: &S) -> Result<Self, Refusal> {
        let mut object = object(request).await?;
        let version = object.remove("version").unwrap_or_default();
        let version = version.as_i64().filter(|version| *version >= 0);
        let what = "must be the version that the thing had when you read it";
        Ok(Change {
            version: version.ok_or_else(|| Refusal::invalid("version", what))?,
            fields: typed(object)?,
        })
    }
}

/// The whole body, if it has at most so many bytes.
pub(super) async fn bytes(body: Stream, most: usize) -> Result<Bytes, Refusal> {
    let mut parts = body.into_data_stream();
    let mut whole = BytesMut::new();
    while let Some(part) = parts.next().await {
        let part = part.map_err(|error| Refusal::bad("the body has ended early", error))?;
        if whole.len() + part.len() > most {
            return Err(Refusal::too_large(most));
        }
        whole.extend_from_slice(&part);
    }
    Ok(whole.freeze())
}

/// The type of the body, without parameters, in small letters.
pub(super) fn content_type(headers: &HeaderMap) -> String {
    let value = headers.get(header::CONTENT_TYPE);
    let value = value
        .and_then(|value| value.to_str().ok())
        .unwrap_or_default();
    let kind = value.split(';').next().unwrap_or_default();
    kind.trim().to_ascii_lowercase()
}

/// The JSON object that is a request's body.
pub(super) async fn object(request: Request) -> Result<Map<String, Value>, Refusal> {
    if content_type(request.headers()) != "application/json" {
        return Err(Refusal::wrong_type("application/json"));
    }
    let bytes = bytes(request.into_body(), MOST_JSON).await?;
    let value = serde_json::from_slice(&bytes)
        .map_err(|error| Refusal::bad("the body is not JSON", error))?;
    match value {
        Value::Object(mut object) => {
            for (name, value) in &mut object {
                sound(name, value)?;
            }
            Ok(object)
        }
        _ => Err(Refusal::invalid("", "the body must be an object: { … }")),
    }
}

/// Refuses what serde or the database would take for something else: a list in place of an object, which serde takes for the values
/// of its fields, and characters that no text has. For JSON, `1.0` is the same number as `1`, and here, too.
fn sound(name: &str, value: &mut Value) -> Result<(), Refusal> {
    match value {
        Value::Number(number) => {
            let whole = number.as_f64().filter(|_| number.is_f64());
            let whole = whole.filter(|f| f.fract() == 0.0 && f.abs() <= EXACT);
            if let Some(whole) = whole {
                *number = (whole as i64).into();
            }
            Ok(())
        }
        Value::String(text) => plain(name, text),
        Value::Object(object) => object.iter_mut().try_for_each(|(key, value)| {
            plain(name, key)?;
            sound(&format!("{name}.{key}"), value)
        }),
        Value::Array(list) => {
            let last = name.rsplit('.').next().unwrap_or_default();
            if !LISTS.contains(&last) {
                return Err(Refusal::invalid(name, "must not be a list"));
            }
            list.iter_mut()
                .enumerate()
                .try_for_each(|(index, value)| sound(&format!("{name}[{index}]"), value))
        }
        Value::Null | Value::Bool(_) => Ok(()),
    }
}

/// Refuses control characters; lines and tabs are text.
fn plain(field: &str, text: &str) -> Result<(), Refusal> {
    let is_odd = |c: char| c.is_control() && !matches!(c, '\n' | '\r' | '\t');
    match text.chars().find(|c| is_odd(*c)) {
        None => Ok(()),
        Some(odd) => {
            let why = format!("has the control character U+{:04X}", u32::from(odd));
            // The name itself may be what has it.
            let field: String = field.chars().filter(|c| !c.is_control()).collect();
            Err(Refusal::invalid(field, why))
        }
    }
}

/// An object as what it shall be.
pub(super) fn typed<T: DeserializeOwned>(object: Map<String, Value>) -> Result<T, Refusal> {
    serde_path_to_error::deserialize(Value::Object(object)).map_err(|error| {
        let path = error.path().to_string();
        let field = if path == "." { "" } else { &path };
        Refusal::invalid(field, error.inner())
    })
}

impl<S: Send + Sync> FromRequestParts<S> for Number {
    type Rejection = Refusal;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, Refusal> {
        let text = segment(parts, state).await?;
        let number = text.parse::<Id>().ok().filter(|number| *number > 0);
        // `+1` and `01` would be second addresses of the same thing.
        let number = number.filter(|number| number.to_string() == text);
        let what = || Refusal::invalid("id", "must be a whole number, 1 or more");
        number.map(Number).ok_or_else(what)
    }
}

impl<S: Send + Sync> FromRequestParts<S> for Name {
    type Rejection = Refusal;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, Refusal> {
        let text = segment(parts, state).await?;
        short("the name in the path", &text)?;
        if text.trim().is_empty() || text.contains(char::is_control) {
            let what = "must have visible characters, and no control characters";
            return Err(Refusal::invalid("the name in the path", what));
        }
        Ok(Name(text))
    }
}

/// The only part of the path that is not the same for all things.
async fn segment<S: Send + Sync>(parts: &mut Parts, state: &S) -> Result<String, Refusal> {
    let path = Path::<String>::from_request_parts(parts, state).await;
    path.map(|Path(text)| text)
        .map_err(|error| Refusal::bad("the path cannot be understood", error.body_text()))
}

impl<T: DeserializeOwned, S: Send + Sync> FromRequestParts<S> for Query<T> {
    type Rejection = Refusal;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, Refusal> {
        let text = parts.uri.query().unwrap_or_default();
        for (name, value) in url::form_urlencoded::parse(text.as_bytes()) {
            plain("the query", &name)?;
            plain(&name, &value)?;
            short(&name, &value)?;
        }
        let query = axum::extract::Query::<T>::try_from_uri(&parts.uri);
        query
            .map(|axum::extract::Query(query)| Query(query))
            .map_err(|error| Refusal::bad("bad query", error.body_text()))
    }
}

fn short(field: &str, text: &str) -> Result<(), Refusal> {
    match text.chars().count() <= MOST_TEXT {
        true => Ok(()),
        false => {
            let most = format!("must have at most {MOST_TEXT} characters");
            Err(Refusal::invalid(field, most))
        }
    }
}
