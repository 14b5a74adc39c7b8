//! The other end of ssh: a plain shell that lists files and sends parts of them.

use std::fmt;
use std::io::{self, BufRead, BufReader, Read, Write};
use std::process::{Child, Command, Stdio};
use std::str::FromStr;

use anyhow::{Context, bail};

/// `ssh://[user@]host[:port][/folder]`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SshUrl {
    pub user: Option<String>,
    pub host: String,
    pub port: Option<u16>,
    /// Absolute.
    pub folder: Option<String>,
}

impl SshUrl {
    pub fn authority(&self) -> String {
        let user = self.user.as_ref().map(|user| format!("{user}@")).unwrap_or_default();
        let port = self.port.map(|port| format!(":{port}")).unwrap_or_default();
        format!("{user}{}{port}", self.host)
    }
}

impl fmt::Display for SshUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "ssh://{}{}", self.authority(), self.folder.as_deref().unwrap_or(""))
    }
}

impl FromStr for SshUrl {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let wrong = || "must be ssh://[USER@]HOST[:PORT][/FOLDER]".to_owned();
        let rest = text.strip_prefix("ssh://").ok_or_else(wrong)?;
        let (authority, folder) = match rest.find('/') {
            Some(place) => (&rest[..place], Some(rest[place..].trim_end_matches('/')).filter(|folder| !folder.is_empty())),
            None => (rest, None),
        };
        let (user, place) = authority.rsplit_once('@').map_or((None, authority), |(user, place)| (Some(user), place));
        let (host, port) = match place.rsplit_once(':') {
            // An address of version 6 stands in brackets.
            Some((host, port)) if !port.ends_with(']') => (host, Some(port.parse().map_err(|_| wrong())?)),
            _ => (place, None),
        };
        let host = host.trim_start_matches('[').trim_end_matches(']');
        // What begins with a dash would be an option of ssh.
        let is_name = |name: &str| {
            !name.is_empty()
                && !name.starts_with('-')
                && !name.contains(|letter: char| letter.is_control() || letter.is_whitespace())
        };
        if !is_name(host) || user.is_some_and(|user| !is_name(user)) || folder.is_some_and(|folder| folder.contains('\0')) {
            return Err(wrong());
        }
        Ok(Self { user: user.map(str::to_owned), host: host.to_owned(), port, folder: folder.map(str::to_owned) })
    }
}

/// A transcript there.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RemoteFile {
    /// Below which of the homes.
    pub home: usize,
    pub path: String,
    /// Relative to its home.
    pub name: String,
    pub size: u64,
}

/// Bytes to fetch of a file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Part {
    pub file: RemoteFile,
    pub offset: u64,
    pub length: u64,
    /// All of it, in place of what is there.
    pub is_anew: bool,
}

pub struct Remote {
    program: String,
    options: Vec<String>,
    url: SshUrl,
}

/// What a login shell says before it is none of ours.
const BEGIN: &str = "ducat-begins";
/// Nobody's transcript is larger.
const LARGEST_FILE: u64 = 8 << 30;

impl Remote {
    pub fn new(ssh: &str, url: SshUrl) -> anyhow::Result<Self> {
        let mut words = ssh.split_whitespace().map(str::to_owned);
        let program = words.next().context("--ssh: names no program")?;
        Ok(Self { program, options: words.collect(), url })
    }

    /// Has a plain `sh` there run a script, whatever the user's login shell is; what it prints begins behind the mark.
    fn run(&self, script: String) -> anyhow::Result<(Child, BufReader<std::process::ChildStdout>)> {
        let mut command = Command::new(&self.program);
        // A dead connection ends within a minute, or every later pull would find this one running.
        command.args(&self.options).args(["-T", "-C", "-o", "ServerAliveInterval=15", "-o", "ServerAliveCountMax=4"]);
        if let Some(port) = self.url.port {
            command.args(["-p", &port.to_string()]);
        }
        if let Some(user) = &self.url.user {
            command.args(["-l", user]);
        }
        command.args(["--", &self.url.host, "sh"]).stdin(Stdio::piped()).stdout(Stdio::piped());
        let mut child = command.spawn().with_context(|| format!("running {}", self.program))?;
        let mut stdin = child.stdin.take().context("no way to ssh")?;
        // On a thread, because a long script and a long answer would wait for each other.
        std::thread::spawn(move || stdin.write_all(script.as_bytes()));
        let mut output = BufReader::new(child.stdout.take().context("no way from ssh")?);
        let mut line = Vec::new();
        loop {
            line.clear();
            if output.by_ref().take(1 << 16).read_until(b'\n', &mut line)? == 0 {
                let status = child.wait()?;
                bail!("{}: ssh ended without an answer ({status})", self.url);
            }
            if line.strip_suffix(b"\n") == Some(BEGIN.as_bytes()) {
                return Ok((child, output));
            }
        }
    }

