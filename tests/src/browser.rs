//! A real browser that looks at the page of a server.

use std::io::{BufRead, BufReader, Lines, Write};
use std::path::Path;
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};

use serde_json::{Value, json};

use crate::Server;

/// `node` with a script of `tests/browser`; without the browser and its driver says that the test skips.
pub fn script(name: &str, server: &Server) -> Option<Command> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).canonicalize().unwrap();
    let modules = root.join("../.tools/browser");
    let chromium = std::env::var("CHROMIUM").unwrap_or_else(|_| "/usr/bin/chromium".to_owned());
    if !modules.join("node_modules/playwright-core").exists() || !Path::new(&chromium).exists() {
        eprintln!("skipped: no browser or no playwright-core (make test installs both)");
        return None;
    }
    let mut command = Command::new("node");
    command.arg(root.join("browser").join(name)).arg(server.port.to_string());
    command.env("BROWSER_MODULES", modules.canonicalize().unwrap()).env("CHROMIUM", chromium);
    Some(command)
}

/// One page of a browser. Orders wait until nothing loads any more, and tell what is seen then.
pub struct Browser {
    driver: Child,
    orders: Option<ChildStdin>,
    answers: Lines<BufReader<ChildStdout>>,
}

impl Browser {
    pub fn at(server: &Server) -> Option<Self> {
        let mut driver = script("driver.mjs", server)?.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
        let orders = driver.stdin.take();
        let mut answers = BufReader::new(driver.stdout.take().unwrap()).lines();
        assert_eq!(answers.next().unwrap().unwrap(), "ready");
        Some(Self { driver, orders, answers })
    }

    pub fn order(&mut self, order: &Value) -> Value {
        writeln!(self.orders.as_mut().unwrap(), "{order}").unwrap();
        let mut answer: Value = serde_json::from_str(&self.answers.next().unwrap().unwrap()).unwrap();
        assert_eq!(answer["error"], Value::Null);
        answer["saw"].take()
    }

    pub fn open(&mut self, path: &str) -> Value {
        self.order(&json!({ "do": "open", "path": path }))
    }

    pub fn see(&mut self) -> Value {
        self.order(&json!({ "do": "see" }))
    }

    /// By role and accessible name.
    pub fn click(&mut self, role: &str, name: &str) -> Value {
        self.order(&json!({ "do": "click", "role": role, "name": name }))
    }

    pub fn press(&mut self, key: &str) -> Value {
        self.order(&json!({ "do": "press", "key": key }))
    }

    pub fn back(&mut self) -> Value {
        self.order(&json!({ "do": "back" }))
    }

    pub fn reload(&mut self) -> Value {
        self.order(&json!({ "do": "reload" }))
    }

    /// Another width, and `light` or `dark`.
    pub fn look(&mut self, width: u32, scheme: &str) -> Value {
        self.order(&json!({ "do": "look", "width": width, "scheme": scheme }))
    }

    /// Errors and warnings of the console, and what was asked of others than the server, since this was asked last.
    pub fn faults(&mut self) -> Value {
        self.order(&json!({ "do": "faults" }))
    }

    /// What breaks the rules of accessibility.
    pub fn axe(&mut self) -> Value {
        self.order(&json!({ "do": "axe" }))
    }
}

impl Drop for Browser {
    fn drop(&mut self) {
        // It ends with its orders.
        drop(self.orders.take());
        let _ = self.driver.wait();
    }
}
