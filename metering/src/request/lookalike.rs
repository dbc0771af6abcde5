//! Names of members that some parsers take for other names: where a name is a string of C it ends at
//! a NUL, where letters are folded as Go's `encoding/json` does the long s and the sign of Kelvin are
//! an s and a k, and what is no character is left out here and there.

/// What a name may be taken for besides itself: up to its first NUL, and without what is no letter.
/// `None` where nobody takes it for anything else. A comparison without regard to case comes on top.
pub(super) fn lookalikes(name: &[u8]) -> Option<[Vec<u8>; 2]> {
    if name.iter().all(|byte| (b' '..=b'~').contains(byte)) {
        return None;
    }
    // Escapes are undone, so a name that was cut may end in the middle of a character.
    let text = String::from_utf8_lossy(name);
    let until_nul = text.split('\0').next().unwrap_or_default();
    Some([plain(until_nul), plain(&text)])
}

/// Letters folded; control characters, halves of surrogate pairs (U+FFFD by now), marks of byte
/// order and characters without width left out.
fn plain(text: &str) -> Vec<u8> {
    let mut plain = String::with_capacity(text.len());
    for letter in text.chars() {
        match letter {
            '\u{17f}' => plain.push('s'),
            '\u{212a}' => plain.push('k'),
            '\u{feff}' | '\u{fffd}' | '\u{200b}'..='\u{200f}' | '\u{2060}' | '\u{ad}' => {}
            other if other.is_control() => {}
            other => plain.push(other),
        }
    }
    plain.into_bytes()
}
