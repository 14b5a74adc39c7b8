//! The local time zone, at once: looking it up by name lists the whole time zone database first, a thousand system calls.

use std::env;
use std::fs;
use std::path::{Path, PathBuf};

use jiff::tz::TimeZone;

const DATABASE: &str = "/usr/share/zoneinfo";
const LOCALTIME: &str = "/etc/localtime";

/// By `TZ`, else by `/etc/localtime`; what neither tells simply is looked up as ever.
pub fn local() -> TimeZone {
    let file = match env::var("TZ") {
        Err(_) => Some(PathBuf::from(LOCALTIME)),
        Ok(name) => of_name(&name),
    };
    let zone = file.and_then(|path| TimeZone::tzif("local", &fs::read(path).ok()?).ok());
    zone.unwrap_or_else(TimeZone::system)
}

/// The database's file of a zone such as `Europe/Berlin` or `:Europe/Berlin`.
fn of_name(name: &str) -> Option<PathBuf> {
    let name = name.strip_prefix(':').unwrap_or(name);
    let is_name = !name.is_empty() && name.split('/').all(|part| !part.is_empty() && !part.starts_with('.'));
    is_name.then(|| Path::new(DATABASE).join(name)).filter(|path| path.is_file())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_found_and_paths_are_not() {
        for (name, is) in [
            ("UTC", true),
            (":UTC", true),
            ("../etc/localtime", false),
            ("", false),
            ("CET-1CEST", false),
            ("/etc/localtime", false),
        ] {
            // Without a database nothing is found, and all is looked up as ever.
            assert_eq!(of_name(name).is_some(), is && Path::new(DATABASE).join("UTC").is_file(), "{name}");
        }
    }
}
