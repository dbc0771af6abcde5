//! What keys are searched by: every one, two and three characters that follow each other in their
//! texts. A text is found by its own; whether they follow each other is seen in the key itself.
//!
//! An index of words would be smaller, but people look for the middle of a name as well, and the
//! end of a prefix.

use std::collections::BTreeSet;

use crate::store::{KeyRow, KeySearch};

/// Characters in one piece, at most.
const LONGEST: usize = 3;

/// Pieces of a text that are looked up: enough to leave few keys to look at.
const LOOKED_UP: usize = 8;

/// Everything that a key is found by, as the index takes it.
pub fn of_key(key: &KeyRow) -> String {
    let mut words = BTreeSet::new();
    let team = key.team.as_ref().map(|team| team.as_str());
    let user = key.user.as_ref().map(|user| user.as_str());
    let texts = [key.id.as_str(), &key.name, &key.description, &key.prefix, key.org.as_str()];
    let texts =
        texts.into_iter().chain(team).chain(user).chain(key.tags.iter().map(String::as_str));
    for text in texts {
        for length in 1..=LONGEST {
            words.extend(pieces(text, length));
        }
    }
    words.insert(word('o', key.org.as_str()));
    words.extend(team.map(|team| word('t', team)));
    words.extend(user.map(|user| word('u', user)));
    words.extend(key.tags.iter().map(|tag| word('k', tag)));
    Vec::from_iter(words).join(" ")
}

/// What a key that the search finds has in the index: the query for it.
pub fn of_search(text: &str, search: &KeySearch) -> String {
    let length = text.chars().count().min(LONGEST);
    let all: Vec<_> = BTreeSet::from_iter(pieces(text, length)).into_iter().collect();
    let step = all.len().div_ceil(LOOKED_UP).max(1);
    let mut words: Vec<_> = all.into_iter().step_by(step).collect();
    words.extend(search.org.as_ref().map(|org| word('o', org.as_str())));
    words.extend(search.team.as_ref().map(|team| word('t', team.as_str())));
    words.extend(search.user.as_ref().map(|user| word('u', user.as_str())));
    words.extend(search.tag.as_ref().map(|tag| word('k', tag)));
    words.join(" AND ")
}

fn pieces(text: &str, length: usize) -> impl Iterator<Item = String> {
    let characters: Vec<char> = text.to_ascii_lowercase().chars().collect();
    let pieces: Vec<_> = characters
        .windows(length.max(1))
        .map(|piece| word('g', &piece.iter().collect::<String>()))
        .collect();
    pieces.into_iter()
}

/// A word of the index: a letter that is no hexadecimal digit, and the text's bytes. So every
/// character is taken as it is, and nothing in a text has a meaning in a query.
fn word(kind: char, text: &str) -> String {
    let mut word = String::with_capacity(1 + 2 * text.len());
    word.push(kind);
    for byte in text.bytes() {
        word.push_str(&format!("{byte:02x}"));
    }
    word
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pieces_overlap_and_fold_the_case_of_ascii_letters() {
        let all = |text, length| Vec::from_iter(pieces(text, length));
        assert_eq!(all("aB%", 3), ["g616225"]);
        assert_eq!(all("aB%", 2), ["g6162", "g6225"]);
        assert_eq!(all("Éa", 1), ["gc389", "g61"]);
        assert_eq!(all("ab", 3), [] as [&str; 0]);
    }

    #[test]
    fn a_search_looks_up_a_few_pieces_and_its_filters() {
        let search = KeySearch { tag: Some("x".to_owned()), ..KeySearch::default() };
        assert_eq!(of_search("a", &search), "g61 AND k78");
        assert_eq!(of_search("ABC", &search), "g616263 AND k78");
        let long: String = ('a'..='z').collect();
        assert_eq!(of_search(&long, &KeySearch::default()).split(" AND ").count(), LOOKED_UP);
    }
}
