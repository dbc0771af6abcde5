//! Deliberate faults in the world, against which the checker is tested: a checker that lets one of
//! them pass proves nothing when it lets everything else pass. None is part of what ships: messages,
//! tables, clocks and shared memory are tampered with from outside, so that gate and server behave
//! as if they had the fault.

mod refusals;

use serde_json::{Value, json};

use crate::ledger::Ledger;
use crate::server::{Answer, ok};
use crate::worker::Place;
use crate::world::Proxy;

/// What is broken on purpose.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Mutation {
    /// Reports arrive with half of what was spent.
    HalvedSpent,
    /// Reports arrive without the grants that they disclaim.
    DroppedVoid,
    /// Reports are acknowledged by somebody who keeps nothing.
    SwallowedReport,
    /// Every record arrives a second time under another number, for another call.
    RepeatedRecord,
    /// One worker acknowledges changes of keys without applying them.
    DeafWorker,
    /// A lease is closed as unspent as soon as it is granted.
    EarlyFinal,
    /// The server forgets what it has granted.
    ForgottenOutstanding,
    /// The server hands out again what lost holders could have spent.
    ForgottenParked,
    /// The workers of a proxy count windows each on its own.
    PrivateMemory,
    /// Holders are told of sessions that outlast what the server waits for them.
    EndlessSession,
    /// Leases of lost holders are closed and their money released instead of parked.
    ReleasedParked,
    /// Reports of lapsed holders are acknowledged and dropped.
    DroppedLateReport,
    /// Reported spending is added to what is known instead of taking the larger of the two.
    AddedReport,
    /// A refused request counts in its window.
    CountedRefusal,
    /// Every VM is given the same holder id.
    SharedHolder,
    /// One worker does not look at its session when it admits: its clock stands still.
    StoppedClock,
    /// One worker never finds a key expired: its wall clock stands still.
    StoppedWallClock,
    /// Replies older than what has been applied are accepted.
    OldRevision,
    /// Money is granted without regard to keys' own budgets.
    ForgottenKeys,
    /// Money is granted without regard to users' budgets.
    ForgottenUsers,
    /// Money is granted without regard to teams' budgets.
    ForgottenTeams,
    /// Money is granted without regard to organisations' budgets.
    ForgottenOrgs,
    /// Money is granted without regard to wallets.
    ForgottenWallets,
    /// A moved key, or a budget with another period, grants before holders have handed back.
    GrantBeforeRecall,
    /// One worker acknowledges that keys were moved or recalled, and keeps what it has.
    KeptLeases,
    /// Holders acknowledge recalls and keep what they have.
    IgnoredRecall,
    /// Budgets whose past is lost grant at once.
    ThawedBudgets,
    /// What vanished holders had of a window over all proxies is free at once, as is what was used.
    EmptiedCooling,
    /// Reports do not say what was used of windows over all proxies.
    UnreportedPermits,
    /// The host never closes a stream.
    SwallowedClose,
    /// A repeated ask is granted a second lease.
    DoubleGrant,
    /// The last record of each report is lost, and acknowledged all the same.
    ForgottenRecord,
    /// A disclaimed number that was never granted is not remembered.
    DroppedTombstone,
    /// A refusal names a time that is a second too short.
    ShortRetryAfter,
    /// What calls cost beyond their leases is not shown.
    HiddenOverdraft,
    /// Calls without usage are charged nothing.
    FreeCutCalls,
    /// Calls without usage are recorded as if nothing had been produced.
    RefundedCutCalls,
    /// Calls without usage had no more reserved for them than they are charged.
    LoweredReservation,
    /// Calls that reported usage are recorded as estimated, at half of it.
    UnreadUsage,
    /// Filters take a count so far for that of the end.
    EarlyCount,
    /// Filters do not see what was used of the provider's tools.
    ForgottenTools,
    /// Filters price every call as if there were no plans.
    IgnoredPlan,
    /// The server is told that changes are in force as soon as they have been heard of.
    EarlyAcknowledgement,
    /// Holders without push are told of sessions as long as others', while the server waits for them as
    /// shortly as ever.
    LongPull,
    /// One worker takes every key for one in shadow mode.
    ShadowOfAll,
    /// Filters do not hear that keys are in shadow mode.
    ForgottenShadow,
    /// What shadow mode let pass is reported as if it had been paid for.
    ChargedShadow,
}

/// The worker that a mutation singles out.
pub(crate) const VICTIM: Place = Place { proxy: 0, worker: 0 };
/// As long as the session of a holder that is told of changes.
const LONG_PULL_MS: u64 = 60_000;
/// Longer than any run.
const ENDLESS_MS: u64 = 10_000_000;
/// Added to the number of a repeated record or ask.
const OTHER_NUMBER: u64 = 1 << 40;
/// Newer than any revision of a run.
const LATE_REVISION: u64 = 1 << 40;

