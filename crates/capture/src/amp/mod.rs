//! Amp: `~/.local/share/amp/threads/T-….json`, a thread rewritten whole. Answers tell what they used; older threads also have a
//! `usageLedger` of all that was paid for, of which only what no answer tells is taken.

mod thread;
mod usage;

pub use thread::decode_document;

/// Its name in the ledger.
pub const AGENT: &str = "amp";

/// Whether a file is a thread, by its name.
pub fn is_thread(name: &str) -> bool {
    name.starts_with("T-") && name.ends_with(".json")
}

/// A thread names itself, and has messages or the time it was created at, at its beginning.
pub fn looks_like_thread(head: &[u8]) -> bool {
    let has = |word: &[u8]| memchr::memmem::find(head, word).is_some();
    head.trim_ascii_start().first() == Some(&b'{')
        && (has(b"\"id\":\"T-") || has(b"\"id\": \"T-"))
        && (has(b"\"messages\"") || has(b"\"created\""))
}
