//! The statements of one batch, as the journal keeps them: their texts and the values bound to
//! them, in order. SQL here computes nothing and reads no clock, so the same statements on the same
//! rows give the same rows again, automatic numbers included.

use rusqlite::Connection;
use rusqlite::types::{ToSql, ToSqlOutput, Value};

use crate::store::{StoreError, StoreResult};

/// Values bound to one statement: SQLite's own limit.
const VALUES_MOST: usize = 32_766;

const NULL: u8 = 0;
const INTEGER: u8 = 1;
const TEXT: u8 = 2;
const BLOB: u8 = 3;

/// One statement that changed rows.
#[derive(Debug, Clone, PartialEq)]
struct Step {
    /// Which of the texts.
    text: u32,
    /// How many rows it changed: a replay that changes another number runs on other rows.
    changed: u64,
    values: Vec<Value>,
}

/// What a batch has written so far.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Statements {
    texts: Vec<String>,
    steps: Vec<Step>,
}

impl Statements {
    /// Whether nothing was written.
    pub fn is_empty(&self) -> bool {
        self.steps.is_empty()
    }

    /// How many statements there are; see [`Statements::cut`].
    pub fn len(&self) -> usize {
        self.steps.len()
    }

    /// Forgets what was written after the first `len` statements, because it was rolled back.
    pub fn cut(&mut self, len: usize) {
        self.steps.truncate(len);
    }

    /// Appends a statement that has been carried out.
    ///
    /// # Errors
    /// When a value is of a kind that no column has.
    pub fn push(&mut self, text: &str, values: &[&dyn ToSql], changed: usize) -> StoreResult<()> {
        let values = values.iter().map(|value| owned(*value)).collect::<StoreResult<_>>()?;
        let known = self.texts.iter().position(|known| known == text);
        let index = known.unwrap_or_else(|| {
            self.texts.push(text.to_owned());
            self.texts.len() - 1
        });
        let text = u32::try_from(index).map_err(|_| unreadable("too many texts"))?;
        let changed = u64::try_from(changed).unwrap_or(u64::MAX);
        self.steps.push(Step { text, changed, values });
        Ok(())
    }

    /// Carries the statements out on a connection, within a transaction that the caller has begun
    /// and rolls back on an error.
    ///
    /// # Errors
    /// When a statement fails, or changes another number of rows than it did the first time.
    pub fn run(&self, connection: &Connection) -> StoreResult<()> {
        for step in &self.steps {
            let index = usize::try_from(step.text).unwrap_or(usize::MAX);
            let text = self.texts.get(index).ok_or_else(|| unreadable("text"))?;
            let mut statement = connection.prepare_cached(text)?;
            let changed = statement.execute(rusqlite::params_from_iter(&step.values))?;
            if u64::try_from(changed).ok() != Some(step.changed) {
                return Err(unreadable("a statement found other rows than the first time"));
            }
        }
        Ok(())
    }

    /// As bytes.
    pub fn encode(&self) -> Vec<u8> {
        let mut bytes = Vec::new();
        number(&mut bytes, self.texts.len());
        for text in &self.texts {
            slice(&mut bytes, text.as_bytes());
        }
        number(&mut bytes, self.steps.len());
        for step in &self.steps {
            bytes.extend(step.text.to_le_bytes());
            bytes.extend(step.changed.to_le_bytes());
            number(&mut bytes, step.values.len());
            for value in &step.values {
                match value {
                    Value::Integer(integer) => {
                        bytes.push(INTEGER);
                        bytes.extend(integer.to_le_bytes());
                    }
                    Value::Text(text) => {
                        bytes.push(TEXT);
                        slice(&mut bytes, text.as_bytes());
                    }
                    Value::Blob(blob) => {
                        bytes.push(BLOB);
                        slice(&mut bytes, blob);
                    }
                    // `owned` lets no floating-point number in.
                    Value::Null | Value::Real(_) => bytes.push(NULL),
                }
            }
        }
        bytes
    }

