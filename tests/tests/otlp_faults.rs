//! OpenTelemetry when things go wrong: kills, a full server, keys, damage on disk.
#![allow(clippy::unwrap_used, clippy::expect_used)]

use std::fs;
use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::thread;
use std::time::Duration;

use ducat_end_to_end::otlp::{Captured, JSON, LOGS_SERVICE, PROTOBUF, grpc, logs, post};
use ducat_end_to_end::{Machine, Server, eventually};
use serde_json::Value;

const LOGS: &str = "/v1/logs";
const RECORDS: usize = 20;

fn grpc_port(server: &Server) -> u16 {
    let health = server.get_json("/health");
    assert_eq!(health["otlp"][1]["transport"], "grpc", "{health}");
    health["otlp"][1]["address"].as_str().unwrap().rsplit(':').next().unwrap().parse().unwrap()
}

/// Requests and their output tokens in the ledger.
fn counted(server: &Server) -> (u64, u64) {
    let totals = server.get_json("/api/v1/report?by=session&timezone=UTC")["totals"].clone();
    (totals["requests"].as_u64().unwrap(), totals["output_tokens"].as_u64().unwrap())
}

/// Senders try each export until it is acknowledged, as exporters do, while the server is killed again and again; then every request is
/// in the ledger once, with all that it told.
#[test]
fn what_was_acknowledged_is_counted_once_after_kills() {
    let machine = Machine::new();
    let captured = Captured::new();
    let free = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
    let serve = |failpoint: &str| {
        Server::start(machine.command(&["serve", "--port", &free.to_string()]).env("DUCAT_FAILPOINT", failpoint))
    };
    // Written and not answered: the sender must send it again.
    let mut server = serve("otlp_before_answer");
    assert_eq!(post(free, LOGS, &[JSON], &captured.session("first", RECORDS)).0, 0);
    assert!(!server.child.wait().unwrap().success());

    let (ended, acknowledged) = (AtomicBool::new(false), AtomicUsize::new(0));
    thread::scope(|scope| {
        for sender in 0..3 {
            let (captured, ended, acknowledged) = (&captured, &ended, &acknowledged);
            scope.spawn(move || {
                for number in 0.. {
                    let body = captured.session(&format!("s{sender}-{number}"), RECORDS);
                    while post(free, LOGS, &[JSON], &body).0 != 200 {
                        thread::sleep(Duration::from_millis(2));
                    }
                    acknowledged.fetch_add(1, Ordering::Relaxed);
                    if ended.load(Ordering::Relaxed) {
                        break;
                    }
                }
            });
        }
        for round in 0..8 {
            let before = acknowledged.load(Ordering::Relaxed);
            let server = serve("");
            eventually(|| match acknowledged.load(Ordering::Relaxed) - before {
                0..=3 => Err("nothing is acknowledged".to_owned()),
                _ => Ok(()),
            });
            thread::sleep(Duration::from_millis(37 * round % 120));
            server.kill();
        }
        ended.store(true, Ordering::Relaxed);
        server = serve("");
    });
    // What was written before the first crash stayed in the inbox.
    let requests = ((acknowledged.load(Ordering::Relaxed) + 1) * RECORDS) as u64;
    eventually(|| match counted(&server) {
        got if got == (requests, requests * 90) => Ok(()),
        got => Err(format!("{got:?} of {requests} requests")),
    });
    assert_eq!(post(free, LOGS, &[JSON], &captured.session("first", RECORDS)).0, 200);
    assert_eq!(post(free, LOGS, &[JSON], &captured.session("last", 1)).0, 200);
    eventually(|| match counted(&server) {
        got if got == (requests + 1, (requests + 1) * 90) => Ok(()),
        got => Err(format!("{got:?} of {requests} requests and one")),
    });
}

/// Full of bodies that are on their way: 429 with `Retry-After`, over gRPC RESOURCE_EXHAUSTED with `RetryInfo`; then it takes again.
#[test]
fn a_full_server_says_when_to_try_again() {
    let machine = Machine::new();
    let server = machine.serve();
    let grpc_port = grpc_port(&server);
    let begun = (32 << 20) - (64 << 10);
    let held: Vec<TcpStream> = (0..4)
        .map(|_| {
            let mut stream = TcpStream::connect(("127.0.0.1", server.port)).unwrap();
            let head = "POST /v1/logs HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/x-protobuf";
            write!(stream, "{head}\r\nContent-Length: {}\r\n\r\n", 32 << 20).unwrap();
            stream.write_all(&vec![0; begun]).unwrap();
            stream
        })
        .collect();
    let body = logs(200_000);
    let head = eventually(|| match post(server.port, LOGS, &[PROTOBUF], &body) {
        (429, head, _) => Ok(head),
        (status, ..) => Err(format!("{status} of a full server")),
    });
    assert!(head.to_ascii_lowercase().contains("retry-after: 1"), "{head}");
    let answer = grpc(grpc_port, LOGS_SERVICE, &[], &body);
    assert_eq!(answer.status(), 8, "{:?}", answer.said);
    assert!(answer.said.contains_key("grpc-status-details-bin"), "{:?}", answer.said);
    drop(held);
    eventually(|| match grpc(grpc_port, LOGS_SERVICE, &[], &body).status() {
        0 => Ok(()),
        status => Err(format!("{status} of a server that is full no more")),
    });
    assert_eq!(post(server.port, LOGS, &[PROTOBUF], &body).0, 200);
}

