//! A side of a lab: its host, and the link to its network.

use std::{
    net::{IpAddr, SocketAddr},
    os::fd::AsFd,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use super::{
    namespace::Namespace,
    netlink::{End, Netlink},
    site::{Port, Site},
    wire::Wire,
};
use crate::{action::Action, addresses::Link, error::LabError, kind::Kind, plan};

/// The interface of a host.
const HOST: &str = "eth0";

/// A side of a lab.
#[derive(Debug)]
pub(super) struct Side {
    name: String,
    kind: Kind,
    host: Namespace,
    wire: Wire,
    link: Link,
    site: Arc<Mutex<Site>>,
}

impl Side {
    /// Builds a side. `links` is the namespace in which the ends of its link are.
    pub(super) fn build(
        plan: &plan::Side,
        number: usize,
        links: &Namespace,
        site: &Arc<Mutex<Site>>,
    ) -> Result<Self, LabError> {
        let host = Namespace::new(&plan.name)?;
        let mut network = site.lock().unwrap_or_else(PoisonError::into_inner);
        let kind = network.kind();
        if kind.has_ipv4() {
            host.disable_ipv6()?;
        }
        let port = network.next_port();
        let wire = connect(plan, number, links, &host, &port)?;
        network.connect(&port)?;
        let (name, site) = (plan.name.clone(), site.clone());
        let side = Self { name, kind, host, wire, link: port.link, site };
        side.attach()?;
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
        self.link.inner
    }

    /// Returns the address of the side's proxy, if its kind has one.
    pub(super) fn proxy(&self) -> Option<SocketAddr> {
        self.site().proxy()
    }

    /// Waits until the interface works.
    pub(super) fn wait_until_up(&self) -> Result<(), LabError> {
        self.host.configure(async |netlink| netlink.wait_for_carriers().await)
    }

    /// Sets the address of the host, and its route.
    fn attach(&self) -> Result<(), LabError> {
        let link = self.link;
        self.host.configure(async move |netlink| {
            netlink.attach(HOST, link.inner, link).await?;
            netlink.add_default_route(link.outer).await
        })
    }

    /// Changes the network of the side, and returns a sentence on it.
    pub(super) fn act(&mut self, action: Action) -> Result<String, LabError> {
        let name = self.name.clone();
        match action {
            Action::Reboot => {
                self.site().reboot()?;
                Ok(format!("the router of {name} has forgotten its mappings"))
            }
            Action::Move => {
                let link = self.site().relocate()?;
                self.link = link;
                self.host.configure(async |netlink| netlink.remove_addresses(HOST).await)?;
                self.attach()?;
                Ok(format!("{name} is at {} now", self.address()))
            }
            Action::Cut(time) => {
                self.wire.cut(time);
                Ok(format!("the link of {name} is cut for {}", humantime::format_duration(time)))
            }
            Action::Block(protocol) | Action::Unblock(protocol) => {
                let is_blocked = matches!(action, Action::Block(_));
                self.site().block(protocol, is_blocked)?;
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

    fn site(&self) -> MutexGuard<'_, Site> {
        self.site.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Makes the link between a host and its network: two veth pairs, whose other ends are in `links`.
fn connect(
    plan: &plan::Side,
    number: usize,
    links: &Namespace,
    host: &Namespace,
    port: &Port,
) -> Result<Wire, LabError> {
    let (host, router) = (host.handle()?, port.namespace.handle()?);
    let (mtu, quality, name) = (plan.mtu, plan.link, plan.name.clone());
    let port = port.name.clone();
    links.configure(async move |netlink| {
        let ends = [format!("host{number}"), format!("router{number}")];
        for (end, name, namespace) in [(&ends[0], HOST, &host), (&ends[1], &*port, &router)] {
            let here = End { name: end, namespace: None };
            let there = End { name, namespace: Some(namespace.as_fd()) };
            netlink.add_veth(here, there, mtu).await?;
            netlink.up(end).await?;
        }
        Wire::start(&name, [Netlink::index(&ends[0])?, Netlink::index(&ends[1])?], quality)
    })
}
