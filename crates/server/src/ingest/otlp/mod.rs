//! OpenTelemetry in: logs, metrics and traces over HTTP and gRPC, acknowledged when what they tell is on disk.

mod answer;
mod body;
mod counts;
mod forward;
mod frame;
mod inbox;
mod limits;
mod receiver;
mod route;

use axum::Router;
use axum::extract::{Extension, Request, State};
use axum::http::{HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::routing::post;
use ducat_store::TenantId;
use http_body_util::BodyExt;
use tokio::sync::oneshot;

use super::body::Refused;
use crate::App;
use crate::security::Caller;

pub(crate) use answer::{Encoding, in_their_form};
pub(crate) use counts::Verdict;
pub(crate) use forward::Forwarder;
pub use forward::{ForwardConfig, ForwardError};
pub(crate) use receiver::Receiver;
pub(crate) use route::{Route, Signal, Transport};

use body::LARGEST_SENT;
use receiver::{Export, full};

/// The paths of a transport.
pub(crate) fn routes(transport: Transport) -> Router<App> {
    let of_transport = Route::ALL.into_iter().filter(|(_, route)| route.transport == transport);
    of_transport.fold(Router::new(), |router, (path, _)| router.route(path, post(export)))
}

async fn export(State(app): State<App>, Extension(caller): Extension<Caller>, request: Request) -> Response {
    let Some(route) = Route::of(request.uri().path()) else { return crate::api::not_found(request.uri().clone()).await };
    let tenant = match caller {
        Caller::Machine(key) => key.tenant,
        Caller::Owner | Caller::Anyone => TenantId::LOCAL,
    };
    let encoding = match route.transport {
        Transport::Http => Encoding::of(request.headers()),
        Transport::Grpc => Encoding::Protobuf,
    };
    match receive(&app, route, tenant, request).await {
        Ok(exported) => answer::taken(route, encoding, exported.rejected, exported.reason),
        Err(refused) => {
            let retry = matches!(refused.0, StatusCode::TOO_MANY_REQUESTS | StatusCode::SERVICE_UNAVAILABLE);
            let mut response = refused.into_response();
            if retry {
                response.headers_mut().insert(header::RETRY_AFTER, HeaderValue::from_static("1"));
            }
            response
        }
    }
}

async fn receive(app: &App, route: Route, tenant: TenantId, request: Request) -> Result<ducat_capture::otlp::Exported, Refused> {
    let refuse = |refused: Refused| {
        app.otlp.counts.refuse(route);
        refused
    };
    if let Some(full) = app.otlp.is_full() {
        return Err(refuse(full));
    }
    let (parts, mut stream) = request.into_parts();
    let (mut body, mut room) = (Vec::new(), None);
    while let Some(frame) = stream.frame().await {
        let broken = |cause: axum::Error| refuse(Refused(StatusCode::BAD_REQUEST, format!("body: did not come whole: {cause}")));
        let Ok(data) = frame.map_err(broken)?.into_data() else { continue };
        if body.len() + data.len() > LARGEST_SENT {
            let what = format!("body: larger than {LARGEST_SENT} bytes");
            return Err(refuse(Refused(StatusCode::PAYLOAD_TOO_LARGE, what)));
        }
        // Whoever sends slowly holds no more than what came.
        let more = u32::try_from((body.len() + data.len()).div_ceil(1024) - body.len().div_ceil(1024)).unwrap_or(u32::MAX);
        match (app.otlp.room.clone().try_acquire_many_owned(more), &mut room) {
            (Err(_), _) => return Err(refuse(full("too many bytes are on their way"))),
            (Ok(permit), None) => room = Some(permit),
            (Ok(permit), Some(room)) => room.merge(permit),
        }
        body.extend_from_slice(&data);
    }
    let (answer, answered) = oneshot::channel();
    let export = Export { route, headers: parts.headers, body: body.into(), tenant, room, answer };
    app.otlp.submit(export).map_err(refuse)?;
    let gone = || Refused(StatusCode::INTERNAL_SERVER_ERROR, "the export could not be decoded".to_owned());
    answered.await.unwrap_or_else(|_| Err(gone()))
}
