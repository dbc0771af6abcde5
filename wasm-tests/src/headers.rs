//! Header maps as the proxy keeps them: ordered, values that are any bytes, and names in lower case but
//! where a proxy keeps them as they were written.

use std::fmt;

/// Headers that Envoy keeps in one slot each: a second value is joined to the first with a comma
/// instead of becoming a second entry.
const SINGLE_SLOT: &[&str] = &[
    ":authority",
    ":method",
    ":path",
    ":scheme",
    ":status",
    "connection",
    "content-length",
    "content-type",
    "expect",
    "host",
    "te",
    "transfer-encoding",
    "upgrade",
    "user-agent",
    "via",
    "x-forwarded-for",
    "x-forwarded-proto",
    "x-request-id",
];

/// An ordered header map. Names are found in any case; values are bytes, not text.
#[derive(Clone, Default, PartialEq, Eq)]
pub struct HeaderMap {
    entries: Vec<(Vec<u8>, Vec<u8>)>,
}

impl HeaderMap {
    /// Builds a map from pairs, exactly as given: nothing is joined, names become lower case.
    pub fn from_pairs<N: AsRef<[u8]>, V: AsRef<[u8]>>(
        pairs: impl IntoIterator<Item = (N, V)>,
    ) -> Self {
        let entries = pairs
            .into_iter()
            .map(|(name, value)| (name.as_ref().to_ascii_lowercase(), value.as_ref().to_vec()))
            .collect();
        Self { entries }
    }

    /// The same with names as clients and servers of HTTP/1.1 write them: `Content-Type`.
    pub fn in_capitals<N: AsRef<[u8]>, V: AsRef<[u8]>>(
        pairs: impl IntoIterator<Item = (N, V)>,
    ) -> Self {
        let entries = pairs
            .into_iter()
            .map(|(name, value)| (capitals(name.as_ref()), value.as_ref().to_vec()))
            .collect();
        Self { entries }
    }

    /// What is left of it where no more than `most` entries are shown, those with a colon among them
    /// or not.
    pub(crate) fn shown(&self, most: usize, with_pseudo: bool) -> Self {
        let mut left = most;
        let mut is_shown = |name: &[u8]| {
            let counts = with_pseudo || !name.starts_with(b":");
            let fits = !counts || left > 0;
            left = left.saturating_sub(usize::from(counts));
            fits
        };
        let entries = self.entries.iter().filter(|(name, _)| is_shown(name)).cloned().collect();
        Self { entries }
    }

    /// Number of entries; a repeated name counts each time.
    pub fn len(&self) -> usize {
        self.entries.len()
    }

    /// Whether the map has no entry.
    pub fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }

    /// The first value of `name`, as bytes.
    pub fn get(&self, name: impl AsRef<[u8]>) -> Option<&[u8]> {
        let name = name.as_ref();
        let is_it = |known: &[u8]| known.eq_ignore_ascii_case(name);
        self.entries.iter().find(|(known, _)| is_it(known)).map(|(_, value)| value.as_slice())
    }

    /// The first value of `name` as text, if it is UTF-8.
    pub fn text(&self, name: impl AsRef<[u8]>) -> Option<&str> {
        self.get(name).and_then(|value| std::str::from_utf8(value).ok())
    }

    /// Every value of `name`, in order.
    pub fn get_all(&self, name: impl AsRef<[u8]>) -> Vec<&[u8]> {
        let name = name.as_ref();
        let same = self.entries.iter().filter(|(known, _)| known.eq_ignore_ascii_case(name));
        same.map(|(_, value)| value.as_slice()).collect()
    }

    /// All pairs in order.
    pub fn pairs(&self) -> impl Iterator<Item = (&[u8], &[u8])> {
        self.entries.iter().map(|(name, value)| (name.as_slice(), value.as_slice()))
    }

    /// Sum of the lengths of names and values, in bytes.
    pub fn byte_size(&self) -> usize {
        self.entries.iter().map(|(name, value)| name.len() + value.len()).sum()
    }

    /// Adds one more value; single-slot headers get it joined with a comma.
    pub fn add(&mut self, name: impl AsRef<[u8]>, value: impl AsRef<[u8]>) {
        let name = name.as_ref().to_ascii_lowercase();
        let single = std::str::from_utf8(&name).is_ok_and(|text| SINGLE_SLOT.contains(&text));
        let is_it = |known: &[u8]| single && known.eq_ignore_ascii_case(&name);
        let slot = self.entries.iter_mut().find(|(known, _)| is_it(known));
        match slot {
            Some((_, present)) => {
                present.push(b',');
                present.extend_from_slice(value.as_ref());
            }
            None => self.entries.push((name, value.as_ref().to_vec())),
        }
    }

    /// Makes `value` the only value of `name`.
    pub fn set(&mut self, name: impl AsRef<[u8]>, value: impl AsRef<[u8]>) {
        let name = name.as_ref().to_ascii_lowercase();
        let value = value.as_ref().to_vec();
        let is_it = |known: &[u8]| known.eq_ignore_ascii_case(&name);
        match self.entries.iter().position(|(known, _)| is_it(known)) {
            Some(first) => {
                let mut index = 0;
                self.entries.retain(|(known, _)| {
                    let keep = !is_it(known) || index == first;
                    index += 1;
                    keep
                });
                if let Some(entry) = self.entries.get_mut(first) {
                    entry.1 = value;
                }
            }
            None => self.entries.push((name, value)),
        }
    }

    /// Takes every value of `name` out.
    pub fn remove(&mut self, name: impl AsRef<[u8]>) {
        let name = name.as_ref();
        self.entries.retain(|(known, _)| !known.eq_ignore_ascii_case(name));
    }

    /// The declared body length, if there is a readable one.
    pub fn content_length(&self) -> Option<usize> {
        self.text("content-length").and_then(|text| text.trim().parse().ok())
    }
}

