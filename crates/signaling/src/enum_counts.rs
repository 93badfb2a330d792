//! Counts by the words of a closed list.

use std::marker::PhantomData;

use super::WireEnum;

/// The number of times that each word of a list was counted.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct EnumCounts<W> {
    counts: Box<[u64]>,
    of: PhantomData<W>,
}

impl<W: WireEnum> Default for EnumCounts<W> {
    fn default() -> Self {
        Self { counts: vec![0; W::ALL.len()].into(), of: PhantomData }
    }
}

impl<W: WireEnum> EnumCounts<W> {
    /// Counts the word once more.
    pub(super) fn add(&mut self, word: W) {
        self.counts[word.index()] += 1;
    }

    /// Adds the counts of another.
    pub(super) fn merge(&mut self, other: &Self) {
        self.counts.iter_mut().zip(&other.counts).for_each(|(count, more)| *count += more);
    }

    /// Counts the word once less, for counts of what there is now.
    pub(super) fn sub(&mut self, word: W) {
        self.counts[word.index()] -= 1;
    }

    /// Returns the number of times that the word was counted.
    pub fn get(&self, word: W) -> u64 {
        self.counts[word.index()]
    }

    /// Returns each word with its count, in the order of the list, zeros included.
    pub fn iter(&self) -> impl Iterator<Item = (W, u64)> {
        W::ALL.iter().map(|&word| (word, self.get(word)))
    }

    /// Returns the sum over all words.
    pub fn total(&self) -> u64 {
        self.counts.iter().sum()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::CallType;

    #[test]
    fn each_word_is_counted() {
        let mut counts = EnumCounts::default();
        counts.add(CallType::Video);
        counts.add(CallType::Video);
        counts.add(CallType::Audio);
        counts.sub(CallType::Audio);
        assert_eq!(counts.iter().collect::<Vec<_>>(), [(CallType::Audio, 0), (CallType::Video, 2)]);
        assert_eq!(counts.total(), 2);
    }
}