/// Nothing was ever granted from, or settled in, budgets of this level.
macro_rules! forget {
    ($level:literal) => {
        concat!(
            "DELETE FROM lease_accounts WHERE level = '",
            $level,
            "'; UPDATE accounts SET settled = 0, parked = 0, outstanding = 0, overdraft = 0 \
             WHERE level = '",
            $level,
            "';"
        )
    };
}

impl Mutation {
    /// Every mutation.
    pub const ALL: [Self; 47] = [
        Self::HalvedSpent,
        Self::DroppedVoid,
        Self::SwallowedReport,
        Self::RepeatedRecord,
        Self::DeafWorker,
        Self::EarlyFinal,
        Self::ForgottenOutstanding,
        Self::ForgottenParked,
        Self::PrivateMemory,
        Self::EndlessSession,
        Self::ReleasedParked,
        Self::DroppedLateReport,
        Self::AddedReport,
        Self::CountedRefusal,
        Self::SharedHolder,
        Self::StoppedClock,
        Self::StoppedWallClock,
        Self::OldRevision,
        Self::ForgottenKeys,
        Self::ForgottenUsers,
        Self::ForgottenTeams,
        Self::ForgottenOrgs,
        Self::ForgottenWallets,
        Self::GrantBeforeRecall,
        Self::KeptLeases,
        Self::IgnoredRecall,
        Self::ThawedBudgets,
        Self::EmptiedCooling,
        Self::UnreportedPermits,
        Self::SwallowedClose,
        Self::DoubleGrant,
        Self::ForgottenRecord,
        Self::DroppedTombstone,
        Self::ShortRetryAfter,
        Self::HiddenOverdraft,
        Self::FreeCutCalls,
        Self::RefundedCutCalls,
        Self::LoweredReservation,
        Self::UnreadUsage,
        Self::EarlyCount,
        Self::ForgottenTools,
        Self::IgnoredPlan,
        Self::EarlyAcknowledgement,
        Self::LongPull,
        Self::ShadowOfAll,
        Self::ForgottenShadow,
        Self::ChargedShadow,
    ];

    /// An answer in the server's stead.
    pub(crate) fn answers(
        self,
        path: &str,
        body: &[u8],
        ledger: &Ledger,
    ) -> anyhow::Result<Option<Answer>> {
        if !path.ends_with("/reports") {
            return Ok(None);
        }
        let swallows = match self {
            Self::SwallowedReport => true,
            Self::DroppedLateReport => {
                let report: Value = serde_json::from_slice(body)?;
                let holder = report.get("holder").and_then(Value::as_str).unwrap_or_default();
                let lapsed = "SELECT count(*) FROM holders WHERE id = ? AND state = 'lapsed'";
                ledger.number(lapsed, holder)? == Some(1)
            }
            _ => false,
        };
        let nothing = json!({"epoch": 1, "revision": 1, "differing": []});
        Ok(swallows.then(|| ok(&nothing)))
    }

    /// A call as the server gets it.
    pub(crate) fn call(
        self,
        path: &str,
        body: &[u8],
        ledger: &Ledger,
    ) -> anyhow::Result<Option<Vec<u8>>> {
        let changed = if path.ends_with("/reports") {
            let mut report: Value = serde_json::from_slice(body)?;
            self.report(&mut report, ledger)?.then_some(report)
        } else if path.ends_with("/holders") && self == Self::SharedHolder {
            let mut registration: Value = serde_json::from_slice(body)?;
            registration["nonce"] = json!("0".repeat(32));
            Some(registration)
        } else {
            None
        };
        Ok(changed.map(|message| message.to_string().into_bytes()))
    }

