//! Interfaces, addresses and routes of the network namespace of the calling thread.

use std::{
    fmt, io,
    net::{IpAddr, Ipv4Addr, Ipv6Addr},
    os::fd::{AsRawFd, BorrowedFd},
    sync::atomic::{AtomicU32, Ordering},
    time::{Duration, Instant},
};

use futures_util::TryStreamExt;
use rtnetlink::{
    Handle, LinkBridge, LinkMessageBuilder, LinkUnspec, LinkVeth, RouteMessageBuilder,
    packet_core::{Emitable, NLM_F_ACK, NLM_F_REQUEST, NetlinkHeader},
    packet_route::{
        address::AddressHeaderFlags,
        link::{InfoData, InfoVeth, LinkAttribute, LinkFlags, LinkMessage, State},
        route::RouteScope,
    },
    sys::{Socket, SocketAddr, protocols::NETLINK_NETFILTER},
};
use rustix::net::{AddressFamily, SocketFlags, SocketType, netdevice, socket_with};

use crate::{
    addresses::Link,
    error::{LabError, Tried},
};

/// The index of the first interface: loopback has 1.
const FIRST_INDEX: u32 = 10;

/// The longest time until the kernel has noticed that both ends of a veth pair are up.
const CARRIER_TIMEOUT: Duration = Duration::from_secs(5);

/// One end of a veth pair.
#[derive(Debug, Clone, Copy)]
pub(super) struct End<'a> {
    pub(super) name: &'a str,
    /// The namespace that it is in, unless it is that of the calling thread.
    pub(super) namespace: Option<BorrowedFd<'a>>,
}

/// A connection to rtnetlink(7).
pub(super) struct Netlink(Handle);

impl Netlink {
    /// Runs a function with a connection in the namespace of the calling thread.
    pub(super) fn run<T>(
        job: impl AsyncFnOnce(&Self) -> Result<T, LabError>,
    ) -> Result<T, LabError> {
        let failed = "cannot open a netlink socket";
        let runtime =
            tokio::runtime::Builder::new_current_thread().enable_all().build().tried(failed)?;
        runtime.block_on(async {
            let (connection, handle, _) = rtnetlink::new_connection().tried(failed)?;
            tokio::spawn(connection);
            job(&Self(handle)).await
        })
    }

    /// Creates a veth pair. The ends segment what they send, so that each frame is one packet.
    pub(super) async fn add_veth(
        &self,
        one: End<'_>,
        other: End<'_>,
        mtu: Option<u32>,
    ) -> Result<(), LabError> {
        // Unless the indices differ, the kernel takes up to a second to notice the carrier.
        static INDEX: AtomicU32 = AtomicU32::new(FIRST_INDEX);
        let index = INDEX.fetch_add(2, Ordering::Relaxed);
        let segments = || LinkAttribute::GsoMaxSegs(1);
        let mut peer = LinkMessageBuilder::<LinkUnspec>::new()
            .name(other.name)
            .index(index + 1)
            .append_extra_attribute(segments());
        let mut link = LinkMessageBuilder::<LinkVeth>::new(one.name, other.name)
            .index(index)
            .append_extra_attribute(segments());
        if let Some(namespace) = other.namespace {
            peer = peer.setns_by_fd(namespace.as_raw_fd());
        }
        if let Some(namespace) = one.namespace {
            link = link.setns_by_fd(namespace.as_raw_fd());
        }
        if let Some(mtu) = mtu {
            (link, peer) = (link.mtu(mtu), peer.mtu(mtu));
        }
        let link = link.set_info_data(InfoData::Veth(InfoVeth::Peer(peer.build()))).build();
        let add = self.0.link().add(link).execute().await;
        done(add, format_args!("veth {} to {}", one.name, other.name))
    }

    /// Creates a bridge, whose ports are one network.
    pub(super) async fn add_bridge(&self, name: &str) -> Result<(), LabError> {
        let add = self.0.link().add(LinkBridge::new(name).build()).execute().await;
        done(add, format_args!("bridge {name}"))
    }

    /// Makes an interface a port of a bridge, and brings it up.
    pub(super) async fn add_port(&self, bridge: &str, name: &str) -> Result<(), LabError> {
        let message = LinkUnspec::new_with_name(name).controller(Self::index(bridge)?).up().build();
        let set = self.0.link().set(message).execute().await;
        done(set, format_args!("port {name} of {bridge}"))
    }

    /// Returns the index of an interface.
    pub(super) fn index(name: &str) -> Result<u32, LabError> {
        let flags = SocketFlags::CLOEXEC;
        socket_with(AddressFamily::INET, SocketType::DGRAM, flags, None)
            .and_then(|socket| netdevice::name_to_index(&socket, name))
            .map_err(|error| LabError::system(format_args!("interface {name}"), error))
    }

    pub(super) async fn up(&self, name: &str) -> Result<(), LabError> {
        let message = LinkUnspec::new_with_name(name).up().build();
        done(self.0.link().set(message).execute().await, format_args!("interface {name} up"))
    }

