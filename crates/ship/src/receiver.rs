//! The Ducat that facts are sent to.

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use ducat_ledger::remote::Answer;
use serde_json::Value;
use ureq::Agent;
use ureq::tls::{Certificate, PemItem, RootCerts, TlsConfig};

/// Where the key is; a file is read anew for every attempt, so that it can be replaced.
#[derive(Clone)]
pub enum KeySource {
    Told(String),
    File(PathBuf),
}

impl KeySource {
    fn read(&self) -> Result<String, Unsent> {
        match self {
            Self::Told(key) => Ok(key.clone()),
            Self::File(path) => match fs::read_to_string(path) {
                Ok(text) => Ok(text.trim().to_owned()),
                Err(error) => Err(Unsent::Refused(format!("key file {}: {error}", path.display()))),
            },
        }
    }
}

#[derive(Debug, thiserror::Error)]
pub enum ReceiverError {
    #[error("{0:?}: must be http://HOST[:PORT] or https://HOST[:PORT], as `ducat serve` says it")]
    Url(String),
    #[error("certificates {path}: {cause}")]
    Certificates { path: PathBuf, cause: String },
    #[error("no certificate authority is known to this system; name one with --ca FILE")]
    NoAuthority,
}

/// Why a batch was not taken.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Unsent {
    /// Not now: the receiver is away or has too much to do; it may say for how long.
    Later { why: String, after: Option<Duration> },
    /// Sending the same again would not help: the key, the address or the versions must change.
    Refused(String),
}

/// Its answer is small.
const LARGEST_ANSWER: u64 = 1 << 20;
const LONGEST_CONNECT: Duration = Duration::from_secs(10);
/// Servers and proxies hang up on connections that say nothing.
const LONGEST_IDLE: Duration = Duration::from_secs(5);
/// Of one attempt; a receiver that imports answers late.
const LONGEST_ATTEMPT: Duration = Duration::from_secs(60);

pub struct Receiver {
    agent: Agent,
    url: String,
    key: KeySource,
}

impl Receiver {
    /// `authority`: a file of certificates to trust instead of the system's.
    pub fn new(url: &str, key: KeySource, authority: Option<&Path>) -> Result<Self, ReceiverError> {
        let url = url.trim_end_matches('/');
        let agent = agent(url, authority, LONGEST_ATTEMPT)?;
        Ok(Self { agent, url: url.to_owned(), key })
    }

    pub fn url(&self) -> &str {
        &self.url
    }

    /// The key as it is now, if it can be read.
    pub(crate) fn key(&self) -> Option<String> {
        self.key.read().ok()
    }

    /// Sends a packed batch and waits until the receiver has it on disk.
    pub fn send(&self, body: &[u8]) -> Result<Answer, Unsent> {
        let later = |why: String| Unsent::Later { why, after: None };
        let key = self.key.read()?;
        if key.is_empty() || !key.bytes().all(|byte| byte.is_ascii_graphic()) {
            return Err(Unsent::Refused("the key is empty or holds characters that no key has".to_owned()));
        }
        let asked = self
            .agent
            .post(format!("{}/api/v1/ship", self.url))
            .header("Authorization", format!("Bearer {key}"))
            .header("Content-Type", "application/x-ndjson")
            .header("Content-Encoding", "gzip")
            .send(body);
        let mut response = match asked {
            Ok(response) => response,
            // A certificate that is not trusted will not be at the next attempt either.
            Err(error) if is_untrusted(&error) => {
                return Err(Unsent::Refused(format!("{}: {error}; trust its authority with --ca FILE", self.url)));
            }
            Err(error) => return Err(later(format!("{}: {error}", self.url))),
        };
        let status = response.status().as_u16();
        let header = |name: &str| response.headers().get(name).and_then(|value| value.to_str().ok()).map(str::to_owned);
        let (after, location) = (header("retry-after"), header("location"));
        let text = response.body_mut().with_config().limit(LARGEST_ANSWER).read_to_vec();
        let text = text.map_err(|error| later(format!("{}: the answer broke off: {error}", self.url)))?;
        let said = || match serde_json::from_slice::<Value>(&text) {
            Ok(value) => value["error"].as_str().map_or_else(|| format!("status {status}"), str::to_owned),
            Err(_) => format!("status {status}, not from Ducat"),
        };
        let after = after.and_then(|text| text.trim().parse().ok()).map(Duration::from_secs);
        match status {
            200 => serde_json::from_slice(&text).map_err(|_| later(format!("{}: the answer is not Ducat's", self.url))),
            408 | 429 | 500..=599 => Err(Unsent::Later { why: format!("{}: {}", self.url, said()), after }),
            300..=399 => Err(Unsent::Refused(format!("{} is elsewhere: {}", self.url, location.unwrap_or_default()))),
            404 => Err(Unsent::Refused(format!("{}: no Ducat that takes in other machines answers there", self.url))),
            _ => Err(Unsent::Refused(format!("{}: {}", self.url, said()))),
        }
    }
}

