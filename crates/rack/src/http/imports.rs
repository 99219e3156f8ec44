//! `/api/kinds/import` and `/api/racks/import`: what others have written, as YAML.

use std::collections::HashMap;

use axum::Json;
use axum::extract::{Request, State};
use axum::http::StatusCode;
use serde::Serialize;
use utoipa::ToSchema;

use super::body::{MOST_LISTED, bytes, content_type};
use super::caller::Edit;
use super::refusal::{ChangeRefusals, Refusal, Refusals};
use super::{Api, OF_KINDS};
use crate::export::{self, Description};
use crate::library::{self, Problem};
use crate::plan::model::{Device, Filled, Id, Item, Kind, KindFields, Rack};
use crate::store::{Imported, KindQuery, Store};

/// The largest text, in bytes. nginx takes no larger bodies either.
const MOST: usize = 10 << 20;
/// How YAML is called; the first is its name since RFC 9512.
const KINDS: [&str; 5] = [
    "application/yaml",
    "application/x-yaml",
    "text/yaml",
    "text/x-yaml",
    "text/plain",
];

/// What an import of kinds has done.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct ImportedKinds {
    /// How many were new, the same, or changed.
    #[serde(flatten)]
    imported: Imported,
    /// What was not taken over.
    warnings: Vec<Problem>,
}

/// Add kinds of devices
///
/// The body is YAML of the Device-Type Library: one or more documents. All are added, or, if one is wrong, none.
#[utoipa::path(
    post, path = "/api/kinds/import", tag = "kinds", request_body(content = String, content_type = "application/yaml"),
    responses((status = 200, body = ImportedKinds), Refusals, ChangeRefusals)
)]
pub(super) async fn kinds(
    State(api): State<Api>,
    Edit(caller): Edit,
    request: Request,
) -> Result<Json<ImportedKinds>, Refusal> {
    let text = text(request).await?;
    let read = api.work.run(move || library::read_all(text.as_bytes()));
    let read = read.await?.map_err(|problems| wrong(&problems))?;
    let kinds = read.kinds;
    let import = |store: Store, who| async move { store.import_kinds(&who, kinds).await };
    let imported = api.change(OF_KINDS, &caller, import).await?;
    Ok(Json(ImportedKinds {
        imported,
        warnings: read.warnings,
    }))
}

/// Add a rack and what is in it
///
/// The body is YAML as `/api/racks/{id}/export.yaml` writes it.
#[utoipa::path(
    post, path = "/api/racks/import", tag = "racks", request_body(content = String, content_type = "application/yaml"),
    responses((status = 201, body = Filled), Refusals, ChangeRefusals)
)]
pub(super) async fn rack(
    State(api): State<Api>,
    Edit(caller): Edit,
    request: Request,
) -> Result<(StatusCode, Json<Filled>), Refusal> {
    let text = text(request).await?;
    let read = api.work.run(move || export::read_yaml(&text)).await?;
    let described = read.map_err(|problems| wrong(&problems))?;
    let wish = assembled(&api, described).await?;
    let import = |store: Store, who| async move { store.import_rack(&who, &wish).await };
    let imported = api.change(OF_KINDS, &caller, import).await?;
    Ok((StatusCode::CREATED, Json(imported)))
}

/// A rack with what is in it, whose numbers only say what belongs together. Kinds that the text names and does not describe are those
/// that there are.
async fn assembled(api: &Api, described: Vec<Description>) -> Result<Filled, Refusal> {
    let one = <[Description; 1]>::try_from(described);
    let [described] = one.map_err(|_| Refusal::invalid("the body", "must be one document"))?;
    let no_rack = || Refusal::invalid("the body", "must have a rack");
    let rack = described.rack.ok_or_else(no_rack)?;
    let mut filled = Filled {
        rack: Rack {
            id: 1,
            version: 1,
            fields: rack,
        },
        items: Vec::with_capacity(described.devices.len()),
    };
    let mut kinds = HashMap::new();
    for kind in described.kinds {
        kinds.insert((kind.manufacturer.clone(), kind.model.clone()), kind);
    }
    let mut ids = Vec::with_capacity(described.devices.len());
    for device in described.devices {
        let name = (device.manufacturer.clone(), device.model.clone());
        let kind = match kinds.get(&name) {
            Some(kind) => kind.clone(),
            None => {
                let found = known(api, &name).await?;
                kinds.entry(name).or_insert(found).clone()
            }
        };
        let id = ids.len() as Id + 1;
        let device = Device {
            id,
            version: 1,
            place: device.place.and_then(|place| place.at(1, &ids)),
            fields: device.fields(1),
        };
        ids.push(id);
        let kind = Kind {
            id: 1,
            version: 1,
            built_in: false,
            fields: kind,
        };
        filled.items.push(Item { device, kind });
    }
    Ok(filled)
}

/// The kind of this manufacturer and model that there is.
async fn known(api: &Api, name: &(String, String)) -> Result<KindFields, Refusal> {
    let (manufacturer, model) = name;
    let query = KindQuery {
        q: Some(format!("{manufacturer} {model}")),
        limit: MOST_LISTED,
        after: None,
    };
    let found = api.store.kinds(query).await?.into_iter();
    let mut found = found.map(|kind| kind.fields);
    let same = found.find(|kind| kind.manufacturer == *manufacturer && kind.model == *model);
    same.ok_or_else(|| {
        let why = format!("{manufacturer} {model} is neither described nor known");
        Refusal::invalid("the body", why)
    })
}

fn wrong(problems: &[Problem]) -> Refusal {
    let problems = problems.iter().map(Problem::to_string);
    Refusal::invalid("the body", problems.collect::<Vec<_>>().join("\n"))
}

async fn text(request: Request) -> Result<String, Refusal> {
    if !KINDS.contains(&content_type(request.headers()).as_str()) {
        return Err(Refusal::wrong_type(KINDS[0]));
    }
    let bytes = bytes(request.into_body(), MOST).await?;
    let text = String::from_utf8(bytes.into());
    text.map_err(|error| Refusal::invalid("the body", format!("is not UTF-8: {error}")))
}
