//! Whether a view agrees with what the filter read, before and after its edits.

use metering::request::{
    Edits, Operation, OutputLimit, Request, Source, WrittenLimit, apply_edits, read,
};

use super::view::{View, written};

/// The model's own name, in the place of the one that a client wrote.
const CHARGED_MODEL: &str = "charged/model";
/// The output limit that is written where none stands.
const CHARGED_LIMIT: u64 = 77;

/// A body that was let through, as it came and as the upstream gets it.
#[derive(Debug)]
pub struct Reading<'a> {
    source: Source<'a>,
    request: Request,
    reads_max_completion_tokens: bool,
    /// The most output that was reserved for each answer.
    limit: u64,
    /// What the upstream gets.
    pub edited: Vec<u8>,
}

impl<'a> Reading<'a> {
    /// Reads a body. `None` where it is refused: nobody but us has to see anything in it then.
    #[must_use]
    pub fn of(body: &[u8], source: Source<'a>, reads_max_completion_tokens: bool) -> Option<Self> {
        let request = read(body, source).ok()?;
        let limit = match request.output_limit {
            // A client's own limit is never lowered, and is what is reserved.
            OutputLimit::Tokens(tokens) => tokens,
            OutputLimit::Absent | OutputLimit::NoOutput => CHARGED_LIMIT,
        };
        let edits = request.edits(Edits {
            model: Some(CHARGED_MODEL),
            output_limit: Some(WrittenLimit { tokens: limit, reads_max_completion_tokens }),
        });
        let edited = apply_edits(body, &edits);
        Some(Self { source, request, reads_max_completion_tokens, limit, edited })
    }

    /// What was read.
    #[must_use]
    pub fn request(&self) -> &Request {
        &self.request
    }

    /// What a parser sees in the body as it came.
    ///
    /// # Errors
    /// The first thing that it sees otherwise.
    pub fn agrees(&self, view: &View) -> Result<(), String> {
        if view.error.is_some() {
            return Ok(());
        }
        let request = &self.request;
        // One beside that of the path is replaced, or held to be the same.
        if self.source.path_model.is_none() {
            same("model", view.at("model"), Some(&written(&request.model)))?;
        }
        self.flags_agree(view)?;
        if !request.operation.has_output() {
            return Ok(());
        }
        let least = self.limits(view)?.into_iter().min();
        let budgets = ["thinking.budget_tokens", "reasoning.max_tokens", GEMINI_BUDGET];
        let mut most_thinking = 0;
        for path in budgets.iter().filter(|path| self.reads_budget(path)) {
            most_thinking = most_thinking.max(view.given(path).and_then(tokens).unwrap_or(0));
        }
        let expected = least.map(|least| least.max(most_thinking));
        let read = match request.output_limit {
            OutputLimit::Tokens(tokens) => Some(tokens),
            OutputLimit::Absent | OutputLimit::NoOutput => None,
        };
        if read == expected { Ok(()) } else { Err(format!("limit: {expected:?} for {read:?}")) }
    }

    /// What a parser sees in the body that the upstream gets.
    ///
    /// # Errors
    /// The first thing that it sees otherwise than charged for.
    pub fn is_charged(&self, view: &View) -> Result<(), String> {
        if view.error.is_some() {
            return Ok(());
        }
        let request = &self.request;
        let model = view.given("model");
        match self.source.path_model {
            None => same("model", model, Some(&written(CHARGED_MODEL)))?,
            Some(_) => {
                let resource = format!("models/{CHARGED_MODEL}");
                let fine = [written(CHARGED_MODEL), written(&resource)];
                if model.is_some_and(|model| !fine.iter().any(|one| one == model)) {
                    return Err(format!("model: {model:?}"));
                }
            }
        }
        self.flags_agree_after_edits(view)?;
        if !request.operation.has_output() {
            return Ok(());
        }
        let limits = self.limits(view)?;
        if limits.iter().any(|limit| *limit > self.limit) {
            return Err(format!("limits {limits:?} where {} was reserved", self.limit));
        }
        let name = match request.operation {
            Operation::Chat if self.reads_max_completion_tokens => "max_completion_tokens",
            Operation::Chat | Operation::Completions | Operation::Messages => "max_tokens",
            Operation::Responses => "max_output_tokens",
            _ => return if limits.is_empty() { Err("no limit".to_owned()) } else { Ok(()) },
        };
        match view.given(name).and_then(tokens) {
            Some(tokens) if tokens <= self.limit => Ok(()),
            other => Err(format!("{name} is {other:?}")),
        }
    }

    fn reads_budget(&self, path: &str) -> bool {
        match self.request.operation {
            Operation::Messages => path == "thinking.budget_tokens",
            Operation::Chat | Operation::Completions => path != GEMINI_BUDGET,
            Operation::GenerateContent | Operation::StreamGenerateContent => path == GEMINI_BUDGET,
            _ => false,
        }
    }

