//! What each witness claims of a request's or a tool call's fields.

use ducat_ledger::{DERIVED, FieldClass, Request, Told, Witness};

/// A field that several witnesses tell.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Field {
    Model,
    Input,
    Output,
    Reasoning,
    CacheRead,
    CacheWrite,
    CacheWrite5m,
    CacheWrite1h,
    WebSearches,
    /// Of a tool call.
    Outcome,
}

/// Who claims: a witness's name, or [`SOLVED`].
pub type Teller = &'static str;

/// What was solved from other fields instead of told.
pub const SOLVED: Teller = "derived";

impl Field {
    pub const ALL: [Self; 10] = [
        Self::Model,
        Self::Input,
        Self::Output,
        Self::Reasoning,
        Self::CacheRead,
        Self::CacheWrite,
        Self::CacheWrite5m,
        Self::CacheWrite1h,
        Self::WebSearches,
        Self::Outcome,
    ];

    /// As in facts.
    pub fn name(self) -> &'static str {
        match self {
            Self::Model => "model",
            Self::Input => "input_tokens",
            Self::Output => "output_tokens",
            Self::Reasoning => "reasoning_tokens",
            Self::CacheRead => "cache_read_tokens",
            Self::CacheWrite => "cache_write_tokens",
            Self::CacheWrite5m => "cache_write_5m_tokens",
            Self::CacheWrite1h => "cache_write_1h_tokens",
            Self::WebSearches => "web_search_requests",
            Self::Outcome => "outcome",
        }
    }

    pub fn class(self) -> FieldClass {
        if self == Self::Outcome { FieldClass::Outcome } else { FieldClass::Usage }
    }

    /// Whose claim is believed, in words.
    pub fn rule(self) -> String {
        let rule = Witness::rule(self.class());
        if self.is_split() { format!("{rule}; last what is solved from the reported cost") } else { rule }
    }

    fn bit(self) -> u16 {
        1 << self as u16
    }

    fn is_split(self) -> bool {
        matches!(self, Self::CacheWrite5m | Self::CacheWrite1h)
    }

    /// Who tells a request's field, or a call's outcome, at a rank.
    pub fn teller(self, rank: u8) -> Teller {
        if self == Self::Outcome {
            // Logs, spans and metrics share a rank.
            let told = [Witness::Api, Witness::Transcript, Witness::Hook].into_iter().find(|one| one.rank(self.class()) == rank);
            return told.map_or("otlp", Witness::name);
        }
        if rank == DERIVED && self.is_split() {
            return SOLVED;
        }
        Witness::of_usage_rank(rank).map_or("unknown", Witness::name)
    }

    /// A count of a request; none for what is no count.
    pub fn count(self, request: &Request) -> Option<&Told<u64>> {
        Some(match self {
            Self::Model | Self::Outcome => return None,
            Self::Input => &request.input_tokens,
            Self::Output => &request.output_tokens,
            Self::Reasoning => &request.reasoning_tokens,
            Self::CacheRead => &request.cache_read_tokens,
            Self::CacheWrite => &request.cache_write_tokens,
            Self::CacheWrite5m => &request.cache_write_5m_tokens,
            Self::CacheWrite1h => &request.cache_write_1h_tokens,
            Self::WebSearches => &request.web_search_requests,
        })
    }

    /// What each witness tells of a request's field, in words, the believed one last.
    pub(super) fn claims(self, request: &Request) -> Vec<(Teller, String)> {
        match self.count(request) {
            Some(count) => count.claims().map(|(rank, value)| (self.teller(rank), value.to_string())).collect(),
            None => request.model.claims().map(|(rank, model)| (self.teller(rank), model.clone())).collect(),
        }
    }

    fn count_mut(self, request: &mut Request) -> Option<&mut Told<u64>> {
        Some(match self {
            Self::Model | Self::Outcome => return None,
            Self::Input => &mut request.input_tokens,
            Self::Output => &mut request.output_tokens,
            Self::Reasoning => &mut request.reasoning_tokens,
            Self::CacheRead => &mut request.cache_read_tokens,
            Self::CacheWrite => &mut request.cache_write_tokens,
            Self::CacheWrite5m => &mut request.cache_write_5m_tokens,
            Self::CacheWrite1h => &mut request.cache_write_1h_tokens,
            Self::WebSearches => &mut request.web_search_requests,
        })
    }
}

/// A set of fields, a bit each in the order of [`Field::ALL`]. It is stored: fields are only added behind the others.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Fields(pub u16);

impl Fields {
    pub fn join(&mut self, other: Self) {
        self.0 |= other.0;
    }

    /// The names in the order of [`Field::ALL`].
    pub fn names(self) -> Vec<&'static str> {
        Field::ALL.into_iter().filter(|field| self.0 & field.bit() != 0).map(Field::name).collect()
    }
}

impl FromIterator<Field> for Fields {
    fn from_iter<I: IntoIterator<Item = Field>>(fields: I) -> Self {
        Self(fields.into_iter().fold(0, |bits, field| bits | field.bit()))
    }
}

/// The request as `teller` tells it; what it does not tell stays as believed.
pub(super) fn as_told_by(request: &Request, teller: Teller) -> Request {
    let mut told = request.clone();
    for field in Field::ALL {
        let claimed = field.count(request).and_then(|count| count.claims().find(|(rank, _)| field.teller(*rank) == teller));
        if let (Some((rank, value)), Some(count)) = (claimed, field.count_mut(&mut told)) {
            *count = Told::by(rank, *value);
        }
    }
    if let Some((rank, model)) = request.model.claims().find(|(rank, _)| Field::Model.teller(*rank) == teller) {
        told.model = Told::by(rank, model.clone());
    }
    // The split that is believed cannot be more than the sum that this witness tells.
    let tells = |count: &Told<u64>, field: Field| count.claims().any(|(rank, _)| field.teller(rank) == teller);
    if tells(&request.cache_write_tokens, Field::CacheWrite) && !tells(&request.cache_write_5m_tokens, Field::CacheWrite5m) {
        let written = told.cache_write_tokens.or_default();
        let hour = told.cache_write_1h_tokens.or_default().min(written);
        let five = told.cache_write_5m_tokens.or_default().min(written - hour);
        told.cache_write_1h_tokens = Told::by(DERIVED, hour);
        told.cache_write_5m_tokens = Told::by(DERIVED, five);
    }
    told
}
