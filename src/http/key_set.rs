//! The keys that the issuer of tokens publishes: fetched at the start, and again when they may have
//! changed.

use std::time::Duration;

use axum::http::{Request, StatusCode, Uri, header::ACCEPT};
use callbox_signaling::jwt::{KeySetError, PublishedKeys};
use http_body_util::Full;
use tokio::{
    sync::watch,
    task::JoinSet,
    time::{Instant, timeout},
};

use crate::https::{Client, Failure, Limits};

/// The limits of a fetch. A key has some five hundred bytes.
const LIMITS: Limits = Limits { time: Duration::from_secs(5), answer: 64 * 1024 };

/// The longest time that a token waits for a fetch. A client that connects gives up after five
/// seconds, and must be told before that why it is not admitted.
const WAIT: Duration = Duration::from_secs(3);

/// The source of the keys, and the set that they are stored in.
#[derive(Debug, Clone)]
pub struct KeySource {
    /// The address of the document.
    pub url: Uri,
    /// The set of keys that tokens are checked with.
    pub keys: PublishedKeys,
    /// The client that fetches them.
    pub client: Client,
}

/// The reason why there are no new keys.
#[derive(Debug, thiserror::Error)]
enum FetchError {
    #[error(transparent)]
    Exchange(#[from] Failure),
    #[error("it answers {0}")]
    Status(StatusCode),
    #[error(transparent)]
    Document(#[from] KeySetError),
}

/// The times at which they are fetched.
#[derive(Debug, Clone, Copy)]
struct Pace {
    /// The interval while fetches succeed.
    every: Duration,
    /// The pause after a failure; each further pause is twice as long, up to `longest_retry`.
    retry: Duration,
    longest_retry: Duration,
    /// The shortest time between two fetches that are caused by tokens with unknown keys: anybody
    /// can send some.
    apart: Duration,
}

const PACE: Pace = Pace {
    every: Duration::from_secs(3600),
    retry: Duration::from_secs(1),
    longest_retry: Duration::from_secs(300),
    apart: Duration::from_secs(10),
};

/// The state of the task.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum State {
    /// It fetches, or is about to.
    Fetching,
    /// It waits, since this moment.
    Waiting(Instant),
    /// It could not fetch them, and waits since this moment, for the time `pause`, to try again.
    Failed { since: Instant, pause: Duration },
}

impl State {
    /// Returns the time since when it waits, if it does.
    fn waits_since(self) -> Option<Instant> {
        match self {
            Self::Fetching => None,
            Self::Waiting(since) | Self::Failed { since, .. } => Some(since),
        }
    }
}

/// The task that fetches them. It ends when this is dropped.
#[derive(Debug)]
pub(super) struct KeySet {
    state: watch::Sender<State>,
    apart: Duration,
    _task: JoinSet<()>,
}

impl KeySet {
    /// Begins to fetch.
    pub(super) fn start(source: KeySource) -> Self {
        Self::with_pace(source, PACE)
    }

    fn with_pace(source: KeySource, pace: Pace) -> Self {
        let (state, _) = watch::channel(State::Fetching);
        let mut task = JoinSet::new();
        task.spawn(follow(source, pace, state.clone()));
        Self { state, apart: pace.apart, _task: task }
    }

    /// Handles a token with an unknown key: waits for the fetch that is running, or starts one, if
    /// there was none a moment ago.
    ///
    /// # Errors
    /// The time after which the keys are fetched again, if they cannot be fetched now: then it is
    /// unknown if the key is one of them.
    pub(super) async fn refresh(&self) -> Result<(), Duration> {
        let mut state = self.state.subscribe();
        self.state.send_if_modified(|state| {
            let is_due = state.waits_since().is_some_and(|since| since.elapsed() >= self.apart);
            if is_due {
                *state = State::Fetching;
            }
            is_due
        });
        let state = timeout(WAIT, state.wait_for(|state| *state != State::Fetching)).await;
        match state.map(|state| state.map(|state| *state)) {
            Ok(Ok(State::Failed { since, pause })) => {
                Err(pause.min(self.apart).saturating_sub(since.elapsed()))
            }
            Ok(_) => Ok(()),
            // By then there is an answer, or there will be none.
            Err(_) => Err(LIMITS.time - WAIT),
        }
    }
}

async fn follow(source: KeySource, pace: Pace, state: watch::Sender<State>) {
    let mut requests = state.subscribe();
    let mut failures = 0;
    let mut known = None;
    loop {
        let (pause, next) = match fetch(&source).await {
            Ok(count) => {
                failures = 0;
                if known.replace(count) != Some(count) {
                    log_count(count);
                }
                (pace.every, State::Waiting(Instant::now()))
            }
            Err(error) => {
                let pause =
                    pace.retry.saturating_mul(1 << failures.min(16)).min(pace.longest_retry);
                failures += 1;
                let again_in = humantime::format_duration(pause).to_string();
                match known {
                    Some(keys) => tracing::warn!(
                        %error, failures, again_in, keys,
                        "--jwt-jwks-url: no new keys; those that there were stay"
                    ),
                    None => tracing::error!(
                        %error, failures, again_in,
                        "--jwt-jwks-url: no keys, and tokens that need one are refused"
                    ),
                }
                (pause, State::Failed { since: Instant::now(), pause })
            }
        };
        state.send_replace(next);
        let _ = timeout(pause, requests.wait_for(|state| *state == State::Fetching)).await;
        state.send_replace(State::Fetching);
    }
}

fn log_count(count: usize) {
    match count {
        0 => tracing::warn!("--jwt-jwks-url: the set has no key that tokens can be checked with"),
        _ => tracing::info!(count, "--jwt-jwks-url: the keys of tokens are there"),
    }
}

/// Fetches the document and stores its keys. Returns their number.
async fn fetch(source: &KeySource) -> Result<usize, FetchError> {
    let request = Request::get(source.url.clone())
        .header(ACCEPT, "application/json")
        .body(Full::default())
        .expect("the address was parsed");
    let answer = source.client.exchange(request, LIMITS).await?;
    if answer.status != StatusCode::OK {
        return Err(FetchError::Status(answer.status));
    }
    Ok(source.keys.replace(&answer.body?)?)
}

#[cfg(test)]
mod tests;