/// A client for a URL: no redirects, errors are answers, TLS with the system's authorities or those of a file.
pub fn agent(url: &str, authority: Option<&Path>, longest_attempt: Duration) -> Result<Agent, ReceiverError> {
    let is_secure = url.starts_with("https://");
    let rest = url.strip_prefix("https://").or_else(|| url.strip_prefix("http://"));
    if !rest.is_some_and(|rest| !rest.is_empty() && !rest.contains(['?', '#', '@', ' '])) {
        return Err(ReceiverError::Url(url.to_owned()));
    }
    let mut config = Agent::config_builder()
        .http_status_as_error(false)
        .max_redirects(0)
        .max_redirects_will_error(false)
        .timeout_connect(Some(LONGEST_CONNECT))
        .timeout_global(Some(longest_attempt))
        .max_idle_age(LONGEST_IDLE)
        .user_agent(concat!("ducat/", env!("CARGO_PKG_VERSION")));
    if is_secure {
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let tls = TlsConfig::builder().unversioned_rustls_crypto_provider(provider).root_certs(authorities(authority)?);
        config = config.tls_config(tls.build());
    }
    Ok(config.build().new_agent())
}

fn is_untrusted(error: &ureq::Error) -> bool {
    let text = error.to_string().to_ascii_lowercase();
    matches!(error, ureq::Error::Rustls(rustls::Error::InvalidCertificate(_))) || text.contains("invalid peer certificate")
}

fn authorities(file: Option<&Path>) -> Result<RootCerts, ReceiverError> {
    let Some(path) = file else {
        let found = rustls_native_certs::load_native_certs().certs;
        if found.is_empty() {
            return Err(ReceiverError::NoAuthority);
        }
        let found: Vec<_> = found.iter().map(|der| Certificate::from_der(der).to_owned()).collect();
        return Ok(RootCerts::new_with_certs(&found));
    };
    let failed = |cause: String| ReceiverError::Certificates { path: path.to_owned(), cause };
    let pem = fs::read(path).map_err(|error| failed(error.to_string()))?;
    let mut found = Vec::new();
    for item in ureq::tls::parse_pem(&pem) {
        if let PemItem::Certificate(certificate) = item.map_err(|error| failed(error.to_string()))? {
            found.push(certificate);
        }
    }
    if found.is_empty() {
        return Err(failed("holds no certificate".to_owned()));
    }
    Ok(RootCerts::new_with_certs(&found))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn urls_and_authorities_are_checked() {
        let made = |url: &str, file: Option<&Path>| Receiver::new(url, KeySource::Told("k".into()), file).map(|made| made.url);
        assert_eq!(made("http://meter:9090/", None).unwrap(), "http://meter:9090");
        for url in ["meter:9090", "http://", "https://user@meter", "ftp://meter"] {
            assert!(matches!(made(url, None), Err(ReceiverError::Url(_))), "{url}");
        }
        let missing = made("https://meter", Some(Path::new("/nonexistent"))).unwrap_err().to_string();
        assert!(missing.contains("/nonexistent"), "{missing}");
        assert!(made("https://meter", Some(Path::new("/dev/null"))).unwrap_err().to_string().contains("no certificate"));
    }
}
