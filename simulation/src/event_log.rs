//! What happened, line by line, for whoever replays a failing seed.

use std::collections::VecDeque;

/// Most lines kept. A run of a few virtual minutes writes some ten thousand; the last ones matter.
const MOST_LINES: usize = 200_000;

/// Lines of one run. Where nobody will read them, none are made.
#[derive(Debug)]
pub struct EventLog {
    keeps: bool,
    lines: VecDeque<String>,
}

impl EventLog {
    /// A log that keeps its lines, or one that does nothing.
    #[must_use]
    pub fn new(keeps: bool) -> Self {
        Self { keeps, lines: VecDeque::new() }
    }

    /// Notes one event. `line` is called only where lines are kept.
    pub fn note(&mut self, now_ms: u64, line: impl FnOnce() -> String) {
        if !self.keeps {
            return;
        }
        if self.lines.len() >= MOST_LINES {
            self.lines.pop_front();
        }
        self.lines.push_back(format!("{:>4}.{:03} {}", now_ms / 1_000, now_ms % 1_000, line()));
    }

    /// The lines, oldest first.
    #[must_use]
    pub fn into_lines(self) -> Vec<String> {
        self.lines.into()
    }
}
