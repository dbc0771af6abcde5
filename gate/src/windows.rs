//! Rate windows of scope `proxy`, counted in the memory that all workers share.

use metering::window::{Bucket, BucketFull, Call, Counter, Full, SubjectId, bucket_of};
use wire::ModelName;
use wire::v1::{Level, Limit, Scope, Unit, Window};

use crate::io::{SharedMemory, SharedMemoryFailed};
use crate::profile::Profile;
use crate::refusal::Refusal;

/// A lost swap is tried again this often. With 64 workers on one key none needs more than a few.
const MOST_TRIES: usize = 8;

/// The limits of one subject that apply to a call.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Group {
    subject: SubjectId,
    limits: Vec<Limit>,
}

impl Group {
    /// One of its limits admits nothing.
    pub(crate) fn has_nothing(&self) -> bool {
        self.limits.iter().any(|limit| limit.max == 0)
    }
}

/// Limits that apply to a call of a model, by subject.
pub(crate) fn groups(limits: &[Limit], model: &ModelName) -> Vec<Group> {
    let mut groups: Vec<Group> = Vec::new();
    for limit in limits {
        let applies = limit.subject.model.as_ref().is_none_or(|only| only == model);
        if !applies || limit.scope != Scope::Proxy {
            continue;
        }
        hold(&mut groups, limit.clone());
    }
    groups
}

/// Has a call counted under one more limit.
pub(crate) fn hold(groups: &mut Vec<Group>, limit: Limit) {
    let is_its = |group: &&mut Group| {
        group.limits.first().is_some_and(|other| other.subject == limit.subject)
    };
    match groups.iter_mut().find(is_its) {
        Some(group) => group.limits.push(limit),
        None => groups.push(Group { subject: SubjectId::of(&limit.subject), limits: vec![limit] }),
    }
}

/// Whether a call of the model needs a permit: some window counts requests of all proxies together.
pub(crate) fn takes_permit(limits: &[Limit], model: &ModelName) -> bool {
    over_all_proxies(limits, model).is_some()
}

/// The tightest of the windows that count a call's permit.
pub(crate) fn over_all_proxies<'a>(limits: &'a [Limit], model: &ModelName) -> Option<&'a Limit> {
    let applies = |limit: &&Limit| {
        let is_of_model = limit.subject.model.as_ref().is_none_or(|only| only == model);
        is_of_model && limit.scope == Scope::Cluster && limit.unit == Unit::Requests
    };
    limits.iter().filter(applies).min_by_key(|limit| limit.max)
}

/// Others hold, or may hold, what this window has.
pub(crate) fn held_by_others(limit: &Limit, retry_after_ms: u64) -> Refusal {
    let Limit { unit, window, .. } = *limit;
    let full = Full { unit, window, needs: 1, room: 0, wait_ms: Some(retry_after_ms) };
    Refusal::Window { limit: Box::new(limit.clone()), full }
}

/// Whether any of them counts tokens, so that a call must be bounded.
pub(crate) fn count_tokens(groups: &[Group]) -> bool {
    groups.iter().flat_map(|group| &group.limits).any(|limit| limit.unit == Unit::Tokens)
}

/// Tokens that the tightest token window has room for; `None` where none counts tokens.
pub(crate) fn token_room(
    memory: &mut dyn SharedMemory,
    groups: &[Group],
    now_ms: u64,
) -> Result<Option<u64>, Refusal> {
    let mut room = None;
    for group in groups.iter().filter(|group| count_tokens(std::slice::from_ref(group))) {
        let found = look(memory, group.subject, now_ms, |counter| {
            // checking with nothing only forgets what is over
            let _ = counter.check(&[], Call { vm: 0, tokens: 0 }, now_ms);
            let tokens = group.limits.iter().filter(|limit| limit.unit == Unit::Tokens);
            tokens.map(|limit| counter.room(limit)).min()
        })?;
        room = match (room, found) {
            (Some(one), Some(other)) => Some(std::cmp::min::<u64>(one, other)),
            (one, other) => one.or(other),
        };
    }
    Ok(room)
}

/// Whether every window has room for the call; nothing is counted.
pub(crate) fn check(
    memory: &mut dyn SharedMemory,
    groups: &[Group],
    call: Call,
    now_ms: u64,
) -> Result<(), Refusal> {
    groups.iter().try_for_each(|group| {
        look(memory, group.subject, now_ms, |counter| {
            counter.check(&group.limits, call, now_ms).map_err(|full| refused(group, full))
        })?
    })
}

