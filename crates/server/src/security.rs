//! Who may ask. A page from another origin must neither read nor write, also when a name was pointed at us (DNS rebinding).

use std::net::IpAddr;
use std::sync::PoisonError;
use std::time::Duration;

use axum::extract::{Request, State};
use axum::http::{HeaderMap, HeaderValue, Method, StatusCode, header};
use axum::middleware::Next;
use axum::response::{Html, IntoResponse, Response};
use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use ducat_store::{KeyRow, Keys, Shown};
use jiff::Timestamp;

use crate::api::{error, failed, off_the_runtime};
use crate::ingest::otlp::{Route, Transport};
use crate::{App, PublicUrl, page};

const LONGEST_POST: Duration = Duration::from_secs(30);

const CSP: &str = "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; connect-src 'self'; font-src 'self'; \
    base-uri 'none'; form-action 'none'; frame-ancestors 'none'";

/// Who asks, as the guard found out; every request has it.
#[derive(Clone, Debug)]
pub(crate) enum Caller {
    /// Nobody was asked for a key.
    Anyone,
    /// Showed the key in METRICS_API_KEY.
    Owner,
    /// Showed a key that `ducat key create` made.
    Machine(KeyRow),
}

/// Marks requests to a port of OpenTelemetry's own, which public URLs do not name.
#[derive(Clone, Copy, Debug)]
pub(crate) struct OtlpOnly;

