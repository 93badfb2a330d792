//! Requests: what each is answered with.

use super::*;

#[test]
fn a_binding_response_has_the_address_of_the_client() {
    let mut world = World::default();
    for address in [ALICE, "[2001:db8::9]:4000"] {
        let mut client = Client::new(address, "nobody");
        let request = client.plain(METHOD_BINDING, CLASS_REQUEST, &[]).raw;
        assert_eq!(client.exchange(&mut world, &request).mapped(), client.address);
    }
}

#[test]
fn an_unknown_attribute_is_named_in_a_420() {
    let mut world = World::default();
    let mut client = Client::new(ALICE, "alice");
    let request = client
        .plain(
            METHOD_BINDING,
            CLASS_REQUEST,
            &[raw(AttrType(0x7001), b"x"), raw(AttrType(0x9001), b"x")],
        )
        .raw;
    let answer = client.exchange(&mut world, &request);
    assert_eq!(answer.code, Some(420));
    let mut unknown = UnknownAttributes(vec![]);
    unknown.get_from(&answer.message).unwrap();
    assert_eq!(unknown.0, [AttrType(0x7001)]);

    client.allocate(&mut world);
    let answer = client.request(&mut world, METHOD_REFRESH, &[raw(AttrType(0x7002), b"")]);
    assert_eq!(answer.code, Some(420));
}

#[test]
fn a_first_allocate_is_challenged_and_a_second_one_succeeds() {
    let mut world = World::default();
    let mut client = Client::new(ALICE, "alice");
    let request = client.plain(METHOD_ALLOCATE, CLASS_REQUEST, &[udp()]).raw;
    let answer = client.exchange(&mut world, &request);
    assert_eq!(answer.code, Some(401));
    assert_eq!(answer.text(ATTR_REALM).unwrap(), REALM);
    client.nonce = answer.text(ATTR_NONCE).unwrap();
    let request = client.signed(METHOD_ALLOCATE, &[udp()]);
    let answer = client.exchange(&mut world, &request);
    assert_eq!(answer.code, None);
    assert_eq!((answer.mapped(), answer.lifetime()), (client.address, 600));
    assert_eq!(answer.relayed().ip(), at(LISTENERS[0]).ip());
    assert!((49152..=65535).contains(&answer.relayed().port()));
}

#[test]
fn wrong_credentials_are_a_401() {
    let mut world = World::default();
    for (user, password) in [("alice", "wrong"), ("nobody", "pass"), ("1900000000:alice", "pass")] {
        let mut client = Client::new(ALICE, user);
        client.password = password.into();
        let answer = client.request(&mut world, METHOD_ALLOCATE, &[udp()]);
        assert_eq!(answer.code, Some(401), "{user}");
        assert!(answer.text(ATTR_NONCE).is_some());
    }
    world.assert_nothing_is_left();
}

#[test]
fn a_retransmitted_allocate_gets_the_same_success_and_another_one_a_437() {
    let mut world = World::default();
    let mut client = Client::new(ALICE, "alice");
    client.allocate(&mut world);
    client.request(&mut world, METHOD_REFRESH, &[lifetime(0)]);
    let request = client.signed(METHOD_ALLOCATE, &[raw(ATTR_EVEN_PORT, &[0x80]), udp()]);
    let first = client.exchange(&mut world, &request);
    let again = client.exchange(&mut world, &request);
    assert_eq!(first.code, None);
    assert_eq!(first.message.raw, again.message.raw);
    let other = client.request(&mut world, METHOD_ALLOCATE, &[udp()]);
    assert_eq!(other.code, Some(437));
    assert_eq!(world.network.sockets.len(), 1);
}

#[test]
fn each_wrong_allocate_has_its_code() {
    let mut world = World::default();
    let mut client = Client::new(ALICE, "alice");
    let mut code = |attributes: &[Box<dyn Setter>]| {
        client.request(&mut world, METHOD_ALLOCATE, attributes).code
    };
    let family = |n| raw(ATTR_REQUESTED_ADDRESS_FAMILY, &[n, 0, 0, 0]);
    let token = || raw(ATTR_RESERVATION_TOKEN, &[7; 8]);
    assert_eq!(code(&[]), Some(400));
    assert_eq!(code(&[raw(ATTR_REQUESTED_TRANSPORT, &[132, 0, 0, 0])]), Some(442));
    assert_eq!(code(&[udp(), family(3)]), Some(440));
    assert_eq!(code(&[udp(), token()]), Some(508));
    assert_eq!(code(&[udp(), token(), family(1)]), Some(400));
    assert_eq!(code(&[udp(), token(), raw(ATTR_EVEN_PORT, &[0])]), Some(400));
    assert_eq!(code(&[udp(), raw(ATTR_LIFETIME, &[0; 3])]), Some(400));
    assert_eq!(code(&[udp(), raw(ATTR_DONT_FRAGMENT, &[0])]), Some(400));
    world.assert_nothing_is_left();
}

#[test]
fn without_an_address_of_the_family_it_is_a_440() {
    let config = Config { relay_ips: vec!["8.8.4.4".parse().unwrap()], ..Config::default() };
    let mut world = World::new(config, 1);
    let mut client = Client::new(ALICE, "alice");
    let v6 = [udp(), raw(ATTR_REQUESTED_ADDRESS_FAMILY, &[2, 0, 0, 0])];
    assert_eq!(client.request(&mut world, METHOD_ALLOCATE, &v6).code, Some(440));
}

