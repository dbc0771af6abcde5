//! Lists of models and single models, answered for the key in the form of the API that was asked.
//! They count in no window.

mod page;
pub(crate) mod query;
mod shown;
#[cfg(test)]
mod tests;

use serde_json::{Value, json};
use wire::v1::{KeyPolicy, Model};

use crate::catalogue::Models;
use crate::dialect::Dialect;
use crate::io::Reply;
use crate::profile::Voice;
use crate::refusal::Refusal;
use crate::route::ListedPath;
use page::Page;

/// The list of what the key may call; empty when its own set is empty. What is only the price of a path
/// of the configuration (`paths`) is not in it. `query` is what follows the
/// path's question mark: Anthropic's and Gemini's lists come in pages, OpenAI's is whole.
pub(crate) fn list(
    voice: impl Into<Voice>,
    (models, paths): (&Models, &[ListedPath]),
    key: &KeyPolicy,
    query: &[u8],
    request_id: &str,
) -> Result<Reply, Refusal> {
    let voice = voice.into();
    if key.org_has_no_models {
        return Err(Refusal::NoModels);
    }
    let visible = models.visible(&key.models, paths);
    let body = match voice.dialect {
        Dialect::OpenAi => {
            let data: Vec<Value> =
                visible.map(|model| shown::openai(model, voice.profile)).collect();
            json!({"object": "list", "data": data})
        }
        Dialect::Anthropic => {
            let sorted = by_name(visible);
            let cut = Page::of_anthropic(query)?.cut(&sorted);
            json!({
                "data": cut.models.iter().map(|model| shown::anthropic(model)).collect::<Vec<_>>(),
                "has_more": cut.has_more,
                "first_id": cut.models.first().map(|model| &model.name),
                "last_id": cut.models.last().map(|model| &model.name),
            })
        }
        Dialect::Gemini => {
            let sorted = by_name(visible);
            let cut = Page::of_gemini(query)?.cut(&sorted);
            let list: Vec<Value> = cut.models.iter().map(|model| shown::gemini(model)).collect();
            match cut.models.last().filter(|_| cut.has_more) {
                Some(last) => json!({"models": list, "nextPageToken": last.name}),
                None => json!({"models": list}),
            }
        }
    };
    Ok(Reply::json(voice, &body, request_id))
}

/// One model by name or alias, if the key may call it.
pub(crate) fn one(
    voice: impl Into<Voice>,
    (models, paths): (&Models, &[ListedPath]),
    key: &KeyPolicy,
    name: &str,
    request_id: &str,
) -> Result<Reply, Refusal> {
    let voice = voice.into();
    if key.org_has_no_models {
        return Err(Refusal::NoModels);
    }
    let found = models.find(name).filter(|model| {
        models.visible(&key.models, paths).any(|visible| visible.name == model.name)
    });
    // One that the key may not see is, to the key, not there.
    let model = found.ok_or_else(|| Refusal::NoSuchModel(name.to_owned()))?;
    let body = match voice.dialect {
        Dialect::OpenAi => shown::openai(model, voice.profile),
        Dialect::Anthropic => shown::anthropic(model),
        Dialect::Gemini => shown::gemini(model),
    };
    Ok(Reply::json(voice, &body, request_id))
}

/// Pages need an order that does not depend on what comes and goes between two of them.
fn by_name<'a>(models: impl Iterator<Item = &'a Model>) -> Vec<&'a Model> {
    let mut sorted: Vec<&Model> = Vec::new();
    for model in models {
        let place = sorted.partition_point(|other| other.name.as_str() <= model.name.as_str());
        sorted.insert(place, model);
    }
    sorted
}
