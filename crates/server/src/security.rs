//! Who may ask. A page from another origin must neither read nor write, also when a name was pointed at us (DNS rebinding).

use std::time::Duration;

use axum::extract::{Request, State};
use axum::http::{HeaderMap, HeaderValue, Method, StatusCode, header};
use axum::middleware::Next;
use axum::response::{Html, IntoResponse, Response};
use base64::Engine;
use base64::prelude::BASE64_STANDARD;

use crate::App;
use crate::api::error;

const LONGEST_POST: Duration = Duration::from_secs(30);

const CSP: &str = "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; connect-src 'self'; font-src 'self'; \
    base-uri 'none'; form-action 'none'; frame-ancestors 'none'";

/// Refuses strangers before any handler, and sets the headers of every answer.
pub(crate) async fn guard(State(app): State<App>, request: Request, next: Next) -> Response {
    let mut response = match refusal(&app, &request) {
        Some(refused) => refused,
        // What is posted comes at once; who sends it byte by byte holds a place that others need.
        None if request.method() == Method::POST => match tokio::time::timeout(LONGEST_POST, next.run(request)).await {
            Ok(response) => response,
            Err(_) => error(StatusCode::REQUEST_TIMEOUT, "the body did not come in time"),
        },
        None => next.run(request).await,
    };
    let headers = response.headers_mut();
    for (name, value) in [
        (header::CONTENT_SECURITY_POLICY, CSP),
        (header::X_CONTENT_TYPE_OPTIONS, "nosniff"),
        (header::REFERRER_POLICY, "no-referrer"),
        (header::HeaderName::from_static("cross-origin-resource-policy"), "same-origin"),
    ] {
        headers.insert(name, HeaderValue::from_static(value));
    }
    headers.entry(header::CACHE_CONTROL).or_insert(HeaderValue::from_static("no-store"));
    response
}

fn refusal(app: &App, request: &Request) -> Option<Response> {
    let headers = request.headers();
    let host = text(headers, header::HOST.as_str()).or_else(|| request.uri().authority().map(|authority| authority.as_str()));
    if !host.is_some_and(|host| is_own_host(app, host)) {
        return Some(misdirected(headers, host.unwrap_or("no host")));
    }
    // Only a page that the user opens may come from a link elsewhere; it holds no data of its own.
    let opens_page = matches!(request.uri().path(), "/" | "/dashboard")
        && request.method() == Method::GET
        && text(headers, "sec-fetch-mode") == Some("navigate")
        && text(headers, "sec-fetch-dest") == Some("document");
    let foreign_origin = text(headers, header::ORIGIN.as_str()).is_some_and(|origin| {
        Some(origin) != host.map(|host| format!("http://{host}")).as_deref()
            && !app.config.public_urls.iter().any(|url| url.origin() == origin)
    });
    let foreign_site = matches!(text(headers, "sec-fetch-site"), Some("cross-site" | "same-site"));
    if (foreign_origin || foreign_site) && !opens_page {
        return Some(error(StatusCode::FORBIDDEN, "asked by a page of another origin"));
    }
    let is_open = matches!(request.uri().path(), "/health" | "/ready");
    if let Some(key) = app.config.api_key.as_deref().filter(|_| !is_open)
        && !text(headers, header::AUTHORIZATION.as_str()).is_some_and(|told| shows_key(told, key))
    {
        let mut refused = error(
            StatusCode::UNAUTHORIZED,
            "Authorization: missing or wrong; send Bearer and the key in METRICS_API_KEY, or the key as the password",
        );
        refused.headers_mut().insert(header::WWW_AUTHENTICATE, HeaderValue::from_static("Basic realm=\"Ducat\""));
        return Some(refused);
    }
    let is_json = text(headers, header::CONTENT_TYPE.as_str())
        .is_some_and(|kind| kind.split(';').next().unwrap_or("").trim().eq_ignore_ascii_case("application/json"));
    if request.method() == Method::POST && !is_json {
        // A form of a strange page cannot send this type without asking first.
        return Some(error(StatusCode::UNSUPPORTED_MEDIA_TYPE, "Content-Type: must be application/json"));
    }
    None
}

/// A page for people, an error for programs.
fn misdirected(headers: &HeaderMap, asked: &str) -> Response {
    let what = format!("{asked} is not a name of this server; use localhost, or start it with --public-url http://{asked}");
    if !text(headers, header::ACCEPT.as_str()).is_some_and(|kinds| kinds.contains("text/html")) {
        return error(StatusCode::MISDIRECTED_REQUEST, &what);
    }
    let what = what.replace('&', "&amp;").replace('<', "&lt;").replace('"', "&quot;");
    let page = format!(
        "<!doctype html><meta charset=utf-8><meta name=color-scheme content='light dark'><title>Ducat</title><h1>421: not a name of this server</h1><p>{what}.</p>"
    );
    (StatusCode::MISDIRECTED_REQUEST, Html(page)).into_response()
}

fn text<'a>(headers: &'a HeaderMap, name: &str) -> Option<&'a str> {
    headers.get(name).and_then(|value| value.to_str().ok())
}

/// A loopback name, our own address, or a name that the configuration gives.
fn is_own_host(app: &App, host: &str) -> bool {
    let name = match host.rsplit_once(':') {
        Some((name, port)) if port.bytes().all(|byte| byte.is_ascii_digit()) && (!name.contains(':') || name.ends_with(']')) => {
            name
        }
        _ => host,
    };
    let name = name.trim_start_matches('[').trim_end_matches(']').to_ascii_lowercase();
    let address = name.parse::<std::net::IpAddr>().ok();
    name == "localhost"
        || name.ends_with(".localhost")
        || address.is_some_and(|address| address.is_loopback() || (address == app.address.ip() && !address.is_unspecified()))
        || app.config.public_urls.iter().any(|url| url.authority().eq_ignore_ascii_case(host))
}

/// As `Bearer KEY`, or as the password of `Basic`, which browsers ask for. Takes the same time whatever part of the key is right.
fn shows_key(told: &str, key: &str) -> bool {
    let basic = told.strip_prefix("Basic ").and_then(|pair| BASE64_STANDARD.decode(pair.trim()).ok());
    let password = basic.as_deref().and_then(|pair| pair.splitn(2, |byte| *byte == b':').nth(1));
    let told = password.unwrap_or_else(|| told.strip_prefix("Bearer ").unwrap_or("").as_bytes());
    let differs =
        told.iter().zip(key.as_bytes()).fold(told.len() ^ key.len(), |differs, (told, key)| differs | usize::from(told ^ key));
    differs == 0
}
