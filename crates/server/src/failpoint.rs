//! Places where a test ends the process, to see that nothing is lost or counted twice. Only in builds with debug assertions.

/// Ends the process at once, as a crash would, when `DUCAT_FAILPOINT` names this place.
pub(crate) fn reached(place: &str) {
    if cfg!(debug_assertions) && std::env::var_os("DUCAT_FAILPOINT").is_some_and(|named| named == place) {
        std::process::abort();
    }
}