    /// Limits on output that some server of this API reads.
    fn limits(&self, view: &View) -> Result<Vec<u64>, String> {
        let (names, zero_is_none): (&[&str], bool) = match self.request.operation {
            Operation::Chat | Operation::Completions => (OPENAI_LIMITS, false),
            Operation::Messages => (&["max_tokens"], false),
            Operation::Responses => (&["max_output_tokens"], false),
            _ => (GEMINI_LIMITS, true),
        };
        let mut limits = Vec::new();
        for name in names {
            let Some(value) = view.given(name) else { continue };
            match tokens(value) {
                Some(0) if zero_is_none => {}
                Some(tokens) => limits.push(tokens),
                None => return Err(format!("{name} is {value}")),
            }
        }
        Ok(limits)
    }

    fn flags_agree(&self, view: &View) -> Result<(), String> {
        let request = &self.request;
        if request.operation.reports_usage_when_asked() {
            let include = view.given("stream_options.include_usage");
            let wants = request.wants_stream_usage.then_some("true");
            same("include_usage", include.filter(|value| *value != "false"), wants)?;
        }
        self.flags_agree_after_edits(view)
    }

    fn flags_agree_after_edits(&self, view: &View) -> Result<(), String> {
        let request = &self.request;
        let is_gemini = matches!(
            request.operation,
            Operation::GenerateContent | Operation::StreamGenerateContent
        );
        if request.operation.has_output() && !is_gemini {
            let stream = view.given("stream").filter(|value| *value != "false");
            same("stream", stream, request.stream.then_some("true"))?;
        }
        let choices: &[&str] = match request.operation {
            Operation::Chat | Operation::Completions => &["n", "best_of"],
            _ if is_gemini => GEMINI_CHOICES,
            _ => &[],
        };
        let mut most = 1;
        for name in choices {
            let Some(value) = view.given(name) else { continue };
            let number = tokens(value).ok_or_else(|| format!("{name} is {value}"))?;
            most = most.max(number);
        }
        if !choices.is_empty() && most != request.choices {
            return Err(format!("{most} choices for {}", request.choices));
        }
        let asks_more = |path: &str, harmless: &[&str]| {
            view.given(path).filter(|value| !harmless.contains(value)).map(str::to_owned)
        };
        let special = match request.operation {
            Operation::Responses => {
                asks_more("background", &["false", "[]"]).or(asks_more("store", &["false", "[]"]))
            }
            Operation::Chat => asks_more("store", &["false", "[]"]),
            _ => None,
        };
        if special.is_some() && request.features.is_empty() {
            return Err(format!("a flag that nobody permitted: {special:?}"));
        }
        Ok(())
    }
}

const GEMINI_BUDGET: &str = "generationConfig.thinkingConfig.thinkingBudget";
const OPENAI_LIMITS: &[&str] = &[
    "max_tokens",
    "max_completion_tokens",
    "max_output_tokens",
    "max_new_tokens",
    "max_tokens_to_sample",
    "max_gen_len",
    "max_length",
    "n_predict",
    "num_predict",
];
const GEMINI_LIMITS: &[&str] = &[
    "generationConfig.maxOutputTokens",
    "generationConfig.max_output_tokens",
    "generation_config.maxOutputTokens",
    "generation_config.max_output_tokens",
];
const GEMINI_CHOICES: &[&str] = &[
    "generationConfig.candidateCount",
    "generationConfig.candidate_count",
    "generation_config.candidateCount",
    "generation_config.candidate_count",
];

fn tokens(value: &str) -> Option<u64> {
    value.strip_prefix("i:")?.parse().ok()
}

fn same(what: &str, seen: Option<&str>, read: Option<&str>) -> Result<(), String> {
    if seen == read { Ok(()) } else { Err(format!("{what}: {seen:?} for {read:?}")) }
}

/// Judges a body with one parser after another: `views` says what all of them see in some bytes.
///
/// # Panics
/// Where one sees something else in a body that was let through than the filter read, or than it
/// charges for.
pub fn judge(reading: &Reading<'_>, body: &[u8], mut views: impl FnMut(&[u8]) -> Vec<View>) {
    for view in views(body) {
        if let Err(how) = reading.agrees(&view) {
            panic!(
                "{} sees {how}\n{}\n{:?}",
                view.parser,
                String::from_utf8_lossy(body),
                reading.request
            );
        }
    }
    for view in views(&reading.edited) {
        if let Err(how) = reading.is_charged(&view) {
            panic!(
                "{} is charged for {how}\n{}\nmade of\n{}",
                view.parser,
                String::from_utf8_lossy(&reading.edited),
                String::from_utf8_lossy(body)
            );
        }
    }
}
