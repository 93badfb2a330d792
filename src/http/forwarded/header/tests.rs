use proptest::prelude::*;

use super::*;

fn headers(name: HeaderName, lines: &[&[u8]]) -> HeaderMap {
    let mut headers = HeaderMap::new();
    for line in lines {
        headers.append(&name, HeaderValue::from_bytes(line).unwrap());
    }
    headers
}

/// Parses `Forwarded` lines and returns the address and the scheme of each hop, the last first,
/// with `-` for a missing one.
fn read(lines: &[&str]) -> Option<Vec<String>> {
    let lines: Vec<_> = lines.iter().map(|line| line.as_bytes()).collect();
    let hops = forwarded(&headers(header::FORWARDED, &lines)).ok()?;
    let show = |hop: Hop| {
        let node = match hop.node {
            Node::Address(at) if at.port() == 0 => at.ip().to_string(),
            Node::Address(at) => at.to_string(),
            Node::Hidden => "-".into(),
        };
        let scheme = hop.scheme.map_or("-".into(), |scheme| format!("{scheme:?}"));
        format!("{node} {scheme}")
    };
    Some(hops.into_iter().map(show).collect())
}

#[test]
fn forwarded_is_parsed_by_rfc_7239() {
    // The examples of §4, §6 and §7.1, and forms that occur in practice.
    for (lines, expected) in [
        (&[r#"for="_gazonk""#][..], &["- -"][..]),
        (&[r#"For="[2001:db8:cafe::17]:4711""#], &["[2001:db8:cafe::17]:4711 -"]),
        (&["for=192.0.2.60;proto=http;by=203.0.113.43"], &["192.0.2.60 Http"]),
        (&["for=192.0.2.43, for=198.51.100.17"], &["198.51.100.17 -", "192.0.2.43 -"]),
        (&["for=192.0.2.43", "for=198.51.100.17"], &["198.51.100.17 -", "192.0.2.43 -"]),
        (
            &[r#"for=192.0.2.43,for="[2001:db8:cafe::17]",for=unknown"#],
            &["- -", "2001:db8:cafe::17 -", "192.0.2.43 -"],
        ),
        (&[r#"for="192.0.2.43:47011""#], &["192.0.2.43:47011 -"]),
        (&["for=192.0.2.43:47011; PROTO=HTTPS"], &["192.0.2.43:47011 Https"]),
        (&[r#"for="192.0.2.43:_x7";proto="https""#], &["192.0.2.43 Https"]),
        (&[r#"for="[::ffff:192.0.2.43]:5""#], &["192.0.2.43:5 -"]),
        (&[r#"for="1\92.0.2.43";host="a,b;c=\"d\"""#], &["192.0.2.43 -"]),
        (&["proto=https;host=a.example"], &["- Https"]),
        (&[" , ,for=192.0.2.43 , ", ""], &["192.0.2.43 -"]),
        (&["for=192.0.2.43;;proto=gopher;"], &["192.0.2.43 -"]),
    ] {
        let expected: Vec<_> = expected.iter().map(ToString::to_string).collect();
        assert_eq!(read(lines), Some(expected), "{lines:?}");
    }
    for line in [
        "192.0.2.43",
        "for=",
        "for=\"192.0.2.43",
        "for=\"192.0.2.43\"x",
        "for=192.0.2.43 192.0.2.44",
        "for=192.0.2.43;for=192.0.2.44",
        "for=192.0.2.256",
        "for=\"[192.0.2.43\"",
        "for=\"[2001:db8::1]5\"",
        "for=192.0.2.43:65536",
        "for=_",
        "for=example.com",
        "fo r=192.0.2.43",
        "=192.0.2.43",
        "for=\"fe80::1%eth0\"",
    ] {
        assert_eq!(read(&[line]), None, "{line}");
    }
    let long = "for=192.0.2.43,".repeat(MAX_FORWARDED / 15 + 1);
    assert_eq!(read(&[&long]), None);
}

#[test]
fn x_forwarded_for_is_read_from_its_end() {
    let lines: &[&[u8]] =
        &[b"\xff, <script>, 192.0.2.1", b" 2001:db8::1 ,,[2001:db8::2]:99,unknown"];
    let headers = headers(X_FORWARDED_FOR, lines);
    let mut hops = x_forwarded_for(&headers).map(|hop| hop.map(|hop| hop.node));
    assert_eq!(hops.next(), Some(Ok(Node::Hidden)));
    for expected in ["[2001:db8::2]:99", "[2001:db8::1]:0", "192.0.2.1:0"] {
        assert_eq!(hops.next(), Some(Ok(Node::Address(expected.parse().unwrap()))));
    }
    assert_eq!(hops.next(), Some(Err(Malformed)));
    assert_eq!(hops.next(), Some(Err(Malformed)));
    assert_eq!(hops.next(), None);
}

#[test]
fn one_scheme_is_taken_and_several_are_ignored() {
    for (lines, expected) in [
        (&[&b"https"[..]][..], Some(Scheme::Https)),
        (&[b" HTTP "], Some(Scheme::Http)),
        (&[b"wss"], Some(Scheme::Https)),
        (&[b"https, http"], None),
        (&[b"https", b"http"], None),
        (&[b"gopher"], None),
        (&[], None),
    ] {
        assert_eq!(x_forwarded_proto(&headers(X_FORWARDED_PROTO, lines)), expected, "{lines:?}");
    }
}

proptest! {
    #[test]
    fn any_text_is_parsed_or_refused(line in "[ -~]{0,80}") {
        let _ = read(&[&line]);
        let headers = headers(X_FORWARDED_FOR, &[line.as_bytes()]);
        prop_assert!(x_forwarded_for(&headers).count() <= 81);
    }

    /// A header that one proxy has written is parsed by another.
    #[test]
    fn an_address_is_parsed_as_it_was_written(ip: IpAddr, port in 1u16..) {
        let at = SocketAddr::new(ip.to_canonical(), port);
        let expected = Some(vec![format!("{at} Https")]);
        prop_assert_eq!(read(&[&format!("for=\"{at}\";proto=https")]), expected);
        let headers = headers(X_FORWARDED_FOR, &[at.ip().to_string().as_bytes()]);
        let hop = x_forwarded_for(&headers).next().unwrap().unwrap();
        prop_assert_eq!(hop.node, Node::Address(SocketAddr::new(at.ip(), 0)));
    }
}
