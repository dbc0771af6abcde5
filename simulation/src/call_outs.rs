//! Call-outs of gates on their way to the server, and its answers on their way back.

use std::rc::Rc;

use gate::{Call, HostKind, Input};
use serde_json::Value;

use crate::checker::{Invariant, Violation};
use crate::events::Event;
use crate::server::Answer;
use crate::worker::{Sent, Ticket};
use crate::world::World;

/// A call-out on its way.
#[derive(Debug)]
pub(crate) struct Message {
    path: String,
    body: Vec<u8>,
    /// Which life of the server it was sent to: a server that ends takes its connections along,
    /// with all that is in them. None for one that somebody kept, and sends again on another.
    sent_to: Option<u64>,
}

/// Reports that arrive once more, long after they were answered, in a thousand.
const REPEATED_PER_MILLE: u64 = 40;
/// The earliest that such a repetition arrives, in milliseconds.
const REPEATED_FIRST_MS: u64 = 4_000;
/// Reports that are kept to be sent again a day after the end. A sample is enough.
const REPORTS_KEPT: usize = 16;
const DAY_MS: u64 = 86_400_000;

impl World {
    pub(crate) fn send(&mut self, ticket: Ticket, call: Call) {
        self.after(call.timeout_ms, Event::CallTimesOut { ticket });
        let path = call.headers.iter().find(|(name, _)| *name == ":path");
        let path = path.map_or(String::new(), |(_, path)| path.clone());
        let registers = path.starts_with("/proxy/v1/holders");
        let renews = registers || path.starts_with("/proxy/v1/changes");
        let sent = Sent { path: path.clone(), at_ms: self.now_ms, renews };
        if let Some(worker) = self.worker(ticket.place) {
            worker.sends(ticket.call, sent);
        }
        self.log.note(self.now_ms, || {
            let body = String::from_utf8_lossy(&call.body);
            format!("{:?} calls {:?} {path} {body}", ticket.place, ticket.call)
        });
        let is_report = path.ends_with("/reports");
        let sent_to = Some(self.server.starts());
        let message = Rc::new(Message { path, body: call.body, sent_to });
        for delay in self.network.deliveries(ticket.place.proxy, &mut self.dice) {
            self.after(delay, Event::CallArrives { ticket, message: Rc::clone(&message) });
        }
        if is_report && self.dice.per_mille(REPEATED_PER_MILLE) {
            let later = self.dice.between(REPEATED_FIRST_MS, self.scenario.traffic_ms);
            if self.now_ms + later < self.scenario.traffic_ms {
                let (path, body) = (message.path.clone(), message.body.clone());
                let message = Rc::new(Message { path, body, sent_to: None });
                self.after(later, Event::CallArrives { ticket, message });
            }
        }
    }

    pub(crate) fn call_arrives(
        &mut self,
        ticket: Ticket,
        message: &Rc<Message>,
    ) -> anyhow::Result<()> {
        if self.network.is_cut_off(ticket.place.proxy) {
            return Ok(());
        }
        if !self.server.is_up() {
            // The proxy finds nobody and says so itself.
            self.reply_to(ticket, Answer { status: 503, body: b"no healthy upstream".to_vec() });
            return Ok(());
        }
        if message.sent_to.is_some_and(|start| start != self.server.starts()) {
            return Ok(());
        }
        if !self.server.is_awake(self.now_ms) {
            self.waits_for_server.push(Event::CallArrives { ticket, message: Rc::clone(message) });
            return Ok(());
        }
        self.server_acted = true;
        let (path, body) = (&message.path, &message.body);
        if let Some(mutation) = self.mutation
            && let Some(answer) = mutation.answers(path, body, &self.ledger)?
        {
            self.reply_to(ticket, answer);
            return Ok(());
        }
        let tampered = match self.mutation {
            Some(mutation) => mutation.call(path, body, &self.ledger)?,
            None => None,
        };
        let body = tampered.as_deref().unwrap_or(body);
        let answer = self.server.call(self.now_ms, ticket, path, body)?;
        answer.as_ref().map_or(Ok(()), |answer| self.note_grant(answer))?;
        if std::mem::take(&mut self.dies_before_answering) {
            self.log.note(self.now_ms, || format!("no answer to {:?}", ticket.call));
            self.stop_server();
            return Ok(());
        }
        let Some(answer) = answer else {
            if let Some(at_ms) = self.server.next_wait_ends_ms() {
                self.after(at_ms.saturating_sub(self.now_ms), Event::WaitEnds);
            }
            return Ok(());
        };
        if path.ends_with("/reports") && answer.status == 200 {
            self.keep_report(message);
        }
        if let Some((path, forged)) =
            self.mutation.and_then(|it| it.forged_call(path, body, &answer.body))
        {
            self.server.call(self.now_ms, ticket, path, &forged)?;
        }
        self.reply_to(ticket, answer);
        Ok(())
    }

