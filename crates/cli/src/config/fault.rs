//! What is wrong with a configuration, in one line.

use anyhow::{Error, anyhow};

use super::keys::line_of;

/// The line and the key; for a key that there is not, the nearest that there is.
pub fn explain(text: &str, fault: &toml::de::Error) -> Error {
    let line = line_of(text, fault.span());
    let message = fault.message();
    let Some(rest) = message.strip_prefix("unknown field `") else {
        let message = message.replace('\n', ", ");
        let key = fault.span().and_then(|span| key_at(text, span.start)).map(|key| format!("{key}: ")).unwrap_or_default();
        return anyhow!("line {line}: {key}{message}");
    };
    let mut names = rest.split('`').step_by(2);
    let unknown = names.next().unwrap_or_default();
    let known: Vec<&str> = names.collect();
    match nearest(unknown, &known) {
        Some(nearest) => anyhow!("line {line}: there is no key {unknown:?}; did you mean {nearest:?}?"),
        None => anyhow!("line {line}: there is no key {unknown:?}; there are {}", known.join(", ")),
    }
}

/// The key of the line in which a value stands.
fn key_at(text: &str, place: usize) -> Option<&str> {
    let begin = text.get(..place)?.rfind('\n').map_or(0, |at| at + 1);
    let (key, _) = text[begin..].lines().next()?.split_once('=')?;
    Some(key.trim())
}

/// What somebody probably meant.
pub fn nearest<'a>(name: &str, known: &[&'a str]) -> Option<&'a str> {
    let like = |known: &&'a str| (strsim::jaro_winkler(name, known), *known);
    let best = known.iter().map(like).max_by(|(one, _), (other, _)| one.total_cmp(other));
    best.filter(|(likeness, _)| *likeness > 0.75).map(|(_, known)| known)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_typo_is_told_with_its_line_and_the_nearest_key() {
        for (text, said) in [
            ("[capture]\nexclud = []", "line 2: there is no key \"exclud\"; did you mean \"exclude\"?"),
            ("\n\n[sever]\nport = 1", "line 3: there is no key \"sever\"; did you mean \"server\"?"),
            ("[prices.models.x]\n\ninptu = 1.0", "line 3: there is no key \"inptu\"; did you mean \"input\"?"),
            ("[[group]]\nname = \"a\"\nproject = [\"x\"]", "line 3: there is no key \"project\"; did you mean \"projects\"?"),
            ("[server]\nport = 70000", "line 2: port: invalid value: integer `70000`, expected u16"),
            ("[server]\nport = \"x\"", "line 2: port: invalid type: string \"x\", expected u16"),
            ("[server]\nxyz = 1", "line 2: there is no key \"xyz\"; there are host, port, public_urls"),
        ] {
            let error = toml::from_str::<super::super::Config>(text).unwrap_err();
            assert_eq!(explain(text, &error).to_string(), said, "{text}");
        }
    }
}
