//! Access tokens (RFC 7635) on the production core with virtual time.

use std::time::Duration;

use ::stun::{attributes::AttrType, integrity::MessageIntegrity, message::*};
use base64::{Engine as _, prelude::BASE64_STANDARD};

use crate::auth::testing::seal;
use crate::{testing::*, *};

const KEY: [u8; 16] = *b"0123456789abcdef";
const MAC_KEY: [u8; 20] = [9; 20];

fn world() -> World {
    let key = format!("north:{}", BASE64_STANDARD.encode(KEY)).parse().unwrap();
    World::with_access_tokens(Config::default(), 1, vec![key])
}

/// A client that signs with the key in its token, and shows a token that lives for so long.
fn shows(
    world: &mut World,
    client: &mut Client,
    method: Method,
    token_lives: u32,
    asked: u64,
) -> Answer {
    let token = seal(&KEY, REALM, &MAC_KEY, world.now.unix_secs(), token_lives);
    let attributes = [udp(), lifetime(asked), raw(AttrType(0x001B), &token)];
    ask(world, client, method, &attributes)
}

fn ask(
    world: &mut World,
    client: &mut Client,
    method: Method,
    attributes: &[Box<dyn Setter>],
) -> Answer {
    let mut message = client.unsigned(method, attributes);
    MessageIntegrity(MAC_KEY.to_vec()).add_to(&mut message).unwrap();
    let answer = client.exchange(world, &message.raw);
    if answer.code == Some(438) {
        client.nonce = answer.text(::stun::attributes::ATTR_NONCE).unwrap();
        return ask(world, client, method, attributes);
    }
    answer
}

#[test]
fn an_allocation_lives_no_longer_than_its_token() {
    let mut world = world();
    let mut client = Client::new("198.51.100.1:4000", "north");
    assert_eq!(shows(&mut world, &mut client, METHOD_ALLOCATE, 60, 3600).lifetime(), 60);
    world.advance(Duration::from_secs(20));
    // Without a new token there is what is left of the old one; with one, what that has.
    let again = ask(&mut world, &mut client, METHOD_REFRESH, &[lifetime(3600)]);
    assert_eq!(again.lifetime(), 40);
    assert_eq!(shows(&mut world, &mut client, METHOD_REFRESH, 1000, 3600).lifetime(), 1000);
    world.advance(Duration::from_secs(500));
    assert_eq!(ask(&mut world, &mut client, METHOD_REFRESH, &[lifetime(3600)]).lifetime(), 500);
    assert_eq!(shows(&mut world, &mut client, METHOD_REFRESH, 9000, 3600).lifetime(), 3600);
    world.advance(Duration::from_secs(3600));
    world.assert_nothing_is_left();
}
