//! `tollgate export`: a filter's configuration out of a server.

use std::path::PathBuf;

use clap::Args;
use serde_json::{Map, Value, json};

use super::super::client::{Client, ClientError};
use super::super::download;

/// Notes that are shown before the rest is only counted: there may be one for each key.
const NOTES_SHOWN: usize = 20;

/// `tollgate export`
#[derive(Debug, Args)]
pub struct ExportArgs {
    /// Only keys of this organisation.
    #[arg(long)]
    org: Option<String>,
    /// Write the configuration here, not to standard output.
    #[arg(long, short, value_name = "FILE")]
    output: Option<PathBuf>,
    /// Write what gets lost here as well, as JSON.
    #[arg(long, value_name = "FILE")]
    notes: Option<PathBuf>,
    /// Write nothing if anything gets lost.
    #[arg(long)]
    strict: bool,
}

impl ExportArgs {
    /// Carries it out and answers what to print.
    pub fn run(self, client: &Client) -> Result<String, ClientError> {
        let (mut models, mut keys, mut notes) = (Value::Null, Vec::new(), Vec::new());
        let mut cursor = Value::Null;
        loop {
            let mut query = vec![("limit", "200".to_owned())];
            query.extend(self.org.clone().map(|org| ("org", org)));
            query.extend(cursor.as_str().map(|cursor| ("cursor", cursor.to_owned())));
            let mut page = client.send("GET", "filter-configuration", &query, None)?;
            if !page["models"].is_null() {
                models = page["models"].take();
            }
            keys.extend(items(page["keys"].take()));
            notes.extend(items(page["notes"].take()));
            cursor = page["next_cursor"].take();
            if cursor.is_null() {
                break;
            }
        }
        for note in notes.iter().take(NOTES_SHOWN) {
            let text = |name: &str| note[name].as_str().unwrap_or_default();
            eprintln!("warning: {}: {} ({})", text("about"), text("message"), text("code"));
        }
        if let Some(more) = notes.len().checked_sub(NOTES_SHOWN).filter(|more| *more > 0) {
            eprintln!("warning: and {more} more; --notes FILE holds all");
        }
        if let Some(file) = &self.notes {
            write(file, &json!(notes))?;
        }
        if self.strict && !notes.is_empty() {
            let what = "something gets lost without a server, and --strict forbids that";
            return Err(ClientError::Input(what.to_owned()));
        }
        let mut configuration = Map::new();
        configuration.insert("models".to_owned(), models);
        configuration.insert("keys".to_owned(), keys.into());
        match &self.output {
            None => Ok(Value::from(configuration).to_string()),
            Some(file) => write(file, &configuration.into()).map(|()| String::new()),
        }
    }
}

fn items(value: Value) -> Vec<Value> {
    match value {
        Value::Array(items) => items,
        _ => Vec::new(),
    }
}

fn write(file: &std::path::Path, value: &Value) -> Result<(), ClientError> {
    let mut text = value.to_string();
    text.push('\n');
    let failed = |source| ClientError::Write { what: file.display().to_string(), source };
    download::to_file(&mut text.as_bytes(), file).map(drop).map_err(failed)
}