#[test]
fn a_client_of_one_family_can_have_an_address_of_the_other() {
    let mut world = World::default();
    let mut client = Client::new(ALICE, "alice");
    let v6 = [udp(), raw(ATTR_REQUESTED_ADDRESS_FAMILY, &[2, 0, 0, 0])];
    let answer = client.request(&mut world, METHOD_ALLOCATE, &v6);
    assert!(answer.relayed().is_ipv6());
    assert_eq!(client.permit(&mut world, "8.8.8.8").code, Some(443));
    assert_eq!(client.bind(&mut world, 0x4000, PEER).code, Some(443));
    assert_eq!(client.permit(&mut world, "2606:4700::2").code, None);
    let refresh = |family| [lifetime(600), raw(ATTR_REQUESTED_ADDRESS_FAMILY, &[family, 0, 0, 0])];
    assert_eq!(client.request(&mut world, METHOD_REFRESH, &refresh(1)).code, Some(443));
    assert_eq!(client.request(&mut world, METHOD_REFRESH, &refresh(2)).code, None);
}

#[test]
fn an_allocation_ends_with_the_stream_of_its_client() {
    let mut world = World::default();
    let mut client = Client::new(ALICE, "alice");
    world.connect(client.address);
    let relayed = client.allocate(&mut world);
    client.bind(&mut world, 0x4000, PEER);
    // Padded to four bytes, over a stream.
    let down = world.peer_sends(PEER.parse().unwrap(), relayed, b"five!").unwrap();
    assert_eq!(down, b"\x40\0\0\x05five!\0\0\0");
    world.disconnect(client.address);
    world.assert_nothing_is_left();
    // The address alone leads to nothing.
    world.connect(client.address);
    assert_eq!(client.channel_data(&mut world, 0x4000, b"up"), None);
    assert_eq!(client.request(&mut world, METHOD_REFRESH, &[lifetime(600)]).code, Some(437));
    world.disconnect(client.address);
}

/// The client goes while the system still opens the socket for it.
#[test]
fn an_allocation_whose_stream_has_closed_is_not_opened() {
    let mut world = World::default();
    let mut client = Client::new(ALICE, "alice");
    world.connect(client.address);
    assert_eq!(client.permit(&mut world, "8.8.8.8").code, Some(437));
    let request = client.signed(METHOD_ALLOCATE, &[udp()]);
    let tuple = world.tuple(client.address);
    for result in [Ok(()), Err(OpenError::AddressInUse), Err(OpenError::System)] {
        let (mut buffer, range) = roomy(&request);
        let mut packet = Packet::new(&mut buffer, range);
        let engine = &mut world.workers[0];
        let fresh = engine.stream_opened(tuple.client, "8.8.4.4".parse().unwrap());
        engine.handle_client(world.now, fresh, &mut packet);
        let Some(Output::OpenRelay { allocation, .. }) = engine.poll_output() else {
            panic!("no socket is asked for");
        };
        let Via::Stream(id) = fresh.via else { panic!("{fresh:?}") };
        engine.stream_closed(id);
        assert!(engine.poll_output().is_none());
        engine.relay_opened(world.now, allocation, result);
        let closed = matches!(engine.poll_output(), Some(Output::CloseRelay { .. }));
        assert_eq!(closed, result.is_ok());
        assert!(engine.poll_output().is_none(), "nobody is answered");
    }
    world.disconnect(client.address);
    world.assert_nothing_is_left();
}

#[test]
fn all_requests_but_allocate_need_an_allocation_of_the_same_user() {
    let mut world = World::default();
    let mut alice = Client::new(ALICE, "alice");
    let mut mallory = Client::new(ALICE, "bob");
    assert_eq!(alice.permit(&mut world, "8.8.8.8").code, Some(437));
    assert_eq!(alice.bind(&mut world, 0x4000, PEER).code, Some(437));
    alice.allocate(&mut world);
    assert_eq!(mallory.permit(&mut world, "8.8.8.8").code, Some(441));
    assert_eq!(mallory.bind(&mut world, 0x4000, PEER).code, Some(441));
    assert_eq!(mallory.request(&mut world, METHOD_REFRESH, &[lifetime(0)]).code, Some(441));
    assert_eq!(mallory.request(&mut world, METHOD_ALLOCATE, &[udp()]).code, Some(437));
    assert_eq!(world.network.sockets.len(), 1);
}

#[test]
fn a_stale_nonce_is_a_438_with_a_fresh_one() {
    let mut world = World::default();
    let mut client = Client::new(ALICE, "alice");
    client.allocate(&mut world);
    for _ in 0..7 {
        world.advance(secs(550));
        assert_eq!(client.request(&mut world, METHOD_REFRESH, &[]).code, None);
    }
    let old = client.signed(METHOD_REFRESH, &[]);
    world.advance(secs(580));
    client.request(&mut world, METHOD_REFRESH, &[]);
    client.nonce = "made-up".into();
    let request = client.signed(METHOD_REFRESH, &[]);
    let answer = client.exchange(&mut world, &request);
    assert_eq!(answer.code, Some(438));
    assert!(answer.text(ATTR_NONCE).is_some() && answer.text(ATTR_REALM).is_some());
    // From another address even a good one is of no use: there is nothing behind it.
    let mut thief = Client::new(BOB, "alice");
    assert_eq!(thief.exchange(&mut world, &old).code, Some(438));
}
