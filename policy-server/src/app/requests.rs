//! The request log: found, listed, shown to the keys whose calls it holds, and in time forgotten.

use std::cmp::Reverse;

use wire::v1::{UsageAnswer, UsagePage, UsageParameter, UsageReply, UsageRequest, UsedCall};

use super::user_keys::Named;
use super::{AdminError, FilterError, Page, Work};
use crate::permissions::Sight;
use crate::store::{FoundRecord, RecordPlace, RecordRow, RecordSearch, StoreResult};
use crate::time_range;

/// Records removed in one job of the sweeper, so that requests never wait for long.
const REMOVED_PER_SWEEP: u32 = 256;

/// Calls on a page of a key's own usage where nothing is said.
const CALLS_DEFAULT: u32 = 100;

/// Records that are read at once for a key's own usage: a page holds some 50 with metadata as long as it
/// may be, and some 300 without.
const RECORDS_PER_STEP: u32 = 64;

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
        let items = page.items.into_iter().filter_map(|found| self.readable(found)).collect();
        Ok(Page { items, next: page.next })
    }

    /// None of a damaged row: whoever looks for others finds them all the same.
    fn readable(&self, (place, record): FoundRecord) -> Option<RecordRow> {
        match record {
            Ok(record) => Some(record),
            Err(error) => {
                self.note_damaged_record(place.position, &error);
                None
            }
        }
    }

    /// As many records as are searched for at most. Each place that is seen has as many of its own,
    /// so the first of all of them are among these.
    fn seen_records(
        &mut self,
        sight: &Sight,
        search: &RecordSearch,
    ) -> StoreResult<Vec<FoundRecord>> {
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
        let record = found.and_then(|found| self.readable(found));
        record.ok_or_else(|| AdminError::not_found("request", request))
    }

    fn find_record(&mut self, request: &str) -> StoreResult<Option<(RecordPlace, RecordRow)>> {
        let request = Some(request.to_owned());
        let search = RecordSearch { request, limit: 1, ..RecordSearch::default() };
        let found = self.rows.records(&search)?.into_iter().next();
        Ok(found.and_then(|found| Some((found.0, self.readable(found)?))))
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
                let most = usize::try_from(search.limit).unwrap_or(usize::MAX);
                UsageAnswer::Page(self.own_page(search, most)?)
            }
            Err(answer) => answer,
        };
        Ok(UsageReply { epoch: server.epoch, revision: server.revision, answer })
    }

    /// At most so many calls, as far as they fit into a reply: read in steps, since of calls with long
    /// metadata only the first dozens do.
    fn own_page(&mut self, mut search: RecordSearch, most: usize) -> StoreResult<UsagePage> {
        let mut filling = Filling::new(most);
        search.limit = RECORDS_PER_STEP;
        loop {
            let found = self.rows.records(&search)?;
            let is_last = u32::try_from(found.len()).is_ok_and(|found| found < RECORDS_PER_STEP);
            for (place, record) in found {
                search.after = Some(place);
                let Some(record) = self.readable((place, record)) else { continue };
                if !filling.takes(used(record)) {
                    return Ok(filling.page);
                }
            }
            if is_last {
                return Ok(filling.page);
            }
        }
    }

    /// What to look for, or why nothing can be; its limit is that of the page.
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
            limit,
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

/// A page that is filled call by call.
struct Filling {
    page: UsagePage,
    most: usize,
    bytes: usize,
}

impl Filling {
    fn new(most: usize) -> Self {
        let page = UsagePage { calls: Vec::new(), next_cursor: None };
        Self { page, most, bytes: REPLY_FRAME }
    }

    /// Whether it takes this call. It takes one at least; where it takes no more it says where the next
    /// page begins.
    fn takes(&mut self, call: UsedCall) -> bool {
        self.bytes += serde_json::to_vec(&call).map_or(0, |json| json.len() + 1);
        let is_long = self.bytes > UsageReply::LONGEST;
        match self.page.calls.last() {
            Some(last) if is_long || self.page.calls.len() >= self.most => {
                self.page.next_cursor = Some(last.request.as_str().to_owned());
                false
            }
            _ => {
                self.page.calls.push(call);
                true
            }
        }
    }
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
