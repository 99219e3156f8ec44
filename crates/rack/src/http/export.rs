//! `/api/racks/{id}/export.…`: a rack as a file.

use axum::extract::State;
use axum::http::header;
use axum::response::{IntoResponse, Response};
use serde::Deserialize;
use utoipa::{IntoParams, ToSchema};

use super::Api;
use super::body::{Number, Query};
use super::caller::View;
use super::refusal::{Refusal, Refusals};
use crate::export;
use crate::plan::model::{Face, Filled};

/// Which sides of the rack are drawn.
#[derive(Debug, Clone, Copy, Default, Deserialize, ToSchema)]
#[serde(rename_all = "kebab-case")]
pub(super) enum Faces {
    /// Its front.
    Front,
    /// Its rear.
    Rear,
    /// Both, beside each other.
    #[default]
    Both,
}

impl Faces {
    fn list(self) -> &'static [Face] {
        match self {
            Faces::Front => &[Face::Front],
            Faces::Rear => &[Face::Rear],
            Faces::Both => &[Face::Front, Face::Rear],
        }
    }
}

/// How a rack is drawn.
#[derive(Debug, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(super) struct Drawing {
    /// Which sides.
    #[serde(default)]
    #[param(inline)]
    face: Faces,
}

/// A rack as a drawing that stays sharp at any size
#[utoipa::path(
    get, path = "/api/racks/{id}/export.svg", tag = "exports", params(Number, Drawing),
    responses((status = 200, body = String, content_type = "image/svg+xml"), Refusals)
)]
pub(super) async fn svg(
    State(api): State<Api>,
    _: View,
    Number(id): Number,
    Query(drawing): Query<Drawing>,
) -> Result<Response, Refusal> {
    let faces = drawing.face.list();
    file(&api, id, "svg", "image/svg+xml", move |filled| {
        Ok(export::svg(filled, faces).into_bytes())
    })
    .await
}

/// A rack as a picture
#[utoipa::path(
    get, path = "/api/racks/{id}/export.png", tag = "exports", params(Number, Drawing),
    responses((status = 200, body = Vec<u8>, content_type = "image/png"), Refusals)
)]
pub(super) async fn png(
    State(api): State<Api>,
    _: View,
    Number(id): Number,
    Query(drawing): Query<Drawing>,
) -> Result<Response, Refusal> {
    let faces = drawing.face.list();
    file(&api, id, "png", "image/png", move |filled| {
        export::png(filled, faces)
    })
    .await
}

/// A rack as a document to print
#[utoipa::path(
    get, path = "/api/racks/{id}/export.pdf", tag = "exports", params(Number, Drawing),
    responses((status = 200, body = Vec<u8>, content_type = "application/pdf"), Refusals)
)]
pub(super) async fn pdf(
    State(api): State<Api>,
    _: View,
    Number(id): Number,
    Query(drawing): Query<Drawing>,
) -> Result<Response, Refusal> {
    let faces = drawing.face.list();
    file(&api, id, "pdf", "application/pdf", move |filled| {
        Ok(export::pdf(filled, faces))
    })
    .await
}

/// A rack as a text that `/api/racks/import` takes
#[utoipa::path(
    get, path = "/api/racks/{id}/export.yaml", tag = "exports", params(Number),
    responses((status = 200, body = serde_json::Value, content_type = "application/yaml"), Refusals)
)]
pub(super) async fn yaml(
    State(api): State<Api>,
    _: View,
    Number(id): Number,
) -> Result<Response, Refusal> {
    file(&api, id, "yaml", "application/yaml", |filled| {
        Ok(export::yaml(filled).into_bytes())
    })
    .await
}

/// A rack as a table
#[utoipa::path(
    get, path = "/api/racks/{id}/export.csv", tag = "exports", params(Number),
    responses((status = 200, body = String, content_type = "text/csv"), Refusals)
)]
pub(super) async fn csv(
    State(api): State<Api>,
    _: View,
    Number(id): Number,
) -> Result<Response, Refusal> {
    file(&api, id, "csv", "text/csv; charset=utf-8", |filled| {
        Ok(export::csv(filled).into_bytes())
    })
    .await
}

/// Makes a file of a rack. A browser saves it under the rack's number: its name may have what no file name has.
async fn file(
    api: &Api,
    id: i64,
    ending: &str,
    kind: &'static str,
    make: impl FnOnce(&Filled) -> anyhow::Result<Vec<u8>> + Send + 'static,
) -> Result<Response, Refusal> {
    let filled = api.store.filled(id).await?;
    let made = api.work.run(move || make(&filled)).await?;
    let made = made.map_err(|error| Refusal::broken("the rack was not drawn", error))?;
    let name = format!("inline; filename=\"rack-{id}.{ending}\"");
    let headers = [
        (header::CONTENT_TYPE, kind.to_owned()),
        (header::CONTENT_DISPOSITION, name),
    ];
    Ok((headers, made).into_response())
}
