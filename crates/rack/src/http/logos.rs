//! `/api/logos`: pictures of manufacturers' names.

use axum::Json;
use axum::extract::{FromRequest, Multipart, Request, State};
use axum::http::{HeaderMap, StatusCode, header};
use axum::response::{IntoResponse, Response};
use bytes::Bytes;
use utoipa::ToSchema;

use super::Api;
use super::body::{List, Name, bytes, content_type};
use super::caller::{Edit, View};
use super::refusal::{ChangeRefusals, Refusal, Refusals};
use crate::library::limits;
use crate::logo;
use crate::store::LogoInfo;

/// The largest picture, in bytes, as it is sent.
const MOST: usize = 2 << 20;
/// The content types that a picture may be sent with. What it is, its content says.
const KINDS: [&str; 4] = [
    "image/png",
    "image/jpeg",
    "image/webp",
    "application/octet-stream",
];

/// A picture, as a form sends it.
#[derive(ToSchema)]
#[expect(dead_code, reason = "it is there for the description of the API")]
pub(super) struct Form {
    /// The picture: PNG, JPEG or WebP.
    #[schema(content_media_type = "application/octet-stream", value_type = String)]
    logo: Vec<u8>,
}

/// All manufacturers that have a logo
#[utoipa::path(get, path = "/api/logos", tag = "logos", responses((status = 200, body = List<LogoInfo>), Refusals))]
pub(super) async fn list(State(api): State<Api>, _: View) -> Result<Json<List<LogoInfo>>, Refusal> {
    Ok(Json(List::all(api.store.logos().await?)))
}

/// The logo of a manufacturer
#[utoipa::path(
    get, path = "/api/logos/{manufacturer}", tag = "logos", params(Name),
    responses((status = 200, body = Vec<u8>, content_type = "image/png", headers(("etag" = String))), (status = 304), Refusals)
)]
pub(super) async fn show(
    State(api): State<Api>,
    _: View,
    Name(manufacturer): Name,
    headers: HeaderMap,
) -> Result<Response, Refusal> {
    let none = || Refusal::missing(format!("{manufacturer} has no logo"));
    let found = api.store.logo(&manufacturer).await?.ok_or_else(none)?;
    let etag = format!("\"{}\"", found.version);
    let caching = [
        (header::CACHE_CONTROL, "private, no-cache".to_owned()),
        (header::ETAG, etag.clone()),
    ];
    let known = headers.get(header::IF_NONE_MATCH);
    if known.is_some_and(|known| known.as_bytes() == etag.as_bytes()) {
        return Ok((StatusCode::NOT_MODIFIED, caching).into_response());
    }
    let kind = [(header::CONTENT_TYPE, "image/png")];
    Ok((caching, kind, found.png).into_response())
}

/// Set the logo of a manufacturer
///
/// The body is a PNG, JPEG or WebP picture of at most 2 MiB, by itself or as the only file of a form. It is scaled down and made a PNG.
#[utoipa::path(
    put, path = "/api/logos/{manufacturer}", tag = "logos", params(Name),
    request_body(content((Vec<u8> = "image/png"), (Vec<u8> = "image/jpeg"), (Vec<u8> = "image/webp"), (Form = "multipart/form-data"))),
    responses((status = 200, body = LogoInfo), Refusals, ChangeRefusals)
)]
pub(super) async fn set(
    State(api): State<Api>,
    Edit(caller): Edit,
    Name(manufacturer): Name,
    request: Request,
) -> Result<Json<LogoInfo>, Refusal> {
    if manufacturer.chars().count() > limits::NAME {
        let why = format!("must have at most {} characters", limits::NAME);
        return Err(Refusal::invalid("manufacturer", why));
    }
    let picture = picture(request).await?;
    let read = api.work.run(move || logo::read(&picture)).await?;
    let read = read.map_err(|refused| Refusal::invalid("the picture", refused))?;
    let (who, size) = (caller.who(), (read.width, read.height));
    let set = api.store.set_logo(&who, &manufacturer, &read.png, size);
    Ok(Json(set.await?))
}

/// Remove the logo of a manufacturer
#[utoipa::path(
    delete, path = "/api/logos/{manufacturer}", tag = "logos", params(Name),
    responses((status = 204), Refusals, ChangeRefusals)
)]
pub(super) async fn remove(
    State(api): State<Api>,
    Edit(caller): Edit,
    Name(manufacturer): Name,
) -> Result<StatusCode, Refusal> {
    match api.store.delete_logo(&caller.who(), &manufacturer).await? {
        true => Ok(StatusCode::NO_CONTENT),
        false => Err(Refusal::missing(format!("{manufacturer} has no logo"))),
    }
}

/// The picture of a request: its body, or the only file of its form.
async fn picture(request: Request) -> Result<Bytes, Refusal> {
    let kind = content_type(request.headers());
    if KINDS.contains(&kind.as_str()) {
        return bytes(request.into_body(), MOST).await;
    }
    if kind != "multipart/form-data" {
        return Err(Refusal::wrong_type("image/png, image/jpeg or image/webp"));
    }
    let refused = |error: String| Refusal::bad("the form cannot be understood", error);
    let mut form = Multipart::from_request(request, &())
        .await
        .map_err(|error| refused(error.body_text()))?;
    let mut found = None;
    while let Some(mut field) = form
        .next_field()
        .await
        .map_err(|error| refused(error.body_text()))?
    {
        if found.is_some() {
            return Err(Refusal::invalid("the form", "must have one file"));
        }
        let mut content = Vec::new();
        while let Some(part) = field
            .chunk()
            .await
            .map_err(|error| refused(error.body_text()))?
        {
            if content.len() + part.len() > MOST {
                return Err(Refusal::too_large(MOST));
            }
            content.extend_from_slice(&part);
        }
        found = Some(Bytes::from(content));
    }
    found.ok_or_else(|| Refusal::invalid("the form", "must have one file"))
}
