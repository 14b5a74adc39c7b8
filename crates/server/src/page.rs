//! The page and its parts, embedded. Parts lie under a name that changes with any of them, so that a browser keeps them for good.

use std::io::Write;
use std::sync::LazyLock;

use axum::extract::Path;
use axum::http::{HeaderMap, StatusCode, header};
use axum::response::{Html, IntoResponse, Response};
use flate2::Compression;
use flate2::write::GzEncoder;

use crate::api::error;

const FILES: &[(&str, &[u8])] = &include!(concat!(env!("OUT_DIR"), "/ui.rs"));
const INDEX: &str = include_str!("../../../ui/index.html");
/// Addresses of the page's views, and those of the first version's page; what is looked at is in the rest of the address.
pub(crate) const VIEWS: [&str; 11] = [
    "/",
    "/sessions",
    "/sessions/{id}",
    "/tools",
    "/models",
    "/projects",
    "/people",
    "/reconcile",
    "/settings",
    "/dashboard",
    "/dashboard/realtime.html",
];

/// Whether an address is one of a view: opened from a link elsewhere too, because the page holds no data of its own.
pub(crate) fn is_view(path: &str) -> bool {
    VIEWS.contains(&path) || path.strip_prefix("/sessions/").is_some_and(|id| !id.contains('/'))
}

/// Stands in `index.html` where the version belongs.
const VERSION_WORD: &str = "VERSION";
/// Stands there where the modules are named: without, a browser finds each only in the one before it that imports it.
const MODULES_WORD: &str = "<!-- MODULES -->";

/// Of all parts, packed at the first request: a build keeps nothing packed, and this takes some milliseconds.
struct Assets {
    version: String,
    index: String,
    packed: Vec<Vec<u8>>,
}

static ASSETS: LazyLock<Assets> = LazyLock::new(|| {
    // FNV-1a: it names a set of files that we wrote, nobody else does.
    let hash = FILES.iter().flat_map(|(name, bytes)| name.bytes().chain(bytes.iter().copied()));
    let hash = hash.fold(0xcbf2_9ce4_8422_2325_u64, |hash, byte| (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3));
    let version = format!("{hash:016x}");
    Assets {
        index: INDEX.replace(MODULES_WORD, &modules()).replace(VERSION_WORD, &version),
        packed: FILES.iter().map(|(_, bytes)| pack(bytes).unwrap_or_default()).collect(),
        version,
    }
});

fn modules() -> String {
    let modules = FILES.iter().map(|(name, _)| name).filter(|name| name.ends_with(".js") && **name != "theme.js");
    modules.map(|name| format!("<link rel=\"modulepreload\" href=\"/assets/{VERSION_WORD}/{name}\">\n")).collect()
}

fn pack(bytes: &[u8]) -> std::io::Result<Vec<u8>> {
    let mut encoder = GzEncoder::new(Vec::new(), Compression::best());
    encoder.write_all(bytes)?;
    encoder.finish()
}

pub(crate) async fn index() -> Html<&'static str> {
    Html(&ASSETS.index)
}

/// Where the parts are, for pages made elsewhere.
pub(crate) fn assets() -> String {
    format!("/assets/{}", ASSETS.version)
}

pub(crate) async fn asset(Path((version, name)): Path<(String, String)>, headers: HeaderMap) -> Response {
    let place = FILES.iter().position(|(known, _)| *known == name).filter(|_| version == ASSETS.version);
    let Some((place, kind)) = place.and_then(|place| Some((place, media_type(&name)?))) else {
        return error(StatusCode::NOT_FOUND, &format!("there is no asset {name:?} of this version"));
    };
    let head = [
        (header::CONTENT_TYPE, kind),
        (header::CACHE_CONTROL, "public, max-age=31536000, immutable"),
        (header::VARY, "accept-encoding"),
    ];
    let accepts = headers.get(header::ACCEPT_ENCODING).and_then(|value| value.to_str().ok()).unwrap_or_default();
    let packed = &ASSETS.packed[place];
    if accepts.contains("gzip") && !packed.is_empty() {
        return (head, [(header::CONTENT_ENCODING, "gzip")], packed.as_slice()).into_response();
    }
    (head, FILES[place].1).into_response()
}

fn media_type(name: &str) -> Option<&'static str> {
    Some(match name.rsplit_once('.')?.1 {
        "js" => "text/javascript; charset=utf-8",
        "css" => "text/css; charset=utf-8",
        "svg" => "image/svg+xml",
        _ => return None,
    })
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;
    use std::path::{Component, PathBuf};

    use super::*;

    fn file(name: &str) -> Option<&'static str> {
        FILES.iter().find(|(known, _)| *known == name).and_then(|(_, bytes)| std::str::from_utf8(bytes).ok())
    }

    /// What is between these two words, everywhere.
    fn between<'a>(text: &'a str, before: &str, after: char) -> Vec<&'a str> {
        text.split(before).skip(1).filter_map(|rest| rest.split(after).next()).collect()
    }

    #[test]
    fn whatever_the_page_asks_for_is_embedded_and_nothing_else() {
        let mut asked: Vec<PathBuf> = between(INDEX, "/assets/VERSION/", '"').into_iter().map(PathBuf::from).collect();
        let mut seen = BTreeSet::from([PathBuf::from("index.html")]);
        while let Some(name) = asked.pop() {
            let text = file(&name.to_string_lossy()).unwrap_or_else(|| panic!("{} is not there", name.display()));
            if !seen.insert(name.clone()) {
                continue;
            }
            for import in between(text, "from \"", '"').into_iter().chain(between(text, "from\"", '"')).chain(between(
                text,
                "import(\"",
                '"',
            )) {
                let mut path = name.parent().map(PathBuf::from).unwrap_or_default();
                for part in std::path::Path::new(import).components() {
                    match part {
                        Component::ParentDir => assert!(path.pop(), "{import}"),
                        Component::Normal(part) => path.push(part),
                        _ => {}
                    }
                }
                asked.push(path);
            }
        }
        let all: BTreeSet<PathBuf> = FILES.iter().map(|(name, _)| PathBuf::from(name)).collect();
        let unused: Vec<_> = all.difference(&seen).filter(|name| !name.ends_with("summary.css")).collect();
        assert!(unused.is_empty(), "{unused:?}");
    }

    #[test]
    fn all_of_it_is_small() {
        let bytes: usize = ASSETS.packed.iter().map(Vec::len).sum();
        assert!(bytes < 200_000, "{bytes} bytes, packed");
    }
}
