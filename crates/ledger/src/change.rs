//! What believing an observation changed.

use ducat_prices::NanoUsd;

use crate::{Billing, Holder, Incident, Quota, Request, Session, ToolCall, Turn, UnixMs};

/// What is derived of a request: by the price table, and from its session and quota.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Priced {
    /// Canonical model name, or the reported one where the table knows none; empty when no model was told.
    pub model: String,
    /// `None` when unknown, which is never the same as zero.
    pub cost: Option<NanoUsd>,
    pub billing: Option<Billing>,
}

/// A fact before and after; `before` is `None` when it is first believed. `owner` is the owner's copy after the change.
#[derive(Clone, Copy, Debug)]
pub enum Change<'a> {
    Session {
        before: Option<&'a Session>,
        after: &'a Session,
    },
    Turn {
        before: Option<&'a Turn>,
        after: &'a Turn,
        owner: Option<&'a Holder>,
    },
    Request {
        before: Option<(&'a Request, &'a Priced)>,
        after: &'a Request,
        priced: &'a Priced,
        owner: Option<&'a Holder>,
    },
    /// A fact of the kind `fact` that was believed turned out to be told by another one too, which counts for both.
    Ceased {
        fact: &'static str,
        at: Option<UnixMs>,
    },
    ToolCall {
        before: Option<&'a ToolCall>,
        after: &'a ToolCall,
        owner: Option<&'a Holder>,
    },
    Incident {
        before: Option<&'a Incident>,
        after: &'a Incident,
        owner: Option<&'a Holder>,
    },
    Quota {
        before: Option<&'a Quota>,
        after: &'a Quota,
    },
}
