//! Users who are kicked, and what their tokens are good for afterwards.

use callbox_base::ids::{DeviceId, SessionId};
use serde_json::Value;

use super::{World, identity, ms, user};
use crate::{
    Input, Resume,
    jwt::{Identity, TokenId},
};

impl World {
    /// alice, with the token of this name that was issued so many seconds ago.
    fn alice_with(&self, token: &str, ago: u64) -> Identity {
        let (token, issued) = (TokenId::of(&format!("{token}.")), self.now.unix_secs() - ago);
        let expires = self.now.unix_secs() + 86_400;
        Identity { token, issued: Some(issued), ..identity("alice", expires) }
    }

    /// Connects, and gives the welcome.
    fn welcome(&mut self, identity: Identity, device: &str) -> Value {
        let session = SessionId::generate(self.now.unix_ms(), &mut self.rng);
        let device = Some(DeviceId::new(device).unwrap());
        self.input(Input::Open { session, identity: identity.into(), device, resume: Resume::New });
        self.received[&session][0].1.clone()
    }
}

fn has_relay(data: &Value) -> bool {
    data["turnCredentials"].is_object()
}

/// The end of credentials, as their user name has it.
fn end(data: &Value) -> u64 {
    let name = data["turnCredentials"]["username"].as_str().unwrap();
    name.split(':').next().unwrap().parse().unwrap()
}

#[test]
fn the_same_token_opens_no_relay_until_the_time_is_over() {
    let mut world = World::new(|config| config.kick_ttl = ms(600_000));
    let before = world.welcome(world.alice_with("one", 100), "laptop");
    world.hub.kick(world.now, &user("alice"), None);
    world.drain();
    // It may come back, and everything works but the relay.
    let token = world.alice_with("one", 100);
    assert!(!has_relay(&world.welcome(token.clone(), "laptop")));
    let asked = world.hub.ice_servers(world.now, &token);
    assert_eq!(asked.turn_credentials, None);
    // Nor does another one that was about then.
    assert!(!has_relay(&world.welcome(world.alice_with("other", 6), "phone")));
    assert!(world.readmitted.is_empty());
    // One that is new does, on its own device, with credentials that end after those from before.
    let new = world.alice_with("new", 0);
    let welcome = world.welcome(new.clone(), "tablet");
    assert!(has_relay(&welcome) && end(&welcome) > end(&before));
    assert_eq!(world.readmitted, [user("alice")]);
    assert!(!has_relay(&world.welcome(token.clone(), "laptop")));
    assert!(world.hub.ice_servers(world.now, &new).turn_credentials.is_some());
    assert_eq!(world.readmitted.len(), 1, "once is enough");

    world.pass(ms(600_000));
    assert!(has_relay(&world.welcome(token, "laptop")));
}

#[test]
fn a_new_token_counts_however_it_comes() {
    for way in 0..3 {
        let mut world = World::new(|_| {});
        world.welcome(world.alice_with("one", 100), "laptop");
        world.hub.kick(world.now, &user("alice"), None);
        world.drain();
        let new = world.alice_with("new", 0);
        match way {
            0 => {
                assert!(world.hub.ice_servers(world.now, &new).turn_credentials.is_some());
                world.drain();
            }
            1 => {
                let session = world.open("alice", "tablet");
                // That is a token that does not say when it was issued, and is another one.
                assert_eq!(std::mem::take(&mut world.readmitted), [user("alice")]);
                world.close(session);
                continue;
            }
            _ => {
                let session = SessionId::generate(world.now.unix_ms(), &mut world.rng);
                let (identity, resume) = (world.alice_with("one", 100), Resume::New);
                world.input(Input::Open {
                    session,
                    identity: identity.into(),
                    device: None,
                    resume,
                });
                assert!(world.readmitted.is_empty());
                let data = serde_json::json!({}).into();
                world.input(Input::Refresh { session, id: None, data, proof: Ok(new).into() });
                assert!(has_relay(&world.ok(session, "ice:refresh", serde_json::json!({}))));
            }
        }
        assert_eq!(world.readmitted, [user("alice")], "{way}");
    }
}

#[test]
fn a_kick_of_a_device_is_one_of_its_token() {
    let mut world = World::new(|_| {});
    world.welcome(world.alice_with("one", 100), "laptop");
    world.welcome(world.alice_with("two", 100), "phone");
    let kicked = world.hub.kick(world.now, &user("alice"), Some(&DeviceId::new("phone").unwrap()));
    world.drain();
    assert_eq!((kicked.sessions, kicked.calls, kicked.rooms), (1, 0, 0));
    assert!(!has_relay(&world.welcome(world.alice_with("two", 100), "phone")));
    assert!(has_relay(&world.welcome(world.alice_with("one", 100), "laptop")));
    // The user was never shut out.
    assert!(world.readmitted.is_empty());
}

#[test]
fn without_a_time_nothing_is_remembered() {
    let mut world = World::new(|config| config.kick_ttl = ms(0));
    world.welcome(world.alice_with("one", 100), "laptop");
    world.hub.kick(world.now, &user("alice"), None);
    world.drain();
    assert!(has_relay(&world.welcome(world.alice_with("one", 100), "laptop")));
    assert_eq!(world.hub.kicks().len(), 0);
}
