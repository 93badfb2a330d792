use std::sync::{
    Arc, Mutex,
    atomic::{AtomicUsize, Ordering},
};

use axum::{Router, extract::State as AxumState, routing::get};
use base64::{Engine, prelude::BASE64_URL_SAFE_NO_PAD};
use callbox_base::clock::Now;
use callbox_signaling::jwt::{TokenError, TokenKeys, TokenVerifier};
use callbox_tls::Roots;
use ring::{
    rand::SystemRandom,
    signature::{Ed25519KeyPair, KeyPair},
};
use serde_json::{Value, json};
use tokio::net::TcpListener;

use super::*;

/// Short where a test waits for it, and very long where it must not happen.
const PACE: Pace = Pace {
    every: Duration::from_secs(3600),
    retry: Duration::from_millis(5),
    longest_retry: Duration::from_millis(20),
    apart: Duration::ZERO,
};

/// An issuer's key.
struct Key {
    id: &'static str,
    pair: Ed25519KeyPair,
}

impl Key {
    fn new(id: &'static str) -> Self {
        let pkcs8 = Ed25519KeyPair::generate_pkcs8(&SystemRandom::new()).unwrap();
        Self { id, pair: Ed25519KeyPair::from_pkcs8(pkcs8.as_ref()).unwrap() }
    }

    fn jwk(&self) -> Value {
        let x = BASE64_URL_SAFE_NO_PAD.encode(self.pair.public_key());
        json!({ "kty": "OKP", "crv": "Ed25519", "use": "sig", "kid": self.id, "x": x })
    }

    fn token(&self) -> String {
        let part = |value: Value| BASE64_URL_SAFE_NO_PAD.encode(value.to_string());
        let header = part(json!({ "alg": "EdDSA", "kid": self.id }));
        let claims = part(json!({ "sub": "alice", "exp": Now::read().unix_secs() + 60 }));
        let message = format!("{header}.{claims}");
        let signature = BASE64_URL_SAFE_NO_PAD.encode(self.pair.sign(message.as_bytes()));
        format!("{message}.{signature}")
    }
}

#[derive(Default)]
struct Shared {
    document: Mutex<Option<String>>,
    requests: AtomicUsize,
}

/// A server that publishes keys, and the code that uses them.
struct Issuer {
    shared: Arc<Shared>,
    keys: PublishedKeys,
    verifier: TokenVerifier,
    set: KeySet,
}

impl Issuer {
    async fn start(document: Option<String>, pace: Pace) -> Self {
        let shared = Arc::new(Shared { document: document.into(), ..Shared::default() });
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}/jwks", listener.local_addr().unwrap()).parse().unwrap();
        let answer = async |AxumState(shared): AxumState<Arc<Shared>>| {
            shared.requests.fetch_add(1, Ordering::SeqCst);
            shared.document.lock().unwrap().clone().ok_or(StatusCode::SERVICE_UNAVAILABLE)
        };
        let app = Router::new().route("/jwks", get(answer)).with_state(shared.clone());
        tokio::spawn(async move { axum_serve(listener, app).await });
        let keys = PublishedKeys::default();
        let mut all = TokenKeys::default();
        all.add_published(&keys);
        let verifier = TokenVerifier::new(all, None, None);
        let client = Client::new(Roots::public());
        let set = KeySet::with_pace(KeySource { url, keys: keys.clone(), client }, pace);
        Self { shared, keys, verifier, set }
    }

    fn publish(&self, keys: &[&Key]) {
        *self.shared.document.lock().unwrap() = Some(document(keys));
    }

    fn requests(&self) -> usize {
        self.shared.requests.load(Ordering::SeqCst)
    }

    /// Verifies a token as the app does.
    async fn verify(&self, token: &str) -> Result<(), TokenError> {
        if self.verifier.verify(token, Now::read()) == Err(TokenError::UnknownKey) {
            let _ = self.set.refresh().await;
        }
        self.verifier.verify(token, Now::read()).map(drop)
    }

    /// Waits until it has received this many requests, and the answer has been processed.
    async fn has_requests(&self, times: usize) {
        let mut state = self.set.state.subscribe();
        while self.requests() < times {
            state.changed().await.unwrap();
        }
        state.wait_for(|state| *state != State::Fetching).await.unwrap();
    }
}

fn document(keys: &[&Key]) -> String {
    json!({ "keys": keys.iter().map(|key| key.jwk()).collect::<Vec<_>>() }).to_string()
}

async fn axum_serve(listener: TcpListener, app: Router) {
    use hyper_util::{rt::TokioIo, service::TowerToHyperService};
    while let Ok((stream, _)) = listener.accept().await {
        let service = TowerToHyperService::new(app.clone());
        let http = hyper::server::conn::http1::Builder::new();
        tokio::spawn(http.serve_connection(TokioIo::new(stream), service));
    }
}

#[tokio::test]
async fn a_first_token_waits_for_the_first_keys() {
    let key = Key::new("a");
    let issuer = Issuer::start(Some(document(&[&key])), super::PACE).await;
    assert_eq!(issuer.verify(&key.token()).await, Ok(()));
    assert_eq!(issuer.verify(&key.token()).await, Ok(()));
    assert_eq!(issuer.requests(), 1);
}

