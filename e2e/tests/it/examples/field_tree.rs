//! The fields that a document may have, written down by hand from its documentation.
//!
//! `name` is a value, `name{…}` an object with these members, `name[…]` a list of such objects, and
//! `name*` anything at all (a part that another test checks, or whose members are the user's).

use serde_yaml_ng::Value;

/// What may stand below one name.
#[derive(Debug)]
enum Shape {
    Scalar,
    Anything,
    Object(Vec<(String, Shape)>),
    List(Vec<(String, Shape)>),
}

/// The fields of one kind of document.
#[derive(Debug)]
pub struct FieldTree(Vec<(String, Shape)>);

impl FieldTree {
    /// Reads the notation.
    pub fn read(text: &str) -> Self {
        let mut rest = text.trim();
        let members = members(&mut rest, None);
        assert!(rest.is_empty(), "more than one document: {rest:.40}");
        Self(members)
    }

    /// What a document has that the tree does not know, by its path.
    pub fn unknown(&self, document: &Value) -> Vec<String> {
        let mut problems = Vec::new();
        compare_object("", document, &self.0, &mut problems);
        problems
    }
}

fn members(rest: &mut &str, end: Option<char>) -> Vec<(String, Shape)> {
    let mut found = Vec::new();
    loop {
        *rest = rest.trim_start();
        if let Some(after) = end.and_then(|end| rest.strip_prefix(end)) {
            *rest = after;
            return found;
        }
        if rest.is_empty() {
            assert!(end.is_none(), "an object without end");
            return found;
        }
        let length = rest.find(|c: char| c.is_whitespace() || "{}[]*".contains(c));
        let (name, after) = rest.split_at(length.unwrap_or(rest.len()));
        assert!(!name.is_empty(), "no name at: {rest:.40}");
        *rest = after;
        let shape = if let Some(after) = rest.strip_prefix('{') {
            *rest = after;
            Shape::Object(members(rest, Some('}')))
        } else if let Some(after) = rest.strip_prefix('[') {
            *rest = after;
            Shape::List(members(rest, Some(']')))
        } else if let Some(after) = rest.strip_prefix('*') {
            *rest = after;
            Shape::Anything
        } else {
            Shape::Scalar
        };
        found.push((name.to_owned(), shape));
    }
}

fn compare(path: &str, value: &Value, shape: &Shape, problems: &mut Vec<String>) {
    match (shape, value) {
        (Shape::Anything, _) => {}
        (Shape::Scalar, Value::Mapping(_)) => problems.push(format!("{path}: an object")),
        (Shape::Scalar, Value::Sequence(items)) => {
            // A list of plain values is written like a value.
            if items.iter().any(|item| item.is_mapping() || item.is_sequence()) {
                problems.push(format!("{path}: a list of objects"));
            }
        }
        (Shape::Scalar, _) => {}
        (Shape::Object(members), value) => compare_object(path, value, members, problems),
        (Shape::List(members), Value::Sequence(items)) => {
            for (at, item) in items.iter().enumerate() {
                compare_object(&format!("{path}[{at}]"), item, members, problems);
            }
        }
        (Shape::List(_), _) => problems.push(format!("{path}: no list")),
    }
}

fn compare_object(
    path: &str,
    value: &Value,
    members: &[(String, Shape)],
    problems: &mut Vec<String>,
) {
    let Value::Mapping(mapping) = value else {
        problems.push(format!("{path}: no object"));
        return;
    };
    for (name, value) in mapping {
        let name = name.as_str().unwrap_or("(no text)");
        let here = if path.is_empty() { name.to_owned() } else { format!("{path}.{name}") };
        match members.iter().find(|(known, _)| known == name) {
            Some((_, shape)) => compare(&here, value, shape, problems),
            None => problems.push(format!("{here}: not documented")),
        }
    }
}

#[test]
fn what_is_not_in_the_tree_is_named() {
    let tree = FieldTree::read("kind spec{url env[name value] labels* tags}");
    let unknown = |text: &str| tree.unknown(&serde_yaml_ng::from_str(text).unwrap());
    let fine = "{kind: x, spec: {url: u, env: [{name: a, value: b}], labels: {any: 1}, tags: [a]}}";
    assert_eq!(unknown(fine), [""; 0]);
    assert_eq!(unknown("{kinds: x}"), ["kinds: not documented"]);
    assert_eq!(unknown("{spec: {env: [{nam: a}]}}"), ["spec.env[0].nam: not documented"]);
    assert_eq!(unknown("{spec: {url: {a: 1}}}"), ["spec.url: an object"]);
    assert_eq!(unknown("{spec: {env: {name: a}}}"), ["spec.env: no list"]);
    assert_eq!(unknown("{spec: [1]}"), ["spec: no object"]);
    assert_eq!(unknown("{spec: {tags: [{a: 1}]}}"), ["spec.tags: a list of objects"]);
}
