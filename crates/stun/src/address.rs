//! Addresses as they stand in attributes (RFC 8489 §14.1, §14.2): plain, as in MAPPED-ADDRESS, and
//! XORed, as in XOR-PEER-ADDRESS and its kin.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

use super::{TransactionId, header::MAGIC_COOKIE};

const IPV4: u8 = 1;
const IPV6: u8 = 2;

/// Returns the mask that the address is XORed with: the magic cookie, then the transaction id.
fn mask(transaction: TransactionId) -> [u8; 16] {
    let mut mask = [0; 16];
    mask[..4].copy_from_slice(&MAGIC_COOKIE.to_be_bytes());
    mask[4..].copy_from_slice(&transaction.0);
    mask
}

/// Reads the value of an XOR-…-ADDRESS attribute; `None` if it is malformed.
pub(super) fn read_xor(value: &[u8], transaction: TransactionId) -> Option<SocketAddr> {
    let (&[_, family, p0, p1], address) = value.split_first_chunk::<4>()?;
    let mask = mask(transaction);
    let port = u16::from_be_bytes([p0 ^ mask[0], p1 ^ mask[1]]);
    let unmask = |bytes: &mut [u8]| bytes.iter_mut().zip(mask).for_each(|(b, m)| *b ^= m);
    let ip = match family {
        IPV4 => {
            let mut octets: [u8; 4] = address.try_into().ok()?;
            unmask(&mut octets);
            IpAddr::from(Ipv4Addr::from(octets))
        }
        IPV6 => {
            let mut octets: [u8; 16] = address.try_into().ok()?;
            unmask(&mut octets);
            IpAddr::from(Ipv6Addr::from(octets))
        }
        _ => return None,
    };
    Some(SocketAddr::new(ip, port))
}

/// Returns the length of the value for `address`, XORed or not: 8 or 20 bytes.
#[inline]
pub(super) fn xor_len(address: SocketAddr) -> usize {
    if address.is_ipv4() { 8 } else { 20 }
}

/// Writes the value of a …-ADDRESS attribute that is not XORed into `value`, which is [`xor_len`]
/// long.
#[inline]
pub(super) fn write_address(value: &mut [u8], address: SocketAddr) {
    value[0] = 0;
    value[2..4].copy_from_slice(&address.port().to_be_bytes());
    match address.ip() {
        IpAddr::V4(ip) => {
            value[1] = IPV4;
            value[4..8].copy_from_slice(&ip.octets());
        }
        IpAddr::V6(ip) => {
            value[1] = IPV6;
            value[4..20].copy_from_slice(&ip.octets());
        }
    }
}

/// Writes the value of an XOR-…-ADDRESS attribute into `value`, which is [`xor_len`] long.
#[inline]
pub(super) fn write_xor(value: &mut [u8], address: SocketAddr, transaction: TransactionId) {
    write_address(value, address);
    let mask = mask(transaction);
    value[2] ^= mask[0];
    value[3] ^= mask[1];
    value[4..].iter_mut().zip(mask).for_each(|(b, m)| *b ^= m);
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn a_written_address_is_parsed_back(ip: IpAddr, port: u16, id: [u8; 12]) {
            let address = SocketAddr::new(ip, port);
            let mut value = vec![0xAA; xor_len(address)];
            write_xor(&mut value, address, TransactionId(id));
            prop_assert_eq!(read_xor(&value, TransactionId(id)), Some(address));
            // One byte more or less is not an address.
            value.push(0);
            prop_assert_eq!(read_xor(&value, TransactionId(id)), None);
            prop_assert_eq!(read_xor(&value[..value.len() - 2], TransactionId(id)), None);
        }
    }
}
