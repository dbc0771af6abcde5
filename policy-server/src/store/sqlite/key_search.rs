//! Lists of keys. Each way to ask has its index, named in the statement: SQLite refuses a statement
//! whose index does not serve it, so no list of what one sees whole reads all keys to show a few. Whoever sees
//! teams and his own keys only has them found by those, and the counts of them end at a bound.

use rusqlite::Row;
use rusqlite::types::ToSql;

use wire::{OrgId, TeamId, UserId};

use super::encoding::integer;
use super::keys::key;
use super::{Rows, key_grams};
use crate::permissions::Sight;
use crate::store::{
    KeyCursor, KeyOrder, KeyRow, KeySearch, KeyStatus, SortValue, StoreError, StoreResult,
};

/// Active keys whose time is over and of which that is not noted yet.
pub const NEWLY_EXPIRED: &str = "SELECT * FROM keys INDEXED BY keys_expiring
     WHERE status = 'active' AND expires_ms IS NOT NULL AND expires_ms <= ?
     ORDER BY expires_ms LIMIT ?";

/// How many there are of them, in an organisation or in all. Few: they are noted every second.
pub const COUNT_NEWLY_EXPIRED: &str = "SELECT count(*) AS count FROM keys INDEXED BY keys_expiring
     WHERE status = 'active' AND expires_ms IS NOT NULL AND expires_ms <= ?1
       AND (?2 IS NULL OR org = ?2)";

/// How many keys of some teams and of a user there are in each state, in their organisation: of the first
/// hundred thousand, since each of them is looked at.
pub const COUNT_OF_MEMBER: &str = "SELECT count(*) AS count, CASE
         WHEN status = 'active' AND expires_ms <= ?4 THEN 'expired' ELSE status END AS now_status
     FROM keys WHERE position IN (
         SELECT position FROM keys INDEXED BY keys_of_team
             WHERE team IS NOT NULL AND org = ?1 AND team IN (SELECT value FROM json_each(?2))
         UNION SELECT position FROM keys INDEXED BY keys_of_user
             WHERE user IS NOT NULL AND org = ?1 AND user = ?3
         LIMIT 100000)
     GROUP BY now_status";

/// Keys that have a piece of text, as far as they are counted.
const LOOK_UP: &str = "SELECT rowid FROM key_texts WHERE key_texts MATCH ?
     ORDER BY rowid DESC LIMIT ?";

/// So many keys are more than few.
const FEW: u32 = 65;

/// Where the keys of a search by text stand.
pub enum Words {
    /// Wherever the index of texts has all of these pieces.
    Pieces(String),
    /// Among the keys at these positions.
    Keys(Vec<i64>),
}

/// A statement and the values of its parameters.
#[derive(Default)]
pub struct Query {
    pub sql: String,
    pub values: Vec<Box<dyn ToSql>>,
}

impl Query {
    /// Adds SQL in which `?` stands for the value.
    fn with(&mut self, sql: &str, value: impl ToSql + 'static) {
        self.sql.push_str(sql);
        self.values.push(Box::new(value));
    }
}

/// Which keys in the state that is asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Part {
    /// Those of which it is noted.
    Noted,
    /// Active ones that have expired since it was last noted.
    NewlyExpired,
}

/// Keys that match, in order.
pub fn run(rows: &Rows<'_>, search: &KeySearch) -> StoreResult<Vec<(KeyCursor, KeyRow)>> {
    let Sight::Part { org, teams, user } = &search.sight else { return whole(rows, search) };
    // Each team and the user by its own index; a key can be found by both.
    let mut found = Vec::new();
    for only in parts(search, org, teams, user.as_ref()) {
        found.append(&mut whole(rows, &only)?);
    }
    found.sort_by(|(one, _), (other, _)| in_order(search.order, one, other));
    found.dedup_by_key(|(cursor, _)| cursor.place);
    found.truncate(usize::try_from(search.limit).unwrap_or(usize::MAX));
    Ok(found)
}