    /// The transcripts there.
    pub fn list(&self) -> anyhow::Result<Vec<RemoteFile>> {
        let homes = match &self.url.folder {
            Some(folder) => quoted(folder),
            None => "\"$HOME/.claude/projects\" \"${XDG_CONFIG_HOME:-$HOME/.config}/claude/projects\"".to_owned(),
        };
        // GNU's find tells the sizes itself; others have each file counted.
        let script = format!(
            "LC_ALL=C; export LC_ALL; printf '\\n%s\\n' {BEGIN}; home=0
for folder in {homes}; do
  if [ -d \"$folder\" ]; then
    printf '%s home %s\\000' \"$home\" \"$folder\"
    if find / -maxdepth 0 -printf '' 2>/dev/null; then
      find -L \"$folder\" -type f -name '*.jsonl' -printf '%s file %p\\000'
    else
      find -L \"$folder\" -type f -name '*.jsonl' -exec sh -c 'for file do printf \"%s file %s\\000\" \"$(wc -c <\"$file\" | tr -d \" \")\" \"$file\"; done' sh {{}} +
    fi
  fi
  home=$((home + 1))
done
printf '0 end \\000'
"
        );
        let (mut child, mut output) = self.run(script)?;
        let (mut files, mut home, mut entry, mut has_ended) = (Vec::new(), (0, String::new()), Vec::new(), false);
        while output.by_ref().take(1 << 20).read_until(0, &mut entry)? > 0 {
            // A name that is no text is none that an agent gave.
            let text = String::from_utf8_lossy(entry.strip_suffix(b"\0").unwrap_or(&entry)).into_owned();
            let mut words = text.splitn(3, ' ');
            let (number, kind, path) = (words.next().unwrap_or(""), words.next().unwrap_or(""), words.next().unwrap_or(""));
            match (number.parse::<u64>(), kind) {
                (Ok(number), "home") => home = (usize::try_from(number).unwrap_or(0), path.to_owned()),
                (Ok(size), "file") if size <= LARGEST_FILE => {
                    if let Some(name) = path.strip_prefix(home.1.as_str()).map(|name| name.trim_start_matches('/')) {
                        files.push(RemoteFile { home: home.0, path: path.to_owned(), name: name.to_owned(), size });
                    }
                }
                (Ok(_), "end") => has_ended = true,
                _ => {}
            }
            entry.clear();
        }
        let status = child.wait()?;
        if !has_ended {
            bail!("{}: the list of its files broke off ({status})", self.url);
        }
        Ok(files)
    }

    /// Fetches parts in one go, and hands on each. Returns the files that cannot be read there.
    pub fn fetch(
        &self,
        parts: &[Part],
        take: &mut dyn FnMut(&Part, &mut dyn Read) -> anyhow::Result<()>,
    ) -> anyhow::Result<Vec<String>> {
        let mut unreadable = Vec::new();
        if parts.is_empty() {
            return Ok(unreadable);
        }
        let mut script = format!("LC_ALL=C; export LC_ALL; printf '\\n%s\\n' {BEGIN}\n");
        for Part { file, offset, length, .. } in parts {
            // Exactly so many bytes, also when the file has become shorter: zeros are no lines of a transcript.
            let (path, from) = (quoted(&file.path), offset + 1);
            // What cannot be read says so before, or zeros would be taken for it.
            script.push_str(&format!(
                "if [ -r {path} ]; then printf +; {{ tail -c +{from} {path} 2>/dev/null; cat /dev/zero; }} 2>/dev/null | head -c {length}; else printf -; fi\n"
            ));
        }
        let (mut child, mut output) = self.run(script)?;
        for part in parts {
            let mut said = [0];
            if output.read_exact(&mut said).is_err() {
                bail!("{}: cut off before {}; the next pull goes on", self.url, part.file.path);
            }
            if said != *b"+" {
                unreadable.push(part.file.path.clone());
                continue;
            }
            let mut bytes = (&mut output).take(part.length);
            take(part, &mut bytes)?;
            if bytes.limit() > 0 {
                // Whoever took it did not want the rest, or the connection was cut.
                let left = bytes.limit();
                if io::copy(&mut bytes, &mut io::sink())? < left {
                    bail!("{}: cut off while fetching {}; the next pull goes on", self.url, part.file.path);
                }
            }
        }
        child.wait()?;
        Ok(unreadable)
    }
}

/// One word for a shell, whatever is in it.
fn quoted(text: &str) -> String {
    format!("'{}'", text.replace('\'', "'\\''"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn urls_are_read_and_options_refused() {
        let read = |text: &str| text.parse::<SshUrl>().map(|url| (url.user, url.host, url.port, url.folder));
        let some = |text: &str| Some(text.to_owned());
        assert_eq!(read("ssh://box").unwrap(), (None, "box".into(), None, None));
        assert_eq!(read("ssh://ana@[::1]:22/a b/").unwrap(), (some("ana"), "::1".into(), Some(22), some("/a b")));
        assert_eq!(read("ssh://[::1]").unwrap().1, "::1");
        for bad in ["box", "ssh://", "ssh://-oProxyCommand=x", "ssh://-l@box", "ssh://box:port", "ssh://a b"] {
            assert!(read(bad).is_err(), "{bad}");
        }
        assert_eq!("ssh://ana@box:2/x".parse::<SshUrl>().unwrap().to_string(), "ssh://ana@box:2/x");
    }

    #[test]
    fn words_stay_words() {
        let text = "a'b $(touch x) `y` \"z\\";
        let output = Command::new("sh").arg("-c").arg(format!("printf %s {}", quoted(text))).output().unwrap();
        assert_eq!(String::from_utf8(output.stdout).unwrap(), text);
    }
}
