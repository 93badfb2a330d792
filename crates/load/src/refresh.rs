//! The requests beside the packets of a long run: clients renew what would expire, and with
//! --churn they leave and come again.

use std::{
    collections::VecDeque,
    time::{Duration, Instant},
};

use super::{
    Framing, LoadArgs,
    client::{Outcome, Step},
    clients::Clients,
};

/// The time for which nothing is sent to a client or by it before it leaves, so that packets on the
/// way still arrive.
const QUIET: Duration = Duration::from_millis(200);

/// The renewals and the churn of a run, by the time that has gone by.
pub(super) struct Refresh {
    is_turn: bool,
    /// The time in which each client renews once.
    period: Duration,
    /// The number of clients that leave in a second.
    churn: f64,
    started: Instant,
    /// The number of turns so far: the next client's index, modulo their count.
    renewal_turns: u64,
    churn_turns: u64,
    /// The clients that are about to leave, and when.
    leaving: VecDeque<(Instant, usize)>,
    counts: RefreshCounts,
}

/// The number of refreshes, and of clients that left and came again.
#[derive(Debug, Default)]
pub(super) struct RefreshCounts {
    pub renewed: u64,
    pub refused: u64,
    pub churned: u64,
}

impl Refresh {
    pub(crate) fn new(args: &LoadArgs, started: Instant) -> Self {
        Self {
            is_turn: args.framing != Framing::None,
            period: args.renew,
            churn: args.churn as f64,
            started,
            renewal_turns: 0,
            churn_turns: 0,
            leaving: VecDeque::new(),
            counts: RefreshCounts::default(),
        }
    }

    /// Does what is due.
    pub(crate) fn tick(&mut self, clients: &mut Clients, now: Instant) -> anyhow::Result<()> {
        if !self.is_turn {
            return Ok(());
        }
        let elapsed = now.saturating_duration_since(self.started).as_secs_f64();
        let count = clients.len();
        let due = (elapsed / self.period.as_secs_f64() * count as f64) as u64;
        while self.renewal_turns < due {
            let index = (self.renewal_turns % count as u64) as usize;
            self.renewal_turns += 1;
            if clients.get(index).is_active() {
                clients.renew(index)?;
                self.counts.renewed += 1;
            }
        }
        while self.churn_turns < (elapsed * self.churn) as u64 {
            let index = (self.churn_turns % count as u64) as usize;
            self.churn_turns += 1;
            // A client that is on its way out or in has its turn another time.
            if clients.get_mut(index).set_active(false) {
                self.leaving.push_back((now + QUIET, index));
            }
        }
        while let Some((_, index)) = self.leaving.pop_front_if(|(when, _)| *when <= now) {
            clients.ask(index, Step::Close)?;
        }
        clients.send_again(now)
    }

    /// Handles a STUN message that came for a client.
    pub(crate) fn answer(
        &mut self,
        clients: &mut Clients,
        index: usize,
        message: &[u8],
    ) -> anyhow::Result<()> {
        match clients.answer(index, message)? {
            Outcome::Nothing | Outcome::Retry => {}
            Outcome::Refused => self.counts.refused += 1,
            Outcome::Stale => clients.renew(index)?,
            Outcome::Done(Step::Close) => {
                clients.reopen(index)?;
                clients.ask(index, Step::Challenge)?;
            }
            Outcome::Done(Step::Challenge) => clients.ask(index, Step::Allocate)?,
            Outcome::Done(Step::Allocate) => clients.ask(index, Step::Peer(0))?,
            Outcome::Done(Step::Peer(peer)) if peer + 1 < clients.peers() => {
                clients.ask(index, Step::Peer(peer + 1))?;
            }
            Outcome::Done(Step::Peer(_)) => {
                clients.get_mut(index).set_active(true);
                self.counts.churned += 1;
            }
        }
        Ok(())
    }

    /// Returns the results.
    pub(crate) fn counts(self) -> RefreshCounts {
        self.counts
    }
}
