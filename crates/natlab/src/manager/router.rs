//! A router between two links.

use std::{collections::BTreeSet, path::PathBuf};

use super::{
    namespace::Namespace,
    netlink::forget_connections,
    nft,
    rules::{self, INNER, OUTER, Outgoing},
};
use crate::{
    action::Protocol,
    addresses::Link,
    error::{LabError, Tried},
    kind::Nat,
};

/// The treatment of packets by a router.
#[derive(Debug, Clone, Copy)]
pub(super) enum Filter {
    /// It forwards everything.
    Open,
    /// It translates addresses.
    Nat(Nat, Outgoing),
    /// It lets in what belongs to a connection from inside.
    Firewall,
}

/// A router, with its interfaces towards the public network and towards the host.
#[derive(Debug)]
pub(super) struct Router {
    namespace: Namespace,
    nft: PathBuf,
    filter: Filter,
    outer: Link,
    inner: Link,
    blocked: BTreeSet<Protocol>,
}

impl Router {
    /// Makes a router of a namespace.
    pub(super) fn new(
        namespace: Namespace,
        nft: PathBuf,
        filter: Filter,
        [outer, inner]: [Link; 2],
    ) -> Self {
        Self { namespace, nft, filter, outer, inner, blocked: BTreeSet::new() }
    }

    pub(super) fn namespace(&self) -> &Namespace {
        &self.namespace
    }

    /// Sets it up, once it has its two interfaces.
    pub(super) fn start(&self) -> Result<(), LabError> {
        self.namespace.forward()?;
        self.address()?;
        self.load_rules()
    }

    /// Sets the addresses and the route.
    fn address(&self) -> Result<(), LabError> {
        let (outer, inner) = (self.outer, self.inner);
        self.namespace.configure(async move |netlink| {
            netlink.attach(OUTER, outer.inner, outer).await?;
            netlink.attach(INNER, inner.outer, inner).await?;
            netlink.add_default_route(outer.outer).await
        })
    }

    fn load_rules(&self) -> Result<(), LabError> {
        let rules = match &self.filter {
            Filter::Open => return Ok(()),
            Filter::Nat(nat, outgoing) => rules::nat(nat, self.outer, self.inner, *outgoing),
            Filter::Firewall => rules::firewall(),
        };
        let program = self.nft.clone();
        self.namespace.run(move || nft::load(&program, &rules))
    }

    /// Waits until its interfaces work.
    pub(super) fn wait_until_up(&self) -> Result<(), LabError> {
        self.namespace.configure(async |netlink| netlink.wait_for_carriers().await)
    }

    /// Loses every mapping, as a router without power does. New ones get other ports, unless they
    /// are preserved.
    pub(super) fn reboot(&self) -> Result<(), LabError> {
        self.load_rules()?;
        self.namespace.run(|| forget_connections().tried("cannot remove the mappings"))
    }

    /// Gets other addresses.
    pub(super) fn renumber(&mut self, [outer, inner]: [Link; 2]) -> Result<(), LabError> {
        (self.outer, self.inner) = (outer, inner);
        self.namespace.configure(async |netlink| {
            netlink.remove_addresses(OUTER).await?;
            netlink.remove_addresses(INNER).await
        })?;
        self.address()?;
        self.reboot()
    }

    /// Drops a protocol, or forwards it again.
    pub(super) fn block(&mut self, protocol: Protocol, is_blocked: bool) -> Result<(), LabError> {
        match is_blocked {
            true => self.blocked.insert(protocol),
            false => self.blocked.remove(&protocol),
        };
        let (program, rules) = (self.nft.clone(), rules::block(&self.blocked));
        self.namespace.run(move || nft::load(&program, &rules))
    }
}
