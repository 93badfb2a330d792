//! Two users who call each other, by turns.

use std::{
    pin::pin,
    sync::{Arc, Mutex},
    time::{Duration, Instant},
};

use super::{
    bodies::{Bodies, CANDIDATES, Kind},
    fixed_rate::Due,
    session::{Failure, Received, Session},
    statistics::{Statistics, Step, Times},
    users::Users,
};

/// The longest time of a call, once it has begun.
const TIMEOUT: Duration = Duration::from_secs(10);

/// Two users, both signed in.
pub(super) struct Pair {
    users: Arc<Users>,
    number: usize,
    caller: Session,
    callee: Session,
    /// The number of calls that they have begun: the other one calls each time.
    calls: u64,
}

impl Pair {
    /// Signs both in.
    pub(super) async fn open(users: Arc<Users>, number: usize) -> anyhow::Result<Self> {
        let (caller, callee) = (users.open(2 * number).await?, users.open(2 * number + 1).await?);
        Ok(Self { users, number, caller, callee, calls: 0 })
    }

    /// Makes calls as they are due. After one that failed both sign in anew, since the rest of it
    /// may still come.
    pub(super) async fn run(
        mut self,
        due: Due,
        bodies: Arc<Bodies>,
        statistics: Arc<Mutex<Statistics>>,
    ) {
        while let Some(at) = self.wait(&due).await {
            let called = match at {
                Ok(at) => tokio::time::timeout(TIMEOUT, self.call(at, &bodies)).await,
                Err(failure) => Ok(Err(failure)),
            };
            let outcome = called.unwrap_or(Err(Failure::LATE));
            let failed = outcome.is_err();
            statistics.lock().expect("counting does not panic").add(outcome);
            if failed {
                let (users, number) = (self.users.clone(), self.number);
                self.leave().await;
                match Self::open(users, number).await {
                    Ok(anew) => self = anew,
                    Err(_) => return,
                }
            }
        }
        self.leave().await;
    }

    /// Ends a call that may be left, and signs both out.
    async fn leave(self) {
        for mut session in [self.caller, self.callee] {
            // A failure here changes no result.
            let _ = session.send("call:end", None, "{}").await;
            session.close().await;
        }
    }

    /// Waits for the next call, and reads messages meanwhile: the last of the call before, and the
    /// server's pings.
    async fn wait(&mut self, due: &Due) -> Option<Result<Instant, Failure>> {
        let mut next = pin!(due.next());
        loop {
            let received = tokio::select! {
                biased;
                at = &mut next => return at.map(Ok),
                received = self.caller.receive() => received,
                received = self.callee.receive() => received,
            };
            if let Err(failure) = received {
                // The next call cannot be made.
                return next.await.map(|_| Err(failure));
            }
        }
    }

    /// Makes a call, from `call:initiate` to `call:ended`.
    async fn call(&mut self, due: Instant, bodies: &Bodies) -> Result<Times, Failure> {
        let callee = self.users.name(2 * self.number + 1 - (self.calls % 2) as usize);
        if self.calls > 0 {
            std::mem::swap(&mut self.caller, &mut self.callee);
        }
        self.calls += 1;
        let (caller, callee_session) = (&mut self.caller, &mut self.callee);
        let mut times = Times::default();

        let wanted = format!(r#"{{"targetUserId":"{callee}","callType":"video"}}"#);
        caller.send("call:initiate", Some(self.calls), &wanted).await?;
        let incoming = async {
            let incoming = until(callee_session, Some("call:incoming")).await?;
            times.add(Step::Incoming, due);
            incoming.call.ok_or(Failure::WRONG)
        };
        // The caller learns the ID of its call from the answer.
        let (id, _) = tokio::try_join!(incoming, until(caller, None))?;

        let just_it = format!(r#"{{"callId":"{id}"}}"#);
        let sent = Instant::now();
        callee_session.send("call:accept", None, &just_it).await?;
        ensure_same(&id, until(caller, Some("call:accepted")).await?)?;
        times.add(Step::Accepted, sent);

        describe(caller, callee_session, &id, Kind::Offer, bodies, &mut times).await?;
        describe(callee_session, caller, &id, Kind::Answer, bodies, &mut times).await?;

        let sent = Instant::now();
        caller.send("call:end", None, &just_it).await?;
        ensure_same(&id, until(callee_session, Some("call:ended")).await?)?;
        times.add(Step::Ended, sent);
        times.add(Step::Call, due);
        caller.acknowledge().await?;
        callee_session.acknowledge().await?;
        Ok(times)
    }
}

/// Sends the candidates and the description of one side, in the order of the call flow, and waits
/// until the other side has all of them. A server may change the order.
async fn describe(
    from: &mut Session,
    to: &mut Session,
    id: &str,
    kind: Kind,
    bodies: &Bodies,
    times: &mut Times,
) -> Result<(), Failure> {
    let (event, step) = match kind {
        Kind::Offer => ("signal:offer", Step::Offer),
        Kind::Answer => ("signal:answer", Step::Answer),
    };
    let mut candidates = Vec::with_capacity(CANDIDATES);
    for candidate in bodies.candidates(id) {
        candidates.push(Instant::now());
        from.send("ice:candidate", None, &candidate).await?;
    }
    let mut candidates = candidates.into_iter();
    let mut description = Some(Instant::now());
    from.send(event, None, &bodies.description(id, kind)).await?;
    while description.is_some() || candidates.len() > 0 {
        let received = to.receive().await?;
        let (step, sent) = match received.event.as_deref() {
            Some("ice:candidate") => (Step::Candidate, candidates.next()),
            Some(name) if name == event => (step, description.take()),
            _ => continue,
        };
        ensure_same(id, received)?;
        times.add(step, sent.ok_or(Failure::WRONG)?);
    }
    Ok(())
}

/// Waits for an event, or without a name for the answer; others are passed over.
async fn until(session: &mut Session, name: Option<&str>) -> Result<Received, Failure> {
    loop {
        let received = session.receive().await?;
        if received.event.as_deref() == name {
            return Ok(received);
        }
    }
}

/// Fails if an event is of another call.
fn ensure_same(id: &str, received: Received) -> Result<(), Failure> {
    if received.call.as_deref() == Some(id) { Ok(()) } else { Err(Failure::WRONG) }
}
