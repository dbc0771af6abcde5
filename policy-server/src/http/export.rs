//! The request log as a file. It is read page by page, each in a transaction of its own, and only
//! as fast as it is taken: however long it is, one page of it is held.

use std::io;

use axum::body::{Body, Bytes};
use axum::http::{HeaderValue, header};
use axum::response::{IntoResponse, Response};
use futures_util::stream;
use serde_json::Value;

use super::admin::Visitor;
use super::answer::AdminProblem;
use super::show;
use crate::store::{RecordPlace, RecordRow, RecordSearch};

/// Records read at once: with metadata as long as it may be they take some two megabytes.
const RECORDS_PER_PAGE: u32 = 200;

/// Columns of a CSV file: name, and path in the JSON of a record.
const COLUMNS: &[(&str, &str)] = &[
    ("request", "/request"),
    ("started_at", "/started_at"),
    ("key", "/key"),
    ("org", "/org"),
    ("team", "/team"),
    ("user", "/user"),
    ("model", "/model"),
    ("status", "/status"),
    ("streamed", "/streamed"),
    ("ending", "/ending"),
    ("basis", "/basis"),
    ("input_tokens", "/usage/input_tokens"),
    ("cached_input_tokens", "/usage/cached_input_tokens"),
    ("output_tokens", "/usage/output_tokens"),
    ("reasoning_tokens", "/usage/reasoning_tokens"),
    ("cost_usd", "/cost_usd"),
    ("reserved_usd", "/reserved_usd"),
    ("price_multiplier", "/price_multiplier"),
    ("differs", "/differs"),
    ("duration_ms", "/duration_ms"),
    ("address", "/address"),
    ("metadata", "/metadata"),
    ("user_key", "/user_key"),
    ("would_refuse", "/would_refuse"),
];

/// What kind of file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Format {
    /// Comma-separated values (RFC 4180) with a line of names.
    Csv,
    /// One JSON object a line.
    JsonLines,
}

impl Format {
    /// Every kind.
    pub const ALL: [Self; 2] = [Self::Csv, Self::JsonLines];

    /// The word in the API.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Csv => "csv",
            Self::JsonLines => "jsonl",
        }
    }

    fn content_type(self) -> HeaderValue {
        HeaderValue::from_static(match self {
            Self::Csv => "text/csv; charset=utf-8; header=present",
            Self::JsonLines => "application/jsonl",
        })
    }

    fn disposition(self) -> HeaderValue {
        HeaderValue::from_static(match self {
            Self::Csv => "attachment; filename=\"requests.csv\"",
            Self::JsonLines => "attachment; filename=\"requests.jsonl\"",
        })
    }

    /// What stands before the first record.
    fn head(self) -> Vec<u8> {
        match self {
            Self::Csv => csv_lines([COLUMNS.iter().map(|(name, _)| (*name).to_owned())]),
            Self::JsonLines => Vec::new(),
        }
    }

    fn lines(self, records: &[RecordRow]) -> Vec<u8> {
        let shown = records.iter().map(|record| Value::from(show::record(record)));
        match self {
            Self::Csv => csv_lines(
                shown.map(|record| COLUMNS.iter().map(move |(_, path)| cell(record.pointer(path)))),
            ),
            Self::JsonLines => shown.fold(Vec::new(), |mut lines, record| {
                lines.extend(record.to_string().into_bytes());
                lines.push(b'\n');
                lines
            }),
        }
    }
}

/// The log as far as `search` says and whoever asks may see it, from its first page on; an error in a later one breaks the
/// answer off, so that nobody takes a part for the whole.
///
/// # Errors
/// When the first page cannot be read.
pub async fn export(
    visitor: Visitor,
    format: Format,
    search: RecordSearch,
) -> Result<Response, AdminProblem> {
    let search = RecordSearch { limit: RECORDS_PER_PAGE, ..search };
    let first = Page::read(visitor, format, search, format.head()).await?;
    let pages = stream::unfold(Some(Ok(first)), |page| async {
        match page? {
            Ok(Page { bytes, next: None }) => Some((Ok(bytes), None)),
            Ok(Page { bytes, next: Some(next) }) => Some((Ok(bytes), Some(next.read().await))),
            Err(error) => {
                tracing::error!(?error, "an export of the request log broke off");
                Some((Err(io::Error::other("the rest of the log cannot be read")), None))
            }
        }
    });
    let headers = [
        (header::CONTENT_TYPE, format.content_type()),
        (header::CONTENT_DISPOSITION, format.disposition()),
    ];
    Ok((headers, Body::from_stream(pages)).into_response())
}

/// Part of the file, and what comes after it.
struct Page {
    bytes: Bytes,
    next: Option<Next>,
}

/// Where to go on.
struct Next {
    visitor: Visitor,
    format: Format,
    search: RecordSearch,
}

impl Next {
    async fn read(self) -> Result<Page, AdminProblem> {
        Page::read(self.visitor, self.format, self.search, Vec::new()).await
    }
}

impl Page {
    async fn read(
        visitor: Visitor,
        format: Format,
        search: RecordSearch,
        mut bytes: Vec<u8>,
    ) -> Result<Self, AdminProblem> {
        let asked = search.clone();
        let page = visitor.list_log(None, move |work, sight| work.records(&sight, asked)).await?;
        bytes.extend(format.lines(&page.items));
        let next = page.next.as_deref().and_then(RecordPlace::of_cursor).map(|after| Next {
            visitor,
            format,
            search: RecordSearch { after: Some(after), ..search },
        });
        Ok(Self { bytes: bytes.into(), next })
    }
}

fn csv_lines<L: IntoIterator<Item = String>>(lines: impl IntoIterator<Item = L>) -> Vec<u8> {
    let mut writer = csv::Writer::from_writer(Vec::new());
    for line in lines {
        // Every line has as many cells as the first, and memory does not fail to be written.
        let _ = writer.write_record(line);
    }
    writer.into_inner().unwrap_or_default()
}

/// A value as a cell. Programs that open CSV files take a text that begins so for a formula, which
/// can send the whole table away: a quotation mark before it makes it a text to them.
fn cell(value: Option<&Value>) -> String {
    let text = match value {
        None | Some(Value::Null) => String::new(),
        Some(Value::String(text)) => text.clone(),
        Some(Value::Object(fields)) if fields.is_empty() => String::new(),
        Some(other) => other.to_string(),
    };
    if text.starts_with(['=', '+', '-', '@', '\t', '\r', '\n']) { format!("'{text}") } else { text }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn no_cell_is_a_formula() {
        for (value, shown) in [
            (json!("=HYPERLINK(\"https://x\")"), "'=HYPERLINK(\"https://x\")"),
            (json!("+1"), "'+1"),
            (json!("-1"), "'-1"),
            (json!("@sum"), "'@sum"),
            (json!("\t=1"), "'\t=1"),
            (json!("a=1"), "a=1"),
            (json!(null), ""),
            (json!(true), "true"),
            (json!(7), "7"),
            (json!({}), ""),
            (json!({"a": "=1"}), r#"{"a":"=1"}"#),
        ] {
            assert_eq!(cell(Some(&value)), shown);
        }
        let lines = csv_lines([["a,b".to_owned(), "c\"d\n".to_owned()]]);
        assert_eq!(lines, b"\"a,b\",\"c\"\"d\n\"\n");
    }
}
