//! The JSON by which somebody asks what a key may do.

use wire::{KeyId, ModelName};

use super::form::{Form, checked, text};
use crate::app::{AdminError, KeyQuestion, SecretText};

/// Which key is to be tested.
#[derive(Debug)]
pub enum Tested {
    /// The one with this id.
    Id(KeyId),
    /// The one with this secret.
    Secret(SecretText),
}

/// Reads `{"key": "sk-…"}` or `{"id": "key_…"}`, with `model` and `address` where a call is meant. No
/// problem repeats the secret.
///
/// # Errors
/// When any field cannot be accepted, or not exactly one of `key` and `id` is given.
pub fn key_test_form(body: &[u8]) -> Result<(Tested, KeyQuestion), AdminError> {
    let mut form = Form::parse(body)?;
    let secret = form.given("key", text).value().map(SecretText::new).map(Tested::Secret);
    let id = form.given("id", checked(KeyId::new)).value().map(Tested::Id);
    let question = KeyQuestion {
        model: form.given("model", checked(ModelName::new)).value(),
        address: form.given("address", checked(|text: String| text.parse())).value(),
    };
    let tested = match (secret, id) {
        (Some(tested), None) | (None, Some(tested)) => Some(tested),
        (None, None) => {
            if form.is_right() {
                form.wrong("key", "is required: the whole secret, or the key's id as id");
            }
            None
        }
        (Some(_), Some(_)) => {
            form.wrong("id", "must not be given together with key");
            None
        }
    };
    form.finish()?;
    // Where there is none, a problem was noted.
    Ok((tested.ok_or_else(|| AdminError::Invalid(Vec::new()))?, question))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn exactly_one_of_key_and_id_is_taken_and_no_problem_repeats_the_secret() {
        let read = |body: &str| key_test_form(body.as_bytes());
        assert!(matches!(read(r#"{"id": "key_1"}"#), Ok((Tested::Id(_), _))));
        let (tested, question) =
            read(r#"{"key": "sk-x", "model": "fast", "address": "192.0.2.7"}"#).unwrap();
        assert_eq!(format!("{tested:?}"), "Secret(SecretText(redacted))");
        assert_eq!(question.address, Some("192.0.2.7".parse().unwrap()));
        for (body, param) in [
            ("{}", "key"),
            (r#"{"key": "hush-hush", "id": "key_1"}"#, "id"),
            (r#"{"key": "hush-hush\n"}"#, "key"),
            (r#"{"key": "hush-hush", "address": "here"}"#, "address"),
            (r#"{"key": "hush-hush", "hush-hush": 1}"#, "hush-hush"),
        ] {
            let Err(AdminError::Invalid(problems)) = read(body) else { panic!("{body}") };
            assert_eq!(problems[0].param, param, "{body}");
            assert!(!problems[0].message.contains("hush"), "{problems:?}");
        }
    }
}
