//! Whether an answer has more output than its call may have, so that it is to be ended.

use super::Seen;

/// Watches one answer.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct OutputWatch {
    /// Deltas and reported output of an answer that was over when it was found to pass its bound.
    ended_with: Option<(u64, u64)>,
}

impl OutputWatch {
    /// Whether an answer is to be ended of which this was seen, up to the border of an event or an
    /// element. The one that says that the output is over passes whatever it reports: to end the
    /// answer there would save nothing, and what was used is charged. Where more output follows all
    /// the same, it was not over.
    pub(super) fn must_end(&mut self, seen: &Seen, bound: Option<u64>) -> bool {
        if !bound.is_some_and(|bound| seen.passes(bound)) {
            return false;
        }
        let reported = seen.usage.map_or(0, |usage| usage.output_tokens);
        match self.ended_with {
            Some((deltas, output)) => seen.deltas > deltas || reported > output,
            None if seen.usage_is_final => {
                self.ended_with = Some((seen.deltas, reported));
                false
            }
            None => true,
        }
    }
}