/// The searches that together find what somebody may see who sees neither all nor an organisation.
fn parts(
    search: &KeySearch,
    org: &OrgId,
    teams: &[TeamId],
    user: Option<&UserId>,
) -> Vec<KeySearch> {
    if search.org.as_ref().is_some_and(|asked| asked != org) {
        return Vec::new();
    }
    let only = KeySearch { org: Some(org.clone()), sight: Sight::Everything, ..search.clone() };
    let of_teams = teams.iter().filter(|team| search.team.as_ref().is_none_or(|t| t == *team));
    let of_user = user.filter(|user| search.user.as_ref().is_none_or(|u| u == *user));
    let of_teams = of_teams.map(|team| KeySearch { team: Some(team.clone()), ..only.clone() });
    let of_user = of_user.map(|user| KeySearch { user: Some(user.clone()), ..only.clone() });
    of_teams.chain(of_user).collect()
}

fn whole(rows: &Rows<'_>, search: &KeySearch) -> StoreResult<Vec<(KeyCursor, KeyRow)>> {
    let words = words(rows, search)?;
    let mut found = page(rows, search, &words, Part::Noted)?;
    if search.status == Some(KeyStatus::Expired) {
        found.append(&mut page(rows, search, &words, Part::NewlyExpired)?);
        found.sort_by(|(one, _), (other, _)| in_order(search.order, one, other));
        found.truncate(usize::try_from(search.limit).unwrap_or(usize::MAX));
    }
    Ok(found)
}

/// What the index of texts says of a search: the keys themselves where few have two of its pieces,
/// since to find where those meet all the others takes longer than to look at these keys.
fn words(rows: &Rows<'_>, search: &KeySearch) -> StoreResult<Words> {
    let Some(text) = &search.text else { return Ok(Words::Pieces(String::new())) };
    let look_up = rusqlite::params![key_grams::closer(text), FEW];
    let found: Vec<i64> = rows.all(LOOK_UP, look_up, |row| row.get("rowid"))?;
    Ok(if found.len() < usize::try_from(FEW).unwrap_or(usize::MAX) {
        Words::Keys(found)
    } else {
        Words::Pieces(key_grams::query(&key_grams::of_search(text), search))
    })
}

fn page(
    rows: &Rows<'_>,
    search: &KeySearch,
    words: &Words,
    part: Part,
) -> StoreResult<Vec<(KeyCursor, KeyRow)>> {
    let query = query(search, words, part)?;
    let order = search.order;
    rows.all(&query.sql, rusqlite::params_from_iter(query.values), |row| {
        Ok((cursor(order, row)?, key(row)?))
    })
}

/// The statement for a search.
///
/// # Errors
/// When no index has what is asked for.
pub fn query(search: &KeySearch, words: &Words, part: Part) -> StoreResult<Query> {
    let mut query = Query::default();
    let place = from(&mut query, search, words, part)?;
    if part == Part::NewlyExpired {
        // The status itself stands in `from`.
        query.with(" AND expires_ms <= ?", integer(search.now_unix_ms));
    } else {
        match search.status {
            None => query.sql.push_str(" AND status <> 'deleted'"),
            Some(status) => query.with(" AND status = ?", status.as_str()),
        }
        if search.status == Some(KeyStatus::Active) {
            let now = integer(search.now_unix_ms);
            query.with(" AND (expires_ms IS NULL OR expires_ms > ?)", now);
        }
    }
    if let Some(team) = &search.team {
        query.with(" AND team = ?", team.as_str().to_owned());
    }
    if let Some(user) = &search.user {
        query.with(" AND user = ?", user.as_str().to_owned());
    }
    if let Some(after) = &search.after {
        behind(&mut query, search.order, after, place)?;
    }
    let order = match search.order {
        KeyOrder::Newest => format!(" ORDER BY {place} DESC"),
        KeyOrder::Oldest => format!(" ORDER BY {place}"),
        KeyOrder::Name => format!(" ORDER BY name COLLATE NOCASE, {place}"),
        KeyOrder::Expiry => format!(" ORDER BY expires_order, {place}"),
        KeyOrder::LastUse => format!(" ORDER BY last_used_ms DESC, {place} DESC"),
        KeyOrder::Spend => format!(" ORDER BY spent DESC, {place} DESC"),
    };
    query.sql.push_str(&order);
    query.with(" LIMIT ?", search.limit);
    Ok(query)
}

