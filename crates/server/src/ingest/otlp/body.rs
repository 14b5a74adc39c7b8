//! The bytes of an export: unpacked, within bounds, as a message.

use std::io::Read;

use axum::body::Bytes;
use axum::http::{HeaderMap, StatusCode, header};
use flate2::read::{MultiGzDecoder, ZlibDecoder};
use prost::Message;
use prost::encoding::{WireType, decode_key, decode_varint};
use ruzstd::decoding::{FrameDecoder, StreamingDecoder};

use super::limits::Bounded;
use super::{Encoding, Route, Signal, Transport};
use crate::ingest::body::Refused;

/// Bytes of an export, as sent and unpacked.
pub(super) const LARGEST_SENT: usize = 32 << 20;
const LARGEST_EXPORT: usize = 32 << 20;
/// Messages in messages; telemetry has about ten.
const DEEPEST: usize = 32;
/// Messages and values of an export; each takes memory many times its bytes.
const MOST_PARTS: usize = 2_000_000;
/// Memory that a sender may ask for with zstd.
const LARGEST_WINDOW: u64 = 8 << 20;

fn refused(status: StatusCode, what: impl Into<String>) -> Refused {
    Refused(status, what.into())
}

/// An export's body without packing.
pub(super) fn unpack(route: Route, headers: &HeaderMap, body: Bytes) -> Result<Bytes, Refused> {
    let coding = |name: &str| headers.get(name).map_or("identity".into(), |value| String::from_utf8_lossy(value.as_bytes()));
    match route.transport {
        Transport::Http => unpack_as(&coding(header::CONTENT_ENCODING.as_str()), body),
        Transport::Grpc => {
            let too_short = || refused(StatusCode::BAD_REQUEST, "message: ends within its prefix");
            let (is_packed, rest) = body.split_first().ok_or_else(too_short)?;
            let (length, rest) = rest.split_first_chunk::<4>().ok_or_else(too_short)?;
            if u32::from_be_bytes(*length) as usize != rest.len() {
                return Err(refused(StatusCode::BAD_REQUEST, "message: is not as long as its prefix says, or not the only one"));
            }
            let message = body.slice(5..);
            if *is_packed == 0 { Ok(message) } else { unpack_as(&coding("grpc-encoding"), message) }
        }
    }
}

fn unpack_as(coding: &str, body: Bytes) -> Result<Bytes, Refused> {
    let unreadable = |cause: String| refused(StatusCode::BAD_REQUEST, format!("body: cannot be unpacked as {coding}: {cause}"));
    let source: Box<dyn Read> = match coding.trim().to_ascii_lowercase().as_str() {
        "" | "identity" => return Ok(body),
        "gzip" | "x-gzip" => Box::new(MultiGzDecoder::new(&body[..])),
        "deflate" => Box::new(ZlibDecoder::new(&body[..])),
        "zstd" => {
            let mut decoder = FrameDecoder::new();
            decoder.set_max_window_size(LARGEST_WINDOW);
            Box::new(StreamingDecoder::new_with_decoder(&body[..], decoder).map_err(|cause| unreadable(cause.to_string()))?)
        }
        other => {
            let what = format!("content encoding {other:?} is not known; there are gzip, zstd, deflate, identity");
            return Err(refused(StatusCode::UNSUPPORTED_MEDIA_TYPE, what));
        }
    };
    let mut plain = Vec::with_capacity(body.len().saturating_mul(4).min(LARGEST_EXPORT));
    source.take(LARGEST_EXPORT as u64 + 1).read_to_end(&mut plain).map_err(|cause| unreadable(cause.to_string()))?;
    if plain.len() > LARGEST_EXPORT {
        return Err(refused(StatusCode::PAYLOAD_TOO_LARGE, format!("body: larger than {LARGEST_EXPORT} bytes unpacked")));
    }
    Ok(plain.into())
}

/// The message that a body holds.
pub(super) fn parse<M: Message + Default + Bounded + serde::de::DeserializeOwned>(
    signal: Signal,
    encoding: Encoding,
    body: &[u8],
) -> Result<M, Refused> {
    let bad = |what: String| refused(StatusCode::BAD_REQUEST, format!("body: {what}"));
    let mut message = match encoding {
        Encoding::Protobuf => {
            let mut left = MOST_PARTS;
            count(Shape::of(signal), body, 0, &mut left)?;
            M::decode(body).map_err(|cause| bad(format!("not a protobuf message of {}: {cause}", signal.name())))?
        }
        Encoding::Json => {
            is_bounded(body)?;
            serde_json::from_slice(body).map_err(|cause| bad(format!("not JSON of {}: {cause}", signal.name())))?
        }
    };
    M::is_bounded(&mut message)?;
    Ok(message)
}

/// Which fields of a message are messages; what is in none of them is a leaf.
#[derive(Clone, Copy)]
struct Shape(&'static [(u32, &'static Shape)]);

