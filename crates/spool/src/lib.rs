//! What `ducat-hook` and the server share: an event's identity, its way over the socket, and the folder it waits in while the server is
//! away. Only std, because every tool call of an agent starts a process of it.
#![cfg_attr(test, allow(clippy::unwrap_used, clippy::expect_used))]

mod event;
mod folder;
mod frame;
mod latest;
mod places;
mod redact;
mod start;

pub use event::{EventId, now_ms};
pub use folder::{Limits, Spool, Spooled};
pub use frame::{Answer, Frame, FrameError, LARGEST_PAYLOAD, Status};
pub use latest::Latest;
pub use places::{config_file, data_folder, socket_paths, spool_folder};
pub use redact::redact;
pub use start::Start;
