//! Scripted faults of host calls: "the second write of shared data finds a changed value".

use std::cell::Cell;
use std::rc::Rc;

use crate::shared_data::SharedData;
use crate::status::Status;

/// What another VM does to shared data in the middle of a host call.
pub type Race = Box<dyn FnMut(&mut SharedData)>;

/// What a faulty host call does.
pub enum Effect {
    /// Answers this status and does nothing.
    Return(Status),
    /// Ends the VM, as a host does that cannot perform the call in this phase.
    Trap,
    /// Another VM gets in between: the closure runs first, then the call does its work.
    Race(Race),
}

/// One rule of the script.
pub(crate) struct Rule {
    call: String,
    /// Matching calls that pass before the rule applies.
    skip: u64,
    /// Matching calls to which it applies.
    times: u64,
    effect: Effect,
    fired: Rc<Cell<u64>>,
}

/// Tells whether a scripted fault was ever met: a fault that never fires proves nothing.
#[derive(Clone)]
pub struct FaultHandle {
    fired: Rc<Cell<u64>>,
}

impl FaultHandle {
    /// How often the fault has been applied.
    pub fn fired(&self) -> u64 {
        self.fired.get()
    }
}

/// The script of all faults of one host.
#[derive(Default)]
pub(crate) struct FaultScript {
    rules: Vec<Rule>,
}

impl FaultScript {
    pub(crate) fn add(&mut self, call: &str, skip: u64, times: u64, effect: Effect) -> FaultHandle {
        let fired = Rc::new(Cell::new(0));
        let handle = FaultHandle { fired: Rc::clone(&fired) };
        self.rules.push(Rule { call: call.to_owned(), skip, times, effect, fired });
        handle
    }

    pub(crate) fn clear(&mut self) {
        self.rules.clear();
    }

    /// The status that the call `name` must answer now, if a rule says so. Races run here.
    pub(crate) fn meet(&mut self, name: &str, shared: &mut SharedData) -> Option<Forced> {
        let mut forced = None;
        for rule in self.rules.iter_mut().filter(|rule| rule.call == name) {
            if rule.skip > 0 {
                rule.skip -= 1;
                continue;
            }
            if rule.times == 0 || forced.is_some() {
                continue;
            }
            rule.times -= 1;
            rule.fired.set(rule.fired.get() + 1);
            match &mut rule.effect {
                Effect::Return(status) => forced = Some(Forced::Status(*status)),
                Effect::Trap => forced = Some(Forced::Trap),
                Effect::Race(race) => race(shared),
            }
        }
        forced
    }
}

/// The outcome that a fault forces on a call.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Forced {
    Status(Status),
    Trap,
}
