//! The request log: found, listed, shown to the keys whose calls it holds, and in time forgotten.

use std::cmp::Reverse;

use wire::v1::{UsageAnswer, UsagePage, UsageParameter, UsageReply, UsageRequest, UsedCall};

use super::user_keys::Named;
use super::{AdminError, FilterError, Page, Work};
use crate::permissions::Sight;
use crate::store::{RecordPlace, RecordRow, RecordSearch, StoreResult};
use crate::time_range;

/// Records removed in one job of the sweeper, so that requests never wait for long.
const REMOVED_PER_SWEEP: u32 = 256;

/// Calls on a page of a key's own usage where nothing is said.
const CALLS_DEFAULT: u32 = 100;

/// Bytes of a reply beside its calls, at most: epoch, revision, cursor and the names of members.
const REPLY_FRAME: usize = 512;

impl RecordPlace {
    /// As a cursor.
    #[must_use]
    pub fn cursor(self) -> String {
        format!("{}.{}", self.started_unix_ms, self.position)
    }

    /// From a cursor.
    #[must_use]
    pub fn of_cursor(text: &str) -> Option<Self> {
        let (started, position) = text.split_once('.')?;
        let number = |text: &str| text.parse::<u64>().ok();
        let position = i64::try_from(number(position)?).ok()?;
        Some(Self { started_unix_ms: number(started)?, position })
    }
}

impl Work<'_> {
    /// Records of ended calls, the call that began last first: those of keys that belonged, when they
    /// made them, to what whoever asks may see.
    ///
    /// # Errors
    /// When the store fails.
    pub fn records(
        &mut self,
        sight: &Sight,
        mut search: RecordSearch,
    ) -> Result<Page<RecordRow>, AdminError> {
        let limit = search.limit;
        search.limit = limit.saturating_add(1);
        let found = self.seen_records(sight, &search)?;
        let page = Page::of(found, limit, |(place, _)| place.cursor());
        Ok(Page {
            items: page.items.into_iter().map(|(_, record)| record).collect(),
            next: page.next,
        })
    }

    /// As many records as are searched for at most. Each place that is seen has as many of its own,
    /// so the first of all of them are among these.
    fn seen_records(
        &mut self,
        sight: &Sight,
        search: &RecordSearch,
    ) -> StoreResult<Vec<(RecordPlace, RecordRow)>> {
        let mut found = Vec::new();
        let limit = usize::try_from(search.limit).unwrap_or(usize::MAX);
        for whose in search.whose.seen_by(sight) {
            found.extend(self.rows.records(&RecordSearch { whose, ..search.clone() })?);
            found.sort_by_key(|(place, _)| Reverse(*place));
            found.dedup_by_key(|(place, _)| *place);
            found.truncate(limit);
        }
        Ok(found)
    }

    /// The call with this request id.
    ///
    /// # Errors
    /// When there is none (any more) that whoever asks may see, or the store fails.
    pub fn record_of(&mut self, sight: &Sight, request: &str) -> Result<RecordRow, AdminError> {
        let id = Some(request.to_owned());
        let search = RecordSearch { request: id, limit: 1, ..RecordSearch::default() };
        let found = self.seen_records(sight, &search)?.into_iter().next();
        found.map(|(_, record)| record).ok_or_else(|| AdminError::not_found("request", request))
    }

    fn find_record(&mut self, request: &str) -> StoreResult<Option<(RecordPlace, RecordRow)>> {
        let request = Some(request.to_owned());
        let search = RecordSearch { request, limit: 1, ..RecordSearch::default() };
        Ok(self.rows.records(&search)?.into_iter().next())
    }

    /// A page of what a key has used, for the key itself: only calls of its own. Its cursor is the
    /// id of a call, since a position in the log would tell how much others call.
    ///
    /// # Errors
    /// When the epoch is another one or the store fails.
    pub fn own_usage(&mut self, request: &UsageRequest) -> Result<UsageReply, FilterError> {
        let server = self.check_epoch(request.epoch)?;
        let answer = match self.own_search(request)? {
            Ok(search) => {
                let limit = usize::try_from(search.limit).unwrap_or(usize::MAX).saturating_sub(1);
                UsageAnswer::Page(fitting_page(self.rows.records(&search)?, limit))
            }
            Err(answer) => answer,
        };
        Ok(UsageReply { epoch: server.epoch, revision: server.revision, answer })
    }

    /// What to look for, or why nothing can be; one more than the page is to have.
    fn own_search(
        &mut self,
        request: &UsageRequest,
    ) -> StoreResult<Result<RecordSearch, UsageAnswer>> {
        let bad = |parameter| Ok(Err(UsageAnswer::BadParameter(parameter)));
        let Some(Named { key, .. }) = self.named(&request.digest)? else {
            return Ok(Err(UsageAnswer::UnknownKey));
        };
        let from_unix_ms = request.from.as_deref().map(time_range::beginning);
        if from_unix_ms == Some(None) {
            return bad(UsageParameter::From);
        }
        let to_unix_ms = request.to.as_deref().map(time_range::end);
        if to_unix_ms == Some(None) {
            return bad(UsageParameter::To);
        }
        let limit = match request.limit.as_deref().map(str::parse) {
            None => CALLS_DEFAULT,
            Some(Ok(limit)) if (1..=UsageRequest::MOST_CALLS).contains(&limit) => limit,
            Some(_) => return bad(UsageParameter::Limit),
        };
        let after = match &request.cursor {
            None => None,
            Some(cursor) => match self.find_record(cursor)? {
                // Of another key's call not even its being there is told.
                Some((place, record)) if record.call.key == key.id => Some(place),
                _ => return bad(UsageParameter::Cursor),
            },
        };
        Ok(Ok(RecordSearch {
            key: Some(key.id.as_str().to_owned()),
            from_unix_ms: from_unix_ms.flatten(),
            to_unix_ms: to_unix_ms.flatten(),
            after,
            limit: limit + 1,
            ..RecordSearch::default()
        }))
    }

    /// Whether some records arrived before this time.
    ///
    /// # Errors
    /// When the store fails.
    pub fn has_records_before(&mut self, unix_ms: u64) -> Result<bool, FilterError> {
        Ok(self.rows.has_records_before(unix_ms)?)
    }

    /// Removes records that arrived before this time, a bounded number per call; what is summed by
    /// day, and all money, stays. Answers whether there may be more.
    ///
    /// # Errors
    /// When the store fails.
    pub fn forget_records_before(&mut self, unix_ms: u64) -> Result<bool, FilterError> {
        let removed = self.rows.remove_records_before(unix_ms, REMOVED_PER_SWEEP)?;
        Ok(removed >= u64::from(REMOVED_PER_SWEEP))
    }
}

