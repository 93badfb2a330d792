//! The network of a lab as a whole.

use std::{
    collections::BTreeMap,
    iter,
    path::Path,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use super::{
    namespace::{Namespace, has_ipv6},
    nft,
    server::Server,
    side::Side,
    site::Site,
};
use crate::{
    action::Action,
    addresses::{SERVER, SERVER_V6},
    control::Description,
    error::LabError,
    plan::{INTERNET, Plan, ServerChoice},
};

/// The rules of the public network. Packets to addresses that nobody has, such as private ones, are
/// routed to loopback and lost. Without a route for them, the kernel reports an error to their
/// sender; coturn closes an allocation then.
const SINK: &str = "table ip natlab {
    chain forward {
        type filter hook forward priority 0
        oifname \"lo\" drop
    }
}
";

/// The network of a lab. Clones are handles of the same one.
#[derive(Clone)]
pub(super) struct Network(Arc<Parts>);

struct Parts {
    sides: BTreeMap<String, Mutex<Side>>,
    hosts: BTreeMap<String, Namespace>,
    description: Description,
    /// It runs as long as the lab.
    _server: Option<Server>,
}

impl Network {
    /// Builds the network that a plan describes, and starts its server.
    pub(super) fn build(plan: &Plan, name: &str) -> Result<Self, LabError> {
        let nft = nft::find()?;
        let links = Namespace::of_process()?;
        links.disable_ipv6()?;
        let internet = Namespace::new(INTERNET)?;
        internet.forward()?;
        internet.configure(async |netlink| {
            for ip in SERVER {
                netlink.add_address("lo", ip, 32).await?;
            }
            for ip in SERVER_V6.into_iter().filter(|_| has_ipv6()) {
                netlink.add_address("lo", ip, 128).await?;
            }
            netlink.add_route_by("lo").await
        })?;
        let program = nft.clone();
        internet.run(move || nft::load(&program, SINK))?;
        let sites = build_sites(plan, &nft, &links, &internet)?;
        let sides = plan
            .sides
            .iter()
            .enumerate()
            .map(|(number, side)| Side::build(side, number, &links, &sites[side.network]))
            .collect::<Result<Vec<_>, _>>()?;
        for site in &sites {
            lock(site).start()?;
        }
        for site in &sites {
            lock(site).wait_until_up()?;
        }
        sides.iter().try_for_each(Side::wait_until_up)?;
        for namespace in [&links, &internet] {
            namespace.configure(async |netlink| netlink.wait_for_carriers().await)?;
        }
        let is_v6 =
            !plan.sides.is_empty() && plan.sides.iter().all(|side| plan.kind(side).has_ipv6());
        let server = match plan.server {
            ServerChoice::Callbox => Some(Server::start(&internet, &plan.executable, is_v6)?),
            ServerChoice::None | ServerChoice::Elsewhere { .. } => None,
        };
        let mut description = Description::default();
        let mut hosts = BTreeMap::from([(INTERNET.to_owned(), internet)]);
        for (side, planned) in sides.iter().zip(&plan.sides) {
            let name_of_side = side.name().to_owned();
            let environment = environment(plan, name, side, &sides, server.as_ref())?;
            description.environments.insert(name_of_side.clone(), environment);
            description.kinds.insert(name_of_side.clone(), side.kind());
            if !planned.link.is_ideal() {
                let link = format!("{} (by callbox's forwarder)", planned.link);
                description.links.insert(name_of_side.clone(), link);
            }
            hosts.insert(name_of_side, side.host().clone());
        }
        let mut own = BTreeMap::from([
            ("NATLAB_SIDE".to_owned(), INTERNET.to_owned()),
            ("NATLAB_NAME".to_owned(), name.to_owned()),
            ("NATLAB_ADDRESS".to_owned(), SERVER[0].to_string()),
        ]);
        own.extend(elsewhere(plan));
        description.environments.insert(INTERNET.to_owned(), own);
        let named = |side: Side| (side.name().to_owned(), Mutex::new(side));
        let sides = sides.into_iter().map(named).collect();
        Ok(Self(Arc::new(Parts { sides, hosts, description, _server: server })))
    }

