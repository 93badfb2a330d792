//! The process that has a lab: its namespaces, routers, links and server. It serves the requests of
//! commands, and starts programs on sides.

mod namespace;
mod netlink;
mod network;
pub(crate) mod nft;
mod proxy;
mod router;
mod rules;
mod server;
mod side;
mod site;
mod tasks;
mod wire;

use std::{
    io,
    os::{
        fd::{AsFd, OwnedFd},
        unix::net::{UnixListener, UnixStream},
    },
    process, thread,
};

use self::network::Network;
use crate::{
    control::{Channel, LabName, Request, Response, check_peer},
    error::{LabError, Tried},
    plan::Plan,
};

/// The first message to a manager.
#[derive(Debug, serde::Serialize, serde::Deserialize)]
pub(crate) struct Start {
    pub(crate) name: LabName,
    pub(crate) plan: Plan,
}

/// Runs the manager: stdin is a channel to the process that wants the lab, and stdout the socket of
/// the lab. It ends when that process ends or closes the channel.
pub(crate) fn run() -> Result<(), LabError> {
    let failed = "the manager of a lab is started by `callbox natlab` itself";
    let own = |stream: &dyn AsFd| stream.as_fd().try_clone_to_owned();
    let owner = Channel::new(UnixStream::from(own(&io::stdin()).tried(failed)?));
    let listener = UnixListener::from(own(&io::stdout()).tried(failed)?);
    let start: Start = owner.receive().tried(failed)?;
    let network = match build(start, listener) {
        Ok(network) => network,
        Err(error) => {
            // If nobody reads it, nobody wants the lab.
            let _ = owner.send(&Response::Failed(error.to_string()));
            return Ok(());
        }
    };
    let description = Response::Description(network.description());
    if owner.send(&description).is_ok() {
        // Nothing else comes, but the end.
        let _ = owner.receive::<Request>();
    }
    Ok(())
}

/// Builds the network and serves it, to the host and to programs on its sides.
fn build(start: Start, listener: UnixListener) -> Result<Network, LabError> {
    let network = Network::build(&start.plan, start.name.as_str())?;
    let failed = "cannot serve the lab";
    serve(listener, &network).tried(failed)?;
    for namespace in network.inhabited() {
        let name = start.name.clone();
        let inside = namespace.run(move || name.listen().tried(failed))?;
        serve(inside, &network).tried(failed)?;
    }
    Ok(network)
}

/// Serves each connection on a thread of its own.
fn serve(listener: UnixListener, network: &Network) -> io::Result<()> {
    let network = network.clone();
    let accept = move || {
        for stream in listener.incoming().flatten().filter(|stream| check_peer(stream).is_ok()) {
            let network = network.clone();
            let answer = move || {
                // The other end is gone.
                let _ = answer(&Channel::new(stream), &network);
            };
            // Without a thread for it the connection is closed.
            let _ = thread::Builder::new().name("request".into()).spawn(answer);
        }
    };
    thread::Builder::new().name("requests".into()).spawn(accept).map(drop)
}

/// Answers the request of a connection.
fn answer(channel: &Channel, network: &Network) -> io::Result<()> {
    let (request, descriptors) = channel.receive_with::<Request>()?;
    let failed = |error: LabError| Response::Failed(error.to_string());
    match request {
        Request::Spawn(spawn) => {
            let streams: Result<[OwnedFd; 3], _> = descriptors.try_into();
            let streams = streams.map_err(|_| io::ErrorKind::InvalidData)?;
            tasks::run(channel, network, *spawn, streams)
        }
        Request::Act(side, action) => {
            let done = network.act(&side, action).map_or_else(failed, Response::Done);
            channel.send(&done)
        }
        Request::Describe => channel.send(&Response::Description(network.description())),
        Request::Down => {
            channel.send(&Response::Done("the lab is down".into()))?;
            process::exit(0)
        }
    }
}
