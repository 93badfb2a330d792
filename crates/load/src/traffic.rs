//! The packets of a run: sent in bursts, received in batches, and timed by a stamp in each.

use std::{
    io::{self, IsTerminal},
    thread,
    time::{Duration, Instant},
};

use indicatif::{ProgressBar, ProgressStyle};
use mio::Events;
use serde::Serialize;

use super::{
    LoadArgs,
    clients::Clients,
    histogram::Histogram,
    process::{Meter, Process},
    receiver::Receiver,
    refresh::Refresh,
    senders::Senders,
};

/// The number of packets that are sent in a row before the sockets are read. With a window that is
/// large enough the load waits until so many may go, so that neither side is woken for each.
const IN_A_ROW: u64 = 32;

/// The part of a second's packets that may be late and still be sent, at a fixed rate: 5
/// milliseconds'.
const LATE: u64 = 200;

/// The silence after which the packets on the way count as lost.
const MAX_SILENCE: Duration = Duration::from_millis(100);

/// The time for which the load waits for the last packets.
const LAST_WAIT: Duration = Duration::from_millis(300);

/// The results of the packets.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Traffic {
    pub sent: u64,
    pub received: u64,
    pub loss_percent: f64,
    /// Lost packets that reached one of the load's own sockets, which was too full to take them: a
    /// loss that is not the server's.
    pub lost_by_load: u64,
    pub packets_per_second: f64,
    pub latency_us: Latency,
    /// The part of its time in which the load itself had something to do. Near 100 it was the
    /// limit, and not the server.
    pub load_busy_percent: f64,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub cpu_us_per_packet: Option<f64>,
    /// The time for which server and load waited for a core that another process had, in percent of
    /// the run. If it is not near zero, the numbers are of a machine that had other things to do.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub waited_percent: Option<f64>,
    /// Renewals of all clients.
    pub renewals: u64,
    /// Requests of these renewals that were refused.
    pub renewals_refused: u64,
    /// Clients that have left and come again.
    pub churned: u64,
}

/// The times from the sender to the receiver, through the relay.
#[derive(Debug, Serialize)]
pub(super) struct Latency {
    pub median: f64,
    pub p90: f64,
    pub p99: f64,
    pub max: f64,
}

impl Latency {
    fn new(latencies: &Histogram) -> Self {
        Self {
            median: micros(latencies.quantile(0.5)),
            p90: micros(latencies.quantile(0.9)),
            p99: micros(latencies.quantile(0.99)),
            max: micros(latencies.max()),
        }
    }
}

/// The packets that were sent, and when the next ones are due.
struct Pace {
    rate: Option<u64>,
    window: u64,
    sent: u64,
    /// Packets that count as lost.
    given_up: u64,
    /// Packets that the load itself was too late for, and does not send.
    skipped: u64,
}

impl Pace {
    fn new(args: &LoadArgs) -> Self {
        Self { rate: args.rate, window: args.window, sent: 0, given_up: 0, skipped: 0 }
    }

    /// Returns how many packets are to be sent in a row.
    fn in_a_row(&self) -> u64 {
        if self.rate.is_some() { 1 } else { (self.window / 4).clamp(1, IN_A_ROW) }
    }

    /// Returns true if nothing is on the way.
    fn is_settled(&self, received: u64) -> bool {
        self.sent == received + self.given_up
    }

    /// Counts all that is on the way as lost.
    fn give_up(&mut self, received: u64) {
        self.given_up = self.sent - received;
    }

    /// Returns how many packets should have been sent by now.
    fn due(&mut self, elapsed: Duration, received: u64) -> u64 {
        let Some(rate) = self.rate else { return received + self.given_up + self.window };
        let all = (elapsed.as_secs_f64() * rate as f64) as u64;
        // Packets that the load is late for are not made up for in one burst: the server would
        // lose them.
        let due = all - self.skipped;
        self.skipped += due.saturating_sub(self.sent + (rate / LATE).max(IN_A_ROW));
        all - self.skipped
    }
}

