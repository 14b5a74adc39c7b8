//! Who may ask. A page from another origin must neither read nor write, also when a name was pointed at us (DNS rebinding).

use axum::extract::{Request, State};
use axum::http::{HeaderMap, HeaderValue, Method, StatusCode, header};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};

use crate::App;
use crate::api::error;

const CSP: &str = "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; connect-src 'self'; font-src 'self'; \
    base-uri 'none'; form-action 'none'; frame-ancestors 'none'";

/// Refuses strangers before any handler, and sets the headers of every answer.
pub(crate) async fn guard(State(app): State<App>, request: Request, next: Next) -> Response {
    let mut response = match refusal(&app, &request) {
        Some(refused) => refused,
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
        let asked = host.unwrap_or("no host");
        return Some(error(
            StatusCode::MISDIRECTED_REQUEST,
            &format!("{asked} is not a name of this server; use localhost, or name it with --host-name"),
        ));
    }
    // Only a page that the user opens may come from a link elsewhere; it holds no data of its own.
    let opens_page = matches!(request.uri().path(), "/" | "/dashboard")
        && request.method() == Method::GET
        && text(headers, "sec-fetch-mode") == Some("navigate")
        && text(headers, "sec-fetch-dest") == Some("document");
    let foreign_origin = text(headers, header::ORIGIN.as_str())
        .is_some_and(|origin| Some(origin) != host.map(|host| format!("http://{host}")).as_deref());
    let foreign_site = matches!(text(headers, "sec-fetch-site"), Some("cross-site" | "same-site"));
    if (foreign_origin || foreign_site) && !opens_page {
        return Some(error(StatusCode::FORBIDDEN, "asked by a page of another origin"));
    }
    let is_open = matches!(request.uri().path(), "/health" | "/ready");
    if let Some(key) = app.config.api_key.as_deref().filter(|_| !is_open)
        && !text(headers, header::AUTHORIZATION.as_str()).is_some_and(|told| shows_key(told, key))
    {
        let mut refused =
            error(StatusCode::UNAUTHORIZED, "Authorization: missing or wrong; send Bearer and the key in METRICS_API_KEY");
        refused.headers_mut().insert(header::WWW_AUTHENTICATE, HeaderValue::from_static("Bearer"));
        return Some(refused);
    }
    (request.method() != Method::GET && request.method() != Method::HEAD)
        .then(|| (StatusCode::METHOD_NOT_ALLOWED, [(header::ALLOW, "GET, HEAD")], "").into_response())
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
        || app.config.hosts.iter().any(|known| known.eq_ignore_ascii_case(&name))
}

/// Takes the same time whatever part of the key is right.
fn shows_key(told: &str, key: &str) -> bool {
    let told = told.strip_prefix("Bearer ").unwrap_or("").as_bytes();
    let differs =
        told.iter().zip(key.as_bytes()).fold(told.len() ^ key.len(), |differs, (told, key)| differs | usize::from(told ^ key));
    differs == 0
}
