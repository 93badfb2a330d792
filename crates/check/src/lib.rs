//! `callbox check`: goes through a running server as a client would. With --conformance: judges any STUN or
//! TURN server by what comes over the wire, which is read with the crates of webrtc-rs alone.
#![forbid(unsafe_code)]

mod conformance;
mod framed;
mod http;
mod relay;
mod report;
mod signaling;
mod stream;
mod tls;

use std::{
    path::{Path, PathBuf},
    time::Duration,
};

use anyhow::{Context, bail, ensure};
use callbox_cli::Period;
use clap::Args;
use serde_json::{Value, json};

use self::{
    conformance::ConformanceArgs,
    http::Http,
    relay::{Credentials, Server},
    report::Report,
    signaling::Client,
};

/// The arguments of `callbox check`.
#[derive(Debug, Args)]
#[command(after_help = "Exits with 0 if every step that was taken went well, else with 1.")]
pub struct CheckArgs {
    /// The server's address, of HTTP or HTTPS.
    ///
    /// Behind a reverse proxy that ends TLS, name the address that clients come by, so that the proxy is
    /// checked, too.
    #[arg(long, value_name = "URL", default_value = "http://127.0.0.1:8080")]
    url: String,

    /// A user's token.
    ///
    /// A server that runs with --dev gives tokens for two users by itself; of any other one, take
    /// what `callbox token --user NAME` prints.
    #[arg(long, value_name = "TOKEN", env = "CALLBOX_CHECK_TOKEN", hide_env_values = true)]
    token: Option<String>,

    /// Another user's token, to check a call between the two. Without it, and with --token, the
    /// call is left out.
    #[arg(long, value_name = "TOKEN", env = "CALLBOX_CHECK_TOKEN2", hide_env_values = true)]
    token2: Option<String>,

    /// A PEM file with the certificates that TLS is verified with: of a CA of your own, or the
    /// server's own one if nobody else vouches for it.
    ///
    /// Without it, those are trusted that browsers trust.
    #[arg(long, value_name = "FILE")]
    ca_cert: Option<PathBuf>,

    /// Print one JSON object and no table.
    #[arg(long)]
    json: bool,

    /// How long each step, or with --conformance each answer, may take.
    ///
    /// Give more time to a server that is far away.
    #[arg(long, value_name = "DURATION", default_value = "5s")]
    timeout: Period,

    #[command(flatten)]
    conformance: ConformanceArgs,
}

impl CheckArgs {
    fn ca_cert(&self) -> Option<&Path> {
        self.ca_cert.as_deref()
    }
}

/// Takes the steps; says whether all went well.
///
/// # Errors
/// A step cannot even begin, or the report cannot be made. A step that fails is no error.
pub fn run(args: CheckArgs) -> anyhow::Result<bool> {
    if let Some(server) = &args.conformance.conformance {
        return conformance::run(&args, server);
    }
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .context("cannot start the runtime")?;
    let mut report = Report::new(args.json, args.timeout.0);
    runtime.block_on(check(&args, &mut report));
    report.finish()
}

const REACH: &str = "Does the server run, and is --url its HTTP address? A firewall may drop TCP.";
const REACH_TLS: &str = "Does the server run, and is --url its address of HTTPS? The certificate must \
                         be for that name, valid today, and with those between it and the root \
                         behind it; for a CA of your own, give --ca-cert.";
const UDP: &str = "Is the port open for UDP in every firewall on the way? Behind a 1:1 NAT, the \
                   server needs --external-ip.";
const TOKEN: &str = "Without --dev, give a token: callbox token --user NAME, with the server's \
                     --jwt-secret.";
const SIGNALING: &str = "A reverse proxy must let WebSocket upgrades through; the server's log says \
                         more.";
const TLS: &str = "Is the certificate for this name, not over, and with those between it and the root \
                   behind it? For a CA of your own, give --ca-cert.";
const ALLOCATE: &str = "The relay and the signaling side must have the same --auth-secret, and \
                        --relay-ports must not be used up.";
const PEERS: &str = "The relay must reach its own relayed addresses: look at --deny-peer, \
                     --relay-ip and the firewall's rules for --relay-ports.";