static ANY_VALUE: Shape = Shape(&[(5, &ARRAY), (6, &KEY_VALUES)]);
static ARRAY: Shape = Shape(&[(1, &ANY_VALUE)]);
static KEY_VALUE: Shape = Shape(&[(2, &ANY_VALUE)]);
static KEY_VALUES: Shape = Shape(&[(1, &KEY_VALUE)]);
static RESOURCE: Shape = Shape(&[(1, &KEY_VALUE)]);
static SCOPE: Shape = Shape(&[(3, &KEY_VALUE)]);
static LOG_RECORD: Shape = Shape(&[(5, &ANY_VALUE), (6, &KEY_VALUE)]);
static LOGS: Shape = Shape(&[(1, &Shape(&[(1, &RESOURCE), (2, &Shape(&[(1, &SCOPE), (2, &LOG_RECORD)]))]))]);
static PART: Shape = Shape(&[(3, &KEY_VALUE), (4, &KEY_VALUE)]);
static SPAN: Shape = Shape(&[(9, &KEY_VALUE), (11, &PART), (13, &PART)]);
static TRACES: Shape = Shape(&[(1, &Shape(&[(1, &RESOURCE), (2, &Shape(&[(1, &SCOPE), (2, &SPAN)]))]))]);
/// Data points of every kind: attributes are 7 (1 of an exponential histogram, 9 of a histogram).
static POINT: Shape = Shape(&[(1, &KEY_VALUE), (7, &KEY_VALUE), (9, &KEY_VALUE)]);
static DATA: Shape = Shape(&[(1, &POINT)]);
static METRIC: Shape = Shape(&[(5, &DATA), (7, &DATA), (9, &DATA), (10, &DATA), (11, &DATA), (12, &KEY_VALUE)]);
static METRICS: Shape = Shape(&[(1, &Shape(&[(1, &RESOURCE), (2, &Shape(&[(1, &SCOPE), (2, &METRIC)]))]))]);

impl Shape {
    fn of(signal: Signal) -> &'static Self {
        match signal {
            Signal::Logs => &LOGS,
            Signal::Metrics => &METRICS,
            Signal::Traces => &TRACES,
        }
    }
}

/// Counts the messages of a body before memory is made for them; what is malformed the decoder names.
fn count(shape: &Shape, mut body: &[u8], depth: usize, left: &mut usize) -> Result<(), Refused> {
    if depth > DEEPEST {
        return Err(refused(StatusCode::BAD_REQUEST, format!("body: nested deeper than {DEEPEST} messages")));
    }
    while !body.is_empty() {
        let Ok((tag, wire)) = decode_key(&mut body) else { return Ok(()) };
        let length = match wire {
            WireType::Varint => {
                if decode_varint(&mut body).is_err() {
                    return Ok(());
                }
                continue;
            }
            WireType::SixtyFourBit => 8,
            WireType::ThirtyTwoBit => 4,
            WireType::LengthDelimited => match decode_varint(&mut body) {
                Ok(length) => length,
                Err(_) => return Ok(()),
            },
            WireType::StartGroup | WireType::EndGroup => return Ok(()),
        };
        let Some(inner) = usize::try_from(length).ok().and_then(|length| body.split_off(..length)) else { return Ok(()) };
        if wire == WireType::LengthDelimited {
            *left = left.checked_sub(1).ok_or_else(|| {
                refused(StatusCode::PAYLOAD_TOO_LARGE, format!("body: more than {MOST_PARTS} messages and values"))
            })?;
            if let Some((_, shape)) = shape.0.iter().find(|(number, _)| *number == tag) {
                count(shape, inner, depth + 1, left)?;
            }
        }
    }
    Ok(())
}

/// Depth and number of what a JSON body holds, before it is parsed.
fn is_bounded(body: &[u8]) -> Result<(), Refused> {
    let (mut depth, mut parts, mut in_text, mut escaped) = (0_usize, 0_usize, false, false);
    for byte in body {
        match byte {
            _ if escaped => escaped = false,
            b'\\' if in_text => escaped = true,
            b'"' => in_text = !in_text,
            _ if in_text => {}
            b'{' | b'[' => {
                (depth, parts) = (depth + 1, parts + 1);
                // An object in a list is two, of one message.
                if depth > 2 * DEEPEST {
                    return Err(refused(StatusCode::BAD_REQUEST, format!("body: nested deeper than {DEEPEST} messages")));
                }
            }
            b'}' | b']' => depth = depth.saturating_sub(1),
            b',' => parts += 1,
            _ => {}
        }
    }
    if parts > MOST_PARTS {
        return Err(refused(StatusCode::PAYLOAD_TOO_LARGE, format!("body: more than {MOST_PARTS} messages and values")));
    }
    Ok(())
}
