//! The header that a proxy in front of the server writes before its client's data, versions 1 and 2
//! (haproxy.org/download/3.0/doc/proxy-protocol.txt): it contains the client's address.

use std::{io, net::SocketAddr};

use callbox_base::addresses::canonical;
use proxy_header::{ParseConfig, ProxyHeader};
use tokio::io::{AsyncRead, AsyncReadExt};

/// The longest header of version 1, with its line end (§2.1).
const MAX_V1: usize = 107;

/// The fixed part of a header of version 2 (§2.2).
const V2_FIXED: usize = 16;

/// The longest rest of a header of version 2 that is accepted: addresses, and fields that a proxy
/// may add.
const MAX_V2: usize = 2048;

/// Reads the header and nothing after it. Returns `None` if the proxy connects for itself, or for a
/// client without an address.
///
/// # Errors
/// `InvalidData` if there is none: a proxy that may send one must (§2).
pub(super) async fn read<R: AsyncRead + Unpin>(stream: &mut R) -> io::Result<Option<SocketAddr>> {
    let mut bytes = vec![stream.read_u8().await?];
    match bytes[0] {
        b'P' => {
            while bytes.last() != Some(&b'\n') {
                if bytes.len() == MAX_V1 {
                    return Err(invalid("a PROXY line without an end"));
                }
                bytes.push(stream.read_u8().await?);
            }
        }
        b'\r' => {
            bytes.resize(V2_FIXED, 0);
            stream.read_exact(&mut bytes[1..]).await?;
            let len = usize::from(u16::from_be_bytes([bytes[14], bytes[15]]));
            if len > MAX_V2 {
                return Err(invalid("a PROXY header that is too long"));
            }
            bytes.resize(V2_FIXED + len, 0);
            stream.read_exact(&mut bytes[V2_FIXED..]).await?;
        }
        _ => return Err(invalid("no PROXY header")),
    }
    let config = ParseConfig { include_tlvs: false, ..ParseConfig::default() };
    let (header, _) = ProxyHeader::parse(&bytes, config).map_err(|_| invalid("no PROXY header"))?;
    Ok(header.proxied_address().map(|address| canonical(address.source)))
}

fn invalid(message: &'static str) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, message)
}

#[cfg(test)]
mod tests {
    use super::*;

    async fn parse(bytes: &[u8]) -> (io::Result<Option<SocketAddr>>, usize) {
        let mut left = bytes;
        let result = read(&mut left).await;
        (result, left.len())
    }

    fn v2(command: u8, family: u8, rest: &[u8]) -> Vec<u8> {
        let mut bytes = b"\r\n\r\n\0\r\nQUIT\n".to_vec();
        bytes.extend([0x20 | command, family]);
        bytes.extend((rest.len() as u16).to_be_bytes());
        bytes.extend(rest);
        bytes
    }

    #[tokio::test]
    async fn both_versions_name_the_client_and_leave_the_data_that_follows() {
        let client = Some("192.0.2.1:5000".parse().unwrap());
        let v1 = b"PROXY TCP4 192.0.2.1 198.51.100.1 5000 443\r\nGET /";
        let v2 =
            [v2(1, 0x11, &[192, 0, 2, 1, 198, 51, 100, 1, 0x13, 0x88, 1, 0xbb]), b"GET /".into()];
        for bytes in [&v1[..], &v2.concat()] {
            let (address, left) = parse(bytes).await;
            assert_eq!((address.unwrap(), left), (client, 5));
        }
        let v1 = b"PROXY TCP6 2001:db8::1 2001:db8::2 5000 443\r\n";
        assert_eq!(parse(v1).await.0.unwrap(), Some("[2001:db8::1]:5000".parse().unwrap()));
    }

    /// A proxy with a dual-stack listener sends it in this form.
    #[tokio::test]
    async fn an_ipv4_client_in_ipv6_form_is_an_ipv4_client() {
        let client = Some("192.0.2.1:5000".parse().unwrap());
        let v1 = b"PROXY TCP6 ::ffff:192.0.2.1 ::ffff:198.51.100.1 5000 443\r\n";
        let mapped = |v4: [u8; 4]| {
            let v4 = std::net::Ipv4Addr::from(v4);
            v4.to_ipv6_mapped().octets()
        };
        let ips = [mapped([192, 0, 2, 1]), mapped([198, 51, 100, 1])].concat();
        let v2 = v2(1, 0x21, &[&ips[..], &[0x13, 0x88, 1, 0xbb]].concat());
        for bytes in [&v1[..], &v2] {
            assert_eq!(parse(bytes).await.0.unwrap(), client);
        }
    }

    #[tokio::test]
    async fn a_proxy_may_connect_for_itself() {
        assert_eq!(parse(b"PROXY UNKNOWN\r\n").await.0.unwrap(), None);
        assert_eq!(parse(&v2(0, 0, &[])).await.0.unwrap(), None);
    }

    #[tokio::test]
    async fn nothing_else_is_a_header() {
        let endless = [b'P'; 200];
        let long = v2(1, 0x11, &[0; 3000]);
        let mut wrong = v2(1, 0x11, &[0; 12]);
        wrong[3] = b'x';
        for bytes in
            [&b"GET / HTTP/1.1\r\n"[..], b"PROXY TCP4 x y 1 2\r\n", &endless, &long, &wrong]
        {
            let error = parse(bytes).await.0.unwrap_err();
            assert_eq!(error.kind(), io::ErrorKind::InvalidData);
        }
        let whole = v2(1, 0x11, &[192, 0, 2, 1, 198, 51, 100, 1, 0x13, 0x88, 1, 0xbb]);
        for cut in 0..whole.len() {
            let error = parse(&whole[..cut]).await.0.unwrap_err();
            assert_eq!(error.kind(), io::ErrorKind::UnexpectedEof);
        }
    }
}