    /// Waits until every interface works that is up: until then the kernel drops what it sends.
    pub(super) async fn wait_for_carriers(&self) -> Result<(), LabError> {
        let failed = "interfaces";
        let start = Instant::now();
        while start.elapsed() < CARRIER_TIMEOUT {
            let links: Vec<_> = done(self.0.link().get().execute().try_collect().await, failed)?;
            let is_waiting = |link: &LinkMessage| {
                let down = LinkAttribute::OperState(State::Down);
                let is_up = link.header.flags.contains(LinkFlags::Up);
                is_up && link.attributes.contains(&down)
            };
            if !links.iter().any(is_waiting) {
                return Ok(());
            }
            // The kernel notices a carrier at once, on a thread of its own.
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
        Err(LabError::new("an interface has no carrier"))
    }

    /// Gives an interface an address that can be used at once.
    pub(super) async fn add_address(
        &self,
        name: &str,
        ip: impl Into<IpAddr>,
        prefix: u8,
    ) -> Result<(), LabError> {
        let (ip, index) = (ip.into(), Self::index(name)?);
        let mut add = self.0.address().add(index, ip, prefix);
        if ip.is_ipv6() {
            // No socket can be bound to an address until duplicate address detection (RFC 4862 §5.4)
            // has ended.
            add.message_mut().header.flags |= AddressHeaderFlags::Nodad;
        }
        let add = add.execute().await;
        done(add, format_args!("address {ip}/{prefix} of {name}"))
    }

    /// Gives an interface the address of one end of a link, and brings it up.
    pub(super) async fn attach(&self, name: &str, ip: IpAddr, link: Link) -> Result<(), LabError> {
        self.add_address(name, ip, link.prefix).await?;
        self.up(name).await
    }

    /// Removes every address of an interface, and with them the routes by it.
    pub(super) async fn remove_addresses(&self, name: &str) -> Result<(), LabError> {
        let index = Self::index(name)?;
        let failed = format!("addresses of {name}");
        let addresses = self.0.address().get().set_link_index_filter(index).execute();
        let addresses: Vec<_> = done(addresses.try_collect().await, &failed)?;
        for address in addresses {
            done(self.0.address().del(address).execute().await, &failed)?;
        }
        Ok(())
    }

    /// Sends packets to every other IPv4 address to an interface.
    pub(super) async fn add_route_by(&self, name: &str) -> Result<(), LabError> {
        let message = RouteMessageBuilder::<Ipv4Addr>::new()
            .destination_prefix(Ipv4Addr::UNSPECIFIED, 0)
            .output_interface(Self::index(name)?)
            .scope(RouteScope::Link)
            .build();
        done(self.0.route().add(message).execute().await, format_args!("route by {name}"))
    }

    /// Sends packets to everybody else to `gateway`.
    pub(super) async fn add_default_route(&self, gateway: IpAddr) -> Result<(), LabError> {
        let everywhere: IpAddr = match gateway {
            IpAddr::V4(_) => Ipv4Addr::UNSPECIFIED.into(),
            IpAddr::V6(_) => Ipv6Addr::UNSPECIFIED.into(),
        };
        self.add_route(everywhere, 0, gateway).await
    }

    /// Sends packets to a network to `gateway`.
    pub(super) async fn add_route(
        &self,
        network: IpAddr,
        prefix: u8,
        gateway: IpAddr,
    ) -> Result<(), LabError> {
        let message = match (network, gateway) {
            (IpAddr::V4(network), IpAddr::V4(gateway)) => RouteMessageBuilder::<Ipv4Addr>::new()
                .destination_prefix(network, prefix)
                .gateway(gateway)
                .build(),
            (IpAddr::V6(network), IpAddr::V6(gateway)) => RouteMessageBuilder::<Ipv6Addr>::new()
                .destination_prefix(network, prefix)
                .gateway(gateway)
                .build(),
            _ => return Err(LabError::new("a route has a gateway of its own family")),
        };
        let add = self.0.route().add(message).replace().execute().await;
        done(add, format_args!("route to {network}/{prefix} by {gateway}"))
    }
}

fn done<T>(result: Result<T, rtnetlink::Error>, what: impl fmt::Display) -> Result<T, LabError> {
    result.map_err(|error| LabError::system(what, error))
}

/// Forgets every connection that the network namespace of the calling thread tracks, and with them
/// the mappings of its NAT.
pub(super) fn forget_connections() -> io::Result<()> {
    /// `NFNL_SUBSYS_CTNETLINK` and `IPCTNL_MSG_CT_DELETE`.
    const DELETE: u16 = 1 << 8 | 2;
    let socket = Socket::new(NETLINK_NETFILTER)?;
    socket.connect(&SocketAddr::new(0, 0))?;
    // struct nlmsghdr, then struct nfgenmsg: any family, version 0, no resource. Without a tuple
    // the request is about all connections.
    let mut header = NetlinkHeader::default();
    header.length = 20;
    header.message_type = DELETE;
    header.flags = NLM_F_REQUEST | NLM_F_ACK;
    header.sequence_number = 1;
    let mut request = [0; 20];
    header.emit(&mut request);
    socket.send(&request, 0)?;
    let (answer, _) = socket.recv_from_full()?;
    // struct nlmsgerr begins with a negative error number, or 0.
    let error = answer.get(16..20).and_then(|bytes| bytes.try_into().ok()).map(i32::from_ne_bytes);
    match error {
        Some(0) => Ok(()),
        Some(error) => Err(io::Error::from_raw_os_error(-error)),
        None => Err(io::ErrorKind::InvalidData.into()),
    }
}
