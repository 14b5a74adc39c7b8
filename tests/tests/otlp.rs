//! OpenTelemetry over HTTP into a real server: answers, refusals, limits, passing on.
#![allow(clippy::unwrap_used, clippy::expect_used)]

use std::fs;
use std::io::{Read, Write};
use std::net::TcpListener;
use std::path::Path;
use std::time::Duration;

use ducat_end_to_end::otlp::{JSON, LOGS_SERVICE, PROTOBUF, field, get, grpc, logs, post};
use ducat_end_to_end::{Machine, Server};
use flate2::Compression;
use flate2::write::{GzEncoder, ZlibEncoder};

fn metric(server: &Server, name: &str) -> f64 {
    let (_, _, body) = get(server.port, "/metrics");
    let text = String::from_utf8(body).unwrap();
    text.lines().filter(|line| line.starts_with(name)).map(|line| line.rsplit(' ').next().unwrap().parse::<f64>().unwrap()).sum()
}

#[test]
fn every_signal_form_and_packing_is_taken_and_what_is_wrong_is_refused_in_its_form() {
    let machine = Machine::new();
    let server = machine.serve();
    let port = server.port;
    for signal in ["logs", "metrics", "traces"] {
        let path = format!("/v1/{signal}");
        assert_eq!(post(port, &path, &[PROTOBUF], &logs(0)).0, 200);
        let (status, _, body) = post(port, &path, &[JSON], b"{}");
        assert_eq!((status, body.as_slice()), (200, b"{}".as_slice()));
    }
    let plain = logs(3);
    let mut gzip = GzEncoder::new(Vec::new(), Compression::fast());
    gzip.write_all(&plain).unwrap();
    let mut deflate = ZlibEncoder::new(Vec::new(), Compression::fast());
    deflate.write_all(&plain).unwrap();
    for (coding, body) in [("identity", plain.clone()), ("gzip", gzip.finish().unwrap()), ("deflate", deflate.finish().unwrap())]
    {
        assert_eq!(post(port, "/v1/logs", &[PROTOBUF, ("Content-Encoding", coding)], &body).0, 200, "{coding}");
    }
    let counted = metric(&server, "ducat_otlp_records_total{");
    assert_eq!(counted, 9.0);

    let mut bomb = GzEncoder::new(Vec::new(), Compression::best());
    let zeros = vec![0; 1 << 20];
    (0..64).for_each(|_| bomb.write_all(&zeros).unwrap());
    let bomb = bomb.finish().unwrap();
    let deep = (0..60).fold(Vec::new(), |inner, _| field(5, &field(1, &inner)));
    let deep = field(1, &field(2, &field(2, &field(5, &deep))));
    let deep_json = format!("{}{}", "[".repeat(100_000), "]".repeat(100_000));
    let flood = logs(2_100_000);
    for (name, headers, body, status) in [
        ("truncated", vec![PROTOBUF], &plain[..plain.len() - 1], 400),
        ("deep", vec![PROTOBUF], &deep[..], 400),
        ("deep JSON", vec![JSON], deep_json.as_bytes(), 400),
        ("not JSON", vec![JSON], b"{\"resourceLogs\":", 400),
        ("bomb", vec![PROTOBUF, ("Content-Encoding", "gzip")], &bomb[..], 413),
        ("flood", vec![PROTOBUF], &flood[..], 413),
        ("not gzip", vec![PROTOBUF, ("Content-Encoding", "gzip")], b"x", 400),
        ("not zstd", vec![PROTOBUF, ("Content-Encoding", "zstd")], b"x", 400),
        ("unknown coding", vec![PROTOBUF, ("Content-Encoding", "br")], b"x", 415),
        ("wrong type", vec![("Content-Type", "text/plain")], b"x", 415),
        ("other origin", vec![PROTOBUF, ("Origin", "https://example.org")], b"", 403),
    ] {
        let (got, head, body) = post(port, "/v1/logs", &headers, body);
        assert_eq!(got, status, "{name}: {head}");
        if headers[0] == JSON {
            let status: serde_json::Value = serde_json::from_slice(&body).unwrap();
            assert!(status["message"].as_str().is_some_and(|message| message.starts_with("body: ")), "{name}: {status}");
        } else {
            assert!(head.contains("application/x-protobuf") && body[0] == 1 << 3, "{name}: {head}");
        }
    }
    // The same over gRPC, where a status says what HTTP's does.
    let health: serde_json::Value = serde_json::from_slice(&get(port, "/health").2).unwrap();
    let grpc_port = health["otlp"][1]["address"].as_str().unwrap().rsplit(':').next().unwrap().parse().unwrap();
    let answer = grpc(grpc_port, LOGS_SERVICE, &[], &plain);
    assert_eq!((answer.status(), answer.message.as_slice()), (0, &[0; 5][..]), "{:?}", answer.said);
    for (name, message, status) in [("truncated", &plain[..plain.len() - 1], 3), ("deep", &deep[..], 3), ("flood", &flood[..], 3)]
    {
        let answer = grpc(grpc_port, LOGS_SERVICE, &[], message);
        assert_eq!(answer.status(), status, "{name}: {:?}", answer.said);
    }
    let nowhere = grpc(grpc_port, "/opentelemetry.proto.collector.logs.v1.LogsService/Import", &[], b"");
    assert_eq!(nowhere.status(), 12, "{:?}", nowhere.said);
    // Unknown fields are passed over.
    let mut unknown = plain;
    unknown.extend(field(15, b"later"));
    assert_eq!(post(port, "/v1/logs", &[PROTOBUF], &unknown).0, 200);
}

