//! What shutdowns tell, by model, and what of it is new.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use sonic_rs::{JsonValueTrait, LazyValue};

use super::usage::Counts;
use crate::json;

/// No session uses more models.
const MOST_MODELS: usize = 64;

/// By model, what earlier shutdowns and records told.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Sums {
    known: BTreeMap<String, Counts>,
    /// Messages since the last shutdown; each is the answer to a request.
    messages: u64,
}

impl Sums {
    pub fn note_message(&mut self) {
        self.messages = self.messages.saturating_add(1);
    }

    pub fn note_record(&mut self, model: &str, counts: &Counts) {
        if self.known.len() < MOST_MODELS || self.known.contains_key(model) {
            self.known.entry(model.to_owned()).or_default().add(counts);
        }
    }

    /// What a shutdown's `modelMetrics` tell that is not known yet.
    pub fn settle(&mut self, metrics: &LazyValue<'_>) -> Vec<(String, Counts)> {
        let mut told = BTreeMap::new();
        json::for_fields(metrics, |model, value| {
            if told.len() < MOST_MODELS && value.is_object() && model.len() <= 200 {
                told.insert(model.to_owned(), counts(&value));
            }
        });
        let requests =
            |sums: &BTreeMap<String, Counts>| sums.values().fold(0_u64, |sum, counts| sum.saturating_add(counts.requests));
        let goes_on = requests(&told) >= requests(&self.known).saturating_add(self.messages)
            && self.known.iter().all(|(model, known)| told.get(model).is_some_and(|now| now.since(known).is_some()));
        self.messages = 0;
        let mut new = Vec::new();
        for (model, counts) in told {
            let known = self.known.entry(model.clone()).or_default();
            let more = if goes_on { counts.since(known).unwrap_or_default() } else { counts };
            known.add(&more);
            if !more.is_zero() {
                new.push((model, more));
            }
        }
        new
    }
}

fn counts(metrics: &LazyValue<'_>) -> Counts {
    let (mut counts, mut requests) = (Counts::default(), 0);
    json::for_fields(metrics, |field, value| match field {
        "usage" => counts = Counts::parse(&value),
        "requests" => json::for_fields(&value, |field, value| {
            if field == "count" {
                requests = json::count(&value).unwrap_or_default();
            }
        }),
        _ => {}
    });
    Counts { requests, ..counts }
}
