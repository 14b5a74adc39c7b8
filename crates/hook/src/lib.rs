//! Delivering one event of an agent: what `ducat-hook` and `ducat statusline` share. Only std, because an agent waits for them.
#![cfg_attr(test, allow(clippy::unwrap_used, clippy::expect_used))]

mod deliver;
mod input;
mod os;
mod start;

pub use deliver::{Outcome, Target, deadline_from_environment};
pub use input::read_input;
pub use os::ignore_broken_pipes;
pub use start::start_server;
