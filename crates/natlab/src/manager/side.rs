//! A side of a lab: its host, its link, and its routers up to the public network.

use std::{
    net::{IpAddr, SocketAddr},
    os::fd::AsFd,
    path::Path,
};

use super::{
    namespace::Namespace,
    netlink::{End, Netlink},
    proxy,
    router::{Filter, Router},
    rules::{INNER, OUTER, Outgoing, PROXY_PORT},
    wire::Wire,
};
use crate::{
    action::Action,
    addresses::{Link, Place},
    error::LabError,
    kind::{Access, Behavior, Kind, Nat},
    plan,
};

/// The interface of a host.
const HOST: &str = "eth0";

/// A side of a lab.
#[derive(Debug)]
pub(super) struct Side {
    name: String,
    kind: Kind,
    place: Place,
    host: Namespace,
    internet: Namespace,
    /// The interface of the public network towards the side.
    uplink: String,
    wire: Wire,
    /// From the host to the public network.
    routers: Vec<Router>,
}

impl Side {
    /// Builds a side. `links` is the namespace in which the ends of its link are.
    pub(super) fn build(
        plan: &plan::Side,
        number: usize,
        nft: &Path,
        links: &Namespace,
        internet: &Namespace,
    ) -> Result<Self, LabError> {
        let (kind, place) = (plan.kind, Place::new(number));
        let host = Namespace::new(&plan.name)?;
        if kind.has_ipv4() {
            host.disable_ipv6()?;
        }
        let path = path(kind, place);
        let namespaces = (0..path.len())
            .map(|n| Namespace::new(&format!("router {n} of {}", plan.name)))
            .collect::<Result<Vec<_>, _>>()?;
        let wire = connect(plan, number, links, &host, &namespaces[0])?;
        let uplink = format!("side{number}");
        for (n, namespace) in namespaces.iter().enumerate() {
            match namespaces.get(n + 1) {
                Some(next) => join(links, (namespace, OUTER), (next, INNER))?,
                None => join(links, (namespace, OUTER), (internet, &uplink))?,
            }
        }
        if has_proxy(kind) {
            proxy::start(&namespaces[0], PROXY_PORT)?;
        }
        let routers = namespaces
            .into_iter()
            .zip(filters(kind))
            .zip(&path)
            .map(|((namespace, filter), links)| {
                Router::new(namespace, nft.to_owned(), filter, *links)
            })
            .collect::<Result<Vec<_>, _>>()?;
        let name = plan.name.clone();
        let internet = internet.clone();
        let side = Self { name, kind, place, host, internet, uplink, wire, routers };
        side.attach(&path)?;
        side.host.configure(async |netlink| netlink.wait_for_carriers().await)?;
        side.routers.iter().try_for_each(Router::wait_until_up)?;
        Ok(side)
    }

    pub(super) fn name(&self) -> &str {
        &self.name
    }

    pub(super) fn kind(&self) -> Kind {
        self.kind
    }

    pub(super) fn host(&self) -> &Namespace {
        &self.host
    }

    /// Returns the address of the host.
    pub(super) fn address(&self) -> IpAddr {
        inner(&path(self.kind, self.place)).inner
    }

    /// Returns the address of the side's proxy, if its kind has one.
    pub(super) fn proxy(&self) -> Option<SocketAddr> {
        let address = inner(&path(self.kind, self.place)).outer;
        has_proxy(self.kind).then(|| SocketAddr::new(address, PROXY_PORT))
    }

    /// Sets the addresses of the host and of the public network's end.
    fn attach(&self, path: &[[Link; 2]]) -> Result<(), LabError> {
        let (inner, outer) = (inner(path), outer(path));
        self.host.configure(async move |netlink| {
            netlink.attach(HOST, inner.inner, inner).await?;
            netlink.add_default_route(inner.outer).await
        })?;
        let (uplink, is_open) = (self.uplink.clone(), self.kind.nat().is_none());
        self.internet.configure(async move |netlink| {
            netlink.attach(&uplink, outer.outer, outer).await?;
            match is_open {
                true => netlink.add_route(inner.base(), inner.prefix, outer.inner).await,
                false => Ok(()),
            }
        })
    }

