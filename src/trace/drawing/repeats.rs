//! Equal arrows in a row, which are drawn as one with their number. A message and its relayed form
//! alternate: pairs of arrows are joined, too.

use super::item::{Item, Mark};

/// Joins equal arrows, and equal pairs of arrows, that follow each other.
pub(super) fn joined(items: Vec<Item>) -> Vec<Item> {
    let mut rest = items.as_slice();
    let mut joined = Vec::new();
    while !rest.is_empty() {
        let best = [1, 2].into_iter().map(|period| (period, times(rest, period)));
        let (period, times) =
            best.max_by_key(|(period, times)| period * (times - 1)).unwrap_or((1, 1));
        let period = if times == 1 { 1 } else { period };
        let last = &rest[period * (times - 1)..];
        for (first, last) in rest[..period].iter().zip(last) {
            joined.push(Item { until_ms: last.at_ms, times, ..first.clone() });
        }
        rest = &rest[period * times..];
    }
    joined
}

/// Returns how many times the first arrows are repeated, at least one.
fn times(items: &[Item], period: usize) -> usize {
    let Some(first) = items.get(..period) else { return 1 };
    if !first.iter().all(|item| matches!(item.mark, Mark::Arrow(_))) {
        return 1;
    }
    let is_equal =
        |chunk: &&[Item]| chunk.iter().zip(first).all(|(item, first)| item.mark == first.mark);
    items.chunks_exact(period).take_while(is_equal).count().max(1)
}
