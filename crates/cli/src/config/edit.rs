//! Writing the configuration: comments, order and what else stands in the file stay.

use std::fs;
use std::io::{self, Write};
use std::path::Path;

use anyhow::{Context, anyhow, bail};
use tempfile::NamedTempFile;
use toml_edit::{DocumentMut, Item, Key, Table, TableLike, Value};

use super::Config;
use super::fault::nearest;
use super::keys::KEYS;

/// The file's text with this key set, or removed without a value. Says whether the key was there.
pub fn with(text: &str, name: &str, value: Option<&str>) -> anyhow::Result<(String, bool)> {
    let mut document: DocumentMut = text.parse().map_err(|error: toml_edit::TomlError| {
        let line = super::keys::line_of(text, error.span());
        anyhow!("line {line}: {}; mend the file first", error.message().replace('\n', ", "))
    })?;
    let path = Key::parse(name).map_err(|_| anyhow!("{name:?} is no key such as server.port or prices.discount.\"my-model\""))?;
    let [above @ .., last] = &path[..] else { bail!("which key?") };
    if path.first().is_some_and(|first| first == "group") {
        bail!("groups are written into the file itself: [[group]] with name, projects and tags");
    }
    let mut table: &mut dyn TableLike = document.as_table_mut();
    for part in above {
        if value.is_none() && !table.contains_key(part) {
            return Ok((text.to_owned(), false));
        }
        let inner = table.entry(part).or_insert_with(|| {
            let mut made = Table::new();
            // Its own head is written only when it has values of its own.
            made.set_implicit(true);
            Item::Table(made)
        });
        table = inner.as_table_like_mut().with_context(|| format!("{name}: {part} is a value in the file, no table"))?;
    }
    let Some(value) = value else {
        let was_there = table.remove(last).is_some();
        return Ok((document.to_string(), was_there));
    };
    let mut value = parsed(name, value);
    let was_there = match table.get_mut(last) {
        Some(Item::Value(known)) => {
            // A comment behind the value stays.
            *value.decor_mut() = known.decor().clone();
            *known = value;
            true
        }
        Some(_) => bail!("{name} is a table; name one of its keys"),
        None => {
            table.insert(last, Item::Value(value));
            false
        }
    };
    Ok((document.to_string(), was_there))
}

/// TOML where it is some, else a text: quoting for the shell is enough.
fn parsed(name: &str, value: &str) -> Value {
    let is_text = KEYS.iter().any(|key| key.name == name && key.is_text) || name.starts_with("prices.aliases.");
    let bare = || if is_text { None } else { value.parse::<Value>().ok() };
    let quoted = || value.parse::<Value>().ok().filter(Value::is_str);
    bare().or_else(quoted).unwrap_or_else(|| Value::from(value))
}

/// Refuses what could not be read again.
pub fn check(name: &str, text: &str) -> anyhow::Result<()> {
    let Err(fault) = Config::parse(text) else { return Ok(()) };
    let names: Vec<&str> = KEYS.iter().map(|key| key.name).collect();
    let is_key =
        names.contains(&name) || ["prices.models.", "prices.discount.", "prices.aliases."].iter().any(|of| name.starts_with(of));
    match nearest(name, &names) {
        Some(nearest) if !is_key => bail!("there is no key {name:?}; did you mean {nearest:?}?"),
        _ => Err(fault.context("nothing was written")),
    }
}

/// All at once or not at all, through a symbolic link to where it leads, with the permissions that were.
pub fn write(path: &Path, text: &str) -> anyhow::Result<()> {
    let place = match path.canonicalize() {
        Ok(place) => place,
        Err(error) if error.kind() == io::ErrorKind::NotFound => path.to_owned(),
        Err(error) => return Err(error).with_context(|| path.display().to_string()),
    };
    let folder = place.parent().context("the configuration has no folder")?;
    let doing = || format!("writing {}", place.display());
    fs::create_dir_all(folder).with_context(doing)?;
    let mut file = NamedTempFile::new_in(folder).with_context(doing)?;
    file.write_all(text.as_bytes()).with_context(doing)?;
    if let Ok(meta) = fs::metadata(&place) {
        file.as_file().set_permissions(meta.permissions()).with_context(doing)?;
    }
    file.as_file().sync_all().with_context(doing)?;
    file.persist(&place).with_context(doing)?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    const FILE: &str = "# mine\n[server]\nport = 9100 # the proxy's\n\n[prices]\nfree = [\"a\"]\n";

    fn set(text: &str, name: &str, value: &str) -> String {
        with(text, name, Some(value)).unwrap().0
    }

    #[test]
    fn comments_and_order_stay() {
        assert_eq!(set(FILE, "server.port", "9200"), FILE.replace("9100", "9200"));
        let more = set(FILE, "server.host", "127.0.0.1");
        assert_eq!(more, FILE.replace("proxy's\n", "proxy's\nhost = \"127.0.0.1\"\n"));
        assert_eq!(with(&more, "server.host", None).unwrap(), (FILE.to_owned(), true));
        assert_eq!(with(FILE, "report.rate", None).unwrap(), (FILE.to_owned(), false));
        assert_eq!(set("", "prices.models.\"a.b\".input", "1.5"), "[prices.models.\"a.b\"]\ninput = 1.5\n");
    }

    #[test]
    fn values_are_toml_or_text() {
        for (name, value, line) in [
            ("server.port", "9100", "port = 9100"),
            ("server.host", "::", "host = \"::\""),
            ("capture.exclude", "[\"~/x\"]", "exclude = [\"~/x\"]"),
            ("report.rate", "0.92", "rate = 0.92"),
            ("report.rate_date", "2026-11-24", "rate_date = \"2026-11-24\""),
            ("report.currency", "\"EUR\"", "currency = \"EUR\""),
            ("prices.aliases.fast", "claude-haiku-4-5", "fast = \"claude-haiku-4-5\""),
        ] {
            assert!(set("", name, value).ends_with(&format!("{line}\n")), "{name}: {}", set("", name, value));
        }
    }

    #[test]
    fn what_cannot_be_read_is_not_written() {
        let said = |name: &str, value: &str| match with(FILE, name, Some(value)) {
            Ok((text, _)) => check(name, &text).map_err(|error| format!("{error:#}")),
            Err(error) => Err(error.to_string()),
        };
        assert_eq!(said("server.port", "9300"), Ok(()));
        for (name, value, part) in [
            ("server.prot", "1", "did you mean \"server.port\"?"),
            ("server.port", "99999", "nothing was written: line 3: port"),
            ("prices.discount.x", "2", "prices.discount"),
            ("server", "1", "server is a table"),
            ("server.port.x", "1", "port is a value"),
            ("group", "1", "[[group]]"),
            ("a b", "1", "is no key"),
        ] {
            assert!(said(name, value).unwrap_err().contains(part), "{name}: {:?}", said(name, value));
        }
    }
}
