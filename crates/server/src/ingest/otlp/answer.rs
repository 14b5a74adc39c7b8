//! Answers in the form of the one who asked: JSON, protobuf, or a gRPC message with its status in the trailers.

use axum::body::{Body, Bytes};
use axum::extract::Request;
use axum::http::{HeaderMap, HeaderValue, StatusCode, header};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use base64::Engine;
use base64::prelude::BASE64_STANDARD_NO_PAD;
use http_body_util::{BodyExt, Full};
use prost::Message;
use serde_json::json;

use super::{Route, Transport};
use crate::api::Refusal;

/// How the messages of gRPC may be packed.
const CODINGS: &str = "identity,gzip,zstd,deflate";

/// How a body is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Encoding {
    Protobuf,
    Json,
}

impl Encoding {
    pub fn of(headers: &HeaderMap) -> Self {
        let kind = headers.get(header::CONTENT_TYPE).map_or(&b""[..], HeaderValue::as_bytes);
        if kind.len() >= 16 && kind[..16].eq_ignore_ascii_case(b"application/json") { Self::Json } else { Self::Protobuf }
    }

    pub fn content_type(self) -> &'static str {
        match self {
            Self::Protobuf => "application/x-protobuf",
            Self::Json => "application/json",
        }
    }
}

/// `google.rpc.Status`.
#[derive(Clone, PartialEq, Message)]
pub(crate) struct Status {
    #[prost(int32, tag = "1")]
    pub code: i32,
    #[prost(string, tag = "2")]
    pub message: String,
    #[prost(message, repeated, tag = "3")]
    pub details: Vec<Detail>,
}

/// `google.protobuf.Any`.
#[derive(Clone, PartialEq, Message)]
pub(crate) struct Detail {
    #[prost(string, tag = "1")]
    pub type_url: String,
    #[prost(bytes = "vec", tag = "2")]
    pub value: Vec<u8>,
}

/// `google.rpc.RetryInfo`, whose one field is a `google.protobuf.Duration`.
#[derive(Clone, PartialEq, Message)]
struct RetryInfo {
    #[prost(message, optional, tag = "1")]
    retry_delay: Option<Seconds>,
}

#[derive(Clone, PartialEq, Message)]
struct Seconds {
    #[prost(int64, tag = "1")]
    seconds: i64,
}

/// An export's answer: the three signals' messages have the same form.
#[derive(Clone, PartialEq, Message)]
struct ExportResponse {
    #[prost(message, optional, tag = "1")]
    partial_success: Option<PartialSuccess>,
}

#[derive(Clone, PartialEq, Message)]
struct PartialSuccess {
    #[prost(int64, tag = "1")]
    rejected: i64,
    #[prost(string, tag = "2")]
    error_message: String,
}

/// What was rejected of an export that was taken in, if anything.
pub(super) fn taken(route: Route, encoding: Encoding, rejected: u64, reason: Option<String>) -> Response {
    let partial = (rejected > 0).then(|| PartialSuccess {
        rejected: i64::try_from(rejected).unwrap_or(i64::MAX),
        error_message: reason.unwrap_or_default(),
    });
    let body = match (route.transport, encoding) {
        (Transport::Http, Encoding::Json) => {
            let field = match route.signal {
                super::Signal::Logs => "rejectedLogRecords",
                super::Signal::Metrics => "rejectedDataPoints",
                super::Signal::Traces => "rejectedSpans",
            };
            match partial {
                // A 64-bit number is a text in protobuf's JSON.
                Some(partial) => {
                    json!({ "partialSuccess": { field: partial.rejected.to_string(), "errorMessage": partial.error_message } })
                }
                None => json!({}),
            }
            .to_string()
            .into_bytes()
        }
        _ => ExportResponse { partial_success: partial }.encode_to_vec(),
    };
    match route.transport {
        Transport::Http => ([(header::CONTENT_TYPE, encoding.content_type())], body).into_response(),
        Transport::Grpc => {
            let mut framed = vec![0; 5];
            framed[1..].copy_from_slice(&(body.len() as u32).to_be_bytes());
            framed.extend(body);
            let mut trailers = HeaderMap::new();
            trailers.insert("grpc-status", HeaderValue::from_static("0"));
            let body = Full::new(Bytes::from(framed)).with_trailers(async { Some(Ok(trailers)) });
            ([(header::CONTENT_TYPE, "application/grpc")], Body::new(body)).into_response()
        }
    }
}

