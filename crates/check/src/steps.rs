//! The steps of a check. One that needs the result of an earlier one that failed is left out.

use anyhow::Context;
use serde_json::json;

use super::{
    CheckArgs,
    answers::text,
    call,
    hints::{ALLOCATE, PEERS, REACH, REACH_TLS, SIGNALING, TLS, TOKEN, UDP},
    http::Http,
    ice_servers::IceServers,
    relay::{self, Pair},
    report::Report,
    signaling::Client,
};

/// Takes all the steps.
pub(super) async fn run(args: &CheckArgs, report: &mut Report) {
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
            report.step("ice-servers", TOKEN, IceServers::fetch(&http, token, args.ca_cert())).await
        }
        None => None,
    };
    if let Some(servers) = &servers {
        check_relay(servers, report).await;
    }
    let Some((token, other)) = tokens else { return };
    let caller = report.step("signaling", SIGNALING, async {
        let client = Client::connect(&http, &token).await?;
        Ok((format!("{} is signed in on /ws", client.user()), client))
    });
    let Some(caller) = caller.await else { return };
    let Some(other) = other else {
        report.skip("call", "needs a second user: give --token2");
        return;
    };
    call::check(caller, &http, &other, args.ca_cert(), report).await;
}

/// Returns one user's token, and another's if there is one.
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

/// Tries STUN and a relayed round trip on each address.
async fn check_relay(servers: &IceServers, report: &mut Report) {
    for server in servers.stun() {
        let name = format!("stun {}", server.address());
        if !server.is_reachable() {
            report.skip(&name, "this machine has no route to such addresses");
            continue;
        }
        let _ = report.step(&name, UDP, relay::binding(server)).await;
    }
    for server in servers.turn() {
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
        let allocate = Pair::allocate(server, servers.credentials());
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
