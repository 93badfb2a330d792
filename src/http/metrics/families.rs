//! The encoding of families of metrics.

use std::fmt;

use callbox_signaling::{EnumCounts, WireEnum};
use prometheus_client::{
    encoding::{DescriptorEncoder, EncodeMetric, MetricEncoder},
    metrics::{MetricType, counter::ConstCounter, gauge::ConstGauge},
};

/// One value of a family: its labels and its number.
pub(super) type Sample<'a> = (Vec<(&'static str, &'a str)>, u64);

/// Writes families of metrics.
pub(super) struct Families<'a>(DescriptorEncoder<'a>);

impl<'a> Families<'a> {
    /// Writes to this encoder.
    pub(super) fn new(encoder: DescriptorEncoder<'a>) -> Self {
        Self(encoder)
    }

    /// Writes a family of counters.
    pub(super) fn counter<'s>(
        &mut self,
        name: &str,
        help: &str,
        samples: impl IntoIterator<Item = Sample<'s>>,
    ) -> fmt::Result {
        self.write(name, help, MetricType::Counter, samples)
    }

    /// Writes a family of gauges.
    pub(super) fn gauge<'s>(
        &mut self,
        name: &str,
        help: &str,
        samples: impl IntoIterator<Item = Sample<'s>>,
    ) -> fmt::Result {
        self.write(name, help, MetricType::Gauge, samples)
    }

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
}

fn encode(kind: MetricType, value: u64, metric: MetricEncoder<'_>) -> fmt::Result {
    match kind {
        MetricType::Counter => ConstCounter::new(value).encode(metric),
        _ => ConstGauge::new(value).encode(metric),
    }
}

/// Returns the sample of a family without labels.
pub(super) fn one(value: u64) -> [Sample<'static>; 1] {
    [(Vec::new(), value)]
}

/// Returns the samples of a family by direction.
pub(super) fn up_and_down(up: u64, down: u64) -> [Sample<'static>; 2] {
    [(vec![("direction", "up")], up), (vec![("direction", "down")], down)]
}

/// Returns a sample for each word, with the word as the label.
pub(super) fn by_word<W: WireEnum + fmt::Display>(
    label: &'static str,
    tally: &EnumCounts<W>,
    name: fn(W) -> &'static str,
) -> Vec<Sample<'static>> {
    tally.iter().map(|(word, count)| (vec![(label, name(word))], count)).collect()
}