/// Writes where the keys come from: the index, and what is equal in it. Answers the column of a key's
/// place there.
fn from(
    query: &mut Query,
    search: &KeySearch,
    words: &Words,
    part: Part,
) -> StoreResult<&'static str> {
    let org = search.org.as_ref().map(|org| org.as_str().to_owned());
    if let Some(text) = &search.text {
        if !search.order.is_by_age() {
            return Err(no_index());
        }
        let place = match words {
            Words::Pieces(pieces) => {
                query.with(
                    "SELECT keys.*, keys.position AS place FROM key_texts
                     CROSS JOIN keys ON keys.position = key_texts.rowid WHERE key_texts MATCH ?",
                    pieces.clone(),
                );
                "key_texts.rowid"
            }
            Words::Keys(positions) => {
                query.with(
                    "SELECT *, position AS place FROM keys
                     WHERE position IN (SELECT value FROM json_each(?))",
                    serde_json::Value::from(positions.as_slice()).to_string(),
                );
                "position"
            }
        };
        let pattern = like_pattern(text);
        query.with(" AND (id LIKE ? ESCAPE '!'", pattern.clone());
        for column in ["name", "description", "prefix", "org", "team", "user", "tags"] {
            query.with(&format!(" OR {column} LIKE ? ESCAPE '!'"), pattern.clone());
        }
        query.sql.push(')');
        if let Some(org) = org {
            query.with(" AND org = ?", org);
        }
        if let Some(tag) = &search.tag {
            query.with(" AND EXISTS (SELECT 1 FROM key_tags WHERE tag = ?", tag.clone());
            query.sql.push_str(" AND key_tags.org = keys.org");
            query.sql.push_str(" AND key_tags.position = keys.position)");
        }
        newly(query, part);
        return Ok(place);
    }
    if let Some(tag) = &search.tag {
        query.sql.push_str("SELECT keys.*, keys.position AS place FROM key_tags ");
        if org.is_none() {
            query.sql.push_str("INDEXED BY key_tags_of_all ");
        }
        query.sql.push_str("CROSS JOIN keys ON keys.position = key_tags.position");
        query.with(" WHERE tag = ?", tag.clone());
        if let Some(org) = org {
            query.with(" AND key_tags.org = ?", org);
        }
        newly(query, part);
        return Ok("key_tags.position");
    }
    query.sql.push_str("SELECT *, position AS place FROM keys INDEXED BY ");
    let index = if search.team.is_some() {
        match org {
            None => "keys_of_teams WHERE team IS NOT NULL",
            Some(_) => "keys_of_team WHERE team IS NOT NULL",
        }
    } else if search.user.is_some() {
        match org {
            None => "keys_of_users WHERE user IS NOT NULL",
            Some(_) => "keys_of_user WHERE user IS NOT NULL",
        }
    } else if part == Part::NewlyExpired {
        "keys_expiring WHERE expires_ms IS NOT NULL"
    } else {
        let is_deleted = search.status == Some(KeyStatus::Deleted);
        match (search.order, &org, search.status) {
            (KeyOrder::Newest | KeyOrder::Oldest, None, None) => {
                "keys_kept WHERE status <> 'deleted'"
            }
            (KeyOrder::Newest | KeyOrder::Oldest, None, Some(_)) => "keys_by_status WHERE TRUE",
            (KeyOrder::Newest | KeyOrder::Oldest, Some(_), None) => {
                "keys_of_org WHERE status <> 'deleted'"
            }
            (KeyOrder::Newest | KeyOrder::Oldest, Some(_), Some(_)) => {
                "keys_of_org_by_status WHERE TRUE"
            }
            (_, None, _) => return Err(no_index()),
            _ if is_deleted => return Err(no_index()),
            (KeyOrder::Name, ..) => "keys_by_name WHERE status <> 'deleted'",
            (KeyOrder::Expiry, ..) => "keys_by_expiry WHERE status <> 'deleted'",
            (KeyOrder::LastUse, ..) => "keys_by_last_use WHERE status <> 'deleted'",
            (KeyOrder::Spend, ..) => "keys_by_spend WHERE status <> 'deleted'",
        }
    };
    query.sql.push_str(index);
    newly(query, part);
    if let Some(org) = org {
        query.with(" AND org = ?", org);
    }
    Ok("position")
}

