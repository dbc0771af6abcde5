//! serde_json's reading of a body, every member kept, so that parsers can be imitated that take the
//! first of two members, or do not care for case.

use std::collections::BTreeMap;
use std::fmt;

use serde::de::{Deserialize, Deserializer, MapAccess, SeqAccess, Visitor};

use super::view::{PATHS, View, written};

/// A JSON value.
#[derive(Debug, Clone, PartialEq)]
pub enum Tree {
    /// `null`.
    Null,
    /// `true` or `false`.
    Bool(bool),
    /// A number without a fraction.
    Integer(i128),
    /// Another number.
    Number(f64),
    /// A string.
    Text(String),
    /// A list.
    List(Vec<Tree>),
    /// An object, its members as they stand there.
    Object(Vec<(String, Tree)>),
}

/// How members are told from each other.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Names {
    /// The last of several counts, as in most parsers.
    Last,
    /// The first one does.
    First,
    /// Names are compared without their case, in the way of Go's `encoding/json`, where the long s
    /// and the sign of Kelvin are letters like any other; the last one counts.
    Folded,
    /// A name ends at a NUL, as where it is kept as a string of C; the first one counts.
    EndAtNul,
}

impl Names {
    const ALL: [(Self, &'static str); 4] = [
        (Self::Last, "serde_json"),
        (Self::First, "first member"),
        (Self::Folded, "names folded"),
        (Self::EndAtNul, "names of C"),
    ];

    fn is(self, name: &str, wanted: &str) -> bool {
        match self {
            Self::Last | Self::First => name == wanted,
            Self::Folded => folded(name) == folded(wanted),
            Self::EndAtNul => name.split('\0').next() == Some(wanted),
        }
    }
}

fn folded(name: &str) -> String {
    let plain = |letter| match letter {
        '\u{17f}' => 's',
        '\u{212a}' => 'k',
        other => other.to_ascii_lowercase(),
    };
    name.chars().map(plain).collect()
}

impl Tree {
    fn member(&self, wanted: &str, names: Names) -> Option<&Self> {
        let Self::Object(members) = self else { return None };
        let mut found = members.iter().filter(|(name, _)| names.is(name, wanted));
        let one = match names {
            Names::Last | Names::Folded => found.next_back(),
            Names::First | Names::EndAtNul => found.next(),
        };
        one.map(|(_, value)| value)
    }

    fn at(&self, path: &[&str], names: Names) -> Option<String> {
        match (path, self) {
            ([], value) => Some(value.canonical()),
            (["*", rest @ ..], Self::List(items)) => {
                let each = items.iter().map(|item| item.at(rest, names).unwrap_or_default());
                Some(format!("[{}]", each.collect::<Vec<_>>().join(",")))
            }
            (["*", ..], _) => None,
            ([name, rest @ ..], value) => value.member(name, names)?.at(rest, names),
        }
    }

    fn canonical(&self) -> String {
        match self {
            Self::Null => "null".to_owned(),
            Self::Bool(is_true) => is_true.to_string(),
            Self::Integer(number) => format!("i:{number}"),
            Self::Number(number) => format!("f:{number}"),
            Self::Text(text) => written(text),
            Self::List(_) => "[]".to_owned(),
            Self::Object(_) => "{}".to_owned(),
        }
    }

    fn view(&self, names: Names, parser: &str) -> View {
        let parser = parser.to_owned();
        if !matches!(self, Self::Object(_)) {
            let error = Some("no object".to_owned());
            return View { parser, error, seen: BTreeMap::new() };
        }
        let at = |path: &&str| {
            let steps: Vec<&str> = path.split('.').collect();
            Some(((*path).to_owned(), self.at(&steps, names)?))
        };
        View { parser, error: None, seen: PATHS.iter().filter_map(at).collect() }
    }
}

/// What serde_json sees, and what parsers see that treat names otherwise.
#[must_use]
pub fn views_of_serde(body: &[u8]) -> Vec<View> {
    match serde_json::from_slice::<Tree>(body) {
        Ok(tree) => Names::ALL.iter().map(|(names, parser)| tree.view(*names, parser)).collect(),
        Err(error) => vec![View {
            parser: "serde_json".to_owned(),
            error: Some(error.to_string()),
            seen: BTreeMap::new(),
        }],
    }
}

impl<'de> Deserialize<'de> for Tree {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(TreeVisitor)
    }
}

struct TreeVisitor;

impl<'de> Visitor<'de> for TreeVisitor {
    type Value = Tree;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("JSON")
    }

    fn visit_unit<E>(self) -> Result<Tree, E> {
        Ok(Tree::Null)
    }

    fn visit_bool<E>(self, is_true: bool) -> Result<Tree, E> {
        Ok(Tree::Bool(is_true))
    }

    fn visit_u64<E>(self, number: u64) -> Result<Tree, E> {
        Ok(Tree::Integer(i128::from(number)))
    }

    fn visit_i64<E>(self, number: i64) -> Result<Tree, E> {
        Ok(Tree::Integer(i128::from(number)))
    }

    fn visit_f64<E>(self, number: f64) -> Result<Tree, E> {
        // Whole numbers beyond 64 bits: where one stands is all that matters of it.
        let is_whole = number.fract() == 0.0 && number.abs() < 1e37;
        Ok(if is_whole { Tree::Integer(number as i128) } else { Tree::Number(number) })
    }

    fn visit_str<E>(self, text: &str) -> Result<Tree, E> {
        Ok(Tree::Text(text.to_owned()))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<Tree, A::Error> {
        let mut all = Vec::new();
        while let Some(item) = items.next_element()? {
            all.push(item);
        }
        Ok(Tree::List(all))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut members: A) -> Result<Tree, A::Error> {
        let mut all = Vec::new();
        while let Some(member) = members.next_entry()? {
            all.push(member);
        }
        Ok(Tree::Object(all))
    }
}
