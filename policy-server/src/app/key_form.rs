//! What administrators say about keys.

use wire::v1::{CutCalls, KeyKind};
use wire::{AllowedNetworks, NanoUsd, OrgId, TeamId, UserId};

use super::{BudgetForm, FieldProblem, Given, Lifetime, SelectionForm};
use crate::entitlement::PlanId;
use crate::store::{KeyFormat, StoredLimit};

/// What an administrator says about a key, new or changed.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct KeyForm {
    /// The organisation that owns it; needed when it is made, fixed afterwards.
    pub org: Option<OrgId>,
    /// Form of its secret; fixed when it is made.
    pub format: Option<KeyFormat>,
    /// Its team.
    pub team: Given<TeamId>,
    /// The user who owns it.
    pub user: Given<UserId>,
    /// Its name for people.
    pub name: Given<String>,
    /// What it is for, in a sentence.
    pub description: Given<String>,
    /// Whatever else people wish to remember.
    pub notes: Given<String>,
    /// Words to find it by, each once.
    pub tags: Given<Vec<String>>,
    /// Who uses it; fixed when it is made.
    pub kind: Option<KeyKind>,
    /// How long it lives from now on; says the same as a date.
    pub expires_in: Option<Lifetime>,
    /// Expiry in milliseconds since 1970 UTC.
    pub expires_at_unix_ms: Given<u64>,
    /// Its rate limits.
    pub limits: Given<Vec<StoredLimit>>,
    /// Its budget.
    pub budget: Given<BudgetForm>,
    /// The most that one call may set aside.
    pub max_call: Given<NanoUsd>,
    /// From where it may be used; null: from everywhere.
    pub allowed_ips: Given<AllowedNetworks>,
    /// Its models.
    pub models: Given<SelectionForm>,
    /// Its own plan.
    pub plan: Given<PlanId>,
    /// Output tokens to allow where a request names no limit.
    pub default_max_output_tokens: Given<u64>,
    /// What a call without usage is charged.
    pub cut_calls: Given<CutCalls>,
    /// Whether none of its calls is refused.
    pub shadow: Given<bool>,
}

impl KeyForm {
    /// Whether it touches anything that filters act on.
    #[must_use]
    pub fn changes_permissions(&self) -> bool {
        self.team.is_given()
            || self.user.is_given()
            || self.expires_at_unix_ms.is_given()
            || self.expires_in.is_some()
            || self.max_call.is_given()
            || self.allowed_ips.is_given()
            || self.limits.is_given()
            || self.budget.is_given()
            || self.models.is_given()
            || self.plan.is_given()
            || self.default_max_output_tokens.is_given()
            || self.cut_calls.is_given()
            || self.shadow.is_given()
    }

    /// Its expiry, whichever way it is said.
    pub(super) fn expiry(&self, now_unix_ms: u64, problems: &mut Vec<FieldProblem>) -> Given<u64> {
        let Some(lifetime) = self.expires_in else { return self.expires_at_unix_ms };
        if self.expires_at_unix_ms.is_given() {
            let message = "says the same as expires_at; give one of them";
            problems.push(FieldProblem::invalid("expires_in", message));
        }
        match lifetime.end_ms(now_unix_ms) {
            Some(end) => Given::Value(end),
            None => {
                problems.push(FieldProblem::invalid("expires_in", Lifetime::EXPECTED));
                Given::Absent
            }
        }
    }
}
