//! The DevTools protocol over pipes: messages of JSON, each with a zero byte after it.

use std::{
    collections::VecDeque,
    io::{BufRead, BufReader, Write},
    path::Path,
    process::{Child, ChildStdin, Command, Stdio},
    thread,
};

use anyhow::{Context, bail};
use serde_json::{Value, json};
use tokio::sync::mpsc;

/// Lets a browser have the pipes at the descriptors 3 and 4, which it reads and writes. `exec`
/// makes the browser the child itself.
const REDIRECT: &str = r#"exec "$@" 3<&0 4>&1 </dev/null >/dev/null"#;

/// A browser. It is killed when this is dropped.
#[derive(Debug)]
pub(super) struct DevTools {
    browser: Child,
    name: String,
    to_browser: ChildStdin,
    from_browser: mpsc::UnboundedReceiver<Value>,
    /// The events that came before an answer.
    events: VecDeque<Value>,
    session: Option<String>,
    next: u64,
}

impl DevTools {
    /// Starts a browser.
    pub(super) fn start(browser: &Path, flags: &[String]) -> anyhow::Result<Self> {
        let name = browser.display().to_string();
        let mut child = Command::new("/bin/sh")
            .args(["-c", REDIRECT, "sh"])
            .arg(browser)
            .args(flags)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .with_context(|| format!("cannot start {name}"))?;
        let to_browser = child.stdin.take().context("the browser has no stdin")?;
        let stdout = child.stdout.take().context("the browser has no stdout")?;
        let (sender, from_browser) = mpsc::unbounded_channel();
        thread::Builder::new().name("devtools".into()).spawn(move || {
            let messages = BufReader::new(stdout).split(0).map_while(Result::ok);
            for message in messages.filter_map(|bytes| serde_json::from_slice(&bytes).ok()) {
                if sender.send(message).is_err() {
                    return;
                }
            }
        })?;
        let (events, session) = (VecDeque::new(), None);
        Ok(Self { browser: child, name, to_browser, from_browser, events, session, next: 0 })
    }

    /// Makes further calls in a session.
    pub(super) fn enter(&mut self, session: &str) {
        self.session = Some(session.to_owned());
    }

    /// Calls a method, and returns its result.
    pub(super) async fn call(&mut self, method: &str, params: Value) -> anyhow::Result<Value> {
        self.next += 1;
        let id = self.next;
        let mut message = json!({ "id": id, "method": method, "params": params });
        if let Some(session) = &self.session {
            message["sessionId"] = json!(session);
        }
        let mut bytes = serde_json::to_vec(&message)?;
        bytes.push(0);
        let sent = self.to_browser.write_all(&bytes).and_then(|()| self.to_browser.flush());
        sent.with_context(|| self.ended())?;
        loop {
            let mut answer = self.receive().await?;
            if answer["id"] != id {
                self.events.push_back(answer);
            } else if let Some(error) = answer.get("error") {
                bail!("{} cannot do {method}: {error}", self.name);
            } else {
                return Ok(answer["result"].take());
            }
        }
    }

    /// Returns the next event.
    pub(super) async fn event(&mut self) -> anyhow::Result<Value> {
        match self.events.pop_front() {
            Some(event) => Ok(event),
            None => self.receive().await,
        }
    }

    async fn receive(&mut self) -> anyhow::Result<Value> {
        let message = self.from_browser.recv().await;
        message.with_context(|| self.ended())
    }

    fn ended(&self) -> String {
        format!("{} has ended, or cannot be started", self.name)
    }
}

impl Drop for DevTools {
    fn drop(&mut self) {
        // It may have ended by itself.
        let _ = self.browser.kill();
        let _ = self.browser.wait();
    }
}