#[test]
fn keys_over_grpc() {
    let machine = Machine::new();
    let server = machine.serve_with(&[("METRICS_API_KEY", "owner-secret")]);
    let port = {
        let health = server.get_json("/health");
        health["otlp"][1]["address"].as_str().unwrap().rsplit(':').next().unwrap().parse().unwrap()
    };
    let key = machine.prints(&["key", "create", "exporter"]).trim().to_owned();
    let call = |shown: &str| {
        let value = format!("Bearer {shown}");
        let headers = [("authorization", value.as_str())];
        grpc(port, LOGS_SERVICE, if shown.is_empty() { &[] } else { &headers }, &logs(2))
    };
    for (shown, status) in [("", 16), ("wrong", 16), ("owner-secret", 0), (key.as_str(), 0)] {
        let answer = call(shown);
        assert_eq!(answer.status(), status, "{shown}: {:?}", answer.said);
        assert_eq!(answer.said.contains_key("grpc-message"), status != 0, "{shown}: {:?}", answer.said);
    }
    let listed: Value = serde_json::from_str(&machine.prints(&["key", "list", "--json"])).unwrap();
    let id = listed["rows"][0]["id"].as_str().unwrap_or_else(|| panic!("{listed}")).to_owned();
    machine.prints(&["key", "revoke", &id]);
    assert_eq!(call(&key).status(), 7);
    assert_eq!(grpc(port, "/opentelemetry.proto.collector.logs.v1.LogsService/Import", &[], b"").status(), 16);
}

/// What is damaged on disk is told and counted and holds up nothing.
#[test]
fn a_damaged_inbox_is_put_aside() {
    let machine = Machine::new();
    machine.serve().stop();
    let inbox = machine.data().join("otlp-inbox");
    fs::create_dir_all(&inbox).unwrap();
    fs::write(inbox.join("000000000007.facts"), b"\x05\0\0\0\x01\x02\x03\x04\x01\0\0\0[{}] and then nothing").unwrap();
    let server = machine.serve_with(&[("DUCAT_CONFIG", &{
        let config = machine.home().join("config.toml");
        fs::write(&config, "durability = \"power\"\n").unwrap();
        config.to_str().unwrap().to_owned()
    })]);
    assert_eq!(post(server.port, LOGS, &[JSON], &Captured::new().session("s", RECORDS)).0, 200);
    eventually(|| match counted(&server) {
        (20, 1800) => Ok(()),
        got => Err(format!("{got:?}")),
    });
    let metrics = server.get("/metrics");
    assert!(metrics.contains("ducat_otlp_inbox_unreadable_bytes_total 33\n"), "{metrics}");
    assert_eq!(fs::read(inbox.join("000000000007-0.unreadable")).unwrap().len(), 33);
}

/// A collector that has our port is told of what comes to the main port, and no reason to end.
#[test]
fn what_comes_in_goes_on_to_the_collector_that_has_our_port() {
    let machine = Machine::new();
    let collector = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = collector.local_addr().unwrap().port();
    let config = machine.home().join("config.toml");
    fs::write(&config, format!("[otlp]\nforward_url = \"http://127.0.0.1:{port}\"\n")).unwrap();
    let mut command = machine.command(&["serve", "--port", "0", "--otlp-http-port", &port.to_string()]);
    let server = Server::start(command.env("DUCAT_CONFIG", &config));
    assert!(server.get_json("/health")["otlp"][0]["problem"].is_string());
    assert_eq!(post(server.port, LOGS, &[PROTOBUF], &logs(1)).0, 200);
    let (mut stream, _) = collector.accept().unwrap();
    stream.set_read_timeout(Some(Duration::from_secs(10))).unwrap();
    let mut begin = [0; 13];
    stream.read_exact(&mut begin).unwrap();
    assert_eq!(&begin, b"POST /v1/logs");
}

/// Exporters ask for the host that the public URL names, on ports that it does not.
#[test]
fn a_public_name_holds_on_every_port_for_telemetry() {
    let machine = Machine::new();
    let server = Server::start(&mut machine.command(&["serve", "--port", "0", "--public-url", "http://ducat.lan:9090"]));
    let health = server.get_json("/health");
    let port = health["otlp"][0]["address"].as_str().unwrap().rsplit(':').next().unwrap().parse().unwrap();
    let status = |port: u16, host: &str| {
        let mut stream = TcpStream::connect(("127.0.0.1", port)).unwrap();
        let head = "POST /v1/logs HTTP/1.1\r\nContent-Type: application/json\r\nContent-Length: 2\r\nConnection: close";
        write!(stream, "{head}\r\nHost: {host}\r\n\r\n{{}}").unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).unwrap();
        answer[9..12].parse::<u16>().unwrap()
    };
    assert_eq!(status(port, "ducat.lan:4318"), 200);
    assert_eq!(status(server.port, "ducat.lan:9090"), 200);
    assert_eq!(status(server.port, "ducat.lan:4318"), 421);
    assert_eq!(status(port, "other.lan:4318"), 421);
}
