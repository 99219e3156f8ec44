//! The page: three files inside the binary, nothing from anywhere else.

use axum::http::HeaderMap;
use axum::response::Response;
use kit::page::file;

pub(super) async fn index(headers: HeaderMap) -> Response {
    file(
        &headers,
        "text/html; charset=utf-8",
        include_str!("../page/index.html"),
    )
}

pub(super) async fn style(headers: HeaderMap) -> Response {
    file(
        &headers,
        "text/css; charset=utf-8",
        include_str!("../page/climate.css"),
    )
}

pub(super) async fn script(headers: HeaderMap) -> Response {
    file(
        &headers,
        "text/javascript; charset=utf-8",
        include_str!("../page/climate.js"),
    )
}
