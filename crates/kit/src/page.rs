//! The files of a web page: compiled into the binary, nothing is loaded from elsewhere.

use std::hash::{DefaultHasher, Hash, Hasher};

use axum::Router;
use axum::http::{HeaderMap, StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::routing::get;

/// Serves a page's files at their paths. The extension decides the content type; without one it is HTML.
pub fn files<const N: usize>(files: [(&'static str, &'static str); N]) -> Router {
    files
        .into_iter()
        .fold(Router::new(), |routes, (path, text)| {
            let kind = match path.rsplit_once('.') {
                Some((_, "css")) => "text/css; charset=utf-8",
                Some((_, "js")) => "text/javascript; charset=utf-8",
                _ => "text/html; charset=utf-8",
            };
            routes.route(
                path,
                get(async move |headers: HeaderMap| file(&headers, kind, text)),
            )
        })
}

/// Revalidated on every request and rarely sent again, so that an update shows at once.
fn file(headers: &HeaderMap, kind: &'static str, text: &'static str) -> Response {
    let mut hasher = DefaultHasher::new();
    text.hash(&mut hasher);
    let etag = format!("\"{:016x}\"", hasher.finish());
    let caching = [
        (header::CACHE_CONTROL, "no-cache".to_owned()),
        (header::ETAG, etag.clone()),
    ];
    if headers
        .get(header::IF_NONE_MATCH)
        .is_some_and(|known| known.as_bytes() == etag.as_bytes())
    {
        return (StatusCode::NOT_MODIFIED, caching).into_response();
    }
    (caching, [(header::CONTENT_TYPE, kind)], text).into_response()
}