#[tokio::test]
async fn new_keys_are_accepted_and_removed_ones_are_not() {
    let (old, new) = (Key::new("old"), Key::new("new"));
    let issuer = Issuer::start(Some(document(&[&old])), PACE).await;
    assert_eq!(issuer.verify(&old.token()).await, Ok(()));
    issuer.publish(&[&old, &new]);
    assert_eq!(issuer.verify(&new.token()).await, Ok(()));
    assert_eq!((issuer.verify(&old.token()).await, issuer.requests()), (Ok(()), 2));
    issuer.publish(&[&new]);
    assert_eq!(issuer.verify(&Key::new("other").token()).await, Err(TokenError::UnknownKey));
    assert_eq!(issuer.verify(&old.token()).await, Err(TokenError::UnknownKey));
    assert_eq!(issuer.set.refresh().await, Ok(()), "the issuer has said so");
    assert_eq!(issuer.verify(&new.token()).await, Ok(()));
}

#[tokio::test]
async fn the_keys_are_fetched_again_at_an_interval() {
    let (old, new) = (Key::new("old"), Key::new("new"));
    let pace = Pace { every: Duration::from_millis(5), ..super::PACE };
    let issuer = Issuer::start(Some(document(&[&old])), pace).await;
    assert_eq!(issuer.verify(&old.token()).await, Ok(()));
    issuer.publish(&[&new]);
    issuer.has_requests(issuer.requests() + 2).await;
    assert_eq!(issuer.verifier.verify(&new.token(), Now::read()).map(drop), Ok(()));
    let gone = issuer.verifier.verify(&old.token(), Now::read());
    assert_eq!(gone, Err(TokenError::UnknownKey));
}

/// Anybody can send a token with any key id.
#[tokio::test]
async fn a_flood_of_unknown_keys_is_one_request() {
    let (key, stranger) = (Key::new("a"), Key::new("nobody's"));
    let apart = Duration::from_secs(3600);
    let issuer = Issuer::start(Some(document(&[&key])), Pace { apart, ..PACE }).await;
    issuer.has_requests(1).await;
    for _ in 0..100 {
        assert_eq!(issuer.verify(&stranger.token()).await, Err(TokenError::UnknownKey));
    }
    assert_eq!(issuer.requests(), 1, "it was asked a moment ago");

    // Requests at the same time share one fetch.
    let issuer = Issuer::start(Some(document(&[&key])), PACE).await;
    issuer.has_requests(1).await;
    let token = stranger.token();
    let all = futures_util::future::join_all((0..100).map(|_| issuer.verify(&token))).await;
    assert!(all.iter().all(|result| *result == Err(TokenError::UnknownKey)));
    assert_eq!(issuer.requests(), 2);
    assert_eq!(issuer.verify(&key.token()).await, Ok(()));
}

#[tokio::test]
async fn an_invalid_document_leaves_the_known_keys() {
    let key = Key::new("a");
    let issuer = Issuer::start(Some(document(&[&key])), PACE).await;
    assert_eq!(issuer.verify(&key.token()).await, Ok(()));
    let many: Vec<_> = (0..33).map(|_| &key).collect();
    let long = format!("{}{}", document(&[]), " ".repeat(LIMITS.answer));
    for broken in ["", "<html>", "[]", "{\"keys\":7}", &document(&many), &long] {
        *issuer.shared.document.lock().unwrap() = Some(broken.to_owned());
        issuer.has_requests(issuer.requests()).await;
        let requests = issuer.requests();
        assert_eq!(issuer.verify(&Key::new("b").token()).await, Err(TokenError::UnknownKey));
        assert!(issuer.requests() > requests);
        assert!(issuer.set.refresh().await.is_err(), "{broken:.20}");
        assert_eq!(issuer.verify(&key.token()).await, Ok(()), "{broken:.20}");
    }
    // A document with no keys is valid.
    issuer.publish(&[]);
    while issuer.verify(&key.token()).await.is_ok() {
        let _ = issuer.set.refresh().await;
    }
    assert_eq!(issuer.set.refresh().await, Ok(()));
    assert_eq!(issuer.keys.replace(b"{\"keys\":[]}"), Ok(0));
}

#[tokio::test]
async fn an_issuer_that_is_down_is_asked_again() {
    let key = Key::new("a");
    let issuer = Issuer::start(None, PACE).await;
    issuer.has_requests(3).await;
    assert_eq!(issuer.verify(&key.token()).await, Err(TokenError::UnknownKey));
    assert!(issuer.set.refresh().await.is_err());
    issuer.publish(&[&key]);
    while issuer.verifier.verify(&key.token(), Now::read()).is_err() {
        issuer.set.state.subscribe().changed().await.unwrap();
    }
    issuer.set.state.subscribe().wait_for(|state| *state != State::Fetching).await.unwrap();
    assert_eq!(issuer.set.refresh().await, Ok(()));
}

/// After a recent failure a token causes no fetch, and the time of the next one is returned.
#[tokio::test]
async fn while_the_issuer_is_down_the_time_of_the_next_fetch_is_returned() {
    let retry = Duration::from_secs(300);
    let issuer = Issuer::start(None, Pace { retry, longest_retry: retry, ..super::PACE }).await;
    issuer.has_requests(1).await;
    for _ in 0..3 {
        let again_in = issuer.set.refresh().await.unwrap_err();
        // A token that comes then causes a fetch, however long the regular pause is.
        assert!(again_in <= super::PACE.apart && !again_in.is_zero(), "{again_in:?}");
    }
    assert_eq!(issuer.requests(), 1);
}

/// A client that connects to it times out after five seconds.
#[tokio::test(start_paused = true)]
async fn a_token_does_not_wait_for_long_for_a_silent_issuer() {
    let silent = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}/jwks", silent.local_addr().unwrap()).parse().unwrap();
    let client = Client::new(Roots::public());
    let set = KeySet::start(KeySource { url, keys: PublishedKeys::default(), client });
    let started = Instant::now();
    assert_eq!(set.refresh().await, Err(LIMITS.time - WAIT));
    assert_eq!(started.elapsed().as_secs(), WAIT.as_secs());
}
