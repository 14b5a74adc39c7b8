//! Our command as the settings' status line, around one that is there already.

use std::path::{Path, PathBuf};

use serde_json::{Value, json};

use super::client::Version;
use super::hooks::quoted;

/// The program that draws it.
pub const PROGRAM: &str = "ducat-statusline";
/// By the client's changelog.
pub const FIRST: Version = Version(1, 0, 71);
const WRAPS: &str = " --wrap ";

/// The settings with our status line; one of the user's own is kept, and what it prints is what is shown. Options that the user gave ours
/// stay.
pub fn install(settings: &Value, program: &Path) -> Result<Value, String> {
    let options = command(settings).filter(|_| is_installed(settings)).map(|ours| own(ours).1.to_owned()).unwrap_or_default();
    let mut settings = remove(settings);
    let program = format!("{}{options}", quoted(&program.to_string_lossy()));
    let fields = settings.as_object_mut().ok_or("the settings are no JSON object")?;
    match fields.get_mut("statusLine") {
        None => {
            fields.insert("statusLine".to_owned(), json!({ "type": "command", "command": program }));
        }
        Some(theirs) => {
            let command = theirs.get("command").and_then(Value::as_str).ok_or("statusLine.command: missing or no string")?;
            theirs["command"] = json!(format!("{program}{WRAPS}{}", quoted(command)));
        }
    }
    Ok(settings)
}

/// The settings without it, and with the command that it was put around.
pub fn remove(settings: &Value) -> Value {
    let mut settings = settings.clone();
    if !is_installed(&settings) {
        return settings;
    }
    let wrapped = command(&settings).and_then(|ours| ours.split_once(WRAPS)).map(|(_, theirs)| unquoted(theirs));
    match wrapped {
        Some(theirs) => settings["statusLine"]["command"] = json!(theirs),
        None => {
            settings.as_object_mut().and_then(|fields| fields.shift_remove("statusLine"));
        }
    }
    settings
}

pub fn is_installed(settings: &Value) -> bool {
    let program = command(settings).map(|command| unquoted(own(command).0));
    program.as_deref().and_then(|program| program.rsplit('/').next()) == Some(PROGRAM)
}

/// The program that a status line of ours starts.
pub fn program(settings: &Value) -> Option<PathBuf> {
    let command = command(settings).filter(|_| is_installed(settings))?;
    Some(unquoted(own(command).0).into())
}

/// The first word of a command, as it is quoted, and what is between it and a command that it wraps.
fn own(command: &str) -> (&str, &str) {
    let command = command.split_once(WRAPS).map_or(command, |(own, _)| own);
    let mut is_quoted = false;
    let end = command.char_indices().find(|(place, letter)| {
        // `'\''` ends a quotation, tells a quote, and begins another.
        is_quoted ^= *letter == '\'' && !command[..*place].ends_with('\\');
        *letter == ' ' && !is_quoted
    });
    command.split_at(end.map_or(command.len(), |(place, _)| place))
}

/// The user's own command, where there is one.
pub fn of_others(settings: &Value) -> Option<&str> {
    command(settings).filter(|_| !is_installed(settings))
}

fn command(settings: &Value) -> Option<&str> {
    settings.pointer("/statusLine/command")?.as_str()
}

/// What [`quoted`] made of one word.
fn unquoted(word: &str) -> String {
    match word.strip_prefix('\'').and_then(|rest| rest.strip_suffix('\'')) {
        Some(inner) => inner.replace(r"'\''", "'"),
        None => word.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn options_of_ours_stay_and_are_no_other_command() {
        let ducat = Path::new("/my tools/ducat-statusline");
        for command in ["/old/ducat-statusline --template {model}", "'/my old/ducat-statusline' --template '{model} it'\\''s'"] {
            let settings = json!({ "statusLine": { "type": "command", "command": command } });
            assert!(is_installed(&settings) && of_others(&settings).is_none());
            let installed = install(&settings, ducat).unwrap();
            let options = command.split_once("statusline").unwrap().1.trim_start_matches('\'');
            assert_eq!(installed["statusLine"]["command"], format!("'/my tools/ducat-statusline'{options}"));
            assert_eq!(program(&installed).unwrap(), ducat);
            assert_eq!(remove(&settings), json!({}));
        }
        assert!(!is_installed(&json!({ "statusLine": { "command": "cat ducat-statusline" } })));
    }

    #[test]
    fn one_of_the_users_own_is_kept_and_comes_back() {
        let ducat = Path::new("/my tools/ducat-statusline");
        for settings in [
            json!({ "model": "opus" }),
            json!({ "statusLine": { "type": "command", "command": "~/.claude/line.sh", "padding": 2 }, "env": {} }),
            json!({ "statusLine": { "type": "command", "command": "jq -r '\"[\\(.model.id)] it'\\''s\"'" } }),
        ] {
            let installed = install(&settings, ducat).unwrap();
            assert!(is_installed(&installed) && of_others(&installed).is_none() && !is_installed(&settings));
            assert_eq!(install(&installed, ducat).unwrap(), installed, "twice is once");
            assert_eq!((program(&installed).as_deref(), program(&settings)), (Some(ducat), None));
            assert_eq!(remove(&installed), settings);
        }
        let installed =
            install(&json!({ "statusLine": { "type": "command", "command": "a 'b'" } }), Path::new("/ducat-statusline")).unwrap();
        assert_eq!(installed["statusLine"]["command"], r"/ducat-statusline --wrap 'a '\''b'\'''");
        assert!(install(&json!({ "statusLine": 7 }), ducat).is_err());
        assert_eq!(
            remove(&json!({ "statusLine": { "command": "/bin/not-ducat-statusline --wrap x" } })),
            json!({ "statusLine": { "command": "/bin/not-ducat-statusline --wrap x" } })
        );
    }
}
