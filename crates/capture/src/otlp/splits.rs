//! Which of a request's cache writes were for five minutes and which for an hour, solved from what the client says it cost.

use std::collections::{BTreeMap, VecDeque};
use std::sync::{Mutex, PoisonError};

use ducat_ledger::{DERIVED, Key, Request, Told};
use ducat_prices::{PriceQuery, PriceTable};

/// Clients that are remembered; each is a model in a session.
const MOST_CLIENTS: usize = 4096;
/// Requests that wait for their client's prices to be proven; each takes about 2 KiB.
const MOST_WAITING: usize = 1024;
/// What a request must cost to prove prices: one micro-USD of rounding is then a thousandth at most.
const LEAST_PROOF_NANO: i64 = 1_000_000;

/// Solves by the list prices, for the client's own are those, whatever the user pays. Only where it is sure: all writes of one kind, or a
/// client of which a request without writes cost what the list says. Until then its requests wait here, and are told again when solved.
pub(super) struct CacheSplits {
    prices: PriceTable,
    known: Mutex<Known>,
}

#[derive(Default)]
struct Known {
    clients: BTreeMap<Client, Proof>,
    /// The first is forgotten first.
    order: VecDeque<Client>,
    waiting: usize,
}

/// Whose prices: one model in one session.
type Client = (Key, String, Option<String>);

enum Proof {
    Proven,
    /// The requests that wait for it.
    Open(BTreeMap<Key, Request>),
}

impl Default for CacheSplits {
    fn default() -> Self {
        Self { prices: PriceTable::embedded(), known: Mutex::default() }
    }
}

impl CacheSplits {
    /// Puts the split into a request as its log told it; what is solved by it of earlier ones.
    pub fn solve(&self, request: &mut Request) -> Vec<Request> {
        let Some(cost_nano) = request.reported_cost_nano.get().copied() else { return Vec::new() };
        let client = client(request);
        if request.cache_write_tokens.or_default() > 0 {
            let is_proven = client.as_ref().is_some_and(|client| self.is_proven(client));
            if !self.split(request, cost_nano, is_proven)
                && !is_proven
                && let Some(client) = client
            {
                self.wait(client, request);
            }
            return Vec::new();
        }
        let proves = cost_nano >= LEAST_PROOF_NANO && self.prices.costs(&query(request), &request.usage(), cost_nano);
        let waiting = client.filter(|_| proves).map(|client| self.prove(client)).unwrap_or_default();
        let solved = |mut request: Request| {
            let cost_nano = request.reported_cost_nano.get().copied()?;
            self.split(&mut request, cost_nano, true).then_some(request)
        };
        waiting.into_values().filter_map(solved).collect()
    }

    /// Whether there is a split that is sure.
    fn split(&self, request: &mut Request, cost_nano: i64, is_proven: bool) -> bool {
        let Some((five, hour)) = self.prices.split_cache_writes(&query(request), &request.usage(), cost_nano, is_proven) else {
            return false;
        };
        request.cache_write_5m_tokens = Told::by(DERIVED, five);
        request.cache_write_1h_tokens = Told::by(DERIVED, hour);
        true
    }

    fn is_proven(&self, client: &Client) -> bool {
        matches!(self.lock().clients.get(client), Some(Proof::Proven))
    }

    fn wait(&self, client: Client, request: &Request) {
        let known = &mut *self.lock();
        known.remember(&client);
        if let Some(Proof::Open(waiting)) = known.clients.get_mut(&client)
            && known.waiting < MOST_WAITING
            && waiting.insert(request.key, request.clone()).is_none()
        {
            known.waiting += 1;
        }
    }

    /// Those that waited for it.
    fn prove(&self, client: Client) -> BTreeMap<Key, Request> {
        let known = &mut *self.lock();
        known.remember(&client);
        match known.clients.insert(client, Proof::Proven) {
            Some(Proof::Open(waiting)) => {
                known.waiting -= waiting.len();
                waiting
            }
            _ => BTreeMap::new(),
        }
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, Known> {
        self.known.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Known {
    fn remember(&mut self, client: &Client) {
        if self.clients.contains_key(client) {
            return;
        }
        if self.clients.len() >= MOST_CLIENTS
            && let Some(oldest) = self.order.pop_front()
            && let Some(Proof::Open(waiting)) = self.clients.remove(&oldest)
        {
            self.waiting -= waiting.len();
        }
        self.order.push_back(client.clone());
        self.clients.insert(client.clone(), Proof::Open(BTreeMap::new()));
    }
}

/// `None` where no session is told.
fn client(request: &Request) -> Option<Client> {
    let session = request.holders.iter().next()?.session;
    Some((session, request.model.get()?.clone(), request.speed.get().cloned()))
}

fn query(request: &Request) -> PriceQuery<'_> {
    let at_unix_ms = request.started_at.get().copied().unwrap_or_default();
    PriceQuery {
        model: request.model.get().map_or("", String::as_str),
        speed: request.speed.get().map(String::as_str),
        at_unix_ms,
        ..PriceQuery::default()
    }
}
