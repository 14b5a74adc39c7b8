//! Incidents: compactions, API errors, and messages that the client wrote in the model's place.

use ducat_ledger::{FieldClass, Incident, IncidentKind, Key, KeySpace, Told, Witness, Witnesses};
use sonic_rs::{JsonValueTrait, LazyValue};

use super::AGENT;
use super::line::Line;
use crate::json;

/// What a system line tells of, if anything.
pub fn of_system_line(line: &Line<'_>) -> Option<Incident> {
    let kind = match line.subtype.as_deref()? {
        "compact_boundary" => IncidentKind::Compaction,
        "microcompact_boundary" => IncidentKind::Microcompaction,
        "api_error" => IncidentKind::ApiError,
        _ => return None,
    };
    let (mut value, mut detail) = (None, None);
    if let Some(about) = &line.about {
        json::for_fields(about, |name, field| match name {
            "preTokens" | "status" => value = json::count(&field),
            "trigger" => detail = json::text(&field).map(|word| word.into_owned()),
            "error" => detail = error_type(&field),
            _ => {}
        });
    }
    incident(line, kind, value, detail)
}

/// A message of the client's own; no model was called.
pub fn synthetic(line: &Line<'_>) -> Option<Incident> {
    incident(line, IncidentKind::SyntheticMessage, None, line.is_api_error.then(|| "api_error".to_owned()))
}

fn incident(line: &Line<'_>, kind: IncidentKind, value: Option<u64>, detail: Option<String>) -> Option<Incident> {
    // Copies in forks keep the uuid, so one incident stays one.
    let id = format!("{}/{}", kind.name(), line.uuid.as_deref()?);
    let mut incident = Incident::new(Key::of(KeySpace::Incident, AGENT, &id), AGENT, id);
    let rank = Witness::Transcript.rank(FieldClass::Attribution);
    incident.witnesses = Witnesses::only(Witness::Transcript);
    incident.kind = Told::by(rank, kind);
    incident.at = Told::maybe(rank, line.at);
    incident.value = Told::maybe(rank, value.and_then(|value| i64::try_from(value).ok()));
    incident.detail = Told::maybe(rank, detail.filter(|word| word.len() <= 64));
    Some(incident)
}

/// `overloaded_error` from `{"type":"error","error":{"type":"overloaded_error"}}`, however deep the client wrapped it.
fn error_type(error: &LazyValue<'_>) -> Option<String> {
    let (mut kind, mut inner) = (None, None);
    json::for_fields(error, |name, value| match name {
        "type" => kind = json::text(&value).map(|word| word.into_owned()),
        "error" if value.is_object() => inner = error_type(&value),
        _ => {}
    });
    inner.or(kind)
}
