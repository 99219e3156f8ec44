//! The page: three files inside the binary, nothing from anywhere else.

use axum::http::HeaderMap;
use axum::response::Response;
use kit::page::file;

pub(super) async fn index(headers: HeaderMap) -> Response {
    let text = include_str!("../page/index.html");
    file(&headers, "text/html; charset=utf-8", text)
}

pub(super) async fn style(headers: HeaderMap) -> Response {
    let text = include_str!("../page/energy.css");
    file(&headers, "text/css; charset=utf-8", text)
}

pub(super) async fn script(headers: HeaderMap) -> Response {
    let text = include_str!("../page/energy.js");
    file(&headers, "text/javascript; charset=utf-8", text)
}
