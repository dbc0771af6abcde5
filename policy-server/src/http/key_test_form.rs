//! The JSON by which somebody asks what a key may do.

use std::net::IpAddr;

use wire::{KeyId, ModelName};

use super::form::Form;
use super::reader::{checked, id, line};
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
    Form::read(body, key_test)
}

/// The fields of a test.
pub fn key_test(form: &mut Form) -> Option<(Tested, KeyQuestion)> {
    let secret = form.given("key", line()).value().map(SecretText::new).map(Tested::Secret);
    let key = form.given("id", id(KeyId::LONGEST, KeyId::new)).value().map(Tested::Id);
    let address = checked(|text: String| text.parse::<IpAddr>());
    let question = KeyQuestion {
        model: form.given("model", id(ModelName::LONGEST, ModelName::new)).value(),
        address: form.given("address", address).value(),
    };
    match (secret, key) {
        (Some(tested), None) | (None, Some(tested)) => Some((tested, question)),
        (None, None) => {
            if !form.is_wrong("key") && !form.is_wrong("id") {
                form.wrong("key", "is required: the whole secret, or the key's id as id");
            }
            None
        }
        (Some(_), Some(_)) => {
            form.wrong("id", "must not be given together with key");
            None
        }
    }
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