    /// Returns the sides, with their addresses of this moment.
    pub(super) fn description(&self) -> Description {
        let mut description = self.0.description.clone();
        for (name, environment) in &mut description.environments {
            if let Some(side) = self.0.sides.get(name) {
                environment.extend(addresses(&lock(side)));
            }
        }
        description
    }

    /// Returns the namespaces in which programs run.
    pub(super) fn inhabited(&self) -> impl Iterator<Item = &Namespace> {
        self.0.hosts.values()
    }

    /// Returns the namespace of a side, and the environment of programs there.
    pub(super) fn host(
        &self,
        side: &str,
    ) -> Result<(&Namespace, BTreeMap<String, String>), LabError> {
        let host = self.0.hosts.get(side).ok_or_else(|| self.unknown(side))?;
        let environments = self.description().environments;
        let environment = environments.get(side).cloned().unwrap_or_default();
        Ok((host, environment))
    }

    /// Changes the network of a side, and returns a sentence on it.
    pub(super) fn act(&self, side: &str, action: Action) -> Result<String, LabError> {
        let side = self.0.sides.get(side).ok_or_else(|| self.unknown(side))?;
        lock(side).act(action)
    }

    fn unknown(&self, side: &str) -> LabError {
        let names: Vec<_> = self.0.hosts.keys().map(String::as_str).collect();
        LabError::new(format!("there is no side `{side}`; there are {}", names.join(", ")))
    }
}

fn lock<T>(value: &Mutex<T>) -> MutexGuard<'_, T> {
    value.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Builds the networks of a plan, each after the one that it is in.
fn build_sites(
    plan: &Plan,
    nft: &Path,
    links: &Namespace,
    internet: &Namespace,
) -> Result<Vec<Arc<Mutex<Site>>>, LabError> {
    let mut sites: Vec<Arc<Mutex<Site>>> = Vec::new();
    for (number, network) in plan.networks.iter().enumerate() {
        let outer = network.behind.map(|index| &sites[index]);
        let port = outer.map(|outer| lock(outer).next_port());
        let members = plan.members(number);
        let site = Site::build(network, number, members, nft, links, internet, port.clone())?;
        if let (Some(outer), Some(port)) = (outer, &port) {
            lock(outer).connect(port)?;
        }
        sites.push(Arc::new(Mutex::new(site)));
    }
    Ok(sites)
}

/// Returns the part of the environment that changes when a side moves.
fn addresses(side: &Side) -> impl Iterator<Item = (String, String)> {
    let proxy = side.proxy().map(|proxy| ("NATLAB_PROXY".to_owned(), format!("http://{proxy}")));
    iter::once(("NATLAB_ADDRESS".to_owned(), side.address().to_string())).chain(proxy)
}

/// Returns the environment of programs on a side.
fn environment(
    plan: &Plan,
    name: &str,
    side: &Side,
    sides: &[Side],
    server: Option<&Server>,
) -> Result<BTreeMap<String, String>, LabError> {
    let others: Vec<_> =
        sides.iter().map(Side::name).filter(|other| *other != side.name()).collect();
    let mut environment = BTreeMap::from([
        ("NATLAB_SIDE".to_owned(), side.name().to_owned()),
        ("NATLAB_PEER".to_owned(), others.join(",")),
        ("NATLAB_NAME".to_owned(), name.to_owned()),
        ("NATLAB_KIND".to_owned(), side.kind().to_string()),
    ]);
    environment.extend(addresses(side));
    if let Some(server) = server {
        let of_server = server.environment(side.name(), side.kind().has_ipv6())?;
        environment.extend(of_server.into_iter().map(|(name, value)| (name.to_owned(), value)));
    }
    environment.extend(elsewhere(plan));
    Ok(environment)
}

/// Returns the part of the environment about servers that somebody else starts.
fn elsewhere(plan: &Plan) -> impl Iterator<Item = (String, String)> {
    let given = match &plan.server {
        ServerChoice::Elsewhere { stun, turn, username, password } => [
            ("NATLAB_STUN", stun.clone()),
            ("NATLAB_TURN", turn.clone()),
            ("NATLAB_TURN_USERNAME", username.clone()),
            ("NATLAB_TURN_PASSWORD", password.clone()),
        ]
        .to_vec(),
        ServerChoice::Callbox | ServerChoice::None => Vec::new(),
    };
    given.into_iter().filter_map(|(name, value)| Some((name.to_owned(), value?)))
}