/// Says refusals of an export, whoever refused it, as the protocol has them.
pub(crate) async fn in_their_form(request: Request, next: Next) -> Response {
    let Some(route) = Route::of(request.uri().path()) else {
        let is_grpc =
            request.headers().get(header::CONTENT_TYPE).is_some_and(|kind| kind.as_bytes().starts_with(b"application/grpc"));
        let mut response = next.run(request).await;
        if !is_grpc || response.status().is_success() {
            return response;
        }
        // No other path takes this type, which is another way of saying so.
        if response.status() == StatusCode::UNSUPPORTED_MEDIA_TYPE {
            *response.status_mut() = StatusCode::NOT_FOUND;
        }
        return grpc_refusal(&response, "there is no such service");
    };
    let encoding = Encoding::of(request.headers());
    let response = next.run(request).await;
    if response.status().is_success() {
        return response;
    }
    let what = response.extensions().get::<Refusal>().map_or("", |refusal| &refusal.0);
    if route.transport == Transport::Grpc {
        return grpc_refusal(&response, what);
    }
    let status = Status { code: grpc_code(response.status()), message: what.to_owned(), details: details(&response) };
    let body = match encoding {
        Encoding::Protobuf => status.encode_to_vec(),
        Encoding::Json => json!({ "code": status.code, "message": status.message }).to_string().into_bytes(),
    };
    let (mut parts, _) = response.into_parts();
    parts.headers.insert(header::CONTENT_TYPE, HeaderValue::from_static(encoding.content_type()));
    parts.headers.remove(header::CONTENT_LENGTH);
    Response::from_parts(parts, Body::from(body))
}

/// Status and words alone, in the head, as gRPC answers without a message.
fn grpc_refusal(response: &Response, what: &str) -> Response {
    let code = grpc_code(response.status());
    let status = Status { code, message: what.to_owned(), details: details(response) };
    let mut refused = ([(header::CONTENT_TYPE, "application/grpc")], Body::empty()).into_response();
    let headers = refused.headers_mut();
    headers.insert("grpc-status", HeaderValue::from(code));
    headers.insert("grpc-accept-encoding", HeaderValue::from_static(CODINGS));
    if let Ok(message) = HeaderValue::from_str(&percent_encoded(what)) {
        headers.insert("grpc-message", message);
    }
    if let Ok(details) = HeaderValue::from_str(&BASE64_STANDARD_NO_PAD.encode(status.encode_to_vec())) {
        headers.insert("grpc-status-details-bin", details);
    }
    refused
}

/// When to try again, from `Retry-After`.
fn details(response: &Response) -> Vec<Detail> {
    let seconds = response.headers().get(header::RETRY_AFTER).and_then(|value| value.to_str().ok()?.parse().ok());
    let retry = seconds.map(|seconds| RetryInfo { retry_delay: Some(Seconds { seconds }) });
    let detail = |retry: RetryInfo| Detail {
        type_url: "type.googleapis.com/google.rpc.RetryInfo".to_owned(),
        value: retry.encode_to_vec(),
    };
    retry.map(detail).into_iter().collect()
}

fn grpc_code(status: StatusCode) -> i32 {
    match status {
        // What is too large, too: exporters send again what OUT_OF_RANGE says, and many what RESOURCE_EXHAUSTED does.
        StatusCode::BAD_REQUEST
        | StatusCode::PAYLOAD_TOO_LARGE
        | StatusCode::UNSUPPORTED_MEDIA_TYPE
        | StatusCode::MISDIRECTED_REQUEST => 3,
        StatusCode::REQUEST_TIMEOUT => 4,
        StatusCode::FORBIDDEN => 7,
        StatusCode::TOO_MANY_REQUESTS => 8,
        StatusCode::NOT_FOUND | StatusCode::METHOD_NOT_ALLOWED | StatusCode::NOT_IMPLEMENTED => 12,
        StatusCode::SERVICE_UNAVAILABLE => 14,
        StatusCode::UNAUTHORIZED => 16,
        _ => 13,
    }
}

fn percent_encoded(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for byte in text.bytes() {
        match byte {
            b' '..=b'~' if byte != b'%' => out.push(byte.into()),
            _ => out.push_str(&format!("%{byte:02X}")),
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::api::error;

    /// Codes that OTLP's exporters send again: cancelled, deadline, exhausted, aborted, out of range, unavailable, data loss.
    const SENT_AGAIN: [i32; 7] = [1, 4, 8, 10, 11, 14, 15];

    #[test]
    fn only_what_may_be_taken_later_is_sent_again() {
        for status in [400, 401, 403, 404, 405, 413, 415, 421, 500, 501] {
            assert!(!SENT_AGAIN.contains(&grpc_code(StatusCode::from_u16(status).unwrap())), "{status}");
        }
        for status in [408, 429, 503] {
            assert!(SENT_AGAIN.contains(&grpc_code(StatusCode::from_u16(status).unwrap())), "{status}");
        }
    }

    #[test]
    fn a_refusal_says_how_messages_may_be_packed() {
        let refused = grpc_refusal(&error(StatusCode::NOT_IMPLEMENTED, "lzma"), "lzma");
        assert_eq!(refused.headers()["grpc-status"], "12");
        assert_eq!(refused.headers()["grpc-accept-encoding"], CODINGS);
    }
}