/// Runs the traffic for as long as the arguments say.
pub(super) fn run(
    args: &LoadArgs,
    clients: &mut Clients,
    process: Option<&Process>,
) -> anyhow::Result<Traffic> {
    let peer_index = clients.len();
    let mut senders = Senders::new(args, clients)?;
    let mut receiver = Receiver::new(args);
    let mut events = Events::with_capacity(1024);
    let mut pace = Pace::new(args);
    let progress = progress();

    let meter = Meter::start(process)?;
    let started = Instant::now();
    let mut last_report = started;
    receiver.start(started);
    let mut refresh = Refresh::new(args, started);
    let in_a_row = pace.in_a_row();
    let (mut idle, mut was_idle, mut last) = (Duration::ZERO, false, started);
    loop {
        let now = Instant::now();
        if was_idle {
            idle += now - last;
        }
        last = now;
        let elapsed = now - started;
        let is_sending = elapsed < args.duration;
        let quiet = now.saturating_duration_since(receiver.heard());
        if !is_sending
            && (pace.is_settled(receiver.received())
                || quiet > LAST_WAIT
                || elapsed > args.duration + 4 * LAST_WAIT)
        {
            break;
        }
        if args.rate.is_none()
            && pace.sent > receiver.received() + pace.given_up
            && quiet > MAX_SILENCE
        {
            pace.give_up(receiver.received());
            receiver.listen_from(now);
        }
        let due = pace.due(elapsed, receiver.received());
        let before = pace.sent;
        if is_sending && pace.sent + in_a_row <= due {
            let until = due.min(pace.sent + IN_A_ROW);
            while pace.sent < until {
                match senders.burst(clients, started)? {
                    0 => break,
                    count => pace.sent += count,
                }
            }
        }
        if is_sending {
            refresh.tick(clients, now)?;
        }
        // Waking a process costs the server more than a packet does, so the load waits without
        // sleeping, except at slow rates.
        let is_slow = args.rate.is_some_and(|rate| rate <= 2000);
        let has_sent = pace.sent != before;
        let wait = if is_slow && !has_sent { Duration::from_millis(1) } else { Duration::ZERO };
        clients.poll(&mut events, wait)?;
        for event in &events {
            match event.token().0 {
                index if index == peer_index => receiver.drain_peer(clients.peer()),
                index => {
                    receiver.drain_client(index, clients.get(index).socket());
                    while let Some(answer) = receiver.pop_answer() {
                        refresh.answer(clients, index, &answer)?;
                    }
                }
            }
        }
        was_idle = !has_sent && events.is_empty();
        if was_idle && !is_slow {
            // On one core with the server, it is the server's turn.
            thread::yield_now();
        }
        if now - last_report > Duration::from_millis(200) {
            last_report = now;
            let received = receiver.received();
            let rate = received as f64 / elapsed.as_secs_f64();
            progress.set_message(format!("{received} packets, {rate:.0} a second"));
        }
    }
    let whole = started.elapsed();
    progress.finish_and_clear();
    let used = meter.used()?;
    let (sent, counts) = (pace.sent, refresh.counts());
    let received = receiver.received();
    Ok(Traffic {
        sent,
        received,
        loss_percent: 100.0 * sent.saturating_sub(received) as f64 / sent.max(1) as f64,
        lost_by_load: receiver.lost(),
        packets_per_second: received as f64 / whole.min(args.duration).as_secs_f64(),
        latency_us: Latency::new(receiver.latencies()),
        load_busy_percent: 100.0 * (1.0 - idle.as_secs_f64() / whole.as_secs_f64()),
        cpu_us_per_packet: used.server.map(|cpu| micros(cpu) / received.max(1) as f64),
        waited_percent: used
            .waited
            .map(|waited| 100.0 * waited.as_secs_f64() / whole.as_secs_f64()),
        renewals: counts.renewed,
        renewals_refused: counts.refused,
        churned: counts.churned,
    })
}

fn micros(duration: Duration) -> f64 {
    duration.as_secs_f64() * 1e6
}

/// Creates a progress line on the terminal; hidden where there is no terminal.
fn progress() -> ProgressBar {
    if !io::stderr().is_terminal() {
        return ProgressBar::hidden();
    }
    let bar = ProgressBar::new_spinner();
    if let Ok(style) = ProgressStyle::with_template("{spinner} {elapsed} {msg}") {
        bar.set_style(style);
    }
    bar.enable_steady_tick(Duration::from_millis(100));
    bar
}