/// All the steps. One that needs what an earlier one did not get is skipped.
async fn check(args: &CheckArgs, report: &mut Report) {
    let hint = if args.url.starts_with("https:") { REACH_TLS } else { REACH };
    let http = report.step("http", hint, async {
        let http = Http::new(&args.url, args.ca_cert())?;
        http.get("/healthz", None).await?;
        http.get("/readyz", None).await?;
        let term = http.term().await?.map(|term| format!("; its certificate: {term}"));
        Ok((format!("{} answers and is ready{}", args.url, term.unwrap_or_default()), http))
    });
    let Some(http) = http.await else { return };

    let tokens = report.step("tokens", TOKEN, tokens(args, &http)).await;
    let servers = match &tokens {
        Some((token, _)) => {
            report.step("ice-servers", TOKEN, ice_servers(&http, token, args.ca_cert())).await
        }
        None => None,
    };
    if let Some(servers) = &servers {
        check_relay(servers, report).await;
    }
    let Some((token, other)) = tokens else { return };
    let caller = report.step("signaling", SIGNALING, async {
        let client = Client::connect(&http, &token).await?;
        Ok((format!("{} is signed in on /ws", client.user), client))
    });
    let Some(caller) = caller.await else { return };
    let Some(other) = other else {
        report.skip("call", "needs a second user: give --token2");
        return;
    };
    check_call(caller, &http, &other, args.ca_cert(), report).await;
}

/// One user's token, and another's if there is one.
async fn tokens(
    args: &CheckArgs,
    http: &Http,
) -> anyhow::Result<(String, (String, Option<String>))> {
    if let Some(token) = &args.token {
        return Ok(("given".into(), (token.clone(), args.token2.clone())));
    }
    // Names of their own, so that two checks at a time do not replace each other.
    let run = std::process::id();
    let mut tokens = Vec::new();
    for side in ["caller", "callee"] {
        let body = json!({ "userId": format!("check-{run}-{side}") });
        let answer = http.post("/dev/token", &body).await?;
        tokens.push(text(&answer, "token")?);
    }
    let second = tokens.pop();
    let first = tokens.pop().context("two tokens were fetched")?;
    Ok(("from /dev/token, for two users".into(), (first, second)))
}

/// What `GET /api/v1/ice-servers` says.
struct IceServers {
    stun: Vec<Server>,
    turn: Vec<Server>,
    credentials: Credentials,
}

async fn ice_servers(
    http: &Http,
    token: &str,
    ca_cert: Option<&Path>,
) -> anyhow::Result<(String, IceServers)> {
    let answer = http.get("/api/v1/ice-servers", Some(token)).await?;
    let entries = answer["iceServers"].as_array().context("the answer has no iceServers")?;
    let urls = entries.iter().flat_map(|entry| match &entry["urls"] {
        Value::Array(urls) => urls.clone(),
        url => vec![url.clone()],
    });
    let (mut stun, mut turn) = (Vec::new(), Vec::new());
    for url in urls {
        let url = url.as_str().context("an URL among iceServers is no text")?;
        let servers = if url.starts_with("stun:") { &mut stun } else { &mut turn };
        servers.push(Server::resolve(url, ca_cert).await?);
    }
    ensure!(!turn.is_empty(), "the server names no TURN address");
    let credentials = Credentials::read(&answer["turnCredentials"])?;
    let detail = format!("{} STUN and {} TURN addresses, with credentials", stun.len(), turn.len());
    Ok((detail, IceServers { stun, turn, credentials }))
}

/// STUN and a relayed round trip, on each address.
async fn check_relay(servers: &IceServers, report: &mut Report) {
    for server in &servers.stun {
        let name = format!("stun {}", server.address);
        if !server.is_reachable() {
            report.skip(&name, "this machine has no route to such addresses");
            continue;
        }
        let _ = report.step(&name, UDP, relay::binding(server)).await;
    }
    for server in &servers.turn {
        let name = |what: &str| format!("{what} {}", server.name());
        if !server.is_reachable() {
            report.skip(&name("turn"), "this machine has no route to such addresses");
            continue;
        }
        if let Some(tls) = server.tls() {
            let handshake = relay::handshake(server, tls);
            if report.step(&name("tls"), TLS, handshake).await.is_none() {
                continue;
            }
        }
        let allocate = relay::allocate_two(server, &servers.credentials);
        let Some(mut pair) = report.step(&name("allocate"), ALLOCATE, allocate).await else {
            continue;
        };
        let permission = report.step(&name("permission"), PEERS, pair.permission()).await;
        if permission.is_some()
            && report.step(&name("channel"), PEERS, pair.channel()).await.is_some()
        {
            let _ = report.step(&name("round trip"), PEERS, pair.round_trip()).await;
        }
        pair.close().await;
    }
}

