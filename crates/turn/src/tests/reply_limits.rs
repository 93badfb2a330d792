//! The limit of answers to unknown senders.

use super::*;

#[test]
fn unauthenticated_answers_to_an_address_are_limited_and_nothing_grows() {
    let config = Config { max_unauthenticated_replies: 100, ..Config::default() };
    let mut world = World::new(config, 1);
    let mut flood = Client::new(ALICE, "x");
    let mut answered = 0;
    for _ in 0..10_000 {
        let request = flood.plain(METHOD_ALLOCATE, CLASS_REQUEST, &[udp()]).raw;
        world.client_sends(flood.address, &request);
        answered += world.answers(flood.address).len();
    }
    // Half of them at first: the other half is for requests that come again.
    assert_eq!(answered, 50);
    world.assert_nothing_is_left();
    assert!(world.snapshot().drops.contains(&("reply_limit", 9_950)));
    // Others are served, and so is the address itself a moment later.
    Client::new(BOB, "bob").allocate(&mut world);
    world.advance(secs(1));
    Client::new("198.51.100.1:5000", "alice").allocate(&mut world);
}

/// For two seconds, 3,000 forged Allocates in each come "from" an address with clients.
#[test]
fn forged_requests_keep_no_client_away_that_has_proved_its_address() {
    let mut world = World::default();
    let mut known = Client::new("198.51.100.1:4000", "alice");
    known.allocate(&mut world);
    let mut flood = Client::new("198.51.100.1:10000", "x");
    for round in 0..20 {
        for n in 0..300 {
            flood.address.set_port(10_000 + n);
            let request = flood.plain(METHOD_ALLOCATE, CLASS_REQUEST, &[udp()]).raw;
            world.client_sends(flood.address, &request);
            world.answers(flood.address);
        }
        // Over TCP with no nonce yet, and over UDP with one that is good and a wrong password.
        let mut client = Client::new(&format!("198.51.100.1:{}", 5000 + round), "bob");
        world.connect(client.address);
        client.allocate(&mut world);
        world.disconnect(client.address);
        let mut wrong = known.clone();
        wrong.password = "other".into();
        assert_eq!(wrong.request(&mut world, METHOD_REFRESH, &[]).code, Some(401));
        world.advance(Duration::from_millis(100));
    }
    let dropped = world.snapshot().drops.iter().find(|drop| drop.0 == "reply_limit").unwrap().1;
    assert!(dropped > 3_000, "{dropped} were held back");
}

#[test]
fn an_answer_is_hardly_larger_than_its_question() {
    let mut world = World::default();
    let mut client = Client::new("[2001:db8::9]:4000", "nobody");
    let request = client.plain(METHOD_BINDING, CLASS_REQUEST, &[]).raw;
    assert!(client.exchange(&mut world, &request).message.raw.len() <= 44);
    let request = client.plain(METHOD_ALLOCATE, CLASS_REQUEST, &[udp()]).raw;
    // The answer has what RFC 8489 §9.2.4 asks for and nothing else: the header (20), an error
    // without a phrase (8), the realm (4, and 4 for this one), a nonce of which half is the nonce
    // cookie (4 and 28), and PASSWORD-ALGORITHMS (12).
    assert_eq!(client.exchange(&mut world, &request).message.raw.len(), 80);
}
