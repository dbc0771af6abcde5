//! Lists, a page at a time, newest first.

use wire::OrgId;

use super::{AdminError, KeyView, Work};
use crate::store::{KeyLife, KeyRow, KeySearch};

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

/// A key's state as people see it, expiry included.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum KeyStatus {
    /// May be used.
    Active,
    /// Its time is over.
    Expired,
    /// Switched off.
    Disabled,
    /// Ended for good.
    Revoked,
    /// Deleted.
    Deleted,
}

impl KeyStatus {
    /// Every status.
    pub const ALL: [Self; 5] =
        [Self::Active, Self::Expired, Self::Disabled, Self::Revoked, Self::Deleted];

    /// The word in the API.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Active => "active",
            Self::Expired => "expired",
            Self::Disabled => "disabled",
            Self::Revoked => "revoked",
            Self::Deleted => "deleted",
        }
    }

    /// The status of a key at a wall time.
    #[must_use]
    pub fn of(key: &KeyRow, now_unix_ms: u64) -> Self {
        match key.life {
            KeyLife::Active if key.expires_at_unix_ms.is_some_and(|at| at <= now_unix_ms) => {
                Self::Expired
            }
            KeyLife::Active => Self::Active,
            KeyLife::Disabled => Self::Disabled,
            KeyLife::Revoked => Self::Revoked,
            KeyLife::Deleted => Self::Deleted,
        }
    }
}

/// Which keys to list.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct KeyListing {
    /// Text within id, name, prefix, organisation, team or user.
    pub search: Option<String>,
    /// Only this status; none: all but deleted.
    pub status: Option<KeyStatus>,
    /// Only keys of this organisation.
    pub org: Option<OrgId>,
    /// Only keys before this position.
    pub before: Option<i64>,
    /// At most so many.
    pub limit: u32,
}

impl Work<'_> {
    /// Keys with what they have spent, newest first.
    ///
    /// # Errors
    /// When the store fails.
    pub fn keys(&mut self, listing: KeyListing) -> Result<Page<KeyView>, AdminError> {
        let now = self.now.unix_ms;
        let (life, expired) = match listing.status {
            None => (None, None),
            Some(KeyStatus::Active) => (Some(KeyLife::Active), Some((false, now))),
            Some(KeyStatus::Expired) => (Some(KeyLife::Active), Some((true, now))),
            Some(KeyStatus::Disabled) => (Some(KeyLife::Disabled), None),
            Some(KeyStatus::Revoked) => (Some(KeyLife::Revoked), None),
            Some(KeyStatus::Deleted) => (Some(KeyLife::Deleted), None),
        };
        let found = self.rows.keys(&KeySearch {
            text: listing.search,
            org: listing.org,
            life,
            expired,
            before: listing.before,
            limit: listing.limit.saturating_add(1),
        })?;
        let page = Page::of(found, listing.limit, |(position, _)| position.to_string());
        let views = page.items.into_iter().map(|(_, key)| self.key_view(key));
        Ok(Page { items: views.collect::<Result<_, _>>()?, next: page.next })
    }
}
