//! Reads the server's messages.
//!
//! serde_json makes all of its reading anew for each type that is read. That was a sixth of the module,
//! and Envoy compiles the whole module before it is ready. Here one scan notes where everything stands,
//! and what serde derives for the types picks from that.

use std::borrow::Cow;
use std::fmt;

use metering::json::{Event, Scanner, Sink};
use serde::de::{
    DeserializeOwned, DeserializeSeed, Deserializer, EnumAccess, MapAccess, SeqAccess,
    VariantAccess, Visitor,
};

/// The bytes are not the message that was expected.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Unreadable;

impl fmt::Display for Unreadable {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("not the expected message")
    }
}

impl std::error::Error for Unreadable {}

impl serde::de::Error for Unreadable {
    fn custom<T: fmt::Display>(_: T) -> Self {
        Self
    }
}

/// Reads a message that is one JSON document. Members that the type does not have are passed over.
///
/// # Errors
/// When it is not JSON, lacks a member, has a known one twice, or has something else in its place.
pub fn read<T: DeserializeOwned>(text: &[u8]) -> Result<T, Unreadable> {
    let scanned = Scanned::of(text)?;
    T::deserialize(Reader { scanned: &scanned, at: 0 })
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    Object,
    Array,
    Text,
    Number,
    Flag(bool),
    Null,
}

/// A name or a value.
#[derive(Debug, Clone, Copy)]
struct Piece {
    kind: Kind,
    start: u32,
    end: u32,
    /// Number of the piece behind it and all that is in it.
    next: u32,
}

/// A text and where everything in it stands.
struct Scanned<'a> {
    text: &'a str,
    /// In the order of the text: of an object its names, each before its value.
    pieces: Vec<Piece>,
    /// Numbers of the brackets that are open, at most [`metering::json::DEEPEST`].
    open: Vec<u32>,
}

impl<'a> Scanned<'a> {
    #[inline(never)]
    fn of(text: &'a [u8]) -> Result<Self, Unreadable> {
        let text = std::str::from_utf8(text).map_err(|_| Unreadable)?;
        // Proxies hold an answer whole; none holds one of 4 GiB.
        let length = u32::try_from(text.len()).map_err(|_| Unreadable)?;
        // The server's messages have a piece for every ten to fifteen bytes.
        let pieces = Vec::with_capacity(text.len() / 10);
        let (mut scanner, mut found) =
            (Scanner::default(), Self { text, pieces, open: Vec::new() });
        scanner.feed(text.as_bytes(), 0, &mut found).map_err(|_| Unreadable)?;
        scanner.finish(u64::from(length), &mut found).map_err(|_| Unreadable)?;
        Ok(found)
    }
}

impl Sink for Scanned<'_> {
    fn event(&mut self, event: Event<'_>, _: usize, start: u64, end: u64) {
        let number = |n: u64| u32::try_from(n).unwrap_or(u32::MAX);
        let here = u32::try_from(self.pieces.len()).unwrap_or(u32::MAX);
        let kind = match event {
            Event::Close { .. } => {
                let opened = self.open.pop().and_then(|open| self.pieces.get_mut(open as usize));
                if let Some(opened) = opened {
                    (opened.next, opened.end) = (here, number(end));
                }
                return;
            }
            Event::Open { object } => {
                self.open.push(here);
                if object { Kind::Object } else { Kind::Array }
            }
            Event::Name(_) | Event::Str { .. } => Kind::Text,
            Event::Number(_) => Kind::Number,
            Event::Bool(is_true) => Kind::Flag(is_true),
            Event::Null => Kind::Null,
        };
        let (start, end) = (number(start), number(end));
        self.pieces.push(Piece { kind, start, end, next: here.saturating_add(1) });
    }

    fn wants_string(&self, _: usize) -> bool {
        false
    }
}

/// Reads what begins with one piece.
#[derive(Clone, Copy)]
struct Reader<'a> {
    scanned: &'a Scanned<'a>,
    at: u32,
}

