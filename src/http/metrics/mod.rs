//! `GET /metrics`: the counters of the relay, the hub and the HTTP side as OpenMetrics text, which
//! Prometheus reads.

mod families;
mod faults;
mod http;
mod hub;
mod relay;
mod reports;

use std::{fmt, sync::Arc};

use axum::{
    Extension,
    extract::State,
    http::{HeaderMap, header},
    response::{IntoResponse, Response},
};
use callbox_signaling::Stats;
use callbox_turn::Snapshot;
use prometheus_client::{collector::Collector, encoding::DescriptorEncoder, registry::Registry};

use self::families::{Families, one};
use super::{
    app::App,
    arrival::{Entrance, Remote, Way},
    authorization::api_key,
    counters::Counters,
    error::ApiError,
};
use crate::{faults::InjectedFaults, reports::Snapshot as ReportsSnapshot};

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
        request_memory: app.request_memory.used() as u64,
        certificate_expiry: app.sources.certificate_expiry.as_ref().map(|expiry| expiry()),
        faults: app.faults.as_ref().map(|faults| faults.injected()),
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
    reports: ReportsSnapshot,
    hub: Stats,
    http: Arc<Counters>,
    request_memory: u64,
    certificate_expiry: Option<u64>,
    /// The numbers of faults, if any are allowed.
    faults: Option<InjectedFaults>,
}

impl Collector for Numbers {
    fn encode(&self, encoder: DescriptorEncoder<'_>) -> fmt::Result {
        let mut families = Families::new(encoder);
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
        faults::write(&mut families, self.faults.as_ref())?;
        relay::write(&mut families, &self.relay)?;
        hub::write(&mut families, &self.hub)?;
        reports::write(&mut families, &self.reports)?;
        http::write(&mut families, &self.http, self.request_memory, &self.hub)
    }
}
