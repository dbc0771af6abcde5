//! Sleep: what the operating system does to a process (SIGSTOP, a swapped-out machine, a suspended
//! laptop). Nothing of what comes for a sleeper is lost; all of it is there when it wakes, later
//! than anybody reckoned with.

use crate::events::Event;
use crate::worker::Place;
use crate::world::World;

impl World {
    /// The workers of a proxy, or one alone, stop for a time of up to several sessions.
    pub(crate) fn put_to_sleep(&mut self, place: Place) {
        let longest = 3 * (self.scenario.times.ttl_ms + self.scenario.times.grace_ms);
        let for_ms = self.dice.between(200, longest);
        let whole_proxy = self.dice.per_mille(600);
        self.tally.pauses += 1;
        self.log.note(self.now_ms, || {
            let who = if whole_proxy { "all of its proxy" } else { "alone" };
            format!("fault: {place:?} sleeps for {for_ms} ms, {who}")
        });
        for sleeper in self.places() {
            let sleeps = sleeper == place || (whole_proxy && sleeper.proxy == place.proxy);
            if sleeps && !self.asleep.contains_key(&sleeper) {
                self.asleep.insert(sleeper, Vec::new());
                self.after(for_ms, Event::Wakes { place: sleeper });
            }
        }
        // What is withdrawn now is not heard of before it wakes.
        let withdrawn_after = self.dice.below(for_ms);
        self.after(withdrawn_after, Event::Withdraw);
    }

    /// A worker goes on; what has come for it meanwhile happens now, in about that order.
    pub(crate) fn wake(&mut self, place: Place) {
        let Some(events) = self.asleep.remove(&place) else { return };
        let now_ms = self.now_ms;
        if let Some(worker) = self.worker(place) {
            worker.woke_ms = now_ms;
        }
        for event in events {
            let after = self.dice.below(3);
            self.after(after, event);
        }
    }

    /// The event, unless its worker sleeps; then it is kept.
    pub(crate) fn unless_asleep(&mut self, event: Event) -> Option<Event> {
        let kept = self.place_of(&event).and_then(|place| self.asleep.get_mut(&place));
        match kept {
            None => Some(event),
            Some(kept) => {
                kept.push(event);
                None
            }
        }
    }

    fn place_of(&self, event: &Event) -> Option<Place> {
        match event {
            Event::Opens { place, .. } | Event::Tick { place } | Event::Knock { place } => {
                Some(*place)
            }
            Event::BodyComes { at } | Event::ClientLeaves { at } | Event::MustBeOver { at, .. } => {
                Some(at.place)
            }
            Event::Upstream { call } => self.calls.get(*call).map(|call| call.at.place),
            // What is lost on the way does not wait for anybody.
            Event::AnswerArrives { ticket, .. } if self.network.is_cut_off(ticket.place.proxy) => {
                None
            }
            Event::AnswerArrives { ticket, .. } | Event::CallTimesOut { ticket } => {
                Some(ticket.place)
            }
            _ => None,
        }
    }

    /// The server stops for a time; what is sent to it waits.
    pub(crate) fn put_server_to_sleep(&mut self) {
        if !self.server.is_awake(self.now_ms) {
            return;
        }
        let longest = 2 * (self.scenario.times.ttl_ms + self.scenario.times.grace_ms);
        let for_ms = self.dice.between(200, longest);
        self.server.asleep_until_ms = self.now_ms + for_ms;
        self.after(for_ms, Event::ServerWakes);
        self.tally.pauses += 1;
        self.log.note(self.now_ms, || format!("fault: the server sleeps for {for_ms} ms"));
    }

    /// What was sent to the server while it slept arrives.
    pub(crate) fn wake_server(&mut self) {
        for event in std::mem::take(&mut self.waits_for_server) {
            let after = self.dice.below(3);
            self.after(after, event);
        }
    }
}
