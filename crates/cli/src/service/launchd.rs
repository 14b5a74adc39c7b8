//! macOS: a launch agent. Its text is tested; launchd itself runs on no machine that builds this.

use std::env;
use std::path::PathBuf;

use anyhow::Context;

use super::plan::{MARK, Step, refuse_foreign};
use super::server::{ServerPlan, text};

const LABEL: &str = "ducat.serve";

pub fn is_there() -> bool {
    cfg!(target_os = "macos")
}

pub fn file() -> anyhow::Result<PathBuf> {
    let home = env::var_os("HOME").filter(|home| !home.is_empty()).context("there is no HOME to install an agent in")?;
    Ok(PathBuf::from(home).join("Library/LaunchAgents").join(format!("{LABEL}.plist")))
}

fn domain() -> String {
    format!("gui/{}", rustix::process::getuid().as_raw())
}

pub fn install(plan: &ServerPlan, force: bool) -> anyhow::Result<Vec<Step>> {
    let file = file()?;
    refuse_foreign(&file, force)?;
    let (domain, path) = (domain(), text(&file)?);
    Ok(vec![
        Step::attempt(&["launchctl", "bootout", &format!("{domain}/{LABEL}")]),
        // With the key in it when there is one.
        Step::write_private(file, agent(plan)?, plan.key.is_some()),
        Step::run(&["launchctl", "bootstrap", &domain, &path]),
    ])
}

pub fn remove(force: bool) -> anyhow::Result<Vec<Step>> {
    let file = file()?;
    refuse_foreign(&file, force)?;
    Ok(vec![Step::attempt(&["launchctl", "bootout", &format!("{}/{LABEL}", domain())]), Step::Delete(file)])
}

fn agent(plan: &ServerPlan) -> anyhow::Result<String> {
    let string = |word: &str| format!("<string>{}</string>", escaped(word));
    let words: Vec<String> = [text(&plan.program)?]
        .into_iter()
        .chain(plan.arguments_with_log()?)
        .map(|word| format!("    {}\n", string(&word)))
        .collect();
    let key = plan.key.iter().map(|key| ("METRICS_API_KEY", key));
    let variables: Vec<String> = plan
        .variables
        .iter()
        .map(|(name, value)| (name.as_str(), value))
        .chain(key)
        .map(|(name, value)| format!("    <key>{}</key>{}\n", escaped(name), string(value)))
        .collect();
    Ok(format!(
        r#"<?xml version="1.0" encoding="UTF-8"?>
<!DOCTYPE plist PUBLIC "-//Apple//DTD PLIST 1.0//EN" "http://www.apple.com/DTDs/PropertyList-1.0.dtd">
<!-- {MARK}, which overwrites it -->
<plist version="1.0">
<dict>
  <key>Label</key>{}
  <key>ProgramArguments</key>
  <array>
{}  </array>
  <key>EnvironmentVariables</key>
  <dict>
{}  </dict>
  <key>RunAtLoad</key><true/>
  <key>KeepAlive</key><true/>
  <key>WorkingDirectory</key><string>/</string>
  <key>StandardOutPath</key><string>/dev/null</string>
  <key>StandardErrorPath</key><string>/dev/null</string>
</dict>
</plist>
"#,
        string(LABEL),
        words.concat(),
        variables.concat()
    ))
}

fn escaped(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::service::systemd::tests::plan;

    #[test]
    fn the_agent_as_launchd_reads_it() {
        let mut plan = plan();
        plan.program = "/opt/a&b/ducat".into();
        plan.more.clear();
        plan.variables.truncate(1);
        plan.key = Some("<hush>".into());
        assert_eq!(
            agent(&plan).unwrap(),
            r#"<?xml version="1.0" encoding="UTF-8"?>
<!DOCTYPE plist PUBLIC "-//Apple//DTD PLIST 1.0//EN" "http://www.apple.com/DTDs/PropertyList-1.0.dtd">
<!-- written by ducat service install, which overwrites it -->
<plist version="1.0">
<dict>
  <key>Label</key><string>ducat.serve</string>
  <key>ProgramArguments</key>
  <array>
    <string>/opt/a&amp;b/ducat</string>
    <string>serve</string>
    <string>--host</string>
    <string>127.0.0.1</string>
    <string>--port</string>
    <string>9090</string>
    <string>--log-file</string>
    <string>/home/ana/.local/share/ducat/logs/ducat.log</string>
  </array>
  <key>EnvironmentVariables</key>
  <dict>
    <key>DUCAT_DATA_DIR</key><string>/home/ana/.local/share/ducat</string>
    <key>METRICS_API_KEY</key><string>&lt;hush&gt;</string>
  </dict>
  <key>RunAtLoad</key><true/>
  <key>KeepAlive</key><true/>
  <key>WorkingDirectory</key><string>/</string>
  <key>StandardOutPath</key><string>/dev/null</string>
  <key>StandardErrorPath</key><string>/dev/null</string>
</dict>
</plist>
"#
        );
    }
}
