//! A network of a lab: its routers up to the network that it is in.

use std::{net::SocketAddr, os::fd::AsFd, path::Path};

use super::{
    namespace::Namespace,
    netlink::End,
    proxy,
    router::{Filter, Router},
    rules::{INNER, OUTER, Outgoing, PROXY_PORT},
};
use crate::{
    action::Protocol,
    addresses::{Link, Place},
    error::LabError,
    kind::{Access, Behavior, Kind, Nat},
    plan,
};

/// The place in another network where an interface is attached: the namespace of its router, the
/// name of the router's interface, and the link.
#[derive(Debug, Clone)]
pub(super) struct Port {
    pub(super) namespace: Namespace,
    pub(super) name: String,
    pub(super) link: Link,
}

/// A network of a lab.
#[derive(Debug)]
pub(super) struct Site {
    name: String,
    kind: Kind,
    place: Place,
    internet: Namespace,
    /// The interface of the public network towards this one.
    uplink: String,
    /// Where it is attached; `None` for the public network.
    outside: Option<Port>,
    /// From the hosts to the public network.
    routers: Vec<Router>,
    /// The number of hosts and networks in it.
    members: usize,
    attached: usize,
}

impl Site {
    /// Builds the routers of a network and joins them, and the last one with the network that it is
    /// in.
    pub(super) fn build(
        plan: &plan::Network,
        number: usize,
        members: usize,
        nft: &Path,
        links: &Namespace,
        internet: &Namespace,
        outside: Option<Port>,
    ) -> Result<Self, LabError> {
        let (kind, place) = (plan.kind, Place::new(number));
        let path = path(kind, place, outside.as_ref());
        let namespaces = (0..path.len())
            .map(|n| Namespace::new(&format!("router {n} of {}", plan.name)))
            .collect::<Result<Vec<_>, _>>()?;
        let uplink = format!("uplink{number}");
        for (n, namespace) in namespaces.iter().enumerate() {
            match (namespaces.get(n + 1), &outside) {
                (Some(next), _) => join(links, (namespace, OUTER), (next, INNER))?,
                (None, Some(port)) => {
                    join(links, (namespace, OUTER), (&port.namespace, &port.name))?;
                }
                (None, None) => join(links, (namespace, OUTER), (internet, &uplink))?,
            }
        }
        if members > 1 {
            namespaces[0].exempt_bridges()?;
            namespaces[0].configure(async |netlink| netlink.add_bridge(INNER).await)?;
        }
        let routers = namespaces
            .into_iter()
            .zip(filters(kind))
            .zip(path)
            .map(|((namespace, filter), links)| {
                Router::new(namespace, nft.to_owned(), filter, links)
            })
            .collect();
        let name = plan.name.clone();
        let internet = internet.clone();
        Ok(Self { name, kind, place, internet, uplink, outside, routers, members, attached: 0 })
    }

    pub(super) fn kind(&self) -> Kind {
        self.kind
    }

    /// Returns the place of the next member.
    pub(super) fn next_port(&mut self) -> Port {
        let number = self.attached;
        self.attached += 1;
        let name = match self.members {
            1 => INNER.to_owned(),
            _ => format!("port{number}"),
        };
        let link = self.inner().member(number);
        Port { namespace: self.routers[0].namespace().clone(), name, link }
    }

    /// Makes an interface one of the network, once both of its ends exist.
    pub(super) fn connect(&self, port: &Port) -> Result<(), LabError> {
        if self.members == 1 {
            return Ok(());
        }
        let name = port.name.clone();
        port.namespace.configure(async move |netlink| netlink.add_port(INNER, &name).await)
    }

    /// Sets the addresses and rules, once every member is attached.
    pub(super) fn start(&self) -> Result<(), LabError> {
        if self.has_proxy() {
            proxy::start(self.routers[0].namespace(), PROXY_PORT)?;
        }
        self.routers.iter().try_for_each(Router::start)?;
        self.attach_outside()
    }

    /// Waits until every interface works.
    pub(super) fn wait_until_up(&self) -> Result<(), LabError> {
        self.routers.iter().try_for_each(Router::wait_until_up)
    }

    /// Returns the address of the proxy, if the kind has one.
    pub(super) fn proxy(&self) -> Option<SocketAddr> {
        self.has_proxy().then(|| SocketAddr::new(self.inner().outer, PROXY_PORT))
    }

    fn has_proxy(&self) -> bool {
        self.kind.access() == Access::HttpProxy
    }

    /// Returns the link of the first host.
    fn inner(&self) -> Link {
        path(self.kind, self.place, self.outside.as_ref())[0][1]
    }

    /// Sets the address of the public network's end.
    fn attach_outside(&self) -> Result<(), LabError> {
        if self.outside.is_some() {
            return Ok(());
        }
        let path = path(self.kind, self.place, None);
        let (inner, outer) = (path[0][1], path[path.len() - 1][0]);
        let (uplink, is_open) = (self.uplink.clone(), self.kind.nat().is_none());
        self.internet.configure(async move |netlink| {
            netlink.attach(&uplink, outer.outer, outer).await?;
            match is_open {
                true => netlink.add_route(inner.base(), inner.prefix, outer.inner).await,
                false => Ok(()),
            }
        })
    }

    /// Lets the routers forget every mapping.
    pub(super) fn reboot(&self) -> Result<(), LabError> {
        self.routers.iter().try_for_each(Router::reboot)
    }

    /// Lets the routers drop a protocol, or forward it again.
    pub(super) fn block(&mut self, protocol: Protocol, is_blocked: bool) -> Result<(), LabError> {
        self.routers.iter_mut().try_for_each(|router| router.block(protocol, is_blocked))
    }

    /// Gives the network other addresses, and returns the new link of its only host.
    pub(super) fn relocate(&mut self) -> Result<Link, LabError> {
        if self.members != 1 || self.outside.is_some() {
            return Err(LabError::new(format!(
                "only a host with a network of its own in the public one can move, and {} is not \
                 such a network",
                self.name
            )));
        }
        self.place = self.place.moved();
        let path = path(self.kind, self.place, None);
        let uplink = self.uplink.clone();
        self.internet.configure(async move |netlink| netlink.remove_addresses(&uplink).await)?;
        for (router, links) in self.routers.iter_mut().zip(&path) {
            router.renumber(*links)?;
        }
        self.attach_outside()?;
        Ok(path[0][1])
    }
}

/// Returns the links of each router, from the hosts to the public network: the outer one and the
/// inner one.
fn path(kind: Kind, place: Place, outside: Option<&Port>) -> Vec<[Link; 2]> {
    let mut path = match kind.access() {
        Access::Public => vec![[place.uplink(), place.open()]],
        Access::Ipv6 | Access::Ipv6Firewall => vec![[place.uplink_v6(), place.open_v6()]],
        Access::CarrierGrade => {
            vec![[place.carrier(), place.private()], [place.uplink(), place.carrier()]]
        }
        _ => vec![[place.uplink(), place.private()]],
    };
    if let (Some(port), Some(last)) = (outside, path.last_mut()) {
        last[0] = port.link;
    }
    path
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
