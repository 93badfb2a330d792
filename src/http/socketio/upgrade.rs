//! WebSockets of Socket.IO: one that a client begins with, or one that a polling client switches to
//! once it has tried it.

use std::{sync::Arc, time::Duration};

use tokio::{sync::mpsc, time::timeout};

use super::{
    client::{Client, longest},
    polling::Command,
    websocket,
};
use crate::http::{
    app::App,
    counters::Front,
    unauthenticated_input::ClientInput,
    ws::{connection::Connection, socket::Heard},
};

/// The longest time that the trial of a WebSocket may take.
const UPGRADE_TIMEOUT: Duration = Duration::from_secs(10);

/// The packets of an upgrade: the client's probe, the server's answer, and the client's decision.
const PROBE: &str = "2probe";
const PROBED: &str = "3probe";
const UPGRADE: &str = "5";

/// Serves a client that begins with a WebSocket; `open` is its first packet.
pub(super) async fn begin(
    client: Client,
    upgrading: hyper::upgrade::OnUpgrade,
    input: ClientInput,
    open: String,
) {
    let app = client.app().clone();
    let _running = app.running.token();
    let Some(connection) = connect(app, upgrading, input).await else { return };
    websocket::run(client, connection, vec![open]).await;
}

/// Lets a polling client try a WebSocket, and hands it over to the client's task.
pub(super) async fn try_out(
    app: Arc<App>,
    upgrading: hyper::upgrade::OnUpgrade,
    input: ClientInput,
    client: mpsc::Sender<Command>,
) {
    let Some(mut connection) = connect(app, upgrading, input).await else { return };
    match timeout(UPGRADE_TIMEOUT, probe(&mut connection, &client)).await {
        Ok(Some(())) => drop(client.send(Command::Upgrade(Box::new(connection))).await),
        _ => drop(client.send(Command::GiveUp).await),
    }
}

async fn connect(
    app: Arc<App>,
    upgrading: hyper::upgrade::OnUpgrade,
    input: ClientInput,
) -> Option<Connection> {
    let upgraded = upgrading.await.ok()?;
    let longest = longest(&app);
    Some(Connection::new(app, Front::SocketIo, upgraded, longest, input))
}

/// Answers the client's probe; returns `None` if it does not switch.
async fn probe(connection: &mut Connection, client: &mpsc::Sender<Command>) -> Option<()> {
    let socket = &mut connection.socket;
    if socket.next(|text| text == PROBE).await?.ok()? != Heard::Text(true) {
        return None;
    }
    client.send(Command::Probe).await.ok()?;
    socket.feed(|frame| frame.extend_from_slice(PROBED.as_bytes())).ok()?;
    socket.flush().await.ok()?;
    let is_upgrade = socket.next(|text| text == UPGRADE).await?.ok()? == Heard::Text(true);
    is_upgrade.then_some(())
}
