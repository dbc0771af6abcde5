//! Call-outs of gates on their way to the server, and its answers on their way back.

use std::rc::Rc;

use gate::{Call, Input};

use crate::server::Answer;
use crate::worker::Ticket;
use crate::world::{Event, World};

/// A call-out on its way.
#[derive(Debug)]
pub(crate) struct Message {
    path: String,
    body: Vec<u8>,
}

impl World {
    pub(crate) fn send(&mut self, ticket: Ticket, call: Call) {
        self.after(call.timeout_ms, Event::CallTimesOut { ticket });
        let path = call.headers.iter().find(|(name, _)| *name == ":path");
        let path = path.map_or(String::new(), |(_, path)| path.clone());
        self.log.note(self.now_ms, || {
            let body = String::from_utf8_lossy(&call.body);
            format!("{:?} calls {:?} {path} {body}", ticket.place, ticket.call)
        });
        let message = Rc::new(Message { path, body: call.body });
        for delay in self.network.deliveries(ticket.place.proxy, &mut self.dice) {
            self.after(delay, Event::CallArrives { ticket, message: Rc::clone(&message) });
        }
    }

    pub(crate) fn call_arrives(&mut self, ticket: Ticket, message: &Message) -> anyhow::Result<()> {
        if self.network.is_cut_off(ticket.place.proxy) {
            return Ok(());
        }
        if !self.server.is_up() {
            // The proxy finds nobody and says so itself.
            self.reply_to(ticket, Answer { status: 503, body: b"no healthy upstream".to_vec() });
            return Ok(());
        }
        self.server_acted = true;
        if let Some(answer) = self.mutation.and_then(|it| it.answers(&message.path)) {
            self.reply_to(ticket, answer);
            return Ok(());
        }
        let tampered = self.mutation.and_then(|it| it.call(&message.path, &message.body));
        let body = tampered.as_deref().unwrap_or(&message.body);
        let Some(answer) = self.server.call(self.now_ms, ticket, &message.path, body)? else {
            if let Some(at_ms) = self.server.next_poll_ends_ms() {
                self.after(at_ms.saturating_sub(self.now_ms), Event::PollEnds);
            }
            return Ok(());
        };
        if let Some(forged) = self.mutation.and_then(|it| it.forged_report(body, &answer.body)) {
            self.server.call(self.now_ms, ticket, "/proxy/v1/reports", &forged)?;
        }
        self.reply_to(ticket, answer);
        Ok(())
    }

    /// Sends an answer on its way.
    pub(crate) fn reply_to(&mut self, ticket: Ticket, answer: Answer) {
        let received = self.mutation.and_then(|it| it.received(ticket.place, &answer));
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
        if worker.life != ticket.life || !worker.takes_answer(ticket.call) {
            return Ok(());
        }
        self.log.note(self.now_ms, || format!("{:?} {:?}: {status:?}", ticket.place, ticket.call));
        self.feed(ticket.place, Input::CallDone { call: ticket.call, status, body })
    }
}
