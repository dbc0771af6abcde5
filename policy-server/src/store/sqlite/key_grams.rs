//! What keys are searched by: every one, two, three and six characters that follow each other in
//! their texts. A text is found by some of its own; that all of it is there is seen in the key itself.
//!
//! An index of words would be smaller, but people look for the middle of a name as well, and the
//! end of a prefix.

use std::cmp::Reverse;
use std::collections::BTreeSet;

use crate::store::{KeyRow, KeySearch};

/// Characters in one piece. Three find a short text; few keys share six.
const LENGTHS: [usize; 4] = [1, 2, 3, 6];

/// Pieces of a text that are looked up: enough to leave few keys to look at.
const LOOKED_UP: usize = 4;

/// Everything that a key is found by, as the index takes it.
pub fn of_key(key: &KeyRow) -> String {
    let mut words = BTreeSet::new();
    let team = key.team.as_ref().map(|team| team.as_str());
    let user = key.user.as_ref().map(|user| user.as_str());
    let texts = [key.id.as_str(), &key.name, &key.description, &key.prefix, key.org.as_str()];
    let texts =
        texts.into_iter().chain(team).chain(user).chain(key.tags.iter().map(String::as_str));
    for text in texts {
        let characters = folded(text);
        for length in LENGTHS {
            words.extend(characters.windows(length).map(piece));
        }
    }
    words.insert(word('o', key.org.as_str()));
    words.extend(team.map(|team| word('t', team)));
    words.extend(user.map(|user| word('u', user)));
    words.extend(key.tags.iter().map(|tag| word('k', tag)));
    Vec::from_iter(words).join(" ")
}

/// Pieces of a text that is searched for, the one that the fewest keys are likely to have first:
/// words are said of many things, numbers of one.
pub fn of_search(text: &str) -> Vec<String> {
    let characters = folded(text);
    let length = length(&characters);
    let mut chosen: Vec<(usize, &[char])> = Vec::new();
    for (at, piece) in most_telling(&characters) {
        // One that overlaps by more than half says little that is new.
        let is_new = chosen.iter().all(|(other, _)| at.abs_diff(*other) >= length.div_ceil(2));
        if is_new && chosen.len() < LOOKED_UP {
            chosen.push((at, piece));
        }
    }
    chosen.into_iter().map(|(_, characters)| piece(characters)).collect()
}

/// The query for keys that have the most telling piece and the one that begins a character later, or
/// earlier where none does: of keys with the same six digits of a number a tenth have the seventh. As few
/// keys have the other as have this one, so that finding where they meet is little work.
pub fn closer(text: &str) -> String {
    let characters = folded(text);
    let Some((at, rarest)) = most_telling(&characters).next() else { return String::new() };
    let windows = || characters.windows(length(&characters));
    let before = || at.checked_sub(1).and_then(|before| windows().nth(before));
    let neighbour = windows().nth(at + 1).or_else(before);
    Vec::from_iter([rarest].into_iter().chain(neighbour).map(piece)).join(" AND ")
}

/// The length of the pieces that are looked up: the longest that fits.
fn length(characters: &[char]) -> usize {
    LENGTHS.into_iter().rev().find(|length| *length <= characters.len()).unwrap_or(1)
}

/// All pieces of that length and where they begin, those with the most digits first.
fn most_telling(characters: &[char]) -> impl Iterator<Item = (usize, &[char])> {
    let mut pieces: Vec<_> = characters.windows(length(characters)).enumerate().collect();
    let digits = |piece: &[char]| piece.iter().filter(|one| one.is_ascii_digit()).count();
    pieces.sort_by_key(|(at, piece)| (Reverse(digits(piece)), *at));
    pieces.into_iter()
}

/// The query for keys that have these pieces and what else is asked of them.
pub fn query(pieces: &[String], search: &KeySearch) -> String {
    let mut words = pieces.to_vec();
    words.extend(search.org.as_ref().map(|org| word('o', org.as_str())));
    words.extend(search.team.as_ref().map(|team| word('t', team.as_str())));
    words.extend(search.user.as_ref().map(|user| word('u', user.as_str())));
    words.extend(search.tag.as_ref().map(|tag| word('k', tag)));
    words.join(" AND ")
}

fn folded(text: &str) -> Vec<char> {
    text.chars().map(|character| character.to_ascii_lowercase()).collect()
}

fn piece(characters: &[char]) -> String {
    word('g', &String::from_iter(characters))
}

/// A word of the index: a letter that is no hexadecimal digit, and the text's bytes. So every
/// character is taken as it is, and nothing in a text has a meaning in a query.
fn word(kind: char, text: &str) -> String {
    let digit = |value: u8| char::from_digit(value.into(), 16).unwrap_or('0');
    let mut word = String::with_capacity(1 + 2 * text.len());
    word.push(kind);
    for byte in text.bytes() {
        word.extend([digit(byte >> 4), digit(byte & 15)]);
    }
    word
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The pieces as texts.
    fn searched(text: &str) -> Vec<String> {
        let read = |word: &String| {
            let digits = word.strip_prefix('g').unwrap().as_bytes().chunks(2);
            let byte = |pair| u8::from_str_radix(str::from_utf8(pair).unwrap(), 16).unwrap();
            String::from_utf8(digits.map(byte).collect()).unwrap()
        };
        of_search(text).iter().map(read).collect()
    }

    #[test]
    fn the_most_telling_pieces_of_a_text_are_looked_up_in_the_case_of_the_index() {
        assert_eq!(searched("aB%"), ["ab%"]);
        assert_eq!(searched("A"), ["a"]);
        assert_eq!(searched("\u{c9}a"), ["\u{c9}a"], "only ASCII letters have one case");
        assert_eq!(searched("abcd"), ["abc"]);
        assert_eq!(searched("abcde"), ["abc", "cde"]);
        assert_eq!(searched("mail 0123456"), ["012345", "il 012"]);
        let all: String = ('a'..='z').collect();
        assert_eq!(searched(&all), ["abcdef", "defghi", "ghijkl", "jklmno"]);
    }

    #[test]
    fn the_neighbour_of_the_most_telling_piece_is_the_next_or_the_one_before() {
        let query = |pieces: [&str; 2]| {
            let pieces = pieces.map(|text| piece(&text.chars().collect::<Vec<_>>()));
            pieces.join(" AND ")
        };
        assert_eq!(closer("mail 0123456"), query(["012345", "123456"]));
        assert_eq!(closer("mail 012345"), query(["012345", " 01234"]));
        assert_eq!(closer("abcd"), query(["abc", "bcd"]));
        assert_eq!(closer("a"), "g61");
        assert_eq!(closer("012345"), piece(&folded("012345")));
    }

    #[test]
    fn nothing_in_a_text_has_a_meaning_in_a_query() {
        let search = KeySearch { tag: Some("a OR b".to_owned()), ..KeySearch::default() };
        assert_eq!(query(&of_search("*\""), &search), "g2a22 AND k61204f522062");
    }
}
