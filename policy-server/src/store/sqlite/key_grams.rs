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
    let fitting = LENGTHS.into_iter().rev().find(|length| *length <= characters.len());
    let length = fitting.unwrap_or(1);
    let mut pieces: Vec<_> = characters.windows(length).enumerate().collect();
    let digits = |piece: &[char]| piece.iter().filter(|one| one.is_ascii_digit()).count();
    pieces.sort_by_key(|(at, piece)| (Reverse(digits(piece)), *at));
    let mut chosen: Vec<(usize, &[char])> = Vec::new();
    for (at, piece) in pieces {
        // One that overlaps by more than half says little that is new.
        let is_new = chosen.iter().all(|(other, _)| at.abs_diff(*other) >= length.div_ceil(2));
        if is_new && chosen.len() < LOOKED_UP {
            chosen.push((at, piece));
        }
    }
    chosen.into_iter().map(|(_, characters)| piece(characters)).collect()
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
    fn nothing_in_a_text_has_a_meaning_in_a_query() {
        let search = KeySearch { tag: Some("a OR b".to_owned()), ..KeySearch::default() };
        assert_eq!(query(&of_search("*\""), &search), "g2a22 AND k61204f522062");
    }
}