    /// Where a key has been moved, it matters when money is granted from above its new place.
    pub(crate) fn note_grant(&mut self, answer: &Answer) -> anyhow::Result<()> {
        if !self.checker.awaits_grants() {
            return Ok(());
        }
        let answer: Value = serde_json::from_slice(&answer.body).unwrap_or_default();
        let lease = ["/lease/granted/lease", "/answer/granted/lease"];
        let lease = lease.iter().find_map(|at| answer.pointer(at)?.as_str());
        let Some(lease) = lease else { return Ok(()) };
        if let Some((key, accounts)) = self.ledger.lease_of(lease)? {
            self.checker.granted(&key, &accounts);
        }
        Ok(())
    }

    fn keep_report(&mut self, message: &Rc<Message>) {
        if self.old_reports.len() < REPORTS_KEPT {
            self.old_reports.push(Rc::clone(message));
        } else {
            let at = self.dice.index(REPORTS_KEPT);
            if let Some(slot) = self.old_reports.get_mut(at) {
                *slot = Rc::clone(message);
            }
        }
    }

    /// Reports that were answered arrive a day later once more: nothing may come of it.
    pub(crate) fn repeat_old_reports(&mut self, ticket: Ticket) -> anyhow::Result<()> {
        let before = self.ledger.accounts()?;
        let records = self.ledger.records()?.len();
        for message in std::mem::take(&mut self.old_reports) {
            let (path, body) = (&message.path, &message.body);
            self.server.call(self.now_ms + DAY_MS, ticket, path, body)?;
        }
        if self.ledger.accounts()? != before || self.ledger.records()?.len() != records {
            let text = "reports that were repeated a day later have changed the ledger".to_owned();
            return Err(Violation { invariant: Invariant::Charges, text }.into());
        }
        Ok(())
    }

    /// Sends an answer on its way.
    pub(crate) fn reply_to(&mut self, ticket: Ticket, answer: Answer) {
        let is_timerless = self.kind_of(ticket.place.proxy) == HostKind::Apisix;
        let received =
            self.mutation.and_then(|it| it.received(ticket.place, is_timerless, &answer));
        let answer = received.unwrap_or(answer);
        self.log.note(self.now_ms, || {
            let body = String::from_utf8_lossy(&answer.body);
            format!("answers {:?} {:?}: {} {body}", ticket.place, ticket.call, answer.status)
        });
        let answer = Rc::new(answer);
        for delay in self.network.deliveries(ticket.place.proxy, &mut self.dice) {
            self.after(delay, Event::AnswerArrives { ticket, answer: Rc::clone(&answer) });
        }
    }

    pub(crate) fn call_done(
        &mut self,
        ticket: Ticket,
        status: Option<u16>,
        body: &[u8],
    ) -> anyhow::Result<()> {
        let Some(worker) = self.worker(ticket.place) else { return Ok(()) };
        if worker.life != ticket.life {
            return Ok(());
        }
        let Some(sent) = worker.takes_answer(ticket.call) else { return Ok(()) };
        if sent.renews && status == Some(200) {
            let times = self.scenario.times;
            let is_pushed = self.kind_of(ticket.place.proxy) == HostKind::Envoy;
            let ttl_ms = if is_pushed { times.ttl_ms } else { times.pull_ttl_ms };
            self.checker.renewed(ticket.life, sent.at_ms + ttl_ms);
        }
        self.log.note(self.now_ms, || format!("{:?} {:?}: {status:?}", ticket.place, ticket.call));
        self.feed(ticket.place, Input::CallDone { call: ticket.call, status, body })?;
        let early = self.mutation.and_then(|it| it.early_poll(&sent.path, body));
        if let Some(path) = early.filter(|_| self.server.is_awake(self.now_ms)) {
            self.server.call(self.now_ms, ticket, &path, b"")?;
        }
        Ok(())
    }
}
