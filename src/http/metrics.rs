//! `GET /metrics`: the counters of the relay, the hub and the HTTP side as OpenMetrics text, which
//! Prometheus reads.

use std::{fmt, sync::Arc};

use axum::{
    Extension,
    extract::State,
    http::{HeaderMap, header},
    response::{IntoResponse, Response},
};
use callbox_signaling::{EnumCounts, Stats, WireEnum};
use callbox_turn::Snapshot;
use prometheus_client::{
    collector::Collector,
    encoding::{DescriptorEncoder, EncodeMetric, MetricEncoder},
    metrics::{MetricType, counter::ConstCounter, gauge::ConstGauge},
    registry::Registry,
};

use super::{
    app::App,
    arrival::{Entrance, Remote, Way},
    authorization::api_key,
    counters::{Counters, Curb, Front, Refusal},
    error::ApiError,
};
use crate::reports;

const CONTENT_TYPE: &str = "application/openmetrics-text; version=1.0.0; charset=utf-8";

/// Answers with all metrics: on --http to clients on this machine; to others, and on other
/// listeners, only with an API key. The numbers show how busy the server is and what it refuses,
/// which strangers must not learn.
pub(super) async fn page(
    State(app): State<Arc<App>>,
    Extension(entrance): Extension<Entrance>,
    Extension(remote): Extension<Remote>,
    Extension(way): Extension<Way>,
    headers: HeaderMap,
) -> Result<Response, ApiError> {
    if entrance == Entrance::Public || !way.is_local {
        api_key(&app, remote, &headers)?;
    }
    let hub = app.hub.view(|hub, _| hub.stats()).await.ok_or_else(ApiError::stopping)?;
    let numbers = Numbers {
        relay: (app.sources.relay_metrics)(),
        reports: (app.sources.report_metrics)(),
        hub,
        http: app.counters.clone(),
        request_memory: app.request_memory.held() as u64,
        certificate_expiry: app.sources.certificate_expiry.as_ref().map(|expiry| expiry()),
    };
    let mut registry = Registry::default();
    registry.register_collector(Box::new(numbers));
    let mut text = String::new();
    prometheus_client::encoding::text::encode(&mut text, &registry)
        .expect("writing to a String does not fail");
    Ok(([(header::CONTENT_TYPE, CONTENT_TYPE)], text).into_response())
}

/// All values at one moment.
#[derive(Debug)]
struct Numbers {
    relay: Snapshot,
    reports: reports::Snapshot,
    hub: Stats,
    http: Arc<Counters>,
    request_memory: u64,
    certificate_expiry: Option<u64>,
}

/// One value of a family: its labels and its number.
type Sample<'a> = (Vec<(&'static str, &'a str)>, u64);

/// Writes families.
struct Families<'a>(DescriptorEncoder<'a>);

impl Families<'_> {
    fn write<'s>(
        &mut self,
        name: &str,
        help: &str,
        kind: MetricType,
        samples: impl IntoIterator<Item = Sample<'s>>,
    ) -> fmt::Result {
        let mut family = self.0.encode_descriptor(name, help, None, kind)?;
        for (labels, value) in samples {
            match labels.as_slice() {
                // A family without labels is a single metric.
                [] => return encode(kind, value, family),
                labels => encode(kind, value, family.encode_family(&labels)?)?,
            }
        }
        Ok(())
    }

    fn counter<'s>(
        &mut self,
        name: &str,
        help: &str,
        samples: impl IntoIterator<Item = Sample<'s>>,
    ) -> fmt::Result {
        self.write(name, help, MetricType::Counter, samples)
    }

    fn gauge<'s>(
        &mut self,
        name: &str,
        help: &str,
        samples: impl IntoIterator<Item = Sample<'s>>,
    ) -> fmt::Result {
        self.write(name, help, MetricType::Gauge, samples)
    }
}

fn encode(kind: MetricType, value: u64, metric: MetricEncoder<'_>) -> fmt::Result {
    match kind {
        MetricType::Counter => ConstCounter::new(value).encode(metric),
        _ => ConstGauge::new(value).encode(metric),
    }
}

fn one(value: u64) -> [Sample<'static>; 1] {
    [(Vec::new(), value)]
}

fn up_and_down(up: u64, down: u64) -> [Sample<'static>; 2] {
    [(vec![("direction", "up")], up), (vec![("direction", "down")], down)]
}

