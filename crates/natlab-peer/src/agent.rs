//! The built-in peer: the ICE agent of webrtc-rs.

use std::{collections::HashMap, convert::Infallible, net::SocketAddr, sync::Arc, time::Duration};

use anyhow::{Context, anyhow, bail};
use tokio::{
    sync::mpsc,
    time::{self, Instant},
};
use webrtc_ice::{
    agent::{Agent, agent_config::AgentConfig},
    candidate::{Candidate, CandidateType as IceType, candidate_base::unmarshal_candidate},
    mdns::MulticastDnsMode,
    network_type::NetworkType,
    url::{ProtoType, SchemeType, Url},
};
use webrtc_util::Conn;

use crate::{
    args::PeerArgs,
    bridge::{Bridge, TurnUri, Way},
    line::{Credentials, Line},
    outcome::{CandidateType, Endpoint, Outcome, Selected, Transport},
    packets::{self, Received},
    pipes,
};

/// The times before pairs with such candidates are nominated. By then the checks of better pairs
/// have succeeded, if they can, on a busy machine, too.
const SRFLX_WAIT: Duration = Duration::from_millis(600);
const RELAY_WAIT: Duration = Duration::from_millis(2000);

/// The number of checks of a pair before it counts as failed.
const MOST_CHECKS: u16 = 30;

/// The time after the connection for the packets and the lines about them.
const AFTERWARDS: Duration = Duration::from_secs(20);

/// Connects with the other peer.
pub(crate) fn run(args: &PeerArgs) -> anyhow::Result<Outcome> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let outcome = runtime.block_on(connect(args));
    // The tasks of the agent have nothing left to do.
    runtime.shutdown_background();
    outcome
}

async fn connect(args: &PeerArgs) -> anyhow::Result<Outcome> {
    let bridge = bridge(args).await?.map(Arc::new);
    let agent = Agent::new(config(args, bridge.as_deref())?).await?;
    let (ufrag, pwd) = agent.get_local_user_credentials().await;
    pipes::print(&Line::Description(Credentials { ufrag, pwd }))?;
    announce(&agent, bridge.clone());
    agent.gather_candidates()?;
    let mut other = Other { lines: pipes::lines()?, candidates: HashMap::new() };
    let remote = other.description().await?;
    let start = Instant::now();
    let conn = tokio::select! {
        conn = dial(&agent, args.is_controlling(), remote) => conn?,
        result = other.take_candidates(&agent, bridge.as_deref()) => match result? {},
        () = time::sleep(args.timeout()) => {
            let seconds = args.timeout().as_secs();
            let reason = format!("no pair of candidates has worked within {seconds} s");
            return Ok(Outcome::failed(reason));
        }
    };
    let connect_ms = u64::try_from(start.elapsed().as_millis()).ok();
    let received = Received::collect(Arc::clone(&conn));
    packets::send(&*conn, args.packets()).await;
    pipes::print(&Line::Sent { packets: args.packets() })?;
    let lost = time::timeout(AFTERWARDS, other.losses(&agent, &received, args.packets())).await;
    let lost =
        lost.map_err(|_| anyhow!("the other peer has not said how many packets it got"))??;
    let pair = agent.get_selected_candidate_pair().context("there is no selected pair")?;
    let transport = bridge.and_then(|bridge| bridge.transport());
    Ok(Outcome::Selected(Selected {
        local: endpoint(&*pair.local, transport)?,
        remote: other.endpoint(&*pair.remote)?,
        connect_ms,
        sent: Some(args.packets()),
        lost: Some(lost),
    }))
}

/// Starts the bridge to the TURN server, if there is one.
async fn bridge(args: &PeerArgs) -> anyhow::Result<Option<Bridge>> {
    let servers: Vec<TurnUri> = args.turn().map(str::parse).collect::<Result<_, _>>()?;
    if servers.is_empty() {
        return Ok(None);
    }
    let way = Way::new(args.proxy(), args.ca())?;
    Ok(Some(Bridge::start(servers, way).await?))
}

fn config(args: &PeerArgs, bridge: Option<&Bridge>) -> anyhow::Result<AgentConfig> {
    let mut urls = Vec::new();
    if let Some(uri) = args.stun() {
        let url = Url::parse_url(uri).with_context(|| format!("`{uri}` is no STUN URI"))?;
        urls.push(url);
    }
    urls.extend(bridge.map(|bridge| Url {
        scheme: SchemeType::Turn,
        host: bridge.address().ip().to_string(),
        port: bridge.address().port(),
        username: args.username().to_owned(),
        password: args.password().to_owned(),
        proto: ProtoType::Udp,
    }));
    Ok(AgentConfig {
        urls,
        multicast_dns_mode: MulticastDnsMode::Disabled,
        network_types: vec![NetworkType::Udp4, NetworkType::Udp6],
        max_binding_requests: Some(MOST_CHECKS),
        // The time-out is that of this peer.
        failed_timeout: Some(args.timeout() * 2),
        srflx_acceptance_min_wait: Some(SRFLX_WAIT),
        prflx_acceptance_min_wait: Some(SRFLX_WAIT),
        relay_acceptance_min_wait: Some(RELAY_WAIT),
        include_loopback: args.has_loopback(),
        ..AgentConfig::default()
    })
}