/// The first letter of each word of a name made a capital, the others small.
fn capitals(name: &[u8]) -> Vec<u8> {
    let mut begins = true;
    let letters = name.iter().map(|letter| {
        let written =
            if begins { letter.to_ascii_uppercase() } else { letter.to_ascii_lowercase() };
        // Names with a colon are the proxy's own, which nobody writes.
        begins = matches!(letter, b'-');
        written
    });
    letters.collect()
}

impl fmt::Debug for HeaderMap {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let shown = self
            .pairs()
            .map(|(name, value)| (String::from_utf8_lossy(name), value.escape_ascii().to_string()));
        f.debug_map().entries(shown).finish()
    }
}

/// Reads the ABI's serialised pairs: a count, all lengths, then names and values, each followed
/// by a zero byte. Anything that does not fit reads as empty, as it does in Envoy.
pub(crate) fn decode_pairs(bytes: &[u8]) -> HeaderMap {
    fn number(bytes: &[u8], at: usize) -> Option<usize> {
        let four = bytes.get(at..at.checked_add(4)?)?;
        Some(u32::from_le_bytes(four.try_into().ok()?) as usize)
    }
    fn read(bytes: &[u8]) -> Option<HeaderMap> {
        let count = number(bytes, 0)?;
        let mut data_at = 4_usize.checked_add(count.checked_mul(8)?)?;
        if data_at > bytes.len() {
            return None;
        }
        let mut entries = Vec::new();
        for index in 0..count {
            let lengths_at = 4 + index * 8;
            let name_length = number(bytes, lengths_at)?;
            let value_length = number(bytes, lengths_at + 4)?;
            let name = bytes.get(data_at..data_at.checked_add(name_length)?)?;
            data_at += name_length + 1;
            let value = bytes.get(data_at..data_at.checked_add(value_length)?)?;
            data_at += value_length + 1;
            entries.push((name.to_ascii_lowercase(), value.to_vec()));
        }
        Some(HeaderMap { entries })
    }
    read(bytes).unwrap_or_default()
}

/// Writes a map in the ABI's serialised form. An empty map is no bytes at all.
pub(crate) fn encode_pairs(map: &HeaderMap) -> Vec<u8> {
    if map.is_empty() {
        return Vec::new();
    }
    let mut bytes = Vec::with_capacity(4 + map.len() * 10 + map.byte_size());
    bytes.extend_from_slice(&(map.len() as u32).to_le_bytes());
    for (name, value) in map.pairs() {
        bytes.extend_from_slice(&(name.len() as u32).to_le_bytes());
        bytes.extend_from_slice(&(value.len() as u32).to_le_bytes());
    }
    for (name, value) in map.pairs() {
        bytes.extend_from_slice(name);
        bytes.push(0);
        bytes.extend_from_slice(value);
        bytes.push(0);
    }
    bytes
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pairs_survive_the_transport_form_byte_for_byte() {
        let map = HeaderMap::from_pairs([
            (&b"X-Odd"[..], &b"\xff\x00\xfe"[..]),
            (b"empty", b""),
            (b"x-odd", b"again"),
        ]);
        let back = decode_pairs(&encode_pairs(&map));
        assert_eq!(back, map);
        assert_eq!(back.get("x-odd"), Some(&b"\xff\x00\xfe"[..]));
    }

    #[test]
    fn truncated_pairs_read_as_empty() {
        let whole = encode_pairs(&HeaderMap::from_pairs([("a", "b"), ("c", "d")]));
        for cut in 0..whole.len() - 1 {
            assert!(decode_pairs(&whole[..cut]).is_empty(), "cut at {cut}");
        }
        assert!(decode_pairs(&[0xff; 12]).is_empty());
    }

    #[test]
    fn single_slot_headers_join_and_others_repeat() {
        let mut map = HeaderMap::default();
        map.add("Content-Type", "a");
        map.add("content-type", "b");
        map.add("x-tag", "1");
        map.add("x-tag", "2");
        assert_eq!(map.get_all("content-type"), [b"a,b"]);
        assert_eq!(map.get_all("x-tag"), [b"1", b"2"]);
        map.set("X-Tag", "3");
        assert_eq!(map.get_all("x-tag"), [b"3"]);
        assert_eq!(map.len(), 2);
    }
}
