//! The server that is asked: over its API, as the page does.

use std::io::Read;
use std::path::Path;
use std::time::Duration;

use ducat_ship::{ReceiverError, agent};
use serde::de::DeserializeOwned;
use serde_json::Value;
use ureq::Agent;

use crate::plain::plain;

/// An answer that is late is no live figure.
const LONGEST_ANSWER: Duration = Duration::from_secs(10);
/// Live events are asked for anew this often, so that a connection that died without a word (a machine that slept) is not waited for.
const LONGEST_LISTENING: Duration = Duration::from_secs(300);
/// Of one answer, in bytes: a session of a hundred thousand tool calls.
const LARGEST_ANSWER: u64 = 64 << 20;

/// Why there is no answer.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Unanswered {
    /// Nobody is there, or hangs, or is busy: may be well later.
    #[error("no Ducat answers at {url} ({why}); start one with `ducat serve`, or name another with --url")]
    Away { url: String, why: String },
    #[error("{url} wants a key: set METRICS_API_KEY to the one it was started with ({said})")]
    Key { url: String, said: String },
    /// It answers, and not to us: a machine's key reads nothing, a name is none of its own.
    #[error("{url} refuses: {said}")]
    Refused { url: String, said: String },
    #[error("what answers at {url} is no Ducat; name another with --url")]
    Foreign { url: String },
    /// The server is older and does not know what was asked, or has nothing there.
    #[error("{0}")]
    Unknown(String),
}

pub struct Server {
    answers: Agent,
    news: Agent,
    url: String,
    key: Option<String>,
}

impl Server {
    /// `authority`: a file of certificates to trust instead of the system's.
    pub fn new(url: &str, key: Option<String>, authority: Option<&Path>) -> Result<Self, ReceiverError> {
        let url = url.trim_end_matches('/').to_owned();
        let (answers, news) = (agent(&url, authority, LONGEST_ANSWER)?, agent(&url, authority, LONGEST_LISTENING)?);
        Ok(Self { answers, news, url, key })
    }

    pub fn url(&self) -> &str {
        &self.url
    }

    /// What is at a path below `/api/v1/`.
    pub fn get<T: DeserializeOwned>(&self, path: &str) -> Result<T, Unanswered> {
        let mut body = Vec::new();
        let read = self.ask(&self.answers, path)?.take(LARGEST_ANSWER).read_to_end(&mut body);
        read.map_err(|error| self.away(&error.to_string()))?;
        serde_json::from_slice(&body).map_err(|_| Unanswered::Foreign { url: self.url.clone() })
    }

    /// Live events, as they come.
    pub fn listen(&self) -> Result<impl Read, Unanswered> {
        self.ask(&self.news, "live")
    }

    fn ask(&self, agent: &Agent, path: &str) -> Result<impl Read + use<>, Unanswered> {
        let mut request = agent.get(format!("{}/api/v1/{path}", self.url));
        if let Some(key) = &self.key {
            request = request.header("Authorization", format!("Bearer {key}"));
        }
        let mut response = request.call().map_err(|error| self.away(&error.to_string()))?;
        let status = response.status().as_u16();
        if status == 200 {
            return Ok(response.into_body().into_reader());
        }
        let said: Option<Value> = response
            .body_mut()
            .with_config()
            .limit(1 << 16)
            .read_to_vec()
            .ok()
            .and_then(|said| serde_json::from_slice(&said).ok());
        let said = said.and_then(|said| Some(plain(said.get("error")?.as_str()?)));
        let url = self.url.clone();
        Err(match (status, said) {
            (401, Some(said)) => Unanswered::Key { url, said },
            (403 | 421, Some(said)) => Unanswered::Refused { url, said },
            (408 | 429 | 500.., said) => self.away(&said.unwrap_or_else(|| format!("status {status}"))),
            (_, Some(said)) => Unanswered::Unknown(said),
            (_, None) => Unanswered::Foreign { url },
        })
    }

    fn away(&self, why: &str) -> Unanswered {
        Unanswered::Away { url: self.url.clone(), why: why.to_owned() }
    }
}

#[cfg(test)]
mod tests {
    use std::net::TcpListener;

    use serde_json::json;

    use super::*;
    use crate::stand_in::{Answers, StandIn};

    #[test]
    fn why_there_is_no_answer() {
        let answers = Answers::older();
        let stand_in = StandIn::start(answers.clone());
        let server = Server::new(&format!("{}/", stand_in.url()), Some("key".to_owned()), None).unwrap();
        let asked = || server.get::<Value>("quota").map_err(|why| why.to_string());
        assert_eq!(asked().unwrap()["schema_version"], 1);
        answers.set("quota", 401, json!({ "error": "Authorization: missing or wrong" }));
        assert!(asked().unwrap_err().contains("wants a key: set METRICS_API_KEY to the one it was started with (Authorization"));
        answers.set("quota", 403, json!({ "error": "key laptop is for shipping" }));
        assert!(asked().unwrap_err().ends_with(" refuses: key laptop is for shipping"));
        answers.set("quota", 503, json!({ "error": "too many connections" }));
        assert!(asked().unwrap_err().contains("(too many connections)"));
        for (status, body) in [(200, "<html>"), (404, "<html>"), (302, ""), (200, "")] {
            answers.set("quota", status, json!(body));
            assert!(asked().unwrap_err().contains("is no Ducat"), "{status} {body}");
        }
        answers.set("quota", 400, json!({ "error": "by: is no grouping" }));
        assert_eq!(asked().unwrap_err(), "by: is no grouping");
    }

    #[test]
    fn nobody_is_there() {
        let port = TcpListener::bind(("127.0.0.1", 0)).unwrap().local_addr().unwrap().port();
        let away =
            Server::new(&format!("http://127.0.0.1:{port}"), None, None).unwrap().get::<Value>("quota").unwrap_err().to_string();
        assert!(
            away.starts_with(&format!("no Ducat answers at http://127.0.0.1:{port} ("))
                && away.contains("start one with `ducat serve`"),
            "{away}"
        );
        for url in ["", "localhost:9090", "http://", "file:///etc/passwd", "http://user:secret@host"] {
            assert!(Server::new(url, None, None).is_err(), "{url}");
        }
        // A key that no header may hold is an answer that there is none, not a panic.
        let server = Server::new(&format!("http://127.0.0.1:{port}"), Some("a\r\nb".to_owned()), None).unwrap();
        assert!(server.get::<Value>("quota").is_err());
    }
}
