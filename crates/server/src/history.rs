//! What Claude Code will delete of its transcripts.

use std::path::Path;

use axum::Json;
use axum::extract::State;
use axum::response::{IntoResponse, Response};
use ducat_scan::{History, TranscriptFile, claude_homes, find_transcripts, histories, managed_settings};
use ducat_store::TenantId;
use jiff::Timestamp;
use serde_json::{Value, json};

use crate::App;
use crate::api::{failed, off_the_runtime};

/// One row for each of Claude Code's folders.
pub(crate) async fn history(State(app): State<App>) -> Response {
    let made = off_the_runtime(move || {
        // A ledger that cannot be read is an error, not one without transcripts.
        drop(app.store.reader()?);
        let homes = claude_homes();
        let files = find_transcripts(&homes, &mut Vec::new());
        let files: Vec<&TranscriptFile> = files.iter().collect();
        let now = Timestamp::now().as_millisecond();
        let kept = || {
            let reader = app.store.reader().ok();
            reader.and_then(|reader| reader.file_cursors(TenantId::LOCAL).ok()).unwrap_or_default()
        };
        Ok(histories(&homes, &files, &managed_settings(Path::new("/")), now, &kept))
    });
    match made.await {
        Ok(rows) => Json(json!({ "schema_version": 1, "rows": rows.iter().map(row).collect::<Vec<_>>() })).into_response(),
        Err(cause) => failed(&cause),
    }
}

fn row(history: &History) -> Value {
    let next = history.next_deletion_at.and_then(|at| Timestamp::from_millisecond(at).ok()).map(|at| format!("{at:.3}"));
    json!({
        "folder": history.folder,
        "cleanup_period_days": history.retention.days,
        "next_deletion_at": next,
        "files": history.files,
        "bytes": history.bytes,
        "not_imported_files": history.not_imported.len(),
    })
}