    /// From the bytes of [`Statements::encode`].
    ///
    /// # Errors
    /// When they are not such bytes.
    pub fn decode(bytes: &[u8]) -> StoreResult<Self> {
        let mut rest = Rest(bytes);
        let mut statements = Self::default();
        for _ in 0..rest.number()? {
            statements.texts.push(rest.text()?);
        }
        for _ in 0..rest.number()? {
            let text = u32::from_le_bytes(rest.array()?);
            let changed = u64::from_le_bytes(rest.array()?);
            let count = rest.number()?;
            if count > VALUES_MOST {
                return Err(unreadable("too many values"));
            }
            let mut values = Vec::with_capacity(count);
            for _ in 0..count {
                let [kind] = rest.array()?;
                values.push(match kind {
                    NULL => Value::Null,
                    INTEGER => Value::Integer(i64::from_le_bytes(rest.array()?)),
                    TEXT => Value::Text(rest.text()?),
                    BLOB => Value::Blob(rest.slice()?.to_vec()),
                    _ => return Err(unreadable("kind of a value")),
                });
            }
            statements.steps.push(Step { text, changed, values });
        }
        if rest.0.is_empty() { Ok(statements) } else { Err(unreadable("bytes at the end")) }
    }
}

fn owned(value: &dyn ToSql) -> StoreResult<Value> {
    let owned = match value.to_sql()? {
        ToSqlOutput::Owned(value) => value,
        ToSqlOutput::Borrowed(value) => value.try_into().map_err(rusqlite::Error::from)?,
        _ => return Err(unreadable("kind of a value")),
    };
    match owned {
        Value::Real(_) => Err(unreadable("a floating-point number")),
        value => Ok(value),
    }
}

fn number(bytes: &mut Vec<u8>, number: usize) {
    // A batch is far below 4 GiB; one that is not is refused by its total length.
    bytes.extend(u32::try_from(number).unwrap_or(u32::MAX).to_le_bytes());
}

fn slice(bytes: &mut Vec<u8>, slice: &[u8]) {
    number(bytes, slice.len());
    bytes.extend(slice);
}

/// Bytes not read yet.
struct Rest<'b>(&'b [u8]);

impl<'b> Rest<'b> {
    fn array<const SIZE: usize>(&mut self) -> StoreResult<[u8; SIZE]> {
        let (array, rest) = self.0.split_first_chunk().ok_or_else(|| unreadable("short"))?;
        self.0 = rest;
        Ok(*array)
    }

    fn number(&mut self) -> StoreResult<usize> {
        let number = u32::from_le_bytes(self.array()?);
        usize::try_from(number).map_err(|_| unreadable("a number"))
    }

    fn slice(&mut self) -> StoreResult<&'b [u8]> {
        let length = self.number()?;
        let (slice, rest) = self.0.split_at_checked(length).ok_or_else(|| unreadable("short"))?;
        self.0 = rest;
        Ok(slice)
    }

    fn text(&mut self) -> StoreResult<String> {
        String::from_utf8(self.slice()?.to_vec()).map_err(|_| unreadable("text is no UTF-8"))
    }
}

fn unreadable(what: &str) -> StoreError {
    StoreError::Unreadable(format!("journal entry: {what}"))
}

#[cfg(test)]
mod tests {
    use rusqlite::params;

    use super::*;

    fn some() -> Statements {
        let mut statements = Statements::default();
        let blob: &[u8] = &[0, 255];
        let insert = "INSERT INTO t (a, b) VALUES (?, ?)";
        statements.push(insert, params![i64::MIN, "nul \0 and 'quote'"], 1).unwrap();
        statements.push(insert, params![Option::<i64>::None, blob], 1).unwrap();
        statements.push("DELETE FROM t WHERE a = ?", params![7], 0).unwrap();
        statements
    }

    #[test]
    fn statements_come_back_from_their_bytes_and_no_others_do() {
        let statements = some();
        let bytes = statements.encode();
        assert_eq!(Statements::decode(&bytes).unwrap(), statements);
        for cut in 0..bytes.len() {
            assert!(Statements::decode(&bytes[..cut]).is_err(), "{cut} bytes");
        }
        let longer = [bytes.as_slice(), &[0]].concat();
        assert!(Statements::decode(&longer).is_err());
    }

    #[test]
    fn a_replay_on_other_rows_is_noticed() {
        let connection = Connection::open_in_memory().unwrap();
        connection.execute_batch("CREATE TABLE t (a, b)").unwrap();
        some().run(&connection).unwrap();
        connection.execute_batch("INSERT INTO t VALUES (7, 7)").unwrap();
        let error = some().run(&connection).unwrap_err();
        assert!(error.to_string().contains("other rows"), "{error}");
    }

    #[test]
    fn what_was_rolled_back_is_not_kept() {
        let mut statements = some();
        statements.cut(1);
        assert_eq!(statements.len(), 1);
        statements.cut(0);
        assert!(statements.is_empty());
    }

    #[test]
    fn no_amount_is_a_floating_point_number() {
        let mut statements = Statements::default();
        assert!(statements.push("x", params![0.5], 1).is_err());
    }
}