/// A call between two users, event for event; and that its credentials end with it.
async fn check_call(
    mut caller: Client,
    http: &Http,
    token: &str,
    ca_cert: Option<&Path>,
    report: &mut Report,
) {
    let callee = report.step("signaling, second user", SIGNALING, async {
        let client = Client::connect(http, token).await?;
        Ok((format!("{} is signed in on /ws", client.user), client))
    });
    let Some(mut callee) = callee.await else { return };
    let ring = report.step("call rings", SIGNALING, async {
        ensure!(caller.user != callee.user, "both tokens are of the same user");
        let body = json!({ "targetUserId": callee.user, "callType": "audio" });
        let answer = caller.request("call:initiate", &body).await?;
        let call = text(&answer, "callId")?;
        let incoming = callee.event("call:incoming").await?;
        ensure!(incoming["callId"] == answer["callId"], "another call rings");
        let credentials = Credentials::read(&answer["turnCredentials"])?;
        let address = answer["turnCredentials"]["uris"][0].as_str().map(str::to_owned);
        Ok((format!("at {}, {call}", callee.user), (call, credentials, address)))
    });
    let Some((call, credentials, address)) = ring.await else { return };
    let answered = report.step("call is answered", SIGNALING, async {
        let body = json!({ "callId": call });
        callee.request("call:accept", &body).await?;
        caller.event("call:accepted").await?;
        Ok(("call:accepted".into(), ()))
    });
    let exchanged = match answered.await {
        Some(()) => {
            report
                .step("offer and answer", SIGNALING, async {
                    relay_event(&mut caller, &mut callee, &call, "signal:offer", "sdp").await?;
                    relay_event(&mut callee, &mut caller, &call, "signal:answer", "sdp").await?;
                    relay_event(&mut caller, &mut callee, &call, "ice:candidate", "candidate")
                        .await?;
                    Ok(("relayed, and a candidate".into(), ()))
                })
                .await
        }
        None => None,
    };
    let ended = report.step("call ends", SIGNALING, async {
        caller.request("call:end", &json!({ "callId": call })).await?;
        let ended = callee.event("call:ended").await?;
        Ok((format!("call:ended, {}", ended["reason"].as_str().unwrap_or("")), ()))
    });
    if ended.await.is_none() || exchanged.is_none() {
        return;
    }
    let Some(address) = address else { return };
    let _ = report
        .step("credentials end with it", ALLOCATE, async {
            relay::refused(&Server::resolve(&address, ca_cert).await?, &credentials).await?;
            Ok(("the relay refuses them".into(), ()))
        })
        .await;
}

async fn relay_event(
    from: &mut Client,
    to: &mut Client,
    call: &str,
    event: &str,
    field: &str,
) -> anyhow::Result<()> {
    // What is relayed is not looked at; this only has to be told apart.
    let value = format!("check {event}");
    from.request(event, &json!({ "callId": call, field: value })).await?;
    let relayed = to.event(event).await?;
    ensure!(relayed[field] == value.as_str(), "{event} arrived changed: {relayed}");
    Ok(())
}

fn text(answer: &Value, field: &str) -> anyhow::Result<String> {
    match answer[field].as_str() {
        Some(text) => Ok(text.to_owned()),
        None => bail!("the answer has no {field}"),
    }
}

/// What a refusal says: `{ ok: false, error: { code, message } }`.
fn refusal(answer: &Value) -> String {
    let error = &answer["error"];
    match (error["code"].as_str(), error["message"].as_str()) {
        (Some(code), Some(message)) => format!("{code}: {message}"),
        _ => answer.to_string(),
    }
}

/// The time between two looks at something that is not told.
const INTERVAL: Duration = Duration::from_millis(20);
