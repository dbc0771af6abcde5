//! One line per step of the story, and whether any differed.

use crate::http_client::Answer;

/// Steps so far.
#[derive(Debug, Default)]
pub struct Script {
    passed: usize,
    failed: usize,
}

impl Script {
    /// A step whose answer must have this status and, for a refusal, this error code. Returns the
    /// answer for what follows.
    pub fn answer(
        &mut self,
        name: &str,
        answer: anyhow::Result<Answer>,
        status: u16,
        code: &str,
    ) -> Option<Answer> {
        match answer {
            Ok(answer) => {
                let found = answer.error_code();
                let right = answer.status == status && found == code;
                let mut reason = answer.json()["error"]["message"]
                    .as_str()
                    .map_or_else(String::new, |message| format!("  \"{message}\""));
                if !right {
                    reason += &format!("  (expected {status} {code})");
                }
                self.line(right, &format!("{name:<44} {} {found}{reason}", answer.status));
                Some(answer)
            }
            Err(problem) => {
                self.line(false, &format!("{name:<44} no answer: {problem:#}"));
                None
            }
        }
    }

    /// A step that is about something else than a status: what was found, and whether it is right.
    pub fn fact(&mut self, name: &str, right: bool, found: &str) {
        self.line(right, &format!("{name:<44} {found}"));
    }

    /// How many steps differed.
    pub fn failed(&self) -> usize {
        self.failed
    }

    /// How many steps there were and how many differed.
    pub fn summary(&self) -> String {
        format!("{} of {} steps passed", self.passed, self.passed + self.failed)
    }

    fn line(&mut self, right: bool, text: &str) {
        if right {
            self.passed += 1;
        } else {
            self.failed += 1;
        }
        println!("{} {}", if right { "PASS" } else { "FAIL" }, text.trim_end());
    }
}
