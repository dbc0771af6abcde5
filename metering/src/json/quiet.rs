//! What the sink does not want to be told of: brackets whose inside is only checked. Their tokens are
//! taken one after the other as long as each is here as a whole, without an event for each. Whatever is
//! cut, escaped or wrong is left to the reader byte by byte, so there is one place that knows about that.
//!
//! Long lists of numbers are what most of such bytes are, so the loop holds its state in variables of its
//! own: in the module each of them is a register, and a field of the reader is not.

use super::number::whole;
use super::{DEEPEST, Scanner, Sink, State, run};

/// What may come next.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Next {
    Value,
    ValueOrClose,
    Name,
    NameOrClose,
    Colon,
    CommaOrClose,
}

impl Scanner {
    /// Takes tokens inside a bracket that the sink passes over, up to its end: says how many bytes.
    ///
    /// Not compiled into the loop that calls it, which most bytes pass without it.
    #[inline(never)]
    pub(super) fn pass_over(
        &mut self,
        outermost: usize,
        bytes: &[u8],
        sink: &mut dyn Sink,
    ) -> usize {
        let Some(mut next) = next_of(self.state) else { return 0 };
        let (mut depth, mut objects) = (self.depth, self.objects);
        let mut in_object = self.in_object();
        let mut events: u64 = 0;
        let mut at = 0;
        while let Some(&byte) = bytes.get(at) {
            let takes_value = matches!(next, Next::Value | Next::ValueOrClose);
            let behind = match byte {
                b',' if next == Next::CommaOrClose => {
                    next = if in_object { Next::Name } else { Next::Value };
                    at += 1;
                    continue;
                }
                b':' if next == Next::Colon => {
                    next = Next::Value;
                    at += 1;
                    continue;
                }
                b' ' | b'\t' | b'\n' | b'\r' => {
                    at += 1;
                    continue;
                }
                b'-' | b'0'..=b'9' if takes_value => {
                    let (behind, numbers) = numbers(bytes, at, !in_object);
                    let Some(behind) = behind else { break };
                    at = behind;
                    events += numbers;
                    // Behind a comma only a number follows, which is not here as a whole, or something else.
                    let is_behind_comma = bytes.get(at - 1) == Some(&b',');
                    next = if is_behind_comma { Next::Value } else { Next::CommaOrClose };
                    continue;
                }
                b'"' if takes_value => text(bytes, at),
                b'"' if matches!(next, Next::Name | Next::NameOrClose) => {
                    let Some(behind) = text(bytes, at) else { break };
                    (at, next) = (behind, Next::Colon);
                    events += 1;
                    continue;
                }
                b'{' | b'[' if takes_value && depth < DEEPEST => {
                    in_object = byte == b'{';
                    next = if in_object { Next::NameOrClose } else { Next::ValueOrClose };
                    objects = with_bracket(objects, depth, in_object);
                    depth += 1;
                    at += 1;
                    events += 1;
                    continue;
                }
                // The end of the outermost bracket is told.
                b'}' | b']' if depth > outermost + 1 && in_object == (byte == b'}') => {
                    let empty = if in_object { Next::NameOrClose } else { Next::ValueOrClose };
                    if next != Next::CommaOrClose && next != empty {
                        break;
                    }
                    depth -= 1;
                    in_object = objects >> (depth - 1) & 1 == 1;
                    Some(at + 1)
                }
                b't' if takes_value => word(bytes, at, b"true"),
                b'f' if takes_value => word(bytes, at, b"false"),
                b'n' if takes_value => word(bytes, at, b"null"),
                _ => break,
            };
            let Some(behind) = behind else { break };
            (at, next) = (behind, Next::CommaOrClose);
            events += 1;
        }
        (self.depth, self.objects, self.state) = (depth, objects, state_of(next));
        if events > 0 {
            sink.passed_over(events);
        }
        at
    }
}

impl Scanner {
    /// Takes numbers of a list in which they are only counted, each with the comma behind it: says how
    /// many bytes. The last one, behind which there is none, is told.
    pub(super) fn count_numbers(&mut self, bytes: &[u8], sink: &mut dyn Sink) -> usize {
        if self.depth == 0 || self.in_object() || !sink.counts_numbers() {
            return 0;
        }
        let (mut taken, mut count) = (0, 0);
        while let Some(behind) = whole(bytes, taken)
            && bytes.get(behind) == Some(&b',')
        {
            taken = behind + 1;
            count += 1;
            // As most programs write lists.
            if bytes.get(taken) == Some(&b' ') {
                taken += 1;
            }
        }
        if count > 0 {
            self.state = State::Value;
            sink.counted(count);
        }
        taken
    }
}

/// Where the numbers that begin at `at` end, in a list with the comma behind each, and how many they are;
/// none where the first is not here as a whole.
#[inline]
fn numbers(bytes: &[u8], at: usize, in_list: bool) -> (Option<usize>, u64) {
    let (mut end, mut numbers) = (None, 0);
    let mut begin = at;
    while let Some(behind) = whole(bytes, begin) {
        numbers += 1;
        if !in_list || bytes.get(behind) != Some(&b',') {
            return (Some(behind), numbers);
        }
        begin = behind + 1;
        end = Some(begin);
    }
    (end, numbers)
}

/// None inside of a token.
fn next_of(state: State) -> Option<Next> {
    match state {
        State::Value => Some(Next::Value),
        State::ValueOrClose => Some(Next::ValueOrClose),
        State::NameOnly => Some(Next::Name),
        State::NameOrClose => Some(Next::NameOrClose),
        State::Colon => Some(Next::Colon),
        State::CommaOrClose => Some(Next::CommaOrClose),
        _ => None,
    }
}

fn state_of(next: Next) -> State {
    match next {
        Next::Value => State::Value,
        Next::ValueOrClose => State::ValueOrClose,
        Next::Name => State::NameOnly,
        Next::NameOrClose => State::NameOrClose,
        Next::Colon => State::Colon,
        Next::CommaOrClose => State::CommaOrClose,
    }
}

/// The kinds of the open brackets with one more.
pub(super) fn with_bracket(objects: u64, depth: usize, object: bool) -> u64 {
    let bit = 1u64 << depth;
    if object { objects | bit } else { objects & !bit }
}

/// Where a text ends, with its quotation marks; none where it is cut or has an escape.
#[inline]
fn text(bytes: &[u8], at: usize) -> Option<usize> {
    let plain = run::plain(bytes.get(at + 1..)?);
    let end = at + 1 + plain;
    (*bytes.get(end)? == b'"').then_some(end + 1)
}

fn word(bytes: &[u8], at: usize, word: &[u8]) -> Option<usize> {
    bytes.get(at..)?.starts_with(word).then_some(at + word.len())
}
