//! Lists, a page at a time.

use wire::{OrgId, TeamId, UserId};

use super::{AdminError, FieldProblem, KeyView, Work};
use crate::permissions::Sight;
use crate::store::{KeyCursor, KeyOrder, KeySearch, KeyStatus, SortValue};

/// One page and where the next begins.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Page<T> {
    /// The items.
    pub items: Vec<T>,
    /// Cursor of the next page; none at the end.
    pub next: Option<String>,
}

impl<T> Page<T> {
    /// A page of at most `limit` items out of up to one more, which tells that there is a next.
    pub(super) fn of(mut items: Vec<T>, limit: u32, cursor: impl Fn(&T) -> String) -> Self {
        let limit = usize::try_from(limit).unwrap_or(usize::MAX);
        let more = items.len() > limit;
        items.truncate(limit);
        let next = items.last().filter(|_| more).map(cursor);
        Self { items, next }
    }
}

/// Which keys to list.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct KeyListing {
    /// Text within id, name, description, prefix, organisation, team, user or a tag.
    pub search: Option<String>,
    /// Only this status; none: all but deleted.
    pub status: Option<KeyStatus>,
    /// Only keys of this organisation.
    pub org: Option<OrgId>,
    /// Only keys of the team of this name.
    pub team: Option<TeamId>,
    /// Only keys of the user of this name.
    pub user: Option<UserId>,
    /// Only keys with this tag.
    pub tag: Option<String>,
    /// Only keys that whoever asks may see.
    pub sight: Sight,
    /// In which order.
    pub order: KeyOrder,
    /// Where the page begins: [`Page::next`] of the one before.
    pub cursor: Option<String>,
    /// At most so many.
    pub limit: u32,
}

impl Work<'_> {
    /// Keys with what they have spent.
    ///
    /// # Errors
    /// When the order does not go with what is asked for, the cursor is of another list, or the
    /// store fails.
    pub fn keys(&mut self, mut listing: KeyListing) -> Result<Page<KeyView>, AdminError> {
        let problem = |param: &str, code, message: &str| {
            Err(AdminError::Invalid(vec![FieldProblem::with_code(param, code, message)]))
        };
        let order = listing.order;
        // Whoever sees keys of one organisation only, asks for them.
        if let Sight::Org(org) | Sight::Part { org, .. } = &listing.sight {
            match &listing.org {
                Some(asked) if asked != org => return Ok(Page { items: Vec::new(), next: None }),
                _ => listing.org = Some(org.clone()),
            }
        }
        let is_deleted = listing.status == Some(KeyStatus::Deleted);
        if !order.is_by_age() && (listing.org.is_none() || listing.search.is_some() || is_deleted) {
            let message = "this order needs an organisation, and goes with neither a search nor \
                           deleted keys; newest and oldest always do";
            return problem("order", "unsupported_order", message);
        }
        let after = listing.cursor.as_deref().map(|text| read_cursor(order, text));
        if after == Some(None) {
            return problem(
                "cursor",
                "invalid_field",
                "must be the next_cursor of an earlier page",
            );
        }
        let found = self.rows.keys(&KeySearch {
            text: listing.search,
            org: listing.org,
            team: listing.team,
            user: listing.user,
            tag: listing.tag,
            status: listing.status,
            sight: listing.sight,
            now_unix_ms: self.now.unix_ms,
            order,
            after: after.flatten(),
            limit: listing.limit.saturating_add(1),
        })?;
        let page = Page::of(found, listing.limit, |(cursor, _)| write_cursor(cursor));
        let views = page.items.into_iter().map(|(_, key)| self.key_view(key));
        Ok(Page { items: views.collect::<Result<_, _>>()?, next: page.next })
    }

    /// How many keys that whoever asks may see there are in each state, in an organisation or in all
    /// of them.
    ///
    /// # Errors
    /// When the store fails.
    pub fn key_counts(
        &mut self,
        sight: &Sight,
        org: Option<&OrgId>,
    ) -> Result<Vec<(KeyStatus, u64)>, AdminError> {
        let now = self.now.unix_ms;
        Ok(match sight {
            Sight::Everything => self.rows.key_counts(org, now)?,
            Sight::Org(org) => self.rows.key_counts(Some(org), now)?,
            Sight::Part { org, teams, user } => {
                self.rows.key_counts_of(org, teams, user.as_ref(), now)?
            }
        })
    }
}

/// A place, and what the key is ordered by where that is something else.
fn write_cursor(cursor: &KeyCursor) -> String {
    match &cursor.value {
        SortValue::Place => cursor.place.to_string(),
        SortValue::Number(number) => format!("{}.{number}", cursor.place),
        // So that it can be given on a command line and in a query as it is.
        SortValue::Name(name) => {
            let hex = name.bytes().map(|byte| format!("{byte:02x}"));
            format!("{}.{}", cursor.place, hex.collect::<String>())
        }
    }
}

fn read_cursor(order: KeyOrder, text: &str) -> Option<KeyCursor> {
    let (place, value) = match (order, text.split_once('.')) {
        (KeyOrder::Newest | KeyOrder::Oldest, None) => (text, SortValue::Place),
        (KeyOrder::Name, Some((place, name))) => (place, SortValue::Name(from_hex(name)?)),
        (KeyOrder::Expiry | KeyOrder::LastUse | KeyOrder::Spend, Some((place, number))) => {
            (place, SortValue::Number(number.parse().ok()?))
        }
        _ => return None,
    };
    Some(KeyCursor { value, place: place.parse().ok()? })
}

fn from_hex(hex: &str) -> Option<String> {
    let digits = hex.as_bytes().chunks(2).map(|pair| {
        let pair = str::from_utf8(pair).ok().filter(|pair| pair.len() == 2)?;
        u8::from_str_radix(pair, 16).ok()
    });
    String::from_utf8(digits.collect::<Option<_>>()?).ok()
}
