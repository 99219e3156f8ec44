//! A service's page: its files are compiled into the binary, and nothing is loaded from elsewhere.

use std::hash::{DefaultHasher, Hash, Hasher};

use axum::Router;
use axum::body::Bytes;
use axum::http::{HeaderMap, StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::routing::get;

/// What every page begins with.
const HEAD: &str = include_str!("page/head.html");
/// What every page looks like: the palette, and what more than one page has.
const STYLE: (&str, &str) = ("/kit.css", include_str!("page/kit.css"));

/// Serves a page and its files at their paths, together with the style that all pages share. The extension decides the
/// content type. A path without one is a page: its text begins with its title and icon, and what every page's head has,
/// with links to the shared style and to all these styles and scripts, is put before it.
pub fn files<const N: usize>(files: [(&'static str, &'static str); N]) -> Router {
    let all = [STYLE].into_iter().chain(files);
    let links: String = all.clone().map(|(path, _)| link(path)).collect();
    all.fold(Router::new(), |routes, (path, text)| {
        let file = match extension(path) {
            "css" => File::new("text/css; charset=utf-8", text.into()),
            "js" => File::new("text/javascript; charset=utf-8", text.into()),
            _ => File::new("text/html; charset=utf-8", format!("{HEAD}{links}{text}")),
        };
        routes.route(
            path,
            get(async move |headers: HeaderMap| file.answer(&headers)),
        )
    })
}

fn extension(path: &str) -> &str {
    path.rsplit_once('.').map_or("", |(_, extension)| extension)
}

/// What a page's head says of a file; its address is relative, so that a proxy may put the service below a path.
fn link(path: &str) -> String {
    let address = path.trim_start_matches('/');
    match extension(path) {
        "css" => format!("<link rel=\"stylesheet\" href=\"{address}\">\n"),
        "js" => format!("<script src=\"{address}\" defer></script>\n"),
        _ => String::new(),
    }
}

/// A file as it is sent.
#[derive(Clone)]
struct File {
    kind: &'static str,
    text: Bytes,
    etag: String,
}

impl File {
    fn new(kind: &'static str, text: String) -> Self {
        let mut hasher = DefaultHasher::new();
        text.hash(&mut hasher);
        File {
            kind,
            text: text.into(),
            etag: format!("\"{:016x}\"", hasher.finish()),
        }
    }

    /// Revalidated on every request and rarely sent again, so that an update shows at once.
    fn answer(&self, headers: &HeaderMap) -> Response {
        let caching = [
            (header::CACHE_CONTROL, "no-cache".to_owned()),
            (header::ETAG, self.etag.clone()),
        ];
        if headers
            .get(header::IF_NONE_MATCH)
            .is_some_and(|known| known.as_bytes() == self.etag.as_bytes())
        {
            return (StatusCode::NOT_MODIFIED, caching).into_response();
        }
        (
            caching,
            [(header::CONTENT_TYPE, self.kind)],
            self.text.clone(),
        )
            .into_response()
    }
}
