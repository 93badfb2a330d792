use std::sync::Mutex;

use callbox_base::ids::UserId;
use callbox_signaling::{
    self as signaling, RequestId, Resume,
    jwt::{Grants, Identity, TokenId},
};
use rand::{SeedableRng, rngs::StdRng};
use serde_json::json;

use super::*;
use crate::state_log::Sync;

fn identity(name: &str, token: &str) -> Identity {
    let user = UserId::new(name).unwrap();
    let (grants, token) = (Grants::default(), TokenId::of(&format!("{token}.")));
    Identity { user, name: None, expires: u64::MAX, grants, token, issued: None }
}

/// This does not wait for the disk, since it must not come after a later kick.
#[tokio::test]
async fn the_relay_is_notified_at_once_of_a_user_who_is_admitted_again() {
    let dir = tempfile::tempdir().unwrap();
    // Nothing is written before the log is opened, as with a slow disk.
    let (log, _, _unopened) = StateLog::read(dir.path().to_owned(), Sync::Never).unwrap();
    let readmitted = Arc::new(Mutex::new(Vec::new()));
    let lifted = readmitted.clone();
    let tell_relay = TellRelay {
        call_ended: Box::new(|_| {}),
        readmit_user: Box::new(|_, _| {}),
        revoke_user: Box::new(|_, _| {}),
        lift_kick: Box::new(move |user| lifted.lock().unwrap().push(user.clone())),
        peers_announced: Box::new(|_, _, _, _| {}),
    };
    let config = signaling::Config { keep_calls: true, ..signaling::Config::default() };
    let reports = reports::Reports::start(reports::Config::default(), None).unwrap().1;
    let (_events, relay) = relay_events();
    let hub = Hub::new(config, [7; 32]);
    let (log, traces, counters) = (Some(log), None, Arc::default());
    let max_message = 1000;
    let hub = spawn(Parts { hub, relay, tell_relay, reports, log, traces, counters, max_message });

    let mut rng = StdRng::seed_from_u64(7);
    let mut name = || SessionId::generate(1, &mut rng);
    let session = name();
    let _alice = hub.open(session, identity("alice", "old"), None, Resume::New).await;
    let _bob = hub.open(name(), identity("bob", "his"), None, Resume::New).await;
    let data = json!({ "targetUserId": "bob", "callType": "audio" }).into();
    let event = "call:initiate".into();
    hub.tell(Input::Request { session, id: Some(RequestId(1)), event, data }).await;
    let alice = UserId::new("alice").unwrap();
    let kick = alice.clone();
    let kicked = hub.act(move |hub, now| hub.kick(now, &kick, None)).await.unwrap();
    assert_eq!((kicked.sessions, kicked.calls), (1, 1));
    assert!(readmitted.lock().unwrap().is_empty());
    let _alice = hub.open(name(), identity("alice", "new"), None, Resume::New).await;
    hub.view(|_, _| ()).await.unwrap();
    assert_eq!(*readmitted.lock().unwrap(), [alice]);
}
