//! Cursor's export of usage events, a CSV file from its dashboard. What the editor keeps on disk tells no tokens.
//!
//! Output is as Cursor counts it; which columns of input make up what, the total of a row says.

mod export;
mod row;

pub use export::{FileState, decode_line, looks_like_export};

/// Its name in the ledger.
pub const AGENT: &str = "cursor";