    /// Changes the network of the side, and returns a sentence on it.
    pub(super) fn act(&mut self, action: Action) -> Result<String, LabError> {
        let name = self.name.clone();
        match action {
            Action::Reboot => {
                for router in &self.routers {
                    router.reboot()?;
                }
                Ok(format!("the router of {name} has forgotten its mappings"))
            }
            Action::Move => {
                self.relocate()?;
                Ok(format!("{name} is at {} now", self.address()))
            }
            Action::Cut(time) => {
                self.wire.cut(time);
                Ok(format!("the link of {name} is cut for {}", humantime::format_duration(time)))
            }
            Action::Block(protocol) | Action::Unblock(protocol) => {
                let is_blocked = matches!(action, Action::Block(_));
                for router in &mut self.routers {
                    router.block(protocol, is_blocked)?;
                }
                let verb = if is_blocked { "drops" } else { "does not drop" };
                Ok(format!("the router of {name} {verb} {} (nftables)", protocol.name()))
            }
            Action::Link(change) => {
                let quality = self.wire.change(change);
                let quality = match quality.is_ideal() {
                    true => "ideal".to_owned(),
                    false => quality.to_string(),
                };
                Ok(format!("the link of {name}: {quality} (by callbox's forwarder)"))
            }
        }
    }

    /// Gives the host and its routers other addresses.
    fn relocate(&mut self) -> Result<(), LabError> {
        self.place = self.place.moved();
        let path = path(self.kind, self.place);
        let uplink = self.uplink.clone();
        self.internet.configure(async move |netlink| netlink.remove_addresses(&uplink).await)?;
        self.host.configure(async |netlink| netlink.remove_addresses(HOST).await)?;
        for (router, links) in self.routers.iter_mut().zip(&path) {
            router.renumber(*links)?;
        }
        self.attach(&path)
    }
}

/// Returns the links of each router, from the host to the public network: the outer one and the
/// inner one.
fn path(kind: Kind, place: Place) -> Vec<[Link; 2]> {
    match kind.access() {
        Access::Public => vec![[place.uplink(), place.open()]],
        Access::Ipv6 | Access::Ipv6Firewall => vec![[place.uplink_v6(), place.open_v6()]],
        Access::CarrierGrade => {
            vec![[place.carrier(), place.private()], [place.uplink(), place.carrier()]]
        }
        _ => vec![[place.uplink(), place.private()]],
    }
}

fn has_proxy(kind: Kind) -> bool {
    kind.access() == Access::HttpProxy
}

/// Returns the link of the host.
fn inner(path: &[[Link; 2]]) -> Link {
    path[0][1]
}

/// Returns the link to the public network.
fn outer(path: &[[Link; 2]]) -> Link {
    path[path.len() - 1][0]
}

/// Returns the treatment of packets by each router, from the host to the public network.
fn filters(kind: Kind) -> Vec<Filter> {
    let outgoing = match kind.access() {
        Access::UdpBlocked => Outgoing::NoUdp,
        Access::Tcp443Only => Outgoing::Tls,
        Access::HttpProxy => Outgoing::Proxy,
        _ => Outgoing::All,
    };
    match (kind.access(), kind.nat()) {
        (Access::Ipv6Firewall, _) => vec![Filter::Firewall],
        (_, None) => vec![Filter::Open],
        (Access::CarrierGrade, Some(nat)) => {
            let home = Nat::new(Behavior::EndpointIndependent, Behavior::AddressAndPortDependent);
            vec![Filter::Nat(home, Outgoing::All), Filter::Nat(*nat, Outgoing::All)]
        }
        (_, Some(nat)) => vec![Filter::Nat(*nat, outgoing)],
    }
}

/// Joins two namespaces by a veth pair.
fn join(
    links: &Namespace,
    one: (&Namespace, &str),
    other: (&Namespace, &str),
) -> Result<(), LabError> {
    let (one_handle, other_handle) = (one.0.handle()?, other.0.handle()?);
    let (one, other) = (one.1.to_owned(), other.1.to_owned());
    links.configure(async move |netlink| {
        let one = End { name: &one, namespace: Some(one_handle.as_fd()) };
        let other = End { name: &other, namespace: Some(other_handle.as_fd()) };
        netlink.add_veth(one, other, None).await
    })
}

/// Makes the link between a host and its router: two veth pairs, whose other ends are in `links`.
fn connect(
    plan: &plan::Side,
    number: usize,
    links: &Namespace,
    host: &Namespace,
    router: &Namespace,
) -> Result<Wire, LabError> {
    let (host, router) = (host.handle()?, router.handle()?);
    let (mtu, quality, name) = (plan.mtu, plan.link, plan.name.clone());
    links.configure(async move |netlink| {
        let ends = [format!("host{number}"), format!("router{number}")];
        for (end, name, namespace) in [(&ends[0], HOST, &host), (&ends[1], INNER, &router)] {
            let here = End { name: end, namespace: None };
            let there = End { name, namespace: Some(namespace.as_fd()) };
            netlink.add_veth(here, there, mtu).await?;
            netlink.up(end).await?;
        }
        Wire::start(&name, [Netlink::index(&ends[0])?, Netlink::index(&ends[1])?], quality)
    })
}
