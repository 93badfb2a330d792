//! DONT-FRAGMENT (RFC 8656 §7.2, §11.2, §14) on the production core.

use ::stun::{attributes::*, message::*, uattrs::UnknownAttributes};

use crate::{testing::*, *};

const V4: &str = "8.8.8.8:7000";
const V6: &str = "[2606:4700::9]:7000";

fn dont_fragment() -> Box<dyn Setter> {
    raw(ATTR_DONT_FRAGMENT, b"")
}

#[test]
fn dont_fragment_is_unknown_without_system_support() {
    let config = Config { dont_fragment: false, ..Config::default() };
    let mut world = World::new(config, 1);
    let mut client = Client::new("198.51.100.1:4000", "alice");
    let answer = client.request(&mut world, METHOD_ALLOCATE, &[udp(), dont_fragment()]);
    assert_eq!(answer.code, Some(420));
    let mut unknown = UnknownAttributes(vec![]);
    unknown.get_from(&answer.message).unwrap();
    assert_eq!(unknown.0, [ATTR_DONT_FRAGMENT]);

    client.allocate(&mut world);
    client.permit(&mut world, "8.8.8.8");
    let attributes = [peer(V4), data(b"x"), dont_fragment()];
    let send = client.plain(METHOD_SEND, CLASS_INDICATION, &attributes);
    let (verdict, _) = world.client_sends(client.address, &send.raw);
    assert_eq!(verdict, FromClient::Dropped(DropReason::BadIndication));
}

/// RFC 8656 §13: "ignored", where datagrams are translated; §14 and §15: else it is honoured.
#[test]
fn dont_fragment_is_honoured_from_ipv4_to_ipv4_and_from_streams() {
    for (client, stream, to, honoured) in [
        ("198.51.100.1:4000", false, V4, true),
        ("198.51.100.1:4000", false, V6, false),
        ("[2001:db8::9]:4000", false, V4, false),
        ("[2001:db8::9]:4000", false, V6, false),
        ("198.51.100.1:4000", true, V4, true),
        ("[2001:db8::9]:4000", true, V6, true),
    ] {
        let config = Config { dont_fragment: true, ..Config::default() };
        let mut world = World::new(config, 1);
        let mut client = Client::new(client, "alice");
        if stream {
            world.connect(client.address);
        }
        let attributes = [udp(), both(), dont_fragment()];
        let answer = client.request(&mut world, METHOD_ALLOCATE, &attributes);
        assert_eq!(answer.code, None);
        client.bind(&mut world, 0x4000, to);
        let mut sent = |attributes: &[Box<dyn Setter>]| {
            let send = client.plain(METHOD_SEND, CLASS_INDICATION, attributes);
            match world.client_sends(client.address, &send.raw).0 {
                FromClient::Forward { dont_fragment, .. } => dont_fragment,
                other => panic!("{other:?}"),
            }
        };
        assert_eq!(sent(&[peer(to), data(b"x"), dont_fragment()]), honoured, "{to} {stream}");
        assert!(!sent(&[peer(to), data(b"x")]));
    }
}