/// One sample for each word, with the word as the label.
fn by_word<W: WireEnum + fmt::Display>(
    label: &'static str,
    tally: &EnumCounts<W>,
    name: fn(W) -> &'static str,
) -> Vec<Sample<'static>> {
    tally.iter().map(|(word, count)| (vec![(label, name(word))], count)).collect()
}

impl Collector for Numbers {
    fn encode(&self, encoder: DescriptorEncoder<'_>) -> fmt::Result {
        let mut families = Families(encoder);
        families.gauge(
            "callbox_build_info",
            "The version that runs.",
            [(vec![("version", env!("CARGO_PKG_VERSION"))], 1)],
        )?;
        if let Some(expiry) = self.certificate_expiry {
            families.gauge(
                "callbox_certificate_expiry_seconds",
                "When the certificate of TLS expires, in seconds since 1970; 0 for a self-signed one.",
                one(expiry),
            )?;
        }
        self.relay(&mut families)?;
        self.hub(&mut families)?;
        self.reports(&mut families)?;
        self.http(&mut families)
    }
}

impl Numbers {
    fn relay(&self, families: &mut Families<'_>) -> fmt::Result {
        let relay = &self.relay;
        families.gauge("callbox_allocations", "TURN allocations now.", one(relay.allocations))?;
        families.counter(
            "callbox_allocations_opened",
            "TURN allocations opened.",
            one(relay.allocations_opened),
        )?;
        families.counter(
            "callbox_relayed_packets",
            "Packets relayed: up from clients to peers, down from peers to clients.",
            up_and_down(relay.packets_up, relay.packets_down),
        )?;
        families.counter(
            "callbox_relayed_bytes",
            "Bytes of payload relayed: up from clients to peers, down from peers to clients.",
            up_and_down(relay.bytes_up, relay.bytes_down),
        )?;
        families.counter(
            "callbox_drops",
            "Datagrams that the relay dropped, by reason.",
            relay.drops.iter().map(|(reason, count)| (vec![("reason", *reason)], *count)),
        )?;
        families.gauge(
            "callbox_relay_streams",
            "Clients of the relay over TCP and TLS now.",
            [("tcp", 0), ("tls", 1)].map(|(t, at)| (vec![("transport", t)], relay.streams[at])),
        )?;
        families.counter(
            "callbox_relay_streams_ended",
            "Clients of the relay over TCP and TLS that are gone, by reason.",
            relay.stream_ends.iter().map(|(reason, count)| (vec![("reason", *reason)], *count)),
        )?;
        families.gauge(
            "callbox_peer_connections",
            "Connections to peers of TCP allocations now.",
            one(relay.peer_connections),
        )?;
        // Their number is methods times error codes, and most never occur.
        let requests = relay.requests.iter().filter(|(_, _, count)| *count > 0);
        families.counter(
            "callbox_stun_requests",
            "STUN and TURN requests, by method and by success or error code.",
            requests.map(|(method, result, count)| {
                (vec![("method", *method), ("result", *result)], *count)
            }),
        )
    }

    fn hub(&self, families: &mut Families<'_>) -> fmt::Result {
        let (hub, counters) = (&self.hub, &self.hub.counters);
        families.gauge(
            "callbox_calls",
            "Live calls now, by state.",
            by_word("state", &hub.calls, |state| state.as_str()),
        )?;
        families.gauge("callbox_rooms", "Those of them that are rooms.", one(hub.rooms as u64))?;
        families.gauge(
            "callbox_room_participants",
            "Participants of rooms now.",
            one(hub.room_participants as u64),
        )?;
        families.counter("callbox_calls_started", "Calls begun.", one(counters.calls_started))?;
        families.counter(
            "callbox_calls_ended",
            "Calls ended, by reason.",
            by_word("reason", &counters.calls_ended, |reason| reason.as_str()),
        )?;
        families.gauge("callbox_sessions", "Signaling sessions now.", one(hub.sessions as u64))?;
        families.gauge(
            "callbox_sessions_away",
            "Those of them that have lost their connection and can be resumed.",
            one(hub.sessions_away as u64),
        )?;
        families.gauge(
            "callbox_unacknowledged_bytes",
            "Bytes of events that sessions have not acknowledged.",
            one(hub.unacknowledged_bytes as u64),
        )?;
        families.gauge(
            "callbox_users",
            "Users in a session or a call now.",
            one(hub.users as u64),
        )?;
        families.gauge(
            "callbox_presence_subscriptions",
            "Users whose presence a session hears of, over all sessions, now.",
            one(hub.watches as u64),
        )?;
        families.counter(
            "callbox_sessions_opened",
            "Signaling sessions opened.",
            one(counters.sessions_opened),
        )?;
        families.counter(
            "callbox_sessions_resumed",
            "Signaling sessions that went on over another connection.",
            one(counters.sessions_resumed),
        )?;
        families.counter(
            "callbox_sessions_closed",
            "Signaling sessions that the server closed or refused, by reason.",
            by_word("reason", &counters.sessions_closed, |reason| reason.as_str()),
        )?;
        let mut events = by_word("event", &counters.events, |name| name.as_str());
        events.push((vec![("event", "unknown")], counters.unknown_events));
        families.counter("callbox_events", "Events received, by name.", events)?;
        families.counter(
            "callbox_candidates",
            "ICE candidates relayed, kept for a while, refused and dropped.",
            [
                (vec![("fate", "relayed")], counters.candidates_relayed),
                (vec![("fate", "kept")], counters.candidates_kept),
                (vec![("fate", "refused")], counters.candidates_refused),
                (vec![("fate", "dropped")], counters.candidates_dropped),
            ],
        )?;
        families.counter(
            "callbox_descriptions",
            "Offers and answers relayed.",
            one(counters.descriptions_relayed),
        )?;
        families.gauge(
            "callbox_journal_bytes",
            "Bytes kept for sides of calls that cannot get them yet.",
            one(hub.journal_bytes as u64),
        )?;
        families.gauge(
            "callbox_remembered_bytes",
            "Bytes of what was relayed, kept for devices that come back without their session.",
            one(hub.remembered_bytes as u64),
        )?;
        families.gauge("callbox_timers", "Timers of the hub running now.", one(hub.timers as u64))
    }

