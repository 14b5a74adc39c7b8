//! The page and its parts, embedded.

use axum::extract::Path;
use axum::http::{StatusCode, header};
use axum::response::{Html, IntoResponse, Response};

use crate::api::error;

const INDEX: &str = include_str!("../../../ui/index.html");
const ASSETS: [(&str, &str, &str); 10] = [
    ("page.js", "text/javascript; charset=utf-8", include_str!("../../../ui/page.js")),
    ("dom.js", "text/javascript; charset=utf-8", include_str!("../../../ui/dom.js")),
    ("history.js", "text/javascript; charset=utf-8", include_str!("../../../ui/history.js")),
    ("machines.js", "text/javascript; charset=utf-8", include_str!("../../../ui/machines.js")),
    ("quota.js", "text/javascript; charset=utf-8", include_str!("../../../ui/quota.js")),
    ("figures.js", "text/javascript; charset=utf-8", include_str!("../../../ui/figures.js")),
    ("ticker.js", "text/javascript; charset=utf-8", include_str!("../../../ui/ticker.js")),
    ("witnesses.js", "text/javascript; charset=utf-8", include_str!("../../../ui/witnesses.js")),
    ("summary.css", "text/css; charset=utf-8", include_str!("../../../ui/summary.css")),
    ("page.css", "text/css; charset=utf-8", include_str!("../../../ui/page.css")),
];

pub(crate) async fn index() -> Html<&'static str> {
    Html(INDEX)
}

pub(crate) async fn asset(Path(name): Path<String>) -> Response {
    match ASSETS.iter().find(|(known, ..)| *known == name) {
        // An update of Ducat changes them under the same name, so they are asked for every time.
        Some((_, kind, text)) => ([(header::CONTENT_TYPE, *kind), (header::CACHE_CONTROL, "no-cache")], *text).into_response(),
        None => error(StatusCode::NOT_FOUND, &format!("there is no asset {name:?}")),
    }
}