/// In so many letters: the planner must see that the index of those that will expire serves.
fn newly(query: &mut Query, part: Part) {
    if part == Part::NewlyExpired {
        query.sql.push_str(" AND status = 'active'");
    }
}

fn behind(query: &mut Query, order: KeyOrder, after: &KeyCursor, place: &str) -> StoreResult<()> {
    match (order, &after.value) {
        (KeyOrder::Newest, _) => query.with(&format!(" AND {place} < ?"), after.place),
        (KeyOrder::Oldest, _) => query.with(&format!(" AND {place} > ?"), after.place),
        (KeyOrder::Name, SortValue::Name(name)) => {
            query.with(&format!(" AND (name COLLATE NOCASE, {place}) > (?,"), name.clone());
            query.with(" ?)", after.place);
        }
        (KeyOrder::Expiry, SortValue::Number(number)) => {
            query.with(&format!(" AND (expires_order, {place}) > (?,"), *number);
            query.with(" ?)", after.place);
        }
        (KeyOrder::LastUse, SortValue::Number(number)) => {
            query.with(&format!(" AND (last_used_ms, {place}) < (?,"), *number);
            query.with(" ?)", after.place);
        }
        (KeyOrder::Spend, SortValue::Number(number)) => {
            query.with(&format!(" AND (spent, {place}) < (?,"), *number);
            query.with(" ?)", after.place);
        }
        _ => return Err(StoreError::Unreadable("a cursor of another order".to_owned())),
    }
    Ok(())
}

fn cursor(order: KeyOrder, row: &Row<'_>) -> rusqlite::Result<KeyCursor> {
    let value = match order {
        KeyOrder::Newest | KeyOrder::Oldest => SortValue::Place,
        KeyOrder::Name => SortValue::Name(row.get("name")?),
        KeyOrder::Expiry => SortValue::Number(row.get("expires_order")?),
        KeyOrder::LastUse => SortValue::Number(row.get("last_used_ms")?),
        KeyOrder::Spend => SortValue::Number(row.get("spent")?),
    };
    Ok(KeyCursor { value, place: row.get("place")? })
}

/// As the statements order.
fn in_order(order: KeyOrder, one: &KeyCursor, other: &KeyCursor) -> std::cmp::Ordering {
    let ascending = match (&one.value, &other.value) {
        (SortValue::Name(one), SortValue::Name(other)) => {
            one.to_ascii_lowercase().cmp(&other.to_ascii_lowercase())
        }
        (SortValue::Number(one), SortValue::Number(other)) => one.cmp(other),
        _ => std::cmp::Ordering::Equal,
    };
    let ascending = ascending.then(one.place.cmp(&other.place));
    match order {
        KeyOrder::Oldest | KeyOrder::Name | KeyOrder::Expiry => ascending,
        KeyOrder::Newest | KeyOrder::LastUse | KeyOrder::Spend => ascending.reverse(),
    }
}

fn no_index() -> StoreError {
    StoreError::Unreadable("no index has this order of keys".to_owned())
}

/// The text anywhere, with the characters that LIKE reads specially taken literally.
fn like_pattern(text: &str) -> String {
    let mut pattern = String::from("%");
    for character in text.chars() {
        if matches!(character, '%' | '_' | '!') {
            pattern.push('!');
        }
        pattern.push(character);
    }
    pattern.push('%');
    pattern
}

#[cfg(test)]
#[path = "key_search_tests.rs"]
mod tests;