    /// Whether the report was changed.
    fn report(self, report: &mut Value, ledger: &Ledger) -> anyhow::Result<bool> {
        let mut changed = false;
        let array = |value: Option<&mut Value>| {
            value.and_then(Value::as_array_mut).map(std::mem::take).unwrap_or_default()
        };
        match self {
            Self::HalvedSpent | Self::AddedReport => {
                let mut leases = array(report.get_mut("leases"));
                for lease in &mut leases {
                    let spent = lease.get("spent").and_then(Value::as_u64).unwrap_or(0);
                    let id = lease.get("lease").and_then(Value::as_str).unwrap_or_default();
                    let known = "SELECT spent FROM leases WHERE holder || '-' || n = ?";
                    lease["spent"] = if self == Self::HalvedSpent {
                        json!(spent / 2)
                    } else {
                        json!(spent + ledger.number(known, id)?.unwrap_or(0))
                    };
                    changed = true;
                }
                report["leases"] = Value::Array(leases);
            }
            Self::UnreportedPermits => {
                let mut leases = array(report.get_mut("leases"));
                for lease in &mut leases {
                    let fields = lease.as_object_mut();
                    changed |= fields.and_then(|fields| fields.remove("permits_used")).is_some();
                }
                report["leases"] = Value::Array(leases);
            }
            Self::DroppedVoid => {
                let fields = report.as_object_mut();
                changed = fields.and_then(|fields| fields.remove("void")).is_some();
            }
            Self::RepeatedRecord => {
                let mut records = array(report.get_mut("records"));
                for mut record in records.clone() {
                    let sequence = record.get("sequence").and_then(Value::as_u64).unwrap_or(0);
                    record["sequence"] = json!(sequence + OTHER_NUMBER);
                    record["request"] = json!(format!("again-{sequence}"));
                    records.push(record);
                    changed = true;
                }
                report["records"] = Value::Array(records);
            }
            Self::FreeCutCalls
            | Self::RefundedCutCalls
            | Self::LoweredReservation
            | Self::UnreadUsage
            | Self::ChargedShadow => {
                let records = report.get_mut("records").and_then(Value::as_array_mut);
                for record in records.into_iter().flatten() {
                    changed |= self.record(record);
                }
            }
            Self::ForgottenRecord => {
                let mut records = array(report.get_mut("records"));
                changed = records.pop().is_some();
                report["records"] = Value::Array(records);
            }
            _ => {}
        }
        Ok(changed)
    }

    /// Whether the record was changed.
    fn record(self, record: &mut Value) -> bool {
        match self {
            Self::FreeCutCalls | Self::RefundedCutCalls if record["basis"] == "estimated" => {
                record["usage"] = json!({"input_tokens": 0, "output_tokens": 0});
                record["cost"] = json!(0);
                if self == Self::RefundedCutCalls {
                    record["basis"] = json!("refunded");
                }
            }
            Self::LoweredReservation if record["basis"] == "estimated" => {
                record["reserved"] = record["cost"].take();
                record["cost"] = record["reserved"].clone();
            }
            Self::UnreadUsage if record["basis"] == "measured" => {
                for tokens in ["input_tokens", "output_tokens"] {
                    let half = record["usage"][tokens].as_u64().unwrap_or(0) / 2;
                    record["usage"][tokens] = json!(half);
                }
                record["cost"] = json!(record["cost"].as_u64().unwrap_or(0).div_ceil(2));
                record["basis"] = json!("estimated");
            }
            Self::ChargedShadow => {
                return record
                    .as_object_mut()
                    .is_some_and(|it| it.remove("would_refuse").is_some());
            }
            _ => return false,
        }
        true
    }

    /// An answer as the worker gets it.
    pub(crate) fn received(
        self,
        place: Place,
        is_timerless: bool,
        answer: &Answer,
    ) -> Option<Answer> {
        let mut reply: Value = serde_json::from_slice(&answer.body).ok()?;
        match self {
            Self::DeafWorker if place == VICTIM => {
                reply.get_mut("changes")?.as_array_mut()?.clear();
            }
            Self::IgnoredRecall => {
                let changes = reply.get_mut("changes")?.as_array_mut()?;
                changes.retain(|change| change["what"] != "recall");
            }
            // What takes a key out of use is heard all the same.
            Self::KeptLeases if place == VICTIM => {
                let changes = reply.get_mut("changes")?.as_array_mut()?;
                changes.retain(|change| match change["what"].as_str() {
                    Some("key") => change["state"] != "active",
                    Some("catalogue") => true,
                    _ => false,
                });
            }
            Self::IgnoredPlan => {
                let policy = reply.pointer_mut("/key/known")?.as_object_mut()?;
                policy.remove("price_multiplier_ppm")?;
            }
            Self::ShadowOfAll if place == VICTIM => {
                let policy = reply.pointer_mut("/key/known")?.as_object_mut()?;
                policy.insert("shadow".to_owned(), json!(true));
            }
            Self::ForgottenShadow => {
                reply.pointer_mut("/key/known")?.as_object_mut()?.remove("shadow")?;
            }
            Self::LongPull if is_timerless => {
                *reply.get_mut("session_ttl_ms")? = json!(LONG_PULL_MS)
            }
            Self::EndlessSession => *reply.get_mut("session_ttl_ms")? = json!(ENDLESS_MS),
            Self::OldRevision if reply.get("key").is_some() => {
                *reply.get_mut("revision")? = json!(LATE_REVISION);
            }
            _ => return None,
        }
        Some(Answer { status: answer.status, ..ok(&reply) })
    }

