//! JSON objects as text for people: a list as a table, one object as lines.

use serde_json::Value;

use crate::http::is_unseen;

/// Shown where a field is absent or null.
const NOTHING: &str = "-";

/// A column: its heading and the path of its value.
pub type Column = (&'static str, &'static str);

/// The objects of a list as a table.
pub fn table(answer: &Value, columns: &[Column]) -> String {
    let objects = answer.get("data").and_then(Value::as_array);
    let mut rows: Vec<Vec<String>> =
        vec![columns.iter().map(|(name, _)| name.to_string()).collect()];
    for object in objects.into_iter().flatten() {
        rows.push(columns.iter().map(|(_, path)| cell(object.pointer(path))).collect());
    }
    let width = |index: usize| {
        let cells = rows.iter().filter_map(|row| row.get(index));
        cells.map(|cell| cell.chars().count()).max().unwrap_or(0)
    };
    let widths: Vec<usize> = (0..columns.len()).map(width).collect();
    let mut lines: Vec<String> = rows
        .iter()
        .map(|row| {
            let padded = row.iter().zip(&widths).map(|(cell, width)| format!("{cell:<width$}"));
            padded.collect::<Vec<_>>().join("  ").trim_end().to_owned()
        })
        .collect();
    if let Some(cursor) = answer.get("next_cursor").and_then(Value::as_str) {
        lines.push(format!("more: --cursor {cursor}"));
    }
    lines.join("\n")
}

/// One object as a line per field.
pub fn lines(object: &Value) -> String {
    let fields = object.as_object().into_iter().flatten();
    let fields: Vec<_> = fields.map(|(name, value)| (name.as_str(), cell(Some(value)))).collect();
    named(&fields)
}

/// A line per name, in this order.
pub fn named(values: &[(&str, String)]) -> String {
    let width = values.iter().map(|(name, _)| name.len()).max().unwrap_or(0);
    let lines: Vec<_> =
        values.iter().map(|(name, value)| format!("{name:<width$}  {value}")).collect();
    lines.join("\n")
}

fn cell(value: Option<&Value>) -> String {
    match value {
        None | Some(Value::Null) => NOTHING.to_owned(),
        Some(Value::String(text)) => seen(text),
        Some(Value::Array(items)) => {
            let items: Vec<_> = items.iter().map(|item| cell(Some(item))).collect();
            if items.is_empty() { "none".to_owned() } else { items.join(",") }
        }
        Some(other) => other.to_string(),
    }
}

/// A text as it is, but for characters that a terminal would obey instead of showing them.
fn seen(text: &str) -> String {
    text.chars().fold(String::new(), |mut shown, character| {
        if is_unseen(character) {
            shown.extend(character.escape_debug());
        } else {
            shown.push(character);
        }
        shown
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn what_a_terminal_would_obey_is_shown() {
        let object = json!({"name": "a\u{1b}[2J\u{202e}b\nid  1", "other": "käse \"x\""});
        let shown = lines(&object);
        assert!(shown.contains(r"a\u{1b}[2J\u{202e}b\nid  1"), "{shown}");
        assert!(shown.contains("käse \"x\""), "{shown}");
        assert_eq!(shown.lines().count(), 2);
    }

    #[test]
    fn columns_line_up_and_absent_values_show() {
        let answer = json!({"data": [
            {"id": "a", "spend": {"left_usd": "1.00"}},
            {"id": "longer", "spend": {}},
        ], "next_cursor": "7"});
        let shown = table(&answer, &[("id", "/id"), ("left", "/spend/left_usd")]);
        assert_eq!(shown, "id      left\na       1.00\nlonger  -\nmore: --cursor 7");
    }

    #[test]
    fn an_object_is_a_line_per_field() {
        let shown = lines(&json!({"id": "a", "models": [], "name": null}));
        assert_eq!(shown, "id      a\nmodels  none\nname    -");
    }
}