impl<'a> Reader<'a> {
    fn piece(self) -> Result<&'a Piece, Unreadable> {
        self.scanned.pieces.get(self.at as usize).ok_or(Unreadable)
    }

    fn of_kind(self, kind: Kind) -> Result<&'a Piece, Unreadable> {
        self.piece().and_then(|piece| if piece.kind == kind { Ok(piece) } else { Err(Unreadable) })
    }

    fn written(self, piece: &Piece) -> Result<&'a str, Unreadable> {
        self.scanned.text.get(piece.start as usize..piece.end as usize).ok_or(Unreadable)
    }

    #[inline(never)]
    fn string(self) -> Result<Cow<'a, str>, Unreadable> {
        let written = self.written(self.of_kind(Kind::Text)?)?;
        if written.bytes().any(|byte| byte == b'\\') {
            return serde_json::from_str(written).map(Cow::Owned).map_err(|_| Unreadable);
        }
        let inside = written.strip_prefix('"').and_then(|rest| rest.strip_suffix('"'));
        inside.map(Cow::Borrowed).ok_or(Unreadable)
    }

    #[inline(never)]
    fn unsigned(self) -> Result<u64, Unreadable> {
        self.written(self.of_kind(Kind::Number)?)?.parse().map_err(|_| Unreadable)
    }

    #[inline(never)]
    fn signed(self) -> Result<i64, Unreadable> {
        // `-0` is a zero that only a floating-point number has.
        let written = self.written(self.of_kind(Kind::Number)?)?;
        written.parse().ok().filter(|number| *number != 0 || written == "0").ok_or(Unreadable)
    }

    /// What is in an object or an array.
    fn inside(self, kind: Kind) -> Result<Inside<'a>, Unreadable> {
        let end = self.of_kind(kind)?.next;
        Ok(Inside { next: Self { at: self.at.saturating_add(1), ..self }, end })
    }
}

/// What an object or an array holds from here on.
struct Inside<'a> {
    next: Reader<'a>,
    end: u32,
}

impl<'a> Inside<'a> {
    #[inline(never)]
    fn take(&mut self) -> Option<Reader<'a>> {
        let taken = self.next;
        if taken.at >= self.end {
            return None;
        }
        self.next.at = taken.piece().ok()?.next;
        Some(taken)
    }
}

impl<'de> MapAccess<'de> for Inside<'de> {
    type Error = Unreadable;

    fn next_key_seed<K: DeserializeSeed<'de>>(
        &mut self,
        seed: K,
    ) -> Result<Option<K::Value>, Unreadable> {
        self.take().map(|name| seed.deserialize(name)).transpose()
    }

    fn next_value_seed<V: DeserializeSeed<'de>>(
        &mut self,
        seed: V,
    ) -> Result<V::Value, Unreadable> {
        seed.deserialize(self.take().ok_or(Unreadable)?)
    }
}

impl<'de> SeqAccess<'de> for Inside<'de> {
    type Error = Unreadable;

    fn next_element_seed<T: DeserializeSeed<'de>>(
        &mut self,
        seed: T,
    ) -> Result<Option<T::Value>, Unreadable> {
        self.take().map(|element| seed.deserialize(element)).transpose()
    }
}

/// One of several: its name alone, or an object with that as its only member.
struct Choice<'a> {
    name: Reader<'a>,
    value: Option<Reader<'a>>,
}

impl<'a> Choice<'a> {
    #[inline(never)]
    fn of(reader: Reader<'a>) -> Result<Self, Unreadable> {
        if reader.piece()?.kind == Kind::Text {
            return Ok(Self { name: reader, value: None });
        }
        let mut inside = reader.inside(Kind::Object)?;
        match (inside.take(), inside.take(), inside.take()) {
            (Some(name), value @ Some(_), None) => Ok(Self { name, value }),
            _ => Err(Unreadable),
        }
    }
}

impl<'de> EnumAccess<'de> for Choice<'de> {
    type Error = Unreadable;
    type Variant = Self;

    fn variant_seed<V: DeserializeSeed<'de>>(
        self,
        seed: V,
    ) -> Result<(V::Value, Self), Unreadable> {
        Ok((seed.deserialize(self.name)?, self))
    }
}

