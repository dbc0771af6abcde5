//! What [`super::show_key_test`] writes, as the API's document has it.

use wire::ModelName;
use wire::v1::Level;

use super::key_form;
use super::operation::Shape;
use super::schema::{Members, Schema};
use super::shapes::{ACCOUNT, KEY};
use super::shapes_entitlement::{KEY_MODELS, key_model};

/// What a key may do, and why not.
pub const KEY_TEST: Shape = Shape { name: "KeyTest", members: key_test };

/// What is known of any text; the rest only of a key.
fn key_test() -> Members {
    Members::default()
        .with("allowed", Schema::boolean())
        .with("refusal", Schema::from(refusal()).named("CallRefusal").or_null())
        .with("known", Schema::boolean())
        .with("form", Schema::from(form()).named("SecretForm").or_null())
        .maybe("secret", Schema::from(secret()).named("SecretStanding").or_null())
        .maybe("address", Schema::from(address()).named("AskedAddress").or_null())
        .maybe("key", KEY.schema())
        .maybe("limits", Schema::some(Schema::from(limit()).named("LimitOfLevel")))
        .maybe("budgets", Schema::some(ACCOUNT.schema()))
        .maybe("model", Schema::from(asked_model()).named("AskedModel").or_null())
        .maybe("models", KEY_MODELS.schema())
}

fn refusal() -> Members {
    Members::default()
        .with("status", Schema::whole(400, 599))
        .with("code", Schema::text())
        .with("param", Schema::text().or_null())
        .with("message", Schema::text())
}

fn form() -> Members {
    let problems = ["not_a_key", "half_a_pair", "bad_checksum"];
    Members::default()
        .with("format", Schema::text().or_null())
        .with("well_formed", Schema::boolean())
        .with("problem", Schema::words(problems).or_null())
        .with("message", Schema::text().or_null())
}

fn secret() -> Members {
    let standings = ["current", "previous", "retired", "user_key"];
    Members::default()
        .with("standing", Schema::words(standings))
        .with("valid_until", Schema::instant().or_null())
}

fn address() -> Members {
    Members::default().with("address", Schema::text()).with("allowed", Schema::boolean())
}

fn limit() -> Members {
    Members::default()
        .with("level", Schema::words(Level::ALL.map(Level::as_str)))
        .with("id", Schema::text())
        .with("model", Schema::id(ModelName::LONGEST).or_null())
        .with("unit", Schema::words(key_form::UNITS.map(key_form::unit)))
        .with("window", Schema::words(key_form::WINDOWS.map(key_form::window)).or_null())
        .with("max", Schema::count())
        .with("scope", Schema::words(key_form::SCOPES.map(key_form::scope)))
}

/// As in a list of models, where the catalogue has one of that name.
fn asked_model() -> Members {
    let model = key_model().all_optional();
    model.with("asked", Schema::id(ModelName::LONGEST)).with("known", Schema::boolean())
}
