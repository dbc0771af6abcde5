//! Whoever sends a request, and the one way from a request to the application: through the table
//! of permissions, within the same transaction, and into the audit.

use std::net::IpAddr;

use axum::extract::FromRequestParts;
use axum::http::request::Parts;
use serde_json::{Map, Value};
use wire::OrgId;

use super::routes::Need;
use super::terms::Terms;
use super::trail::{difference, snapshot, tag, tag_of};
use crate::app::{Actor, AdminError, Author, IfMatch, Target, Work};
use crate::http::answer::AdminProblem;
use crate::http::edge::Edge;
use crate::permissions::{Sight, Standing};
use crate::store::{AuditRow, Outcome, StoreError};

/// Bytes of what a line of the audit is about, at most. Every id fits, with those that it stands within;
/// what is no id may be as long as a request.
const TARGET_BYTES: usize = 1_024;

/// Who has signed in, and from where.
#[derive(Debug, Clone)]
pub struct Caller {
    /// Who.
    pub actor: Actor,
    /// From where; not known where there is no connection, as in tests.
    pub address: Option<IpAddr>,
}

/// Who asks for what, for handlers.
pub struct Visitor {
    /// What handlers work with.
    pub edge: Edge,
    caller: Caller,
    need: Need,
    terms: Terms,
}

/// What a change is done by, and to what.
pub struct Deed {
    /// Whose roles permit it.
    pub by: Standing,
    /// Who does it.
    pub actor: Actor,
    /// What it is done to: to be replaced by what was made.
    pub target: Target,
    /// What the line of the audit is to say beyond how the target looks afterwards.
    pub notes: Map<String, Value>,
}

impl Deed {
    /// Adds something to the line of the audit.
    pub fn note(&mut self, name: &str, value: impl Into<Value>) {
        self.notes.insert(name.to_owned(), value.into());
    }
}

/// Where a request ended.
enum Stopped {
    /// The table does not permit it.
    AtTheGate(AdminError),
    /// It was permitted and failed.
    Later(AdminError),
    /// The same request was carried out before, with this answer.
    Before(String),
}

impl From<StoreError> for Stopped {
    fn from(error: StoreError) -> Self {
        Self::Later(error.into())
    }
}

impl From<AdminError> for Stopped {
    fn from(error: AdminError) -> Self {
        Self::Later(error)
    }
}

impl FromRequestParts<Edge> for Visitor {
    type Rejection = AdminProblem;

    async fn from_request_parts(parts: &mut Parts, edge: &Edge) -> Result<Self, AdminProblem> {
        let caller = parts.extensions.get::<Caller>().cloned();
        let need = parts.extensions.get::<Need>().cloned();
        let terms = parts.extensions.get::<Terms>().cloned().unwrap_or_default();
        match (caller, need) {
            (Some(caller), Some(need)) => Ok(Self { edge: edge.clone(), caller, need, terms }),
            // A route outside of the list, which nobody is permitted.
            _ => Err(AdminProblem::bad_token()),
        }
    }
}

impl Visitor {
    /// The organisation of whoever asks; none for the admin token.
    pub fn org(&self) -> Option<OrgId> {
        match &self.caller.actor {
            Actor::AdminToken => None,
            Actor::Person { org, .. } => Some(org.clone()),
        }
    }

    /// Who asks.
    pub fn actor(&self) -> &Actor {
        &self.caller.actor
    }

    /// From where; not known where there is no connection.
    pub fn address(&self) -> Option<IpAddr> {
        self.caller.address
    }

