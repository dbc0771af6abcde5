//! Attacks on the policy server: by nobody, by people with a role, by a stolen filter token, by text that
//! means something to SQL, a browser, a spreadsheet or a terminal, and by slow senders.

mod forged_messages;
mod hostile_text;
mod nobody;
mod slow_senders;
mod timing;
mod welch;
