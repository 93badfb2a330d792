//! Chromium as a peer: a page with a data channel, driven over the DevTools protocol.

mod certificate;
mod devtools;

use std::{path::Path, time::Duration};

use anyhow::{Context, bail};
use serde::Serialize;
use serde_json::{Value, json};
use tokio::time;

use self::devtools::DevTools;
use crate::{args::PeerArgs, outcome::Outcome, pipes};

/// The script of the page.
const PAGE: &str = include_str!("page.js");

/// The function of the page that prints a line.
const PRINT: &str = "print";

/// The time for the start of the browser, and for the packets and the lines about them.
const ALLOWANCE: Duration = Duration::from_secs(40);

/// The time for the outcome after the end of the other peer.
const LATEST: Duration = Duration::from_secs(5);

/// The settings of the page.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct Settings {
    ice_servers: Vec<Value>,
    is_controlling: bool,
    packets: u32,
    timeout: u128,
}

/// Connects with the other peer, which is such a page, too.
pub(crate) fn run(args: &PeerArgs, browser: &Path) -> anyhow::Result<Outcome> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let outcome = runtime.block_on(async {
        time::timeout(args.timeout() + ALLOWANCE, connect(args, browser))
            .await
            .unwrap_or_else(|_| bail!("{} does not answer in time", browser.display()))
    });
    runtime.shutdown_background();
    outcome
}

async fn connect(args: &PeerArgs, browser: &Path) -> anyhow::Result<Outcome> {
    let mut devtools = DevTools::start(browser, &flags(args)?)?;
    let page = devtools.call("Target.createTarget", json!({ "url": "about:blank" })).await?;
    let target = json!({ "targetId": page["targetId"], "flatten": true });
    let session = devtools.call("Target.attachToTarget", target).await?;
    let session = session["sessionId"].as_str().context("the page has no session")?;
    devtools.enter(session);
    devtools.call("Runtime.enable", json!({})).await?;
    devtools.call("Runtime.addBinding", json!({ "name": PRINT })).await?;
    evaluate(&mut devtools, PAGE).await?;
    evaluate(&mut devtools, &format!("start({})", serde_json::to_string(&settings(args))?)).await?;
    let mut lines = pipes::lines()?;
    loop {
        tokio::select! {
            event = devtools.event() => {
                if let Some(outcome) = take(&event?)? {
                    return Ok(outcome);
                }
            }
            line = lines.recv() => match line {
                Some(line) => {
                    let line = serde_json::to_string(&line)?;
                    evaluate(&mut devtools, &format!("take({line})")).await?;
                }
                // Its last line may have been all that the page has waited for.
                None => return time::timeout(LATEST, last(&mut devtools))
                    .await
                    .unwrap_or_else(|_| bail!("the other peer has ended")),
            },
        }
    }
}

/// Waits for the outcome.
async fn last(devtools: &mut DevTools) -> anyhow::Result<Outcome> {
    loop {
        if let Some(outcome) = take(&devtools.event().await?)? {
            return Ok(outcome);
        }
    }
}

async fn evaluate(devtools: &mut DevTools, expression: &str) -> anyhow::Result<()> {
    let result = devtools.call("Runtime.evaluate", json!({ "expression": expression })).await?;
    match result.get("exceptionDetails") {
        Some(details) => bail!("the page of the browser has failed: {details}"),
        None => Ok(()),
    }
}

/// Prints the line of an event, unless it is the outcome.
fn take(event: &Value) -> anyhow::Result<Option<Outcome>> {
    match (event["method"].as_str(), event["params"]["payload"].as_str()) {
        (Some("Runtime.bindingCalled"), Some(line)) => match serde_json::from_str(line) {
            Ok(outcome) => Ok(Some(outcome)),
            Err(_) => pipes::print_text(line).map(|()| None),
        },
        (Some("Runtime.exceptionThrown"), _) => {
            bail!("the page of the browser has failed: {}", event["params"]["exceptionDetails"])
        }
        (Some("Inspector.targetCrashed"), _) => bail!("the page of the browser has crashed"),
        _ => Ok(None),
    }
}

fn settings(args: &PeerArgs) -> Settings {
    let stun = args.stun().map(|uri| json!({ "urls": [uri] }));
    let uris: Vec<_> = args.turn().collect();
    let turn = (!uris.is_empty()).then(
        || json!({ "urls": uris, "username": args.username(), "credential": args.password() }),
    );
    Settings {
        ice_servers: stun.into_iter().chain(turn).collect(),
        is_controlling: args.is_controlling(),
        packets: args.packets(),
        timeout: args.timeout().as_millis(),
    }
}

/// Returns the flags of the browser.
fn flags(args: &PeerArgs) -> anyhow::Result<Vec<String>> {
    let mut flags: Vec<String> = [
        "--headless",
        "--no-sandbox",
        "--disable-gpu",
        "--disable-quic",
        "--disable-dev-shm-usage",
        "--disable-background-networking",
        "--disable-component-update",
        "--disable-extensions",
        "--disable-sync",
        "--no-first-run",
        "--no-default-browser-check",
        "--no-startup-window",
        "--use-mock-keychain",
        "--password-store=basic",
        // Else candidates have names of multicast DNS, which nobody resolves here.
        "--disable-features=WebRtcHideLocalIpsWithMdns",
        "--remote-debugging-pipe",
    ]
    .map(str::to_owned)
    .to_vec();
    if let Some(directory) = args.user_data_dir() {
        flags.push(format!("--user-data-dir={}", directory.display()));
    }
    if let Some(proxy) = args.proxy() {
        flags.push(format!("--proxy-server={proxy}"));
    }
    if let Some(ca) = args.ca() {
        let hash = certificate::key_hash(ca)?;
        flags.push(format!("--ignore-certificate-errors-spki-list={hash}"));
    }
    Ok(flags)
}