/// Prints each candidate for the other peer, once it is known.
fn announce(agent: &Agent, bridge: Option<Arc<Bridge>>) {
    agent.on_candidate(Box::new(move |candidate| {
        if let Some(candidate) = candidate {
            let is_relay = candidate.candidate_type() == IceType::Relay;
            let relay = bridge.as_ref().filter(|_| is_relay).and_then(|bridge| bridge.transport());
            // Without a reader the peer ends when its stdin does.
            let _ = pipes::print(&Line::Candidate { candidate: candidate.marshal(), relay });
        }
        Box::pin(async {})
    }));
}

/// Checks pairs of candidates until one is selected.
async fn dial(
    agent: &Agent,
    is_controlling: bool,
    remote: Credentials,
) -> anyhow::Result<Arc<dyn Conn + Send + Sync>> {
    let (_cancel, canceled) = mpsc::channel(1);
    let Credentials { ufrag, pwd } = remote;
    match is_controlling {
        true => Ok(agent.dial(canceled, ufrag, pwd).await?),
        false => Ok(agent.accept(canceled, ufrag, pwd).await?),
    }
}

/// The other peer, by its lines.
struct Other {
    lines: mpsc::UnboundedReceiver<String>,
    /// Its candidates, by their addresses.
    candidates: HashMap<SocketAddr, Endpoint>,
}

impl Other {
    async fn next(&mut self) -> anyhow::Result<Line> {
        let line = self.lines.recv().await.context("the other peer has ended")?;
        serde_json::from_str(&line).with_context(|| {
            format!("the other peer has sent `{line}`, which is no line of a peer")
        })
    }

    async fn description(&mut self) -> anyhow::Result<Credentials> {
        match self.next().await? {
            Line::Description(credentials) => Ok(credentials),
            line => bail!("the other peer has begun with {line:?}, which is no description"),
        }
    }

    /// Passes on candidates to the agent for as long as it is polled. It is polled no more once
    /// there is a connection, and the rest of the lines waits.
    async fn take_candidates(
        &mut self,
        agent: &Agent,
        bridge: Option<&Bridge>,
    ) -> anyhow::Result<Infallible> {
        loop {
            match self.next().await? {
                Line::Known => bridge.into_iter().for_each(Bridge::open),
                Line::Candidate { candidate, relay } => self.add(agent, &candidate, relay)?,
                line => bail!("the other peer has sent {line:?} before it was connected"),
            }
        }
    }

    fn add(
        &mut self,
        agent: &Agent,
        candidate: &str,
        relay: Option<Transport>,
    ) -> anyhow::Result<()> {
        let candidate = unmarshal_candidate(candidate)?;
        self.candidates.insert(candidate.addr(), endpoint(&candidate, relay)?);
        let candidate: Arc<dyn Candidate + Send + Sync> = Arc::new(candidate);
        agent.add_remote_candidate(&candidate)?;
        match relay {
            Some(_) => pipes::print(&Line::Known),
            None => Ok(()),
        }
    }

    /// Tells the other peer how many packets have arrived, and returns how many of `sent` have not
    /// arrived there.
    async fn losses(
        &mut self,
        agent: &Agent,
        received: &Received,
        sent: u32,
    ) -> anyhow::Result<u32> {
        let (mut has_answered, mut lost) = (false, None);
        loop {
            match (has_answered, lost) {
                (true, Some(lost)) => return Ok(lost),
                _ => match self.next().await? {
                    Line::Sent { packets } => {
                        let packets = received.wait_for(packets).await;
                        pipes::print(&Line::Received { packets })?;
                        has_answered = true;
                    }
                    Line::Received { packets } => lost = Some(sent.saturating_sub(packets)),
                    Line::Candidate { candidate, relay } => self.add(agent, &candidate, relay)?,
                    // The relay is not needed any more.
                    Line::Known => {}
                    line @ Line::Description(_) => bail!("the other peer has sent {line:?} again"),
                },
            }
        }
    }

    /// Describes its candidate in the selected pair. A check may have come from there before the
    /// candidate did, so that its type is unknown to the agent (RFC 8445 §7.3.1.3).
    fn endpoint(&self, candidate: &(dyn Candidate + Send + Sync)) -> anyhow::Result<Endpoint> {
        let announced = self.candidates.get(&candidate.addr()).cloned();
        announced.map_or_else(|| endpoint(candidate, None), Ok)
    }
}

/// Describes a candidate.
fn endpoint(
    candidate: &(dyn Candidate + Send + Sync),
    relay: Option<Transport>,
) -> anyhow::Result<Endpoint> {
    let kind = match candidate.candidate_type() {
        IceType::Host => CandidateType::Host,
        IceType::ServerReflexive => CandidateType::Srflx,
        IceType::PeerReflexive => CandidateType::Prflx,
        IceType::Relay => CandidateType::Relay,
        IceType::Unspecified => bail!("the candidate {candidate} has no type"),
    };
    let address = Some(candidate.addr().to_string());
    Ok(Endpoint { kind, address, relay: relay.filter(|_| kind == CandidateType::Relay) })
}
