//! The packets of a run: sent in bursts, received in batches, and timed by what they carry.

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
    client::Clients,
    process::{Meter, Process},
    receiver::Receiver,
    senders::Senders,
    upkeep::Upkeep,
};

/// How many packets are sent in a row before it is looked what has come. With a window that is
/// large enough it is waited until so many may go, so that neither side is woken for each.
const IN_A_ROW: u64 = 32;

/// What part of a second's packets may be late and still be sent, at a fixed rate: 5 milliseconds'.
const LATE: u64 = 200;

/// How long nothing has to come back before what was on the way counts as lost.
const PATIENCE: Duration = Duration::from_millis(100);

/// How long is waited for the last packets.
const LAST_ORDERS: Duration = Duration::from_millis(300);

/// What came of the packets.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Traffic {
    pub sent: u64,
    pub received: u64,
    pub loss_percent: f64,
    /// How many of those that were not received came to one of the load's own sockets, which was too
    /// full to take them: a loss that is not the server's.
    pub lost_by_load: u64,
    pub packets_per_second: f64,
    pub latency_us: Latency,
    /// How much of its time the load itself had something to do. Near 100 it was the limit, and not
    /// the server.
    pub load_busy_percent: f64,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub cpu_us_per_packet: Option<f64>,
    /// How long server and load waited for a core that somebody else had, in percent of the run. If
    /// it is not near zero, the numbers are of a machine that had other things to do.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub waited_percent: Option<f64>,
    /// How often a client has renewed what it has, and how many requests of those were refused.
    pub renewals: u64,
    pub renewals_refused: u64,
    /// How many clients have left and come again.
    pub churned: u64,
}

/// From the sender to the receiver, through the relay.
#[derive(Debug, Serialize)]
pub(super) struct Latency {
    pub median: f64,
    pub p90: f64,
    pub p99: f64,
    pub max: f64,
}

/// Runs the traffic for as long as the arguments say.
pub(super) fn run(
    args: &LoadArgs,
    clients: &mut Clients,
    process: Option<&Process>,
) -> anyhow::Result<Traffic> {
    let peer_at = clients.all.len();
    let mut senders = Senders::new(args, clients)?;
    let mut receiver = Receiver::new(args);
    let mut events = Events::with_capacity(1024);
    let (mut sent, mut given_up, mut skipped) = (0, 0, 0);
    let progress = progress();

    let meter = Meter::start(process)?;
    let started = Instant::now();
    let mut shown = started;
    receiver.start(started);
    let mut upkeep = Upkeep::new(args, started);
    let in_a_row = if args.rate.is_some() { 1 } else { (args.window / 4).clamp(1, IN_A_ROW) };
    let (mut idle, mut was_idle, mut last) = (Duration::ZERO, false, started);
    loop {
        let now = Instant::now();
        if was_idle {
            idle += now - last;
        }
        last = now;
        let elapsed = now - started;
        let sending = elapsed < args.duration;
        let quiet = now.saturating_duration_since(receiver.heard);
        if !sending
            && (sent == receiver.received + given_up
                || quiet > LAST_ORDERS
                || elapsed > args.duration + 4 * LAST_ORDERS)
        {
            break;
        }
        if args.rate.is_none() && sent > receiver.received + given_up && quiet > PATIENCE {
            given_up = sent - receiver.received;
            receiver.heard = now;
        }
        let due = match args.rate {
            Some(rate) => {
                let due = (elapsed.as_secs_f64() * rate as f64) as u64 - skipped;
                // What the load itself was late for is not made up for in one burst: it would be
                // the server that loses it.
                skipped += due.saturating_sub(sent + (rate / LATE).max(IN_A_ROW));
                (elapsed.as_secs_f64() * rate as f64) as u64 - skipped
            }
            None => receiver.received + given_up + args.window,
        };
        let before = sent;
        if sending && sent + in_a_row <= due {
            let until = due.min(sent + IN_A_ROW);
            while sent < until {
                match senders.burst(clients, started)? {
                    0 => break,
                    count => sent += count,
                }
            }
        }
        if sending {
            upkeep.tick(clients, now)?;
        }
        // To be woken costs the server more than a packet does, so it is waited without sleeping,
        // but for slow rates.
        let slow = args.rate.is_some_and(|rate| rate <= 2000);
        let wait = if slow && sent == before { Duration::from_millis(1) } else { Duration::ZERO };
        match clients.poll.poll(&mut events, Some(wait)) {
            Err(error) if error.kind() != io::ErrorKind::Interrupted => return Err(error.into()),
            _ => {}
        }
        for event in &events {
            match event.token().0 {
                at if at == peer_at => receiver.drain_peer(&clients.peer),
                at => {
                    receiver.drain_client(at, &clients.all[at].socket);
                    while let Some(answer) = receiver.answers.pop() {
                        upkeep.answer(clients, at, &answer)?;
                    }
                }
            }
        }
        was_idle = sent == before && events.is_empty();
        if was_idle && !slow {
            // On one core with the server, it is the server's turn.
            thread::yield_now();
        }
        if now - shown > Duration::from_millis(200) {
            shown = now;
            let received = receiver.received;
            let rate = received as f64 / elapsed.as_secs_f64();
            progress.set_message(format!("{received} packets, {rate:.0} a second"));
        }
    }
    let Receiver { received, lost, latencies, .. } = receiver;
    let whole = started.elapsed();
    let took = whole.min(args.duration);
    progress.finish_and_clear();
    let used = meter.used()?;
    let micros = |duration: Duration| duration.as_secs_f64() * 1e6;
    Ok(Traffic {
        sent,
        received,
        loss_percent: 100.0 * sent.saturating_sub(received) as f64 / sent.max(1) as f64,
        lost_by_load: lost,
        packets_per_second: received as f64 / took.as_secs_f64(),
        latency_us: Latency {
            median: micros(latencies.quantile(0.5)),
            p90: micros(latencies.quantile(0.9)),
            p99: micros(latencies.quantile(0.99)),
            max: micros(latencies.max()),
        },
        load_busy_percent: 100.0 * (1.0 - idle.as_secs_f64() / whole.as_secs_f64()),
        cpu_us_per_packet: used.server.map(|cpu| micros(cpu) / received.max(1) as f64),
        waited_percent: used
            .waited
            .map(|waited| 100.0 * waited.as_secs_f64() / whole.as_secs_f64()),
        renewals: upkeep.renewed,
        renewals_refused: upkeep.refused,
        churned: upkeep.churned,
    })
}

/// A line on the terminal that lives; nothing where there is none.
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
