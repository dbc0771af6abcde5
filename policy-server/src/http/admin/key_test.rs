//! `POST /admin/v1/keys/test`: what a key may do, and why not.

use axum::Json;

use super::{Answer, Body, Pairs, Routes, Visitor, bytes, parameters};
use crate::app::{KeyQuestion, SecretText, Target};
use crate::http::answer::AdminProblem;
use crate::http::key_test_form::{Tested, key_test, key_test_form};
use crate::http::operation::Operation;
use crate::http::shapes_key_test::KEY_TEST;
use crate::http::show_key_test;
use crate::permissions::Action::KeysRead;
use metering::api_key::{self, ApiKey};

/// By how much of a secret those that are guesses at the same key are told together: what the
/// filters' own form shows of a key, prefix and id.
const PREFIX: usize = api_key::NATIVE_PREFIX.len() + api_key::NATIVE_ID_LENGTH;

pub fn routes(routes: Routes) -> Routes {
    routes.ask("/admin/v1/keys/test", KeysRead, test).says(
        Operation::new("Says what a key may do, and why not").takes(key_test).shows(&KEY_TEST),
    )
}

async fn test(visitor: Visitor, pairs: Pairs, body: Body) -> Answer {
    parameters(pairs)?.finish()?;
    let (tested, question) = key_test_form(&bytes(body)?)?;
    match tested {
        Tested::Secret(secret) => test_secret(visitor, &secret, question).await,
        Tested::Id(id) => {
            let target = Target::Key(id.clone());
            let test = visitor.read(target, move |work, _| work.test_key(&id, &question)).await?;
            Ok(Json(show_key_test::known(&test, None)))
        }
    }
}

/// Whoever may read keys could try secrets here, so what no key has counts like a failed sign-in. A
/// text that cannot be a key tells nothing that its sender could not find out alone.
async fn test_secret(visitor: Visitor, secret: &SecretText, question: KeyQuestion) -> Answer {
    let text = secret.expose();
    let form = show_key_test::form(text);
    let Ok(digest) = ApiKey::parse(text.as_bytes()).map(|key| key.digest()) else {
        visitor.list(None, |_, _| Ok(())).await?;
        return Ok(Json(show_key_test::unknown(&form)));
    };
    let prefix = text.get(..PREFIX);
    let (address, now_ms) = (visitor.address(), visitor.edge.now().monotonic_ms);
    let checked = visitor.edge.attempts().check(address, prefix, &digest, now_ms);
    if let Err(too_many) = checked {
        return Err(AdminProblem::too_many_attempts(too_many.retry_after_ms));
    }
    let found = visitor.list(None, move |work, sight| work.test_secret(&digest, &sight, &question));
    match found.await? {
        Some(test) => {
            visitor.edge.attempts().succeeded(&digest, now_ms);
            Ok(Json(show_key_test::known(&test, Some(form))))
        }
        None => {
            visitor.edge.attempts().failed(address, prefix, &digest, now_ms);
            tracing::warn!(?address, "somebody has tested a secret that no key has");
            Ok(Json(show_key_test::unknown(&form)))
        }
    }
}