/// What a limit counts, and on whom.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct LimitKind {
    pub(crate) unit: Unit,
    pub(crate) window: Option<Window>,
    pub(crate) level: Level,
    /// It counts one model only.
    pub(crate) is_of_model: bool,
}

impl LimitKind {
    pub(crate) fn of(limit: &Limit) -> Self {
        Self {
            unit: limit.unit,
            window: limit.window,
            level: limit.subject.level,
            is_of_model: limit.subject.model.is_some(),
        }
    }
}

/// What is left under the tightest limit of a unit, for the answer's headers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Standing {
    pub(crate) kind: LimitKind,
    pub(crate) max: u64,
    pub(crate) remaining: u64,
    pub(crate) reset_ms: u64,
}

impl Standing {
    /// How much of the limit is used, in millionths.
    pub(crate) fn used_ppm(&self) -> u64 {
        let used = self.max.saturating_sub(self.remaining);
        used.saturating_mul(1_000_000).checked_div(self.max).unwrap_or(1_000_000)
    }

    /// Of the standings of one unit the first in this order is shown: the one with the least left.
    /// DeltaLLM shows the one that is used most; MindProxy requests per minute, where those are limited.
    fn order(&self, profile: Profile) -> (bool, u64) {
        match profile {
            Profile::DeltaLlm => (false, u64::MAX - self.used_ppm()),
            Profile::MindProxy => (self.kind.window != Some(Window::Minute), self.remaining),
            Profile::Native | Profile::PrivateMind => (false, self.remaining),
        }
    }
}

/// The standing after admission, for requests and tokens.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Standings {
    pub(crate) requests: Option<Standing>,
    pub(crate) tokens: Option<Standing>,
}

/// Counts the call in every window, or in none. The profile says which standings are told.
pub(crate) fn commit(
    memory: &mut dyn SharedMemory,
    groups: &[Group],
    call: Call,
    (profile, now_ms): (Profile, u64),
) -> Result<Standings, Refusal> {
    let mut standings = Standings::default();
    for (index, group) in groups.iter().enumerate() {
        let admitted = change(memory, group.subject, now_ms, |counter| {
            counter.check(&group.limits, call, now_ms).map_err(|full| refused(group, full))?;
            counter
                .admit(&group.limits, call, now_ms)
                .map_err(|BucketFull| Refusal::LimiterFull)?;
            Ok(group
                .limits
                .iter()
                .filter(|limit| limit.unit != Unit::Concurrent)
                .map(|limit| (limit.unit, standing(counter, limit, now_ms)))
                .collect())
        });
        match admitted {
            Ok(found) => note(&mut standings, found, profile),
            Err(refusal) => {
                let done = groups.get(..index).unwrap_or_default();
                take_back(memory, done, call, now_ms, now_ms);
                return Err(refusal);
            }
        }
    }
    Ok(standings)
}

/// Undoes an admission at `admitted_ms` that led to nothing. A swap that cannot be undone leaves a
/// count too many, never one too few.
pub(crate) fn take_back(
    memory: &mut dyn SharedMemory,
    groups: &[Group],
    call: Call,
    admitted_ms: u64,
    now_ms: u64,
) {
    for group in groups {
        let _: Result<(), Refusal> = change(memory, group.subject, now_ms, |counter| {
            counter.take_back(&group.limits, call, admitted_ms);
            Ok(())
        });
    }
}

/// Ends the call in every window that it was counted in. Returns the groups that could not be
/// reached, to be tried again.
pub(crate) fn finish(
    memory: &mut dyn SharedMemory,
    groups: Vec<Group>,
    call: Call,
    used_tokens: u64,
    now_ms: u64,
) -> Vec<Group> {
    groups
        .into_iter()
        .filter(|group| {
            change(memory, group.subject, now_ms, |counter| {
                counter.finish(&group.limits, call, used_tokens, now_ms);
                Ok(())
            })
            .is_err()
        })
        .collect()
}

/// Says that calls of this VM still run.
pub(crate) fn touch(memory: &mut dyn SharedMemory, groups: &[Group], vm: u64, now_ms: u64) {
    for group in groups {
        // A touch that is lost is repeated long before the claim would be forgotten.
        let _: Result<(), Refusal> = change(memory, group.subject, now_ms, |counter| {
            counter.touch(vm, now_ms);
            Ok(())
        });
    }
}

