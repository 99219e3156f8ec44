//! Detects duplicates and gaps by a stream's numbers.

use std::sync::atomic::Ordering::Relaxed;

use crate::record::Stream;
use crate::stats::StreamStats;

/// A number that falls back by more than this is not a duplicate: the source has restarted its numbering.
const ANEW: i64 = 100_000;
/// The number of gaps that late records may still fill.
const OPEN_GAPS: usize = 16;

/// The state of a stream's numbers.
#[derive(Debug, Default)]
pub struct Numbers {
    last: Option<i64>,
    /// The first and last missing number of each gap, oldest first.
    gaps: Vec<(i64, i64)>,
}

impl Numbers {
    /// Continues after `last`, if that is known.
    pub fn after(last: Option<i64>) -> Self {
        Numbers {
            last,
            gaps: Vec::new(),
        }
    }

    /// The highest number so far.
    pub fn last(&self) -> Option<i64> {
        self.last
    }

    /// Whether to keep a record with this number: false if it was received before.
    pub fn accept(&mut self, number: i64, stream: &Stream, stats: &StreamStats) -> bool {
        let Some(last) = self.last else {
            self.last = Some(number);
            return true;
        };
        if number > last {
            self.last = Some(number);
            if stream.contiguous && number > last + 1 {
                self.gap(last + 1, number - 1, stream, stats);
            }
            return true;
        }
        if last - number > ANEW {
            tracing::warn!(
                source = stream.source,
                channel = stream.channel,
                symbol = stream.symbol,
                last,
                number,
                "the source has restarted its numbering"
            );
            *self = Numbers::after(Some(number));
            return true;
        }
        if self.fills_a_gap(number) {
            stats.missed.fetch_sub(1, Relaxed);
            return true;
        }
        stats.duplicates.fetch_add(1, Relaxed);
        false
    }

    fn gap(&mut self, from: i64, to: i64, stream: &Stream, stats: &StreamStats) {
        stats.gaps.fetch_add(1, Relaxed);
        stats.missed.fetch_add((to - from + 1) as u64, Relaxed);
        tracing::warn!(
            source = stream.source,
            channel = stream.channel,
            symbol = stream.symbol,
            from,
            to,
            "gap"
        );
        if self.gaps.len() == OPEN_GAPS {
            self.gaps.remove(0);
        }
        self.gaps.push((from, to));
    }

    fn fills_a_gap(&mut self, number: i64) -> bool {
        let within = |(from, to): &(i64, i64)| (*from..=*to).contains(&number);
        let Some(index) = self.gaps.iter().position(within) else {
            return false;
        };
        let (from, to) = self.gaps.remove(index);
        for rest in [(from, number - 1), (number + 1, to)] {
            if rest.0 <= rest.1 {
                self.gaps.push(rest);
            }
        }
        true
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::record::{Kind, NumberedBy};

    fn kept(contiguous: bool, after: Option<i64>, numbers: &[i64]) -> (Vec<i64>, u64, u64, u64) {
        let stream = Stream {
            source: "x".into(),
            channel: "trade".into(),
            symbol: "A".into(),
            kind: Kind::Trade,
            numbered: Some(NumberedBy::TradeId),
            contiguous,
            lasting: true,
        };
        let (mut state, stats) = (Numbers::after(after), StreamStats::default());
        let kept = numbers.iter().copied();
        let kept = kept.filter(|n| state.accept(*n, &stream, &stats)).collect();
        let count = |c: &std::sync::atomic::AtomicU64| c.load(Relaxed);
        (
            kept,
            count(&stats.missed),
            count(&stats.gaps),
            count(&stats.duplicates),
        )
    }

    #[test]
    fn duplicates_are_skipped_and_gaps_counted() {
        assert_eq!(
            kept(true, None, &[5, 6, 6, 9, 10, 5]),
            (vec![5, 6, 9, 10], 2, 1, 2)
        );
    }

    #[test]
    fn what_comes_late_fills_its_gap_once() {
        assert_eq!(
            kept(true, None, &[1, 5, 3, 3, 2, 4, 4, 6]),
            (vec![1, 5, 3, 2, 4, 6], 0, 1, 2)
        );
    }

    #[test]
    fn numbers_with_holes_tell_no_gaps() {
        assert_eq!(kept(false, None, &[5, 9, 9, 70]), (vec![5, 9, 70], 0, 0, 1));
    }

    #[test]
    fn a_restart_goes_on_where_the_files_end() {
        assert_eq!(kept(true, Some(7), &[6, 7, 8, 10]), (vec![8, 10], 1, 1, 2));
    }

    #[test]
    fn a_source_may_count_anew() {
        assert_eq!(
            kept(true, Some(1_000_000), &[1, 2, 2]),
            (vec![1, 2], 0, 0, 1)
        );
    }
}
