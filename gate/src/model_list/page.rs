//! Which part of a list is asked for. A cursor is the name of a model: it marks a place in the
//! order of names also when that model is gone, so nothing is shown twice or left out because the
//! catalogue has changed between two pages.

use wire::ModelName;
use wire::v1::Model;

use super::query::parameter;
use crate::refusal::Refusal;

/// What Anthropic answers where no `limit` is given, and the most that it takes.
const ANTHROPIC_SIZES: (usize, usize) = (20, 1_000);
/// What Gemini answers where no `pageSize` is given, and the most that it gives.
const GEMINI_SIZES: (usize, usize) = (50, 1_000);
const AN_ID: &str = "the id of a model";

/// Part of a list.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Page {
    size: usize,
    place: Place,
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum Place {
    Start,
    After(ModelName),
    Before(ModelName),
}

/// A page's models, and whether there are more in its direction.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Cut<'a> {
    pub(super) models: &'a [&'a Model],
    pub(super) has_more: bool,
}

impl Page {
    /// Reads `limit`, `after_id` and `before_id`.
    ///
    /// # Errors
    /// When one of them is out of its range, or both ids are given.
    pub(super) fn of_anthropic(query: &[u8]) -> Result<Self, Refusal> {
        const LIMIT: (&str, &str) = ("limit", "a number from 1 to 1000");
        let bad = |(name, expected)| Refusal::QueryParameter { name, expected };
        let (default, most) = ANTHROPIC_SIZES;
        let size = match parameter(query, LIMIT.0, LIMIT.1)? {
            None => default,
            Some(text) => {
                number(&text).filter(|size| (1..=most).contains(size)).ok_or_else(|| bad(LIMIT))?
            }
        };
        let id = |name| match parameter(query, name, AN_ID)? {
            None => Ok(None),
            Some(text) => model_name(text).map(Some).ok_or_else(|| bad((name, AN_ID))),
        };
        let place = match (id("after_id")?, id("before_id")?) {
            (None, None) => Place::Start,
            (Some(name), None) => Place::After(name),
            (None, Some(name)) => Place::Before(name),
            (Some(_), Some(_)) => return Err(bad(("before_id", "left out beside `after_id`"))),
        };
        Ok(Self { size, place })
    }

    /// Reads `pageSize` and `pageToken`. As in all of Google's lists an empty one and a size of 0 are
    /// none, and a size above the most is the most.
    ///
    /// # Errors
    /// When the size is no number, or the token none that was given out.
    pub(super) fn of_gemini(query: &[u8]) -> Result<Self, Refusal> {
        const SIZE: (&str, &str) = ("pageSize", "a number that is not negative");
        const TOKEN: (&str, &str) = ("pageToken", "the `nextPageToken` of the page before");
        let bad = |(name, expected)| Refusal::QueryParameter { name, expected };
        let given = |(name, expected)| {
            let value = parameter(query, name, expected)?;
            Ok(value.filter(|text: &Vec<u8>| !text.is_empty()))
        };
        let (default, most) = GEMINI_SIZES;
        let size = match given(SIZE)? {
            None => default,
            Some(text) => match number(&text).ok_or_else(|| bad(SIZE))? {
                0 => default,
                size => size.min(most),
            },
        };
        let place = match given(TOKEN)? {
            None => Place::Start,
            Some(text) => Place::After(model_name(text).ok_or_else(|| bad(TOKEN))?),
        };
        Ok(Self { size, place })
    }

    /// The page of a list that is sorted by name.
    pub(super) fn cut<'a>(&self, sorted: &'a [&'a Model]) -> Cut<'a> {
        let behind =
            |name: &ModelName| sorted.partition_point(|model| model.name.as_str() <= name.as_str());
        let (rest, from_end) = match &self.place {
            Place::Start => (sorted, false),
            Place::After(name) => (sorted.get(behind(name)..).unwrap_or_default(), false),
            Place::Before(name) => {
                let before = sorted.partition_point(|model| model.name.as_str() < name.as_str());
                (sorted.get(..before).unwrap_or_default(), true)
            }
        };
        let left = rest.len().saturating_sub(self.size);
        let models = if from_end { rest.get(left..) } else { rest.get(..rest.len() - left) };
        Cut { models: models.unwrap_or_default(), has_more: left > 0 }
    }
}

/// A decimal number; one too large to be held is the largest that can be.
fn number(text: &[u8]) -> Option<usize> {
    let is_number = !text.is_empty() && text.iter().all(u8::is_ascii_digit);
    let digits = std::str::from_utf8(text).ok().filter(|_| is_number)?;
    Some(digits.parse().unwrap_or(usize::MAX))
}

fn model_name(text: Vec<u8>) -> Option<ModelName> {
    ModelName::new(String::from_utf8(text).ok()?).ok()
}
