//! The bytes of an export: unpacked, within bounds, as a message.

use std::io::Read;

use axum::body::Bytes;
use axum::http::{HeaderMap, StatusCode, header};
use ducat_scan::ZstdReader;
use flate2::bufread::{MultiGzDecoder, ZlibDecoder};
use prost::Message;
use prost::encoding::{WireType, decode_key, decode_varint};

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
        Transport::Http => unpack_as(&coding(header::CONTENT_ENCODING.as_str()), body, StatusCode::UNSUPPORTED_MEDIA_TYPE),
        Transport::Grpc => {
            let too_short = || refused(StatusCode::BAD_REQUEST, "message: ends within its prefix");
            let (is_packed, rest) = body.split_first().ok_or_else(too_short)?;
            let (length, rest) = rest.split_first_chunk::<4>().ok_or_else(too_short)?;
            if u32::from_be_bytes(*length) as usize != rest.len() {
                return Err(refused(StatusCode::BAD_REQUEST, "message: is not as long as its prefix says, or not the only one"));
            }
            let message = body.slice(5..);
            if *is_packed == 0 { Ok(message) } else { unpack_as(&coding("grpc-encoding"), message, StatusCode::NOT_IMPLEMENTED) }
        }
    }
}

/// `unknown` is how a coding that is not known is refused.
fn unpack_as(coding: &str, body: Bytes, unknown: StatusCode) -> Result<Bytes, Refused> {
    let unreadable = |cause: String| refused(StatusCode::BAD_REQUEST, format!("body: cannot be unpacked as {coding}: {cause}"));
    let mut plain = Vec::with_capacity(body.len().saturating_mul(4).min(LARGEST_EXPORT));
    match coding.trim().to_ascii_lowercase().as_str() {
        "" | "identity" => return Ok(body),
        "gzip" | "x-gzip" => read_within(MultiGzDecoder::new(&body[..]), &mut plain),
        "deflate" => {
            let mut stream = ZlibDecoder::new(&body[..]);
            read_within(&mut stream, &mut plain).and_then(|()| match stream.into_inner() {
                [] => Ok(()),
                rest => Err(format!("{} bytes stand behind its end", rest.len())),
            })
        }
        "zstd" => read_within(ZstdReader::new(&body[..]).with_largest_window(LARGEST_WINDOW), &mut plain),
        other => {
            let what = format!("content encoding {other:?} is not known; there are gzip, zstd, deflate, identity");
            return Err(refused(unknown, what));
        }
    }
    .map_err(unreadable)?;
    if plain.len() > LARGEST_EXPORT {
        return Err(refused(StatusCode::PAYLOAD_TOO_LARGE, format!("body: larger than {LARGEST_EXPORT} bytes unpacked")));
    }
    Ok(plain.into())
}