    fn reports(&self, families: &mut Families<'_>) -> fmt::Result {
        if let Some(records) = self.reports.records {
            families.counter(
                "callbox_call_records",
                "Records of calls, written and dropped.",
                [
                    (vec![("fate", "written")], records.written),
                    (vec![("fate", "dropped")], records.dropped),
                ],
            )?;
        }
        let Some(webhook) = self.reports.webhook else { return Ok(()) };
        families.counter(
            "callbox_webhook_events",
            "Events for the webhook, by what became of them.",
            [
                (vec![("fate", "delivered")], webhook.delivered),
                (vec![("fate", "refused")], webhook.refused),
                (vec![("fate", "dropped")], webhook.dropped),
            ],
        )?;
        families.counter(
            "callbox_webhook_failures",
            "Deliveries to the webhook that failed and are made again.",
            one(webhook.failures),
        )?;
        families.gauge(
            "callbox_webhook_waiting",
            "Events that wait for the webhook now.",
            one(webhook.waiting as u64),
        )?;
        families.gauge(
            "callbox_webhook_waiting_bytes",
            "What these weigh.",
            one(webhook.waiting_bytes as u64),
        )
    }

    fn http(&self, families: &mut Families<'_>) -> fmt::Result {
        let http = &self.http;
        let by_front = |value: &dyn Fn(Front) -> u64| {
            Front::ALL.map(|front| (vec![("front", front.label())], value(front)))
        };
        families.gauge(
            "callbox_connections",
            "Signaling connections now, by front.",
            by_front(&|front| http.sessions(front).get()),
        )?;
        families.gauge(
            "callbox_tcp_connections",
            "TCP connections now: of HTTP, WebSockets and the relay.",
            one(http.connections.get()),
        )?;
        families.counter(
            "callbox_refused_connections",
            "TCP connections and Socket.IO handshakes turned away, by the limit they met.",
            Refusal::ALL.map(|r| (vec![("limit", r.label())], http.refusals(r).get())),
        )?;
        families.gauge(
            "callbox_request_memory_bytes",
            "Bytes that requests of HTTP and their answers hold now.",
            one(self.request_memory),
        )?;
        families.counter(
            "callbox_curbed_requests",
            "Requests of HTTP refused or ended for what they hold, by reason.",
            Curb::ALL.map(|curb| (vec![("reason", curb.label())], http.curbs(curb).get())),
        )?;
        families.counter(
            "callbox_bad_frames",
            "Frames that were no messages of the protocol, by front.",
            by_front(&|front| http.bad_frames(front).get()),
        )?;
        families.counter(
            "callbox_slow_sessions",
            "Sessions ended because their client did not read.",
            one(http.slow_sessions.get()),
        )?;
        let errors = self.hub.counters.errors.iter().map(|(code, by_hub)| {
            (vec![("code", code.as_str())], by_hub + http.errors(code).get())
        });
        families.counter("callbox_errors", "Requests and connections refused, by code.", errors)
    }
}
