//! Where telemetry goes: the server that runs, once it has answered a probe.

use std::env;
use std::net::SocketAddr;
use std::path::Path;

use ducat_store::{DataFolder, ledger_mark};

use crate::doctor::ask::{self, Served};
use crate::doctor::server_address;
use crate::service::record::Record as Service;

/// A server that takes telemetry.
#[derive(Debug)]
pub struct Receiver {
    /// `http://HOST:PORT`, without a slash at its end.
    pub url: String,
    /// What it asks for.
    pub key: Option<String>,
}

impl Receiver {
    /// The value of an `Authorization` header.
    pub fn authorization(&self) -> Option<String> {
        self.key.as_ref().map(|key| format!("Bearer {key}"))
    }

    /// As `OTEL_EXPORTER_OTLP_HEADERS` has it: the specification decodes percents.
    pub fn headers(&self) -> Option<String> {
        self.authorization().map(|value| format!("Authorization={}", percent_encoded(&value)))
    }
}

fn percent_encoded(text: &str) -> String {
    let is_plain = |byte: u8| byte.is_ascii_alphanumeric() || b"-._~".contains(&byte);
    text.bytes().map(|byte| if is_plain(byte) { (byte as char).to_string() } else { format!("%{byte:02X}") }).collect()
}

/// The key that this environment names for clients. Not the owner's, `METRICS_API_KEY`: what is found here is written into settings files that
/// others may be able to read.
fn own_key() -> Option<String> {
    env::var("DUCAT_API_KEY").ok().filter(|key| !key.is_empty())
}

/// The server at `url`, else the one that keeps this ledger; why there is none otherwise.
pub fn find(url: Option<&str>, data: &Path) -> Result<Receiver, String> {
    let (authority, address) = match url {
        Some(url) => {
            let authority = url.strip_prefix("http://").unwrap_or(url).trim_end_matches('/').to_owned();
            let with_port = if authority.contains(':') { authority.clone() } else { format!("{authority}:80") };
            let address = ask::resolve(&with_port).ok_or_else(|| format!("{url} names no host that can be found from here"))?;
            (authority, address)
        }
        None => {
            let variable = |name: &str| env::var(name).ok();
            let service = Service::find(data).ok().flatten();
            let host = variable("METRICS_HOST").and_then(|host| host.parse().ok());
            let address: SocketAddr =
                server_address(service.as_ref(), host, variable("METRICS_PORT").and_then(|port| port.parse().ok()));
            (address.to_string(), address)
        }
    };
    match ask::health(&authority, address) {
        Served::Nobody => return Err(format!("no server answers at {authority}; start `ducat serve` and run this again")),
        Served::Hangs => return Err(format!("the server at {authority} does not answer")),
        Served::Other => return Err(format!("what answers at {authority} is no Ducat that speaks plain HTTP")),
        Served::Ducat(told) if url.is_none() && told.ledger != ledger_mark(&DataFolder::database_in(data)) => {
            return Err(format!("the server at {authority} keeps another ledger than {}", data.display()));
        }
        Served::Ducat(_) => {}
    }
    let mut key = None;
    let mut answer = probe(&authority, address, None)?;
    if answer == 401 {
        key = Some(own_key().ok_or("the server asks for a key: set DUCAT_API_KEY to one and run this again")?);
        answer = probe(&authority, address, key.as_deref())?;
    }
    match answer {
        200 => Ok(Receiver { url: format!("http://{authority}"), key }),
        401 | 403 => Err(format!("the server at {authority} refused the key of this environment")),
        404 | 405 => Err(format!("the server at {authority} takes no telemetry; it is of an older version")),
        status => Err(format!("the server at {authority} answered a probe with {status}")),
    }
}

/// The status of an export of nothing.
fn probe(authority: &str, address: SocketAddr, key: Option<&str>) -> Result<u16, String> {
    let answer = ask::post(authority, address, "/v1/logs", key, "{}");
    answer.map(|answer| answer.status).map_err(|error| format!("{authority} did not answer a probe: {error}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_is_a_header_that_the_specification_decodes() {
        let receiver = |key: Option<&str>| Receiver { url: String::new(), key: key.map(str::to_owned) };
        assert_eq!(receiver(Some("a-b,c=d")).headers().as_deref(), Some("Authorization=Bearer%20a-b%2Cc%3Dd"));
        assert_eq!(receiver(None).headers(), None);
    }

    #[test]
    fn nobody_and_strangers_are_no_receivers() {
        let data = tempfile::tempdir().unwrap();
        let silent = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let address = silent.local_addr().unwrap();
        drop(silent);
        let why = find(Some(&format!("http://{address}")), data.path()).unwrap_err();
        assert!(why.contains("no server answers"), "{why}");
    }
}
