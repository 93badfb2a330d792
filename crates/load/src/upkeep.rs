//! What goes on beside the packets of a long run: clients renew what would expire, and with
//! --churn they leave and come again.

use std::{
    collections::VecDeque,
    time::{Duration, Instant},
};

use super::{
    Framing, LoadArgs,
    client::{Clients, Heard, Step},
};

/// How long before a client leaves nothing more is sent to it or by it, so that what is on the way
/// still arrives.
const QUIET: Duration = Duration::from_millis(200);

/// Sees to the clients while the traffic goes on.
pub(super) struct Upkeep {
    turn: bool,
    /// In how much time each client renews once, and how many leave a second.
    period: Duration,
    churn: f64,
    started: Instant,
    /// How many turns there were: the next client's number, modulo their count.
    renewal_turns: u64,
    churn_turns: u64,
    /// Who is about to leave, and when.
    leaving: VecDeque<(Instant, usize)>,
    pub renewed: u64,
    pub refused: u64,
    pub churned: u64,
}

impl Upkeep {
    pub fn new(args: &LoadArgs, started: Instant) -> Self {
        Self {
            turn: args.framing != Framing::None,
            period: args.renew,
            churn: args.churn as f64,
            started,
            renewal_turns: 0,
            churn_turns: 0,
            leaving: VecDeque::new(),
            renewed: 0,
            refused: 0,
            churned: 0,
        }
    }

    /// Does what is due.
    pub fn tick(&mut self, clients: &mut Clients, now: Instant) -> anyhow::Result<()> {
        if !self.turn {
            return Ok(());
        }
        let elapsed = now.saturating_duration_since(self.started).as_secs_f64();
        let count = clients.all.len();
        let due = (elapsed / self.period.as_secs_f64() * count as f64) as u64;
        while self.renewal_turns < due {
            let at = (self.renewal_turns % count as u64) as usize;
            self.renewal_turns += 1;
            if clients.all[at].active {
                clients.renew(at)?;
                self.renewed += 1;
            }
        }
        while self.churn_turns < (elapsed * self.churn) as u64 {
            let at = (self.churn_turns % count as u64) as usize;
            self.churn_turns += 1;
            // One that is between has its turn another time.
            if std::mem::replace(&mut clients.all[at].active, false) {
                self.leaving.push_back((now + QUIET, at));
            }
        }
        while let Some((_, at)) = self.leaving.pop_front_if(|(when, _)| *when <= now) {
            clients.ask(at, Step::Close)?;
        }
        clients.send_again(now)
    }

    /// Takes in a STUN message that came for a client.
    pub fn answer(&mut self, clients: &mut Clients, at: usize, bytes: &[u8]) -> anyhow::Result<()> {
        match clients.answer(at, bytes)? {
            Heard::Nothing => {}
            Heard::Refused => self.refused += 1,
            Heard::Stale => clients.renew(at)?,
            Heard::Step(Step::Close) => {
                clients.begin_anew(at)?;
                clients.ask(at, Step::Challenge)?;
            }
            Heard::Step(Step::Challenge) => clients.ask(at, Step::Allocate)?,
            Heard::Step(Step::Allocate) => clients.ask(at, Step::Way(0))?,
            Heard::Step(Step::Way(way)) if way + 1 < clients.ways() => {
                clients.ask(at, Step::Way(way + 1))?;
            }
            Heard::Step(Step::Way(_)) => {
                clients.all[at].active = true;
                self.churned += 1;
            }
        }
        Ok(())
    }
}