    /// An event of a stream as filters get it.
    pub(crate) fn shown(self, event: &[u8]) -> Option<Vec<u8>> {
        let data = event.strip_prefix(b"data: ")?;
        let mut chunk: Value = serde_json::from_slice(data).ok()?;
        let shown = match self {
            Self::EarlyCount => {
                chunk.pointer("/choices/0")?;
                let usage = chunk.as_object_mut()?.remove("usage")?;
                let count = json!({"choices": [], "usage": usage});
                format!("data: {chunk}\n\ndata: {count}\n\n")
            }
            Self::ForgottenTools => {
                chunk.get_mut("usage")?.as_object_mut()?.remove("server_tool_use")?;
                format!("data: {chunk}\n\n")
            }
            _ => return None,
        };
        Some(shown.into_bytes())
    }

    /// The poll that a filter is made to send by the answer to this one.
    pub(crate) fn early_poll(self, path: &str, answer: &[u8]) -> Option<String> {
        if self != Self::EarlyAcknowledgement || !path.starts_with("/proxy/v1/changes") {
            return None;
        }
        let answer: Value = serde_json::from_slice(answer).ok()?;
        let revision = answer.get("revision")?.as_u64()?;
        let (begin, _) = path.split_once("&revision=")?;
        Some(format!("{begin}&revision={revision}&wait_ms=0"))
    }

    /// A call that nobody made, after another was answered, and its path.
    pub(crate) fn forged_call(
        self,
        path: &str,
        call: &[u8],
        answer: &[u8],
    ) -> Option<(&'static str, Vec<u8>)> {
        let mut call: Value = serde_json::from_slice(call).ok()?;
        let answer: Value = serde_json::from_slice(answer).ok()?;
        let lease = answer.get("lease").or_else(|| answer.get("answer"))?;
        let lease = lease.get("granted")?.get("lease")?;
        match self {
            Self::EarlyFinal => {
                let report = json!({
                    "holder": call.get("holder")?,
                    "epoch": call.get("epoch")?,
                    "leases": [{"lease": lease, "spent": 0, "final": true}],
                });
                Some(("/proxy/v1/reports", report.to_string().into_bytes()))
            }
            Self::DoubleGrant => {
                let n = call.get("n")?.as_u64()?;
                call["n"] = json!(n + OTHER_NUMBER);
                let paths = ["/proxy/v1/admit", "/proxy/v1/leases"];
                let path = paths.into_iter().find(|known| *known == path)?;
                Some((path, call.to_string().into_bytes()))
            }
            _ => None,
        }
    }

    /// What happens to a refusal by a window, and to the window.
    pub(crate) fn after_refusal(
        self,
        retry_after_s: &mut Option<u64>,
        key: &str,
        now_ms: u64,
        place: Place,
        proxies: &mut [Proxy],
    ) {
        match self {
            Self::ShortRetryAfter => {
                *retry_after_s = retry_after_s.map(|seconds| seconds.saturating_sub(1));
            }
            Self::CountedRefusal => {
                if let Some(proxy) = proxies.get_mut(place.proxy) {
                    refusals::count(proxy, key, now_ms);
                }
            }
            _ => {}
        }
    }

    /// What is done to the tables after each event.
    pub(crate) fn sabotage(self) -> Option<&'static str> {
        match self {
            Self::ForgottenOutstanding => Some("UPDATE accounts SET outstanding = 0"),
            Self::ForgottenParked => Some(
                "UPDATE leases SET held = spent WHERE standing = 'parked';
                 UPDATE accounts SET parked = 0;",
            ),
            Self::ReleasedParked => Some(
                "UPDATE leases SET held = spent, standing = 'closed' WHERE standing = 'parked';
                 UPDATE accounts SET parked = 0;",
            ),
            Self::ForgottenKeys => Some(forget!("key")),
            Self::ForgottenUsers => Some(forget!("user")),
            Self::ForgottenTeams => Some(forget!("team")),
            Self::ForgottenOrgs => Some(forget!("org")),
            Self::ForgottenWallets => Some(forget!("wallet")),
            Self::GrantBeforeRecall => {
                Some("UPDATE keys SET moved_revision = 0; UPDATE budgets SET began_revision = 0;")
            }
            Self::ThawedBudgets => Some("UPDATE budgets SET frozen = 0"),
            // Format and what is held.
            Self::EmptiedCooling => {
                Some("UPDATE cluster_windows SET permits = substr(permits, 1, 9)")
            }
            Self::DroppedTombstone => {
                Some("DELETE FROM leases WHERE voided = 1 AND key IS NULL AND granted = 0")
            }
            Self::HiddenOverdraft => Some("UPDATE accounts SET overdraft = 0"),
            _ => None,
        }
    }
}
