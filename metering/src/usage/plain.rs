//! An answer that is one JSON document.

use wire::NanoUsd;
use wire::v1::Usage;

use super::Seen;
use super::chat::ChatReader;
use crate::json::Scanner;

/// Reads a plain answer as it passes and writes its cost into the usage block. Nothing is held
/// back: when the block's closing brace comes by, every count in it is known.
#[derive(Debug, Clone, Default)]
pub struct PlainAnswer {
    scanner: Scanner,
    reader: ChatReader,
    at: u64,
    not_json: bool,
    cost_written: bool,
}

impl PlainAnswer {
    /// Reads the next chunk. `Some` is the chunk with the cost written into it.
    pub fn chunk(&mut self, bytes: &[u8], cost: impl Fn(&Usage) -> NanoUsd) -> Option<Vec<u8>> {
        let begin = self.at;
        self.at = begin.saturating_add(bytes.len() as u64);
        if self.not_json {
            return None;
        }
        if self.scanner.feed(bytes, begin, &mut self.reader).is_err() {
            self.not_json = true;
        }
        let member = self.reader.usage_member.filter(|member| member.is_report)?;
        let usage = self.reader.seen.usage?;
        let brace = usize::try_from(member.end.checked_sub(1)?.checked_sub(begin)?).ok()?;
        if self.cost_written || member.has_cost {
            return None;
        }
        self.cost_written = true;
        Some(with_cost(bytes, brace, member.is_empty, cost(&usage)))
    }

    /// What has been seen so far. Output bytes of a document that broke off are all its bytes.
    #[must_use]
    pub fn seen(&self) -> Seen {
        let seen = self.reader.seen;
        if seen.complete && !self.not_json { seen } else { Seen { output_bytes: self.at, ..seen } }
    }
}

/// Puts `"cost_usd"` before the closing brace at offset `brace`.
pub(super) fn with_cost(bytes: &[u8], brace: usize, is_empty: bool, cost: NanoUsd) -> Vec<u8> {
    let comma = if is_empty { "" } else { "," };
    let member = format!("{comma}\"cost_usd\":{}", cost.to_usd());
    let (before, after) = bytes.split_at_checked(brace).unwrap_or((bytes, &[]));
    [before, member.as_bytes(), after].concat()
}