fn refused(group: &Group, full: Full) -> Refusal {
    let limit = group
        .limits
        .iter()
        .filter(|limit| (limit.unit, limit.window) == (full.unit, full.window))
        .min_by_key(|limit| limit.max);
    limit.map_or(Refusal::LimiterBusy, |limit| Refusal::Window {
        limit: Box::new(limit.clone()),
        full,
    })
}

fn standing(counter: &Counter, limit: &Limit, now_ms: u64) -> Standing {
    Standing {
        kind: LimitKind::of(limit),
        max: limit.max,
        remaining: counter.room(limit),
        reset_ms: counter.reset_ms(limit, now_ms),
    }
}

fn note(standings: &mut Standings, found: Vec<(Unit, Standing)>, profile: Profile) {
    for (unit, standing) in found {
        let slot = match unit {
            Unit::Requests => &mut standings.requests,
            Unit::Tokens => &mut standings.tokens,
            Unit::Concurrent => continue,
        };
        if slot.is_none_or(|known| standing.order(profile) < known.order(profile)) {
            *slot = Some(standing);
        }
    }
}

fn load(
    memory: &mut dyn SharedMemory,
    subject: SubjectId,
) -> Result<(Bucket, Option<u32>), Refusal> {
    let (bytes, version) = match memory.read(bucket_of(subject)) {
        Ok(Some((bytes, version))) => (bytes, Some(version)),
        Ok(None) => (Vec::new(), None),
        Err(SharedMemoryFailed) => return Err(Refusal::LimiterBusy),
    };
    // Bytes of somebody else: not ours to overwrite, and no ground to admit on.
    let bucket = Bucket::from_bytes(&bytes).map_err(|_| Refusal::LimiterBusy)?;
    Ok((bucket, version))
}

fn look<T>(
    memory: &mut dyn SharedMemory,
    subject: SubjectId,
    now_ms: u64,
    read: impl FnOnce(&mut Counter) -> T,
) -> Result<T, Refusal> {
    let (mut bucket, _) = load(memory, subject)?;
    let counter = bucket.counter(subject, now_ms).map_err(|BucketFull| Refusal::LimiterFull)?;
    Ok(read(counter))
}

fn change<T>(
    memory: &mut dyn SharedMemory,
    subject: SubjectId,
    now_ms: u64,
    mut edit: impl FnMut(&mut Counter) -> Result<T, Refusal>,
) -> Result<T, Refusal> {
    for _ in 0..MOST_TRIES {
        let (mut bucket, version) = load(memory, subject)?;
        let counter = bucket.counter(subject, now_ms).map_err(|BucketFull| Refusal::LimiterFull)?;
        let result = edit(counter)?;
        bucket.drop_idle(now_ms);
        match memory.swap(bucket_of(subject), &bucket.to_bytes(), version) {
            Ok(true) => return Ok(result),
            Ok(false) => {}
            Err(SharedMemoryFailed) => break,
        }
    }
    Err(Refusal::LimiterBusy)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// An hour with less left, and a minute of which more is used.
    #[test]
    fn each_profile_shows_the_window_that_its_product_would() {
        let standing = |window, max, remaining| {
            let (unit, level, is_of_model) = (Unit::Requests, Level::Key, false);
            let kind = LimitKind { unit, window: Some(window), level, is_of_model };
            (unit, Standing { kind, max, remaining, reset_ms: 0 })
        };
        let minute = standing(Window::Minute, 100, 10);
        let (hour, day) = (standing(Window::Hour, 20, 9), standing(Window::Day, 1_000, 11));
        for (profile, shown) in [
            (Profile::Native, hour),
            (Profile::PrivateMind, hour),
            (Profile::MindProxy, minute),
            (Profile::DeltaLlm, day),
        ] {
            for order in [[minute, hour, day], [day, hour, minute], [hour, day, minute]] {
                let mut standings = Standings::default();
                order.iter().for_each(|one| note(&mut standings, vec![*one], profile));
                assert_eq!(standings.requests, Some(shown.1), "{profile:?}");
            }
        }
        let mut standings = Standings::default();
        note(&mut standings, vec![day, hour], Profile::MindProxy);
        assert_eq!(standings.requests, Some(hour.1));
    }
}
