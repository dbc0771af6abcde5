//! A streamed answer, piece by piece: what is written as it stands, and deltas that are made when
//! their turn comes, so that a long stream needs no memory.

use bytes::Bytes;

/// Makes the delta of a number.
pub type WriteDelta = Box<dyn Fn(u64) -> String + Send + Sync>;

/// A run of pieces.
pub enum Segment {
    /// Written as they stand; they hold no output.
    Fixed(Vec<String>),
    /// Output.
    Deltas {
        /// How many there are.
        count: u64,
        /// Output tokens in each.
        tokens: u64,
        /// Makes one.
        write: WriteDelta,
    },
}

/// One piece of a stream.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Piece {
    /// Bytes without output.
    Fixed(Bytes),
    /// Bytes with so many output tokens.
    Delta(Bytes, u64),
}

/// A whole stream.
pub struct Script {
    /// Reversed, so that the next one is at the end.
    segments: Vec<Segment>,
    /// Position in the next segment.
    position: u64,
}

impl Script {
    /// A stream of these segments.
    #[must_use]
    pub fn new(mut segments: Vec<Segment>) -> Self {
        segments.reverse();
        Self { segments, position: 0 }
    }

    /// Whether all deltas have been taken.
    #[must_use]
    pub fn output_is_over(&self) -> bool {
        !self.segments.iter().enumerate().any(|(index, segment)| match segment {
            Segment::Fixed(_) => false,
            Segment::Deltas { count, .. } => {
                let taken = if index + 1 == self.segments.len() { self.position } else { 0 };
                taken < *count
            }
        })
    }

    /// Whether the next piece is a delta.
    #[must_use]
    pub fn next_is_delta(&self) -> bool {
        let mut position = self.position;
        for segment in self.segments.iter().rev() {
            match segment {
                Segment::Fixed(pieces) => {
                    if usize::try_from(position).is_ok_and(|index| index < pieces.len()) {
                        return false;
                    }
                }
                Segment::Deltas { count, .. } if position < *count => return true,
                Segment::Deltas { .. } => {}
            }
            position = 0;
        }
        false
    }

    /// The next piece.
    pub fn next_piece(&mut self) -> Option<Piece> {
        loop {
            let position = self.position;
            self.position += 1;
            match self.segments.last()? {
                Segment::Fixed(pieces) => {
                    let index = usize::try_from(position).ok()?;
                    if let Some(piece) = pieces.get(index) {
                        return Some(Piece::Fixed(Bytes::from(piece.clone())));
                    }
                }
                Segment::Deltas { count, tokens, write } if position < *count => {
                    return Some(Piece::Delta(Bytes::from(write(position)), *tokens));
                }
                Segment::Deltas { .. } => {}
            }
            self.segments.pop();
            self.position = 0;
        }
    }
}

/// An event without a name.
#[must_use]
pub fn data(json: &str) -> String {
    format!("data: {json}\n\n")
}

/// An event with a name.
#[must_use]
pub fn named(event: &str, json: &str) -> String {
    format!("event: {event}\ndata: {json}\n\n")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pieces_come_in_order() {
        let mut script = Script::new(vec![
            Segment::Fixed(vec!["a".to_owned()]),
            Segment::Deltas { count: 2, tokens: 3, write: Box::new(|n| n.to_string()) },
            Segment::Fixed(Vec::new()),
            Segment::Fixed(vec!["z".to_owned()]),
        ]);
        let mut seen = Vec::new();
        while let Some(piece) = script.next_piece() {
            seen.push((piece, script.output_is_over()));
        }
        let fixed = |text: &'static str| Piece::Fixed(Bytes::from_static(text.as_bytes()));
        let delta = |text: &'static str| Piece::Delta(Bytes::from_static(text.as_bytes()), 3);
        assert_eq!(
            seen,
            [(fixed("a"), false), (delta("0"), false), (delta("1"), true), (fixed("z"), true)]
        );
        assert_eq!(script.next_piece(), None);
    }
}
