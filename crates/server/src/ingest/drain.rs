//! The spool into the ledger: at start and every second.

use std::io;
use std::time::Duration;

use ducat_spool::{Spool, Spooled, Status};
use ducat_store::TenantId;
use tokio::task::JoinSet;

use super::{Way, hooks};
use crate::log::Source;
use crate::{App, failpoint};

const EVERY: Duration = Duration::from_secs(1);
/// Events on their way to the store at once, so that they share commits.
const TOGETHER: usize = 64;

/// Drains until the task is dropped.
pub(crate) async fn run(app: App, spool: Spool) {
    // The server is there: hooks need not wait for one of them to find out.
    spool.mark_answering();
    let mut turns = tokio::time::interval(EVERY);
    turns.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    loop {
        turns.tick().await;
        drain(&app, &spool).await;
    }
}

async fn drain(app: &App, spool: &Spool) {
    let listing = spool.clone();
    let Ok(Ok(waiting)) = tokio::task::spawn_blocking(move || listing.waiting()).await else { return };
    for events in waiting.chunks(TOGETHER) {
        let mut under_way = JoinSet::new();
        for event in events {
            let (app, spool, event) = (app.clone(), spool.clone(), event.clone());
            under_way.spawn(async move { drain_one(&app, &spool, &event).await });
        }
        while under_way.join_next().await.is_some() {}
    }
    drain_latest(app, spool).await;
}

/// The last words of status lines.
async fn drain_latest(app: &App, spool: &Spool) {
    let taking = spool.clone();
    let Ok(taken) = tokio::task::spawn_blocking(move || taking.take_latest()).await else { return };
    for latest in taken {
        match latest {
            // What is left stays and is taken the next time.
            Ok(latest) if hooks::take(app, TenantId::LOCAL, &latest.frame, Way::Spool).await.status.is_final() => {
                drop(latest.remove())
            }
            Ok(_) => {}
            Err(fault) => app.log.say(Source::Spool, &fault.to_string()),
        }
    }
}

/// An event stays where it is until it is on disk elsewhere.
async fn drain_one(app: &App, spool: &Spool, event: &Spooled) -> io::Result<()> {
    let frame = event.frame()?;
    let taken = hooks::take(app, TenantId::LOCAL, &frame, Way::Spool).await;
    failpoint::reached("mid_drain");
    match taken.status {
        Status::Busy => Ok(()),
        Status::Malformed => spool.set_aside(event),
        Status::Stored | Status::Already | Status::Stale | Status::Excluded => event.remove(),
    }
}
