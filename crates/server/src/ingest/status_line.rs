//! The answer to a status line: where its session and its day stand.

use ducat_capture::claude_code;
use ducat_ledger::{Key, KeySpace};
use ducat_spool::Frame;
use ducat_store::TenantId;
use serde_json::Value;

use crate::Shared;
use crate::api::off_the_runtime;

/// A `Standing` as JSON; nothing when the ledger cannot be read, and the line is drawn without it.
pub(super) async fn standing(app: &Shared, frame: &Frame) -> Vec<u8> {
    let told: Value = serde_json::from_slice(&frame.payload).unwrap_or_default();
    let now = i64::try_from(frame.at_ms).unwrap_or(0);
    let session = Key::of(KeySpace::Session, claude_code::AGENT, told["session_id"].as_str().unwrap_or_default());
    // The status line knows its user's time zone.
    let day_start = told["ducat_day_start"].as_i64().unwrap_or(now);
    let store = app.store.clone();
    let standing = off_the_runtime(move || store.reader()?.standing(TenantId::LOCAL, session, day_start, now)).await;
    standing.ok().and_then(|standing| serde_json::to_vec(&standing).ok()).unwrap_or_default()
}
