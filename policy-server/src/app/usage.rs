//! Sums of use, by key, user, team, organisation, model or day.

use std::collections::BTreeMap;
use std::ops::ControlFlow;

use super::{AdminError, Page, Work};
use crate::permissions::Sight;
use crate::store::{UsageGroup, UsageOwner, UsageSearch, UsageSums};

/// The sums of one group.
pub type GroupSums = (UsageOwner, UsageSums);

impl UsageOwner {
    /// As a cursor. It begins with a word since an id may be empty.
    #[must_use]
    pub fn cursor(&self) -> String {
        match self {
            Self::Day(day) => format!("after:{day}"),
            Self::Id(id) => format!("after:{id}"),
            Self::Member(org, id) => format!("after:{org}/{id}"),
        }
    }

    /// From a cursor of a list that is grouped so.
    #[must_use]
    pub fn of_cursor(text: &str, group: UsageGroup) -> Option<Self> {
        let text = text.strip_prefix("after:")?;
        match group {
            UsageGroup::Day => text.parse().ok().map(Self::Day),
            UsageGroup::Key | UsageGroup::Org | UsageGroup::Model => {
                Some(Self::Id(text.to_owned()))
            }
            // No organisation's id has a slash.
            UsageGroup::Team | UsageGroup::User => {
                let (org, id) = text.split_once('/')?;
                Some(Self::Member(org.to_owned(), id.to_owned()))
            }
        }
    }
}

impl Work<'_> {
    /// Sums in the order of their groups, over the calls of keys that belonged, when they made them, to
    /// what whoever asks may see. However many groups there are, only those of the page are held.
    ///
    /// # Errors
    /// When the store fails.
    pub fn usage(
        &mut self,
        sight: &Sight,
        search: &UsageSearch,
    ) -> Result<Page<GroupSums>, AdminError> {
        let most = usize::try_from(search.limit).unwrap_or(usize::MAX);
        let places = search.whose.seen_by(sight);
        let mut groups: BTreeMap<UsageOwner, UsageSums> = BTreeMap::new();
        for (number, whose) in places.iter().enumerate() {
            let part = UsageSearch { whose: whose.clone(), ..search.clone() };
            // In the order of groups nothing comes behind the page; a second place begins anew.
            let is_ordered = part.is_ordered() && places.len() == 1;
            let before = places.get(..number).unwrap_or_default();
            self.rows.scan_usage(&part, &mut |row, sums| {
                // Places may overlap.
                if before.iter().any(|other| other.holds(&row.org, &row.team, &row.user)) {
                    return ControlFlow::Continue(());
                }
                let group = part.group.of(&row);
                if is_ordered && groups.len() > most && !groups.contains_key(&group) {
                    return ControlFlow::Break(());
                }
                let before = groups.entry(group).or_default();
                *before = before.plus(sums);
                // The last of them is behind the page, whatever comes. It can never come in again,
                // since the groups before it only get more.
                if groups.len() > most.saturating_add(1) {
                    groups.pop_last();
                }
                ControlFlow::Continue(())
            })?;
        }
        let groups: Vec<_> = groups.into_iter().collect();
        Ok(Page::of(groups, search.limit, |(group, _)| group.cursor()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn cursors_of_groups_come_back() {
        let member = |org: &str, id: &str| UsageOwner::Member(org.to_owned(), id.to_owned());
        for (group, owner) in [
            (UsageGroup::Day, UsageOwner::Day(20_777)),
            (UsageGroup::Key, UsageOwner::Id("key_1".to_owned())),
            (UsageGroup::Org, UsageOwner::Id(String::new())),
            (UsageGroup::Model, UsageOwner::Id("openai/gpt".to_owned())),
            (UsageGroup::Team, member("acme", "a/b")),
            (UsageGroup::User, member("", "")),
        ] {
            assert_eq!(UsageOwner::of_cursor(&owner.cursor(), group), Some(owner));
        }
        for (text, group) in [
            ("", UsageGroup::Key),
            ("key_1", UsageGroup::Key),
            ("after:x", UsageGroup::Day),
            ("after:acme", UsageGroup::Team),
        ] {
            assert_eq!(UsageOwner::of_cursor(text, group), None, "{text}");
        }
    }
}
