//! The steps of a call between two users.

use std::path::Path;

use anyhow::ensure;
use serde_json::json;

use super::{
    answers::text,
    hints::{ALLOCATE, SIGNALING},
    http::Http,
    relay,
    report::Report,
    server::{Server, read_credentials},
    signaling::Client,
};

/// Makes a call between two users, event for event, and checks that its credentials end with it.
pub(super) async fn check(
    mut caller: Client,
    http: &Http,
    token: &str,
    ca_cert: Option<&Path>,
    report: &mut Report,
) {
    let callee = report.step("signaling, second user", SIGNALING, async {
        let client = Client::connect(http, token).await?;
        Ok((format!("{} is signed in on /ws", client.user()), client))
    });
    let Some(mut callee) = callee.await else { return };
    let ring = report.step("call rings", SIGNALING, async {
        ensure!(caller.user() != callee.user(), "both tokens are of the same user");
        let body = json!({ "targetUserId": callee.user(), "callType": "audio" });
        let answer = caller.request("call:initiate", &body).await?;
        let call = text(&answer, "callId")?;
        let incoming = callee.event("call:incoming").await?;
        ensure!(incoming["callId"] == answer["callId"], "another call rings");
        let credentials = read_credentials(&answer["turnCredentials"])?;
        let address = answer["turnCredentials"]["uris"][0].as_str().map(str::to_owned);
        Ok((format!("at {}, {call}", callee.user()), (call, credentials, address)))
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

/// Sends an event from one side of the call, and waits for it on the other.
async fn relay_event(
    from: &mut Client,
    to: &mut Client,
    call: &str,
    event: &str,
    field: &str,
) -> anyhow::Result<()> {
    // The server does not look at what it relays; the values only have to differ.
    let value = format!("check {event}");
    from.request(event, &json!({ "callId": call, field: value })).await?;
    let relayed = to.event(event).await?;
    ensure!(relayed[field] == value.as_str(), "{event} arrived changed: {relayed}");
    Ok(())
}