    /// Reads something of a target.
    pub async fn read<T>(
        &self,
        target: Target,
        job: impl FnOnce(&mut Work<'_>, &Standing) -> Result<T, AdminError> + Send + 'static,
    ) -> Result<T, AdminProblem>
    where
        T: Send + 'static,
    {
        let (actor, action) = (self.caller.actor.clone(), self.need.action);
        let about = target.clone();
        let outcome = self.edge.read(move |work| {
            let by = work.authorise(&actor, action, &about).map_err(Stopped::AtTheGate)?;
            Ok(job(work, &by)?)
        });
        self.settle(outcome.await, &target).await
    }

    /// Reads a target that can be changed: the answer tells its version.
    pub async fn one<T>(
        &self,
        target: Target,
        job: impl FnOnce(&mut Work<'_>) -> Result<T, AdminError> + Send + 'static,
    ) -> Result<T, AdminProblem>
    where
        T: Send + 'static,
    {
        let about = target.clone();
        let (value, tag) =
            self.read(target, move |work, _| Ok((job(work)?, tag(work, &about)?))).await?;
        self.terms.shows(tag);
        Ok(value)
    }

    /// Reads a list, of one organisation where that is given.
    pub async fn list<T>(
        &self,
        org: Option<OrgId>,
        job: impl FnOnce(&mut Work<'_>, Sight) -> Result<T, AdminError> + Send + 'static,
    ) -> Result<T, AdminProblem>
    where
        T: Send + 'static,
    {
        let (actor, action) = (self.caller.actor.clone(), self.need.action);
        let target = org.clone().map_or(Target::Server, Target::Org);
        let outcome = self.edge.read(move |work| {
            let permitted = work.authorise_list(&actor, action, org.as_ref());
            let (_, sight) = permitted.map_err(Stopped::AtTheGate)?;
            Ok(job(work, sight)?)
        });
        self.settle(outcome.await, &target).await
    }

    /// As [`Visitor::list`], of a log that may be long: a few at once.
    pub async fn list_log<T>(
        &self,
        org: Option<OrgId>,
        job: impl FnOnce(&mut Work<'_>, Sight) -> Result<T, AdminError> + Send + 'static,
    ) -> Result<T, AdminProblem>
    where
        T: Send + 'static,
    {
        let turn = self.edge.log_reads.for_admin().await.map_err(AdminError::from)?;
        let reading = self.list(org, move |work, sight| {
            let _turn = turn;
            job(work, sight)
        });
        reading.await
    }

    /// Changes a target and writes it into the audit, in one transaction.
    pub async fn change<T>(
        &self,
        target: Target,
        job: impl FnOnce(&mut Work<'_>, &mut Deed) -> Result<T, AdminError> + Send + 'static,
    ) -> Result<T, AdminProblem>
    where
        T: Send + 'static,
    {
        let (actor, action) = (self.caller.actor.clone(), self.need.action);
        let (about, line) = (target.clone(), self.line(&target));
        let author = self.author();
        let (seen, once) = (self.terms.seen.clone(), self.terms.once);
        let outcome = self.edge.write(move |work| {
            // To its own sender only, who has heard it before.
            if let Some(answer) =
                once.map(|once| work.answered_before(&once)).transpose()?.flatten()
            {
                return Err(Stopped::Before(answer));
            }
            let by = work.authorise(&actor, action, &about).map_err(Stopped::AtTheGate)?;
            expect(work, &about, seen.as_ref())?;
            work.author = author;
            let before = snapshot(work, &about)?;
            let looked_at = about.clone();
            let mut deed = Deed { by, actor, target: about, notes: Map::new() };
            let value = job(work, &mut deed)?;
            let is_same = deed.target == looked_at;
            let before = before.filter(|_| is_same);
            let after = snapshot(work, &deed.target)?;
            let tag = tag_of(work, &deed.target, after.as_ref())?;
            if let Some(once) = &once {
                let answer = Value::from(after.clone().unwrap_or_default()).to_string();
                work.remember_request(once, answer)?;
            }
            let (before, after) = difference(before, after, deed.notes);
            let org = work.org_of(&deed.target)?;
            let (kind, target) = (deed.target.kind().to_owned(), deed.target.id());
            work.add_audit(AuditRow { org, kind, target, before, after, ..line })?;
            Ok((value, tag))
        });
        let (value, tag) = self.settle(outcome.await, &target).await?;
        self.terms.shows(tag);
        self.terms.is_carried_out();
        Ok(value)
    }

    /// Refuses a change whose body cannot be accepted, so that nobody knows what it was to be done to:
    /// as not permitted, where no role of the sender has such a permission anywhere.
    pub async fn unreadable<T: Send + 'static>(
        &self,
        error: AdminError,
    ) -> Result<T, AdminProblem> {
        let (actor, action) = (self.caller.actor.clone(), self.need.action);
        let target = self.org().map_or(Target::Server, Target::Org);
        let outcome = self.edge.look(move |work| {
            work.authorise_list(&actor, action, None).map_err(Stopped::AtTheGate)?;
            Err(Stopped::Later(error))
        });
        self.settle(outcome.await, &target).await
    }

    /// Writes into the audit what was refused, and changes that failed. What a list or a target
    /// keeps from somebody who only read is no attempt at anything: ids are mistyped every day.
    async fn settle<T>(
        &self,
        outcome: Result<T, Stopped>,
        target: &Target,
    ) -> Result<T, AdminProblem> {
        let (error, refused) = match outcome {
            Ok(value) => return Ok(value),
            Err(Stopped::Before(answer)) => {
                self.terms.was_answered(answer);
                return Err(AdminProblem::answered_before());
            }
            Err(Stopped::AtTheGate(error)) => (error, true),
            Err(Stopped::Later(error)) => {
                let refused = matches!(error, AdminError::Forbidden { .. });
                (error, refused)
            }
        };
        let is_change = self.need.verb.is_some();
        let noted = match &error {
            AdminError::Store(_) | AdminError::Entropy(_) | AdminError::Ledger(_) => false,
            AdminError::Forbidden { .. } => true,
            _ => is_change,
        };
        if noted && self.has_a_line().await {
            let line = AuditRow {
                outcome: if refused { Outcome::Refused } else { Outcome::Failed },
                code: Some(error.code().to_owned()),
                ..self.line(target)
            };
            // Into the log of whoever tried: nobody fills that of another organisation.
            let (own, about) = (self.org(), target.clone());
            let written = self.edge.write(move |work| {
                let org = match own {
                    Some(own) => Some(own),
                    None => work.org_of(&about)?,
                };
                work.add_audit(AuditRow { org, ..line })
            });
            if let Err(problem) = written.await {
                tracing::error!(error = %problem, "a refusal could not be written into the audit");
            }
        }
        Err(error.into())
    }

    /// Whether the refusal is written by itself: not where the same actor had many of them just now.
    async fn has_a_line(&self) -> bool {
        let name = self.caller.actor.name();
        let now = self.edge.now();
        let (written, ended) = self.edge.refusals().note(&name, self.org().as_ref(), now);
        if let Err(error) = self.edge.write_left_out(ended.into_iter().collect()).await {
            tracing::error!(%error, "refusals could not be counted in the audit");
        }
        written
    }

    fn author(&self) -> Author {
        let token = match &self.caller.actor {
            Actor::AdminToken => None,
            Actor::Person { token, .. } => Some(token.clone()),
        };
        let address = self.caller.address.map(|address| address.to_string());
        Author { name: self.caller.actor.name(), address, token }
    }

    fn line(&self, target: &Target) -> AuditRow {
        let action = self.need.verb.unwrap_or_else(|| self.need.action.as_str());
        let line = self.author().line(action, target, None);
        AuditRow { target: brief(target.id()), ..line }
    }
}

/// Whether the sender has seen what it is about to change. Keys are looked at where they are changed.
fn expect(work: &mut Work<'_>, target: &Target, seen: Option<&IfMatch>) -> Result<(), AdminError> {
    let Some(seen) = seen else { return Ok(()) };
    if matches!(target, Target::Key(_)) || seen.takes(tag(work, target)?.as_deref()) {
        return Ok(());
    }
    Err(AdminError::OtherVersion { what: target.kind(), id: target.id() })
}

fn brief(mut id: String) -> String {
    id.truncate(id.floor_char_boundary(TARGET_BYTES));
    id
}