/// Refuses strangers before any handler, and sets the headers of every answer.
pub(crate) async fn guard(State(app): State<App>, mut request: Request, next: Next) -> Response {
    let sends = request.method() == Method::POST
        && (request.uri().path() == "/api/v1/ship"
            || request.uri().path().starts_with("/api/v1/hooks/")
            || Route::of(request.uri().path()).is_some());
    let caller = match asked(&app, &request) {
        Asked::By(caller) => Ok(caller),
        Asked::With(key) => machine(&app, key, sends).await,
        Asked::Refused(refused) => Err(refused),
    };
    let refused = match caller {
        Ok(caller) => {
            request.extensions_mut().insert(caller);
            refusal(&request)
        }
        Err(refused) => Some(refused),
    };
    let mut response = match refused {
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

enum Asked {
    By(Caller),
    /// A machine's key, yet to be looked up.
    With(String),
    Refused(Response),
}

fn asked(app: &App, request: &Request) -> Asked {
    let headers = request.headers();
    let host = text(headers, header::HOST.as_str()).or_else(|| request.uri().authority().map(|authority| authority.as_str()));
    let is_otlp_only = request.extensions().get::<OtlpOnly>().is_some();
    if !host.is_some_and(|host| is_own_host(app.address.ip(), &app.config.public_urls, is_otlp_only, host)) {
        return Asked::Refused(misdirected(headers, host.unwrap_or("no host")));
    }
    // Only a page that the user opens may come from a link elsewhere; it holds no data of its own.
    let opens_page = page::is_view(request.uri().path())
        && request.method() == Method::GET
        && text(headers, "sec-fetch-mode") == Some("navigate")
        && text(headers, "sec-fetch-dest") == Some("document");
    let scheme = if app.config.tls.is_some() { "https" } else { "http" };
    let foreign_origin = text(headers, header::ORIGIN.as_str()).is_some_and(|origin| {
        Some(origin) != host.map(|host| format!("{scheme}://{host}")).as_deref()
            && !app.config.public_urls.iter().any(|url| url.origin() == origin)
    });
    let foreign_site = matches!(text(headers, "sec-fetch-site"), Some("cross-site" | "same-site"));
    if (foreign_origin || foreign_site) && !opens_page {
        return Asked::Refused(error(StatusCode::FORBIDDEN, "asked by a page of another origin"));
    }
    if matches!(request.uri().path(), "/health" | "/ready") {
        return Asked::By(Caller::Anyone);
    }
    let shown = text(headers, header::AUTHORIZATION.as_str()).map(shown_key).unwrap_or_default();
    if app.config.api_key.as_deref().is_some_and(|key| is_same(&shown, key.as_bytes())) {
        return Asked::By(Caller::Owner);
    }
    match str::from_utf8(&shown) {
        Ok(key) if Keys::is_key(key) => Asked::With(key.to_owned()),
        _ if app.config.api_key.is_none() => Asked::By(Caller::Anyone),
        _ => {
            let what = "Authorization: missing or wrong; send Bearer and the key in METRICS_API_KEY, or the key as the password";
            Asked::Refused(unauthorized(what))
        }
    }
}

/// A machine's key opens what machines send to, and nothing that can be read.
async fn machine(app: &App, shown: String, sends: bool) -> Result<Caller, Response> {
    let keys = app.keys.clone();
    let now = Timestamp::now().as_millisecond();
    let checked = off_the_runtime(move || keys.lock().unwrap_or_else(PoisonError::into_inner).check(&shown, now)).await;
    let on =
        |at: Option<i64>| at.and_then(|at| Timestamp::from_millisecond(at).ok()).map_or(String::new(), |at| format!("{at:.0}"));
    match checked.map_err(|cause| failed(&cause))? {
        Shown::Good(key) if sends => Ok(Caller::Machine(key)),
        Shown::Good(key) => {
            let what = format!(
                "key {} ({}) is for shipping: it opens /api/v1/ship, /api/v1/hooks/ and OTLP, nothing else",
                key.name, key.id
            );
            Err(error(StatusCode::FORBIDDEN, &what))
        }
        Shown::Revoked(key) => {
            let what = format!("key {} ({}) was revoked at {}", key.name, key.id, on(key.revoked_at));
            Err(error(StatusCode::FORBIDDEN, &what))
        }
        Shown::Expired(key) => {
            let what = format!("key {} ({}) expired at {}", key.name, key.id, on(key.expires_at));
            Err(error(StatusCode::FORBIDDEN, &what))
        }
        Shown::Unknown => {
            Err(unauthorized("Authorization: this key is none of this server; `ducat key list` shows those it knows"))
        }
    }
}

pub(crate) fn unauthorized(what: &str) -> Response {
    let mut refused = error(StatusCode::UNAUTHORIZED, what);
    refused.headers_mut().insert(header::WWW_AUTHENTICATE, HeaderValue::from_static("Basic realm=\"Ducat\""));
    refused
}

fn refusal(request: &Request) -> Option<Response> {
    let kind =
        text(request.headers(), header::CONTENT_TYPE.as_str()).and_then(|kind| kind.split(';').next()).unwrap_or("").trim();
    let wanted: &[&str] = match Route::of(request.uri().path()) {
        Some(Route { transport: Transport::Http, .. }) => &["application/x-protobuf", "application/json"],
        Some(Route { transport: Transport::Grpc, .. }) => &["application/grpc", "application/grpc+proto"],
        None if request.uri().path() == "/api/v1/ship" => &["application/x-ndjson"],
        None => &["application/json"],
    };
    if request.method() == Method::POST && !wanted.iter().any(|wanted| kind.eq_ignore_ascii_case(wanted)) {
        // A form of a strange page cannot send these types without asking first.
        let what = format!("Content-Type: must be {}", wanted.join(" or "));
        return Some(error(StatusCode::UNSUPPORTED_MEDIA_TYPE, &what));
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

/// A host without its port, nor brackets of an address.
fn without_port(host: &str) -> String {
    let name = match host.rsplit_once(':') {
        Some((name, port)) if port.bytes().all(|byte| byte.is_ascii_digit()) && (!name.contains(':') || name.ends_with(']')) => {
            name
        }
        _ => host,
    };
    name.trim_start_matches('[').trim_end_matches(']').to_ascii_lowercase()
}

/// A loopback name, our own address, or a name that the configuration gives; with its port, except where `any_port`.
fn is_own_host(own: IpAddr, public_urls: &[PublicUrl], any_port: bool, host: &str) -> bool {
    let name = without_port(host);
    let address = name.parse::<IpAddr>().ok();
    let is_public =
        |url: &PublicUrl| url.authority().eq_ignore_ascii_case(host) || (any_port && without_port(url.authority()) == name);
    name == "localhost"
        || name.ends_with(".localhost")
        || address.is_some_and(|address| address.is_loopback() || (address == own && !address.is_unspecified()))
        || public_urls.iter().any(is_public)
}

/// The key of `Bearer KEY`, or the password of `Basic`, which browsers ask for.
fn shown_key(told: &str) -> Vec<u8> {
    let basic = told.strip_prefix("Basic ").and_then(|pair| BASE64_STANDARD.decode(pair.trim()).ok());
    let password = basic.as_deref().and_then(|pair| pair.splitn(2, |byte| *byte == b':').nth(1));
    password.unwrap_or_else(|| told.strip_prefix("Bearer ").unwrap_or("").as_bytes()).to_owned()
}

/// Takes the same time whatever part of the key is right.
fn is_same(shown: &[u8], key: &[u8]) -> bool {
    let differs = shown.iter().zip(key).fold(shown.len() ^ key.len(), |differs, (shown, key)| differs | usize::from(shown ^ key));
    differs == 0
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_of_this_server() {
        let public = ["http://ducat.lan:9090", "https://meter.example.org"].map(|url| url.parse().unwrap());
        let is_own = |any_port, host| is_own_host(IpAddr::from([192, 168, 1, 5]), &public, any_port, host);
        for host in
            ["localhost", "a.localhost:1", "127.0.0.1:9090", "[::1]:4318", "192.168.1.5", "Ducat.lan:9090", "meter.example.org"]
        {
            assert!(is_own(false, host) && is_own(true, host), "{host}");
        }
        for host in ["evil.example", "ducat.lan.evil:9090", "192.168.1.6:9090", "0.0.0.0", ""] {
            assert!(!is_own(false, host) && !is_own(true, host), "{host}");
        }
        for host in ["ducat.lan:4318", "ducat.lan:4317", "ducat.lan", "meter.example.org:4318"] {
            assert!(!is_own(false, host) && is_own(true, host), "{host}");
        }
    }
}