impl<'de> VariantAccess<'de> for Choice<'de> {
    type Error = Unreadable;

    fn unit_variant(self) -> Result<(), Unreadable> {
        self.value.map_or(Ok(()), |value| value.of_kind(Kind::Null).map(drop))
    }

    fn newtype_variant_seed<T: DeserializeSeed<'de>>(
        self,
        seed: T,
    ) -> Result<T::Value, Unreadable> {
        seed.deserialize(self.value.ok_or(Unreadable)?)
    }

    fn tuple_variant<V: Visitor<'de>>(self, _: usize, _: V) -> Result<V::Value, Unreadable> {
        Err(Unreadable)
    }

    fn struct_variant<V: Visitor<'de>>(
        self,
        _: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, Unreadable> {
        self.value.ok_or(Unreadable)?.deserialize_map(visitor)
    }
}

impl<'de> Deserializer<'de> for Reader<'de> {
    type Error = Unreadable;

    fn deserialize_any<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Unreadable> {
        match self.piece()?.kind {
            Kind::Object => self.deserialize_map(visitor),
            Kind::Array => self.deserialize_seq(visitor),
            Kind::Text => self.deserialize_str(visitor),
            Kind::Flag(is_true) => visitor.visit_bool(is_true),
            // All numbers that are known are whole: of any other it is enough that it is none of those.
            Kind::Number => match (self.unsigned(), self.signed()) {
                (Ok(number), _) => visitor.visit_u64(number),
                (_, Ok(number)) => visitor.visit_i64(number),
                _ => visitor.visit_f64(f64::NAN),
            },
            Kind::Null => visitor.visit_unit(),
        }
    }

    fn deserialize_bool<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Unreadable> {
        match self.piece()?.kind {
            Kind::Flag(is_true) => visitor.visit_bool(is_true),
            _ => Err(Unreadable),
        }
    }

    fn deserialize_u64<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Unreadable> {
        visitor.visit_u64(self.unsigned()?)
    }

    fn deserialize_u32<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Unreadable> {
        visitor.visit_u64(self.unsigned()?)
    }

    fn deserialize_u16<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Unreadable> {
        visitor.visit_u64(self.unsigned()?)
    }

    fn deserialize_u8<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Unreadable> {
        visitor.visit_u64(self.unsigned()?)
    }

    fn deserialize_i64<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Unreadable> {
        visitor.visit_i64(self.signed()?)
    }

    fn deserialize_str<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Unreadable> {
        visitor.visit_str(&self.string()?)
    }

    fn deserialize_string<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Unreadable> {
        visitor.visit_str(&self.string()?)
    }

    fn deserialize_identifier<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Unreadable> {
        visitor.visit_str(&self.string()?)
    }

    fn deserialize_option<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Unreadable> {
        match self.piece()?.kind {
            Kind::Null => visitor.visit_none(),
            _ => visitor.visit_some(self),
        }
    }

    fn deserialize_newtype_struct<V: Visitor<'de>>(
        self,
        _: &'static str,
        visitor: V,
    ) -> Result<V::Value, Unreadable> {
        visitor.visit_newtype_struct(self)
    }

    fn deserialize_seq<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Unreadable> {
        visitor.visit_seq(self.inside(Kind::Array)?)
    }

    fn deserialize_map<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Unreadable> {
        visitor.visit_map(self.inside(Kind::Object)?)
    }

    fn deserialize_struct<V: Visitor<'de>>(
        self,
        _: &'static str,
        _: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, Unreadable> {
        visitor.visit_map(self.inside(Kind::Object)?)
    }

    fn deserialize_enum<V: Visitor<'de>>(
        self,
        _: &'static str,
        _: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, Unreadable> {
        visitor.visit_enum(Choice::of(self)?)
    }

    fn deserialize_ignored_any<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Unreadable> {
        visitor.visit_unit()
    }

    serde::forward_to_deserialize_any! {
        i8 i16 i32 i128 u128 f32 f64 char bytes byte_buf unit unit_struct tuple tuple_struct
    }
}

#[cfg(test)]
mod tests;
