//! A tool call in words, whoever tells of it.

use crate::plain::{place, plain};
use crate::words::duration;

pub struct Call<'c> {
    pub name: Option<&'c str>,
    pub target: Option<&'c str>,
    pub outcome: Option<&'c str>,
    pub error_kind: Option<&'c str>,
    pub ms: Option<u64>,
}

impl Call<'_> {
    /// `Bash cargo test`, `Read main.rs`: of a path the end tells most.
    pub fn what(&self) -> String {
        let target = self.target.map(|target| if target.contains(' ') { target } else { place(target) });
        plain(&[Some(self.name.unwrap_or("tool")), target].into_iter().flatten().collect::<Vec<_>>().join(" "))
    }

    /// `1.2 s`, `not_found 12 ms`, `running`.
    pub fn ended(&self) -> String {
        if self.outcome.is_none() && self.ms.is_none() {
            return "running".to_owned();
        }
        let failed = self.outcome.filter(|outcome| *outcome != "ok").map(|outcome| plain(self.error_kind.unwrap_or(outcome)));
        [failed, self.ms.map(|ms| duration(ms as f64))].into_iter().flatten().collect::<Vec<_>>().join(" ")
    }

    pub fn is_well(&self) -> Option<bool> {
        self.outcome.map(|outcome| outcome == "ok")
    }
}
