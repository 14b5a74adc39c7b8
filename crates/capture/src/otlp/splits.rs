//! Which of a request's cache writes were for five minutes and which for an hour, solved from what the client says it cost.

use std::collections::{BTreeMap, VecDeque};
use std::sync::{Mutex, PoisonError};

use ducat_ledger::{DERIVED, Key, Request, Told};
use ducat_prices::{PriceQuery, PriceTable};

/// Clients that are remembered; each is a model in a session.
const MOST_CLIENTS: usize = 4096;
/// Requests that wait for their client's prices to be proven; each takes about 2 KiB. One client, whose prices may never be, keeps a few of them.
const MOST_WAITING: usize = 1024;
const MOST_OF_CLIENT: usize = 32;
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
        if known.waiting >= MOST_WAITING {
            known.forget_oldest();
        }
        if let Some(Proof::Open(waiting)) = known.clients.get_mut(&client)
            && waiting.len() < MOST_OF_CLIENT
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
        if self.clients.len() >= MOST_CLIENTS {
            self.forget_oldest();
        }
        self.order.push_back(client.clone());
        self.clients.insert(client.clone(), Proof::Open(BTreeMap::new()));
    }

    fn forget_oldest(&mut self) {
        if let Some(oldest) = self.order.pop_front()
            && let Some(Proof::Open(waiting)) = self.clients.remove(&oldest)
        {
            self.waiting -= waiting.len();
        }
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

#[cfg(test)]
mod tests {
    use ducat_ledger::{Holder, Holders, KeySpace};

    use super::*;

    /// 2,000 of 14,000 tokens for five minutes, of `claude-opus-4-8`; or, with nothing written, one that proves its prices.
    fn request(session: &str, id: u64, written: u64, cost_micros: i64) -> Request {
        let key = |space, id: &str| Key::of(space, "claude-code", id);
        let mut request = Request::new(key(KeySpace::Request, &id.to_string()), "claude-code", id.to_string());
        let holder = Holder { session: key(KeySpace::Session, session), live: true, project: None, branch: None };
        request.holders = Holders::one(holder);
        request.model = Told::by(9, "claude-opus-4-8".to_owned());
        (request.input_tokens, request.output_tokens) = (Told::by(9, 4), Told::by(9, 90));
        request.cache_write_tokens = Told::by(9, written);
        request.reported_cost_nano = Told::by(9, cost_micros * 1000);
        request.started_at = Told::by(9, 1_795_000_000_000);
        request
    }

    const MIXED: (u64, i64) = (14_000, 134_770);
    const PROOF: (u64, i64) = (0, 2_270);

    #[test]
    fn what_waits_is_solved_when_its_own_session_proves_prices() {
        let splits = CacheSplits::default();
        let tell = |session: &str, id, (written, cost)| {
            let mut request = request(session, id, written, cost);
            let earlier = splits.solve(&mut request);
            (request.cache_write_1h_tokens.get().copied(), earlier)
        };
        assert_eq!(tell("a", 1, MIXED), (None, vec![]));
        assert_eq!(tell("b", 2, PROOF), (None, vec![]));
        // At 1.5 times the price nothing is proven.
        assert_eq!(tell("a", 3, (0, 3_405)), (None, vec![]));
        let (_, earlier) = tell("a", 4, PROOF);
        assert_eq!((earlier.len(), earlier[0].cache_write_5m_tokens.get()), (1, Some(&2000)));
        assert_eq!(tell("a", 5, MIXED), (Some(12_000), vec![]));
        assert_eq!(tell("a", 6, PROOF).1, vec![]);
    }

    #[test]
    fn what_waits_is_bounded() {
        let splits = CacheSplits::default();
        for id in 0..10_000 {
            splits.solve(&mut request(&(id / 40).to_string(), id, MIXED.0, MIXED.1));
        }
        assert!((MOST_WAITING - MOST_OF_CLIENT..=MOST_WAITING).contains(&splits.lock().waiting));
        assert_eq!(splits.solve(&mut request("0", 1, PROOF.0, PROOF.1)), vec![], "forgotten");
        assert_eq!(splits.solve(&mut request("249", 1, PROOF.0, PROOF.1)).len(), MOST_OF_CLIENT);
    }
}