#[test]
fn the_ports_of_their_own_answer_nothing_else_and_a_taken_one_is_told() {
    let machine = Machine::new();
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let taken = taken.local_addr().unwrap().port().to_string();
    let server = machine.serve_with(&[("DUCAT_OTLP_GRPC_PORT", &taken)]);
    let (_, _, body) = get(server.port, "/health");
    let health: serde_json::Value = serde_json::from_slice(&body).unwrap();
    assert!(health["status"] == "healthy" && health["otlp"][1]["problem"].is_string(), "{health}");
    let address = health["otlp"][0]["address"].as_str().unwrap();
    let http: u16 = address.rsplit(':').next().unwrap().parse().unwrap();
    assert_eq!(post(http, "/v1/logs", &[PROTOBUF], &logs(1)).0, 200);
    assert_eq!(get(http, "/metrics").0, 404);
}

#[test]
fn what_comes_in_goes_on_unchanged_and_never_to_oneself() {
    let machine = Machine::new();
    let sink = TcpListener::bind("127.0.0.1:0").unwrap();
    let config = machine.home().join("config.toml");
    let url = format!("http://{}", sink.local_addr().unwrap());
    std::fs::write(&config, format!("[otlp]\nforward_url = \"{url}\"\nforward_headers = [\"x-team: blue\"]\n")).unwrap();
    let server = machine.serve_with(&[("DUCAT_CONFIG", config.to_str().unwrap())]);
    let body = logs(7);
    assert_eq!(post(server.port, "/v1/logs", &[PROTOBUF], &body).0, 200);
    let (mut stream, _) = sink.accept().unwrap();
    stream.set_read_timeout(Some(Duration::from_secs(10))).unwrap();
    let mut got = Vec::new();
    while !got.ends_with(&body) {
        let mut some = [0; 4096];
        let read = stream.read(&mut some).unwrap();
        assert!(read > 0);
        got.extend_from_slice(&some[..read]);
    }
    let head = String::from_utf8_lossy(&got).to_ascii_lowercase();
    assert!(head.starts_with("post /v1/logs") && head.contains("x-team: blue"), "{head}");

    let other = Machine::new();
    std::fs::write(&config, "[otlp]\nforward_url = \"http://localhost:4999\"\nhttp_port = 4999\n").unwrap();
    let refused =
        other.command(&["serve", "--port", "0", "--otlp-http-port", "4999"]).env("DUCAT_CONFIG", &config).output().unwrap();
    assert!(!refused.status.success());
    assert!(String::from_utf8_lossy(&refused.stderr).contains("this server itself"), "{refused:?}");
}

#[test]
fn captured_telemetry_is_metered_once_however_often_it_comes() {
    let captures = Path::new(env!("CARGO_MANIFEST_DIR")).join("../crates/capture/tests/fixtures/otlp");
    let machine = Machine::new();
    let server = machine.serve();
    for folder in ["claude-code/protobuf", "codex", "gemini-cli"].repeat(2) {
        let mut files: Vec<_> = fs::read_dir(captures.join(folder)).unwrap().map(|entry| entry.unwrap().path()).collect();
        files.sort();
        for file in files {
            let name = file.file_name().unwrap().to_str().unwrap();
            let Some(signal) = ["logs", "metrics", "traces"].iter().find(|signal| name.contains(*signal)) else { continue };
            let form = if name.ends_with(".pb") { PROTOBUF } else { JSON };
            let (status, _, body) = post(server.port, &format!("/v1/{signal}"), &[form], &fs::read(&file).unwrap());
            assert_eq!(status, 200, "{name}");
            assert!(!String::from_utf8_lossy(&body).contains("partialSuccess"), "{name}");
        }
    }
    // Nine calls of Claude Code, of which one failed, and three each of the others.
    let requests = || server.get_json("/api/v1/report?by=agent")["totals"]["requests"].as_u64();
    let mut last = None;
    for _ in 0..200 {
        last = requests();
        if last == Some(14) {
            break;
        }
        std::thread::sleep(Duration::from_millis(50));
    }
    assert_eq!(last, Some(14));
    std::thread::sleep(Duration::from_millis(300));
    assert_eq!(requests(), Some(14), "nothing is counted again");
}
