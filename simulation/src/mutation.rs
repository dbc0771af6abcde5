//! Deliberate faults in the world, against which the checker is tested: a checker that lets one of
//! them pass proves nothing when it lets everything else pass. None is part of what ships.

use serde_json::{Value, json};

use crate::server::{Answer, ok};
use crate::worker::Place;

/// What is broken on purpose.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Mutation {
    /// Reports arrive with half of what was spent.
    HalvedSpent,
    /// Reports arrive without the grants that they disclaim.
    DroppedVoid,
    /// Reports are acknowledged by somebody who keeps nothing.
    SwallowedReport,
    /// Every record arrives a second time under another number.
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
}

/// The worker that a mutation singles out.
const VICTIM: Place = Place { proxy: 0, worker: 0 };
/// Longer than any run.
const ENDLESS_MS: u64 = 10_000_000;
/// Added to the number of a repeated record.
const OTHER_SEQUENCE: u64 = 1 << 40;

impl Mutation {
    /// Every mutation.
    pub const ALL: [Self; 10] = [
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
    ];

    /// An answer in the server's stead.
    pub(crate) fn answers(self, path: &str) -> Option<Answer> {
        let swallows = self == Self::SwallowedReport && path.ends_with("/reports");
        let nothing = json!({"epoch": 1, "revision": 1, "differing": []});
        swallows.then(|| ok(&nothing))
    }

    /// A call as the server gets it.
    pub(crate) fn call(self, path: &str, body: &[u8]) -> Option<Vec<u8>> {
        if !path.ends_with("/reports") {
            return None;
        }
        let mut report: Value = serde_json::from_slice(body).ok()?;
        match self {
            Self::HalvedSpent => {
                for lease in report.get_mut("leases")?.as_array_mut()? {
                    let spent = lease.get("spent")?.as_u64()?;
                    lease["spent"] = json!(spent / 2);
                }
            }
            Self::DroppedVoid => {
                report.as_object_mut()?.remove("void");
            }
            Self::RepeatedRecord => {
                let records = report.get_mut("records")?.as_array_mut()?;
                let mut again = records.clone();
                for record in &mut again {
                    let sequence = record.get("sequence")?.as_u64()?;
                    record["sequence"] = json!(sequence + OTHER_SEQUENCE);
                }
                records.append(&mut again);
            }
            _ => return None,
        }
        serde_json::to_vec(&report).ok()
    }

    /// An answer as the worker gets it.
    pub(crate) fn received(self, place: Place, answer: &Answer) -> Option<Answer> {
        let mut reply: Value = serde_json::from_slice(&answer.body).ok()?;
        match self {
            Self::DeafWorker if place == VICTIM => {
                reply.get_mut("changes")?.as_array_mut()?.clear();
            }
            Self::EndlessSession => *reply.get_mut("session_ttl_ms")? = json!(ENDLESS_MS),
            _ => return None,
        }
        Some(ok(&reply))
    }

    /// A report that nobody sent, after a call was answered with a grant.
    pub(crate) fn forged_report(self, call: &[u8], answer: &[u8]) -> Option<Vec<u8>> {
        if self != Self::EarlyFinal {
            return None;
        }
        let call: Value = serde_json::from_slice(call).ok()?;
        let answer: Value = serde_json::from_slice(answer).ok()?;
        let lease = answer.get("lease").or_else(|| answer.get("answer"))?;
        let lease = lease.get("granted")?.get("lease")?;
        let report = json!({
            "holder": call.get("holder")?,
            "epoch": call.get("epoch")?,
            "leases": [{"lease": lease, "spent": 0, "final": true}],
        });
        serde_json::to_vec(&report).ok()
    }

    /// What is done to the tables after each event.
    pub(crate) fn sabotage(self) -> Option<&'static str> {
        match self {
            Self::ForgottenOutstanding => Some("UPDATE accounts SET outstanding = 0"),
            Self::ForgottenParked => Some(
                "UPDATE leases SET held = spent WHERE standing = 'parked';
                 UPDATE accounts SET parked = 0;",
            ),
            _ => None,
        }
    }
}
