//! Sends what this machine's transcripts and spooled hook events tell to a Ducat elsewhere: facts, never content.
//!
//! Transcripts are their own buffer: how far a file was sent is kept once the receiver has answered, so nothing is lost however long it
//! is away. Facts join, so what is sent again changes nothing.
#![cfg_attr(test, allow(clippy::unwrap_used, clippy::expect_used))]

mod batch;
mod machine;
mod progress;
mod receiver;
mod shipper;
mod show;

pub use machine::{host_name, machine_id, pool_id};
pub use progress::{Progress, ProgressError, sent_cursors};
pub use receiver::{KeySource, Receiver, ReceiverError, Unsent, agent};
pub use shipper::{Patience, Say, ShipError, Shipped, Shipper};
pub use show::{Shown, show};
