//! Whether a file that lies anywhere is OpenCode's.

/// A document of OpenCode begins with a session's record, or is a message or part of one: its ids have prefixes that nobody else uses.
pub fn looks_like_document(head: &[u8]) -> bool {
    let has = |word: &[u8]| memchr::memmem::find(head, word).is_some();
    head.trim_ascii_start().first() == Some(&b'{')
        && has(b"\"ses_")
        && (has(b"\"projectID\"") || has(b"\"messageID\"") || has(b"\"msg_"))
}
