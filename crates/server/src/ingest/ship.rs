//! Facts of other machines: a batch is believed line by line, and answered when all of it is on disk.

use std::io::{BufRead, BufReader, Read};
use std::sync::{Arc, PoisonError};
use std::time::Duration;

use axum::Json;
use axum::body::{Bytes, to_bytes};
use axum::extract::{Extension, Request, State};
use axum::http::{HeaderMap, HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use ducat_ledger::remote::{Answer, EventName, Head, LONGEST_LINE, PROTOCOL, RefusedLine, Word};
use ducat_ledger::{Fact, TIMES, UnixMs};
use ducat_spool::Status;
use ducat_store::{Event, Lane, Receipt, Sender, StoreError, TenantId, Write};
use flate2::read::MultiGzDecoder;
use jiff::Timestamp;
use tokio::task::JoinSet;
use tokio::time::timeout;

use super::{Way, first_version, hooks};
use crate::api::{error, failed, off_the_runtime};
use crate::security::{Caller, unauthorized};
use crate::{App, Shared, failpoint};

/// Bytes of a batch, as sent and unpacked.
const LARGEST_SENT: usize = 4 << 20;
const LARGEST_BATCH: u64 = 32 << 20;
const MOST_LINES: u64 = 20_000;
const MOST_FACTS_OF_EVENT: usize = 1000;
/// An event is no further in the future than this, or its id would be kept for as long.
const LONGEST_AHEAD_MS: i64 = 86_400_000;
/// Events on their way to the store at once.
const TOGETHER: usize = 16;
/// Refused lines that an answer names.
const NAMED: usize = 20;
/// Batches that may be on their way in, packed.
pub(crate) const COMING: usize = 64;
/// Batches that are unpacked and believed at once; each may be large, and holds threads while the bulk lane is full.
pub(crate) const AT_ONCE: usize = 4;
/// While another import runs, a batch waits this long for its turn.
const LONGEST_WAIT: Duration = Duration::from_secs(10);

/// Why a whole batch is refused.
type Fault = (StatusCode, String);

struct Batch {
    head: Head,
    facts: Vec<Fact>,
    events: Vec<(EventName, Vec<Fact>)>,
    refused_lines: u64,
    refused: Vec<RefusedLine>,
}

pub(crate) async fn post(State(app): State<App>, Extension(caller): Extension<Caller>, request: Request) -> Response {
    let now = Timestamp::now().as_millisecond();
    let (tenant, key) = match caller {
        Caller::Machine(key) => (key.tenant, key.id),
        Caller::Owner => (TenantId::LOCAL, "METRICS_API_KEY".to_owned()),
        Caller::Anyone => {
            return unauthorized("Authorization: shipping needs a key; make one here with `ducat key create NAME`");
        }
    };
    let Ok(_coming) = app.coming.try_acquire() else { return busy("too many machines are shipping") };
    let headers = request.headers().clone();
    let Ok(body) = to_bytes(request.into_body(), LARGEST_SENT).await else {
        return error(
            StatusCode::PAYLOAD_TOO_LARGE,
            &format!("body: did not come whole, or is larger than {LARGEST_SENT} bytes"),
        );
    };
    let Ok(Ok(_place)) = timeout(LONGEST_WAIT, app.shipping.acquire()).await else {
        return busy("too much is waiting to be written");
    };
    let unpacked = tokio::task::spawn_blocking(move || unpack(&headers, &body)).await;
    let batch = match unpacked {
        Ok(Ok(batch)) => batch,
        Ok(Err((status, what))) => return error(status, &what),
        Err(_) => return error(StatusCode::INTERNAL_SERVER_ERROR, "the batch could not be unpacked"),
    };
    match take(&app, tenant, key, batch, now).await {
        Ok(answer) => {
            failpoint::reached("ship_before_answer");
            Json(answer).into_response()
        }
        Err(StoreError::Busy) => busy("too much is waiting to be written"),
        Err(cause) => failed(&cause),
    }
}

fn busy(why: &str) -> Response {
    let mut refused = error(StatusCode::SERVICE_UNAVAILABLE, &format!("{why}; try again"));
    refused.headers_mut().insert(header::RETRY_AFTER, HeaderValue::from_static("1"));
    refused
}

/// Reads a batch; what is wrong with a line refuses the line, what is wrong with the whole refuses all of it.
fn unpack(headers: &HeaderMap, body: &Bytes) -> Result<Batch, Fault> {
    let coding = headers.get(header::CONTENT_ENCODING).map_or(b"identity".as_slice(), HeaderValue::as_bytes);
    let plain: Box<dyn Read> = match coding {
        b"gzip" => Box::new(MultiGzDecoder::new(&body[..])),
        b"identity" => Box::new(&body[..]),
        _ => return Err((StatusCode::UNSUPPORTED_MEDIA_TYPE, "Content-Encoding: must be gzip".to_owned())),
    };
    // One byte more than allowed tells that there is more.
    let mut lines = BufReader::new(plain.take(LARGEST_BATCH + 1));
    let (mut number, mut bytes, mut line) = (0_u64, 0_u64, Vec::new());
    let mut batch: Option<Batch> = None;
    loop {
        number += 1;
        line.clear();
        let read = (&mut lines).take(LONGEST_LINE as u64 + 1).read_until(b'\n', &mut line);
        let read = read.map_err(|cause| unreadable(number, &format!("the body cannot be unpacked: {cause}")))?;
        if read == 0 {
            break;
        }
        bytes += read as u64;
        let is_too_long = line.len() > LONGEST_LINE && batch.is_some();
        while is_too_long && line.last() != Some(&b'\n') {
            line.clear();
            let skipped = (&mut lines).take(LONGEST_LINE as u64).read_until(b'\n', &mut line);
            let skipped = skipped.map_err(|cause| unreadable(number, &format!("the body cannot be unpacked: {cause}")))?;
            bytes += skipped as u64;
            if skipped == 0 {
                break;
            }
        }
        if bytes > LARGEST_BATCH || number > MOST_LINES {
            let what = format!("line {number}: a batch has at most {MOST_LINES} lines and {LARGEST_BATCH} bytes unpacked");
            return Err((StatusCode::PAYLOAD_TOO_LARGE, what));
        }
        if line.len() > LONGEST_LINE && !is_too_long {
            return Err((StatusCode::PAYLOAD_TOO_LARGE, format!("line {number}: longer than {LONGEST_LINE} bytes")));
        }
        if line.pop_if(|last| *last == b'\n').is_none() {
            return Err(unreadable(number, "the body ends within it"));
        }
        match &mut batch {
            None => batch = Some(Batch::new(head(&line)?)),
            Some(batch) if is_too_long => batch.refuse(number, format!("longer than {LONGEST_LINE} bytes")),
            Some(batch) => batch.hear(number, &line),
        }
    }
    batch.ok_or_else(|| unreadable(1, "missing; a batch begins with its head"))
}

fn unreadable(line: u64, what: &str) -> Fault {
    (StatusCode::UNPROCESSABLE_ENTITY, format!("line {line}: {what}"))
}

fn head(line: &[u8]) -> Result<Head, Fault> {
    let wrong = |what: String| unreadable(1, &what);
    let any: serde_json::Value =
        serde_json::from_slice(line).map_err(|cause| wrong(format!("not JSON: {}", not_a_word(&cause))))?;
    match any["protocol"].as_u64() {
        Some(protocol) if (1..=u64::from(PROTOCOL)).contains(&protocol) => {}
        Some(protocol) if protocol > u64::from(PROTOCOL) => {
            return Err(wrong(format!(
                "protocol: {protocol} is later than {PROTOCOL}, which this server speaks; update Ducat here"
            )));
        }
        _ => return Err(wrong(format!("protocol: must be a number from 1 to {PROTOCOL}"))),
    }
    let head: Head = serde_json::from_slice(line).map_err(|cause| wrong(not_a_word(&cause)))?;
    let is_name = |name: &str, longest| !name.is_empty() && name.len() <= longest && !name.contains(char::is_control);
    if !is_name(&head.host, 253) {
        return Err(wrong("host: must be 1 to 253 bytes without control characters".to_owned()));
    }
    if !TIMES.contains(&head.now) {
        return Err(wrong("now: is in no calendar".to_owned()));
    }
    if !is_name(&head.client, 64) {
        return Err(wrong("client: must be 1 to 64 bytes without control characters".to_owned()));
    }
    Ok(head)
}

impl Batch {
    fn new(head: Head) -> Self {
        Self { head, facts: Vec::new(), events: Vec::new(), refused_lines: 0, refused: Vec::new() }
    }

    fn hear(&mut self, number: u64, line: &[u8]) {
        match word(line) {
            Ok(Word { event: None, facts }) => self.facts.extend(facts),
            Ok(Word { event: Some(event), facts }) => self.events.push((event, facts)),
            Err(reason) => self.refuse(number, reason),
        }
    }

    fn refuse(&mut self, line: u64, reason: String) {
        self.refused_lines += 1;
        if self.refused.len() < NAMED {
            self.refused.push(RefusedLine { line, reason });
        }
    }
}

/// The parser counts lines too, and would be taken for us.
fn not_a_word(cause: &serde_json::Error) -> String {
    cause.to_string().replace(" at line 1 column ", " at byte ")
}

fn word(line: &[u8]) -> Result<Word, String> {
    let word: Word = serde_json::from_slice(line).map_err(|cause| not_a_word(&cause))?;
    word.check()?;
    if word.facts.iter().any(|fact| fact.agent() == Some(first_version::AGENT)) {
        return Err(format!("agent: what {} tells comes over its own API", first_version::AGENT));
    }
    if word.event.is_some() && word.facts.len() > MOST_FACTS_OF_EVENT {
        return Err(format!("facts: more than {MOST_FACTS_OF_EVENT} of one event"));
    }
    Ok(word)
}

async fn take(app: &Arc<Shared>, tenant: TenantId, key: String, batch: Batch, now: UnixMs) -> Result<Answer, StoreError> {
    let Batch { head, mut facts, mut events, refused_lines, refused } = batch;
    let clock_skew_ms = head.now.saturating_sub(now);
    let machine = head.machine;
    let seen = app.clone();
    let host = off_the_runtime(move || {
        let sender = Sender { machine, told: &head.host, client: &head.client, key: &key, clock_skew_ms };
        let own = (seen.own_hosts)();
        seen.machines.lock().unwrap_or_else(PoisonError::into_inner).see(tenant, &sender, &own, now)
    })
    .await?;
    facts.iter_mut().chain(events.iter_mut().flat_map(|(_, facts)| facts)).for_each(|fact| fact.stamp_host(&host));

    let mut answer = Answer { facts: facts.len() as u64, refused_lines, refused, clock_skew_ms, host, ..Answer::default() };
    let write = |facts, event| Write { lane: Lane::Bulk, tenant, facts, event, cursors: Vec::new() };
    if !facts.is_empty() {
        hooks::commit(app, write(facts, None)).await?;
    }
    let mut events = events.into_iter();
    loop {
        let mut under_way = JoinSet::new();
        for (name, facts) in events.by_ref().take(TOGETHER) {
            // By our clock, or an event of a machine whose clock stands wrong would be too old at once.
            let at = name.at.saturating_sub(clock_skew_ms).min(now.saturating_add(LONGEST_AHEAD_MS));
            let event = Event { id: name.id, at };
            let (app, write) = (app.clone(), write(facts, Some(event)));
            under_way.spawn(async move { hooks::commit(&app, write).await });
        }
        if under_way.is_empty() {
            break;
        }
        while let Some(receipt) = under_way.join_next().await {
            let (count, status) = match receipt.unwrap_or(Err(StoreError::Closed))? {
                Receipt::Stored => (&mut answer.events, Status::Stored),
                Receipt::Duplicate => (&mut answer.repeated_events, Status::Already),
                Receipt::Stale => (&mut answer.stale_events, Status::Stale),
            };
            *count += 1;
            app.events.count(Way::Ship, status);
        }
    }
    let (app, counts) = (app.clone(), (answer.facts, answer.events, refused_lines));
    let (ledger, version) = off_the_runtime(move || {
        // The machine forgets what is answered, so it must survive more than our process.
        app.store.sync()?;
        app.machines.lock().unwrap_or_else(PoisonError::into_inner).count(tenant, machine, counts)?;
        Ok((app.store.reader()?.identity()?, env!("CARGO_PKG_VERSION").to_owned()))
    })
    .await?;
    (answer.ledger, answer.version) = (ledger, version);
    Ok(answer)
}