/// As many of the calls as fit into a page and a reply.
fn fitting_page(found: Vec<(RecordPlace, RecordRow)>, limit: usize) -> UsagePage {
    let mut page = UsagePage { calls: Vec::new(), next_cursor: None };
    let mut length = REPLY_FRAME;
    for (_, record) in found {
        let call = used(record);
        length += serde_json::to_vec(&call).map_or(0, |json| json.len() + 1);
        if page.calls.len() == limit || (length > UsageReply::LONGEST && !page.calls.is_empty()) {
            page.next_cursor = page.calls.last().map(|last| last.request.as_str().to_owned());
            break;
        }
        page.calls.push(call);
    }
    page
}

fn used(record: RecordRow) -> UsedCall {
    let call = record.call;
    UsedCall {
        request: call.request,
        model: call.model,
        input_tokens: call.usage.input_tokens,
        cached_input_tokens: call.usage.cached_input_tokens,
        output_tokens: call.usage.output_tokens,
        cost: call.cost,
        status: call.status,
        started_unix_ms: call.started_unix_ms,
        duration_ms: call.duration_ms,
        metadata: call.metadata,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn cursors_of_the_log_come_back_and_nothing_else_is_one() {
        let place = RecordPlace { started_unix_ms: 1_795_176_000_123, position: 42 };
        assert_eq!(RecordPlace::of_cursor(&place.cursor()), Some(place));
        for text in ["", ".", "1", "1.", ".1", "1.x", "-1.1", "1.-1", "1.9223372036854775808"] {
            assert_eq!(RecordPlace::of_cursor(text), None, "{text}");
        }
    }
}