/// Reads to the end, or until more is there than an export may have.
fn read_within(source: impl Read, plain: &mut Vec<u8>) -> Result<(), String> {
    let left = (LARGEST_EXPORT + 1).saturating_sub(plain.len());
    source.take(left as u64).read_to_end(plain).map(|_| ()).map_err(|cause| cause.to_string())
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

/// A message of leaves, each of which is counted.
static LEAVES: Shape = Shape(&[]);
static ANY_VALUE: Shape = Shape(&[(5, &ARRAY), (6, &KEY_VALUES)]);
static ARRAY: Shape = Shape(&[(1, &ANY_VALUE)]);
static KEY_VALUE: Shape = Shape(&[(2, &ANY_VALUE)]);
static KEY_VALUES: Shape = Shape(&[(1, &KEY_VALUE)]);
/// Field 3 are references to entities, which name keys.
static RESOURCE: Shape = Shape(&[(1, &KEY_VALUE), (3, &LEAVES)]);
static SCOPE: Shape = Shape(&[(3, &KEY_VALUE)]);
static LOG_RECORD: Shape = Shape(&[(5, &ANY_VALUE), (6, &KEY_VALUE)]);
static LOGS: Shape = Shape(&[(1, &Shape(&[(1, &RESOURCE), (2, &Shape(&[(1, &SCOPE), (2, &LOG_RECORD)]))]))]);
static EVENT: Shape = Shape(&[(3, &KEY_VALUE)]);
static LINK: Shape = Shape(&[(4, &KEY_VALUE)]);
static SPAN: Shape = Shape(&[(9, &KEY_VALUE), (11, &EVENT), (13, &LINK)]);
static TRACES: Shape = Shape(&[(1, &Shape(&[(1, &RESOURCE), (2, &Shape(&[(1, &SCOPE), (2, &SPAN)]))]))]);
static EXEMPLAR: Shape = Shape(&[(7, &KEY_VALUE)]);
/// Of gauges and sums.
static NUMBERS: Shape = Shape(&[(1, &Shape(&[(5, &EXEMPLAR), (7, &KEY_VALUE)]))]);
static HISTOGRAM: Shape = Shape(&[(1, &Shape(&[(8, &EXEMPLAR), (9, &KEY_VALUE)]))]);
static EXPONENTIAL: Shape = Shape(&[(1, &Shape(&[(1, &KEY_VALUE), (11, &EXEMPLAR)]))]);
static SUMMARY: Shape = Shape(&[(1, &Shape(&[(7, &KEY_VALUE)]))]);
static METRIC: Shape =
    Shape(&[(5, &NUMBERS), (7, &NUMBERS), (9, &HISTOGRAM), (10, &EXPONENTIAL), (11, &SUMMARY), (12, &KEY_VALUE)]);
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
            // The decoder would skip one that it does not know, and go on to what was not counted.
            WireType::StartGroup | WireType::EndGroup => {
                return Err(refused(StatusCode::BAD_REQUEST, "body: has a group, which no message of OpenTelemetry has"));
            }
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

#[cfg(test)]
mod tests {
    use opentelemetry_proto::tonic::collector::logs::v1::ExportLogsServiceRequest as Logs;
    use opentelemetry_proto::tonic::collector::metrics::v1::ExportMetricsServiceRequest as Metrics;
    use opentelemetry_proto::tonic::collector::trace::v1::ExportTraceServiceRequest as Traces;
    use opentelemetry_proto::tonic::common::v1::{EntityRef, KeyValue};
    use opentelemetry_proto::tonic::metrics::v1::metric::Data;
    use opentelemetry_proto::tonic::metrics::v1::{
        Exemplar, ExponentialHistogram, ExponentialHistogramDataPoint, Gauge, Histogram, HistogramDataPoint, Metric,
        NumberDataPoint, ResourceMetrics, ScopeMetrics, Summary, SummaryDataPoint,
    };
    use opentelemetry_proto::tonic::resource::v1::Resource;
    use opentelemetry_proto::tonic::trace::v1::span::{Event, Link};
    use opentelemetry_proto::tonic::trace::v1::{ResourceSpans, ScopeSpans, Span};

    use super::*;

    fn counted(signal: Signal, body: &[u8]) -> usize {
        let mut left = MOST_PARTS;
        assert!(count(Shape::of(signal), body, 0, &mut left).is_ok());
        MOST_PARTS - left
    }

    fn status<M: Message + Default + Bounded + serde::de::DeserializeOwned>(signal: Signal, body: &[u8]) -> Option<StatusCode> {
        parse::<M>(signal, Encoding::Protobuf, body).err().map(|refused| refused.0)
    }

    /// A group that nobody knows ends no counting: what stands behind it would be decoded.
    #[test]
    fn groups_are_refused() {
        let mut body = vec![0x7b, 0x7c];
        assert_eq!(status::<Logs>(Signal::Logs, &body), Some(StatusCode::BAD_REQUEST));
        body.extend([0x0a, 0].repeat(MOST_PARTS + 1));
        assert_eq!(status::<Logs>(Signal::Logs, &body), Some(StatusCode::BAD_REQUEST));
        assert_eq!(status::<Logs>(Signal::Logs, &body[2..]), Some(StatusCode::PAYLOAD_TOO_LARGE));
    }

    fn metrics(of: Vec<Data>) -> Metrics {
        let metrics = of.into_iter().map(|data| Metric { data: Some(data), ..Metric::default() }).collect();
        let scope_metrics = vec![ScopeMetrics { metrics, ..ScopeMetrics::default() }];
        Metrics { resource_metrics: vec![ResourceMetrics { scope_metrics, ..ResourceMetrics::default() }] }
    }

    /// Every kind of data point with so many attributes and exemplars.
    fn points(attributes: usize, of_exemplar: usize) -> Metrics {
        let attributes = || vec![KeyValue::default(); attributes];
        let exemplars = || vec![Exemplar { filtered_attributes: vec![KeyValue::default(); of_exemplar], ..Exemplar::default() }];
        let number = NumberDataPoint { attributes: attributes(), exemplars: exemplars(), ..NumberDataPoint::default() };
        let histogram = HistogramDataPoint {
            attributes: attributes(),
            exemplars: exemplars(),
            // What is no message is not looked into: these bytes are the key of a group.
            explicit_bounds: vec![f64::from_le_bytes([0x13; 8])],
            ..HistogramDataPoint::default()
        };
        let exponential =
            ExponentialHistogramDataPoint { attributes: attributes(), exemplars: exemplars(), ..Default::default() };
        let summary = SummaryDataPoint { attributes: attributes(), ..SummaryDataPoint::default() };
        metrics(vec![
            Data::Gauge(Gauge { data_points: vec![number] }),
            Data::Histogram(Histogram { data_points: vec![histogram], aggregation_temporality: 0 }),
            Data::ExponentialHistogram(ExponentialHistogram { data_points: vec![exponential], aggregation_temporality: 0 }),
            Data::Summary(Summary { data_points: vec![summary] }),
        ])
    }

    #[test]
    fn attributes_and_exemplars_of_all_points_are_counted() {
        let of = |attributes, of_exemplar| counted(Signal::Metrics, &points(attributes, of_exemplar).encode_to_vec());
        assert_eq!(of(1000, 0) - of(0, 0), 4000);
        assert_eq!(of(0, 1000) - of(0, 0), 3000);
    }

    #[test]
    fn keys_of_entities_are_counted() {
        let of = |keys| {
            let entity_refs = vec![EntityRef { id_keys: vec![String::new(); keys], ..EntityRef::default() }];
            let resource = Some(Resource { entity_refs, ..Resource::default() });
            let resource_metrics = vec![ResourceMetrics { resource, ..ResourceMetrics::default() }];
            counted(Signal::Metrics, &Metrics { resource_metrics }.encode_to_vec())
        };
        assert_eq!(of(1000) - of(0), 1000);
    }

    #[test]
    fn events_and_links_are_counted_and_texts_are_not_looked_into() {
        let of = |attributes| {
            let attributes = || vec![KeyValue::default(); attributes];
            let link = Link { attributes: attributes(), trace_state: "key=value".to_owned(), ..Link::default() };
            let event = Event { attributes: attributes(), name: "key".to_owned(), ..Event::default() };
            let span = Span { events: vec![event], links: vec![link], ..Span::default() };
            let scope_spans = vec![ScopeSpans { spans: vec![span], ..ScopeSpans::default() }];
            let export = Traces { resource_spans: vec![ResourceSpans { scope_spans, ..ResourceSpans::default() }] };
            let body = export.encode_to_vec();
            assert_eq!(status::<Traces>(Signal::Traces, &body), None);
            counted(Signal::Traces, &body)
        };
        assert_eq!(of(1000) - of(0), 2000);
    }

    fn unpacked(coding: &str, body: &[u8]) -> Result<Vec<u8>, (StatusCode, String)> {
        let plain = unpack_as(coding, Bytes::copy_from_slice(body), StatusCode::UNSUPPORTED_MEDIA_TYPE);
        plain.map(|plain| plain.to_vec()).map_err(|refused| (refused.0, refused.1))
    }

    fn zstd(plain: &[u8]) -> Vec<u8> {
        ruzstd::encoding::compress_to_vec(plain, ruzstd::encoding::CompressionLevel::Fastest)
    }

    /// Packed in several pieces it is all read; what is no packing behind it, or cut off, is refused and not acknowledged.
    #[test]
    fn all_of_a_packed_body_is_unpacked() {
        use flate2::read::{GzEncoder, ZlibEncoder};
        let (first, second) = (b"first ".repeat(1000), b"second ".repeat(1000));
        let mut all = Vec::new();
        let gzip = |plain: &[u8]| {
            let mut packed = Vec::new();
            GzEncoder::new(plain, flate2::Compression::fast()).read_to_end(&mut packed).unwrap();
            packed
        };
        ZlibEncoder::new(&first[..], flate2::Compression::fast()).read_to_end(&mut all).unwrap();
        assert_eq!(unpacked("deflate", &all).unwrap(), first);
        let (whole, skipped) = ([&first[..], &second].concat(), [&[0x50, 0x2a, 0x4d, 0x18, 3, 0, 0, 0][..], b"abc"].concat());
        let several_gzip = [gzip(&first), gzip(&second)].concat();
        let several_zstd = [skipped.clone(), zstd(&first), skipped, zstd(&second)].concat();
        assert_eq!(unpacked("gzip", &several_gzip).unwrap(), whole);
        assert_eq!(unpacked("zstd", &several_zstd).unwrap(), whole);
        for (coding, packed) in [("deflate", all), ("gzip", several_gzip), ("zstd", several_zstd)] {
            let with_rest = [&packed[..], b"rest"].concat();
            assert_eq!(unpacked(coding, &with_rest).unwrap_err().0, StatusCode::BAD_REQUEST, "{coding}");
            for end in [packed.len() - 1, packed.len() - 6, packed.len() - 20] {
                assert_eq!(unpacked(coding, &packed[..end]).unwrap_err().0, StatusCode::BAD_REQUEST, "{coding} {end}");
            }
        }
    }

    #[test]
    fn frames_together_are_no_larger_than_one() {
        let frame = zstd(&vec![0; LARGEST_EXPORT / 2]);
        assert_eq!(unpacked("zstd", &frame.repeat(2)).unwrap().len(), LARGEST_EXPORT);
        assert_eq!(unpacked("zstd", &frame.repeat(3)).unwrap_err().0, StatusCode::PAYLOAD_TOO_LARGE);
    }

    #[test]
    fn unknown_packing_is_refused_as_the_transport_has_it() {
        let refused = |path: &str, name: &'static str, body: &'static [u8]| {
            let headers = HeaderMap::from_iter([(header::HeaderName::from_static(name), "lzma".parse().unwrap())]);
            unpack(Route::of(path).unwrap(), &headers, Bytes::from_static(body)).err().map(|refused| refused.0)
        };
        assert_eq!(refused("/v1/logs", "content-encoding", b"x"), Some(StatusCode::UNSUPPORTED_MEDIA_TYPE));
        let service = "/opentelemetry.proto.collector.logs.v1.LogsService/Export";
        assert_eq!(refused(service, "grpc-encoding", &[1, 0, 0, 0, 1, 0]), Some(StatusCode::NOT_IMPLEMENTED));
    }
}
