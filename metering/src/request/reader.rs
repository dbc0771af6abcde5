//! Walks the tables along a body: one pass, one frame per open bracket.

use std::borrow::Cow;
use std::ops::Range;

use super::Problem;
use super::content::{Draft, ToolKind};
use super::feature::{Feature, FeatureKind, MORE_UNKNOWN, MOST_UNKNOWN, ServerTool, shown};
use super::found::{Found, Slot};
use super::lookalike::lookalikes;
use super::parameter::Parameter;
use super::shape::{Role, Rule, Shape};
use crate::json::{Event, Sink, Text};

/// Most requests in one body; Gemini takes 100. Each may repeat the model, whose places are kept.
const MOST_REQUESTS: u64 = 1000;

/// In JavaScript, an object that is laid over another one under this name becomes what that one
/// inherits from: whoever copies a body so finds members in it that stand nowhere in its outermost
/// object.
const PROTOTYPE: &[u8] = b"__proto__";

/// What an item of Responses says of itself beside what it holds.
const NAMES_OF_ITEMS: [&str; 3] = ["type", "id", "status"];

/// The sink that fills [`Found`].
pub(super) struct Reader {
    pub(super) found: Found,
    pub(super) problem: Option<Problem>,
    pub(super) path_model: Option<String>,
    /// The least bound on output.
    pub(super) least_limit: u64,
    root: &'static Shape,
    pub(super) frames: Vec<Frame>,
    /// Everything inside the bracket that opened at this depth is harmless.
    skipped: Option<usize>,
    unknown_name: Cow<'static, str>,
    /// Unknown names among the features.
    unknown: usize,
    /// An optional member whose value has said nothing yet.
    awaited: Option<Parameter>,
    /// Where the last name stands.
    pub(super) last_name: Range<usize>,
}

pub(super) struct Frame {
    place: Place,
    /// How the next value is read, and under which name; `None` for a member that is not known.
    rule: Rule,
    pub(super) name: Option<&'static str>,
    /// One bit for each member of the shape; in a list of tokens, how many there are.
    pub(super) seen: u128,
    is_empty: bool,
    draft: Draft,
    /// The optional member that this object may switch off.
    switch: Option<Parameter>,
}

impl Frame {
    /// It is the list of prompts, not one of them.
    pub(super) fn is_among_prompts(&self) -> bool {
        matches!(self.rule, Rule::PromptItem)
    }
}

#[derive(Clone, Copy)]
enum Place {
    Object(&'static Shape),
    List,
}

impl Reader {
    pub(super) fn new(root: &'static Shape, path_model: Option<String>, least_limit: u64) -> Self {
        Self {
            found: Found::default(),
            problem: None,
            path_model,
            least_limit,
            root,
            frames: Vec::new(),
            skipped: None,
            unknown_name: Cow::Borrowed(MORE_UNKNOWN),
            unknown: 0,
            awaited: None,
            last_name: 0..0,
        }
    }

    pub(super) fn fail(&mut self, problem: Problem) {
        self.problem.get_or_insert(problem);
    }

    pub(super) fn invalid(&mut self, field: &'static str, expected: &'static str) {
        self.fail(Problem::Invalid { field, expected });
    }

    pub(super) fn draft(&mut self) -> Option<&mut Draft> {
        self.frames.last_mut().map(|frame| &mut frame.draft)
    }

    /// Finds the rule of a member. A second one, or one that only parsers that ignore case or some
    /// characters would take for it, could make the upstream read another value than we do.
    fn name(&mut self, text: Text<'_>, span: Range<usize>) {
        self.last_name = span;
        let Some(frame) = self.frames.last_mut() else { return };
        let Place::Object(shape) = frame.place else { return };
        frame.is_empty = false;
        if text.bytes == PROTOTYPE {
            return self.fail(Problem::Unsupported(Cow::Borrowed("__proto__")));
        }
        let found = shape.find(text.bytes).or_else(|| {
            lookalikes(text.bytes).into_iter().flatten().find_map(|like| shape.find(&like))
        });
        if shape.role == Role::Item {
            let name = found.map_or("", |(_, member)| member.name);
            frame.draft.has_more |= !NAMES_OF_ITEMS.contains(&name);
        }
        let Some((index, member)) = found else {
            frame.rule = shape.rest();
            frame.name = None;
            if matches!(frame.rule, Rule::Unknown | Rule::Needs(_)) {
                if self.unknown >= MOST_UNKNOWN {
                    self.unknown_name = Cow::Borrowed(MORE_UNKNOWN);
                } else if self.unknown_name.as_bytes() != text.bytes {
                    self.unknown_name = Cow::Owned(shown(text.bytes));
                }
            }
            return;
        };
        frame.rule = member.rule;
        frame.name = Some(member.name);
        let bit = 1u128.checked_shl(index).unwrap_or(0);
        let is_snake = member.snake.map(str::as_bytes) == Some(text.bytes);
        let [parameter, in_snake] = member.parameter;
        self.awaited = if is_snake { in_snake } else { parameter };
        let again = frame.seen & bit != 0;
        frame.seen |= bit;
        let spelled = is_snake || text.bytes == member.name.as_bytes();
        if (again || !spelled) && !matches!(member.rule, Rule::Skip) {
            self.fail(Problem::Duplicate(member.name));
        }
    }

    /// The first event after the name of an optional member, or the one after its bracket: only
    /// something in it says something.
    fn value_of(&mut self, parameter: Parameter, event: &Event<'_>) {
        if matches!(event, Event::Open { .. }) {
            return;
        }
        self.awaited = None;
        if parameter.is_default_without_tools(event) {
            self.found.parameters_of_tools.insert(parameter);
        } else if !parameter.is_default(event) {
            self.found.parameters.insert(parameter);
        }
    }

    pub(super) fn feature(&mut self, kind: FeatureKind, name: Option<&'static str>) {
        // A body may have the same one a hundred thousand times: nothing is made of it but once.
        let param = name.unwrap_or(&self.unknown_name);
        let is_it = |known: &Feature| known.kind == kind && known.param == param;
        if !self.found.features.iter().rev().any(is_it) {
            let param = name.map_or_else(|| self.unknown_name.clone(), Cow::Borrowed);
            self.add_feature(Feature { kind, param });
        }
    }

    pub(super) fn add_feature(&mut self, mut feature: Feature) {
        if matches!(feature.param, Cow::Owned(_)) && self.unknown >= MOST_UNKNOWN {
            feature.param = Cow::Borrowed(MORE_UNKNOWN);
        }
        // The newest first: what stands for those beyond the bound is among them.
        if self.found.features.iter().rev().any(|known| *known == feature) {
            return;
        }
        self.unknown += usize::from(matches!(feature.param, Cow::Owned(_)));
        self.found.features.push(feature);
    }

    /// A bracket opens where `rule` holds.
    fn open(
        &mut self,
        rule: Rule,
        name: Option<&'static str>,
        object: bool,
        at: Range<usize>,
        depth: usize,
    ) {
        let place = match (rule, object) {
            (Rule::Switch(shape), true) => {
                let switch = self.awaited.take();
                self.push(Place::Object(shape), rule, name);
                if let Some(frame) = self.frames.last_mut() {
                    frame.switch = switch;
                }
                return;
            }
            (Rule::Inside(shape) | Rule::Url(shape) | Rule::Options(shape, _), true) => {
                if shape.role == Role::Request {
                    self.request();
                }
                Place::Object(shape)
            }
            (Rule::StreamOptions(shape), true) => {
                self.found.stream_options = object_slot(at.end);
                Place::Object(shape)
            }
            (Rule::Config(shape), true) => {
                self.found.config = object_slot(at.end);
                Place::Object(shape)
            }
            (
                Rule::Inside(_)
                | Rule::Options(..)
                | Rule::Needs(_)
                | Rule::OneOf(..)
                | Rule::ServerTool(_)
                | Rule::State
                | Rule::Reference,
                false,
            ) => Place::List,
            (Rule::Prompt, false) => return self.push(Place::List, Rule::PromptItem, name),
            (Rule::PromptItem, false) => {
                self.found.prompts = self.found.prompts.saturating_add(1);
                return self.push(Place::List, Rule::Token, name);
            }
            _ => {
                self.misplaced(rule, name);
                return self.skip(depth);
            }
        };
        self.push(place, rule, name);
    }

    fn push(&mut self, place: Place, rule: Rule, name: Option<&'static str>) {
        let rule = if matches!(place, Place::List) { rule } else { Rule::Skip };
        let draft = Draft::default();
        let switch = None;
        self.frames.push(Frame { place, rule, name, seen: 0, is_empty: true, draft, switch });
    }

    fn skip(&mut self, depth: usize) {
        self.skipped = Some(depth);
    }

    fn request(&mut self) {
        self.found.prompts = self.found.prompts.saturating_add(1);
        if self.found.prompts > MOST_REQUESTS {
            self.invalid("requests", "at most 1000 requests");
        }
    }

    fn close(&mut self) {
        let Some(frame) = self.frames.pop() else { return };
        let role = match frame.place {
            Place::Object(shape) => shape.role,
            Place::List => Role::Plain,
        };
        if matches!(frame.rule, Rule::PromptItem | Rule::Token) {
            let tokens = u64::try_from(frame.seen).unwrap_or(u64::MAX);
            self.found.longest_tokens = self.found.longest_tokens.max(tokens);
        }
        let is_used = !frame.is_empty && (frame.draft.is_on || !frame.draft.is_off);
        if let Some(parameter) = frame.switch.filter(|_| is_used) {
            self.found.parameters.insert(parameter);
        }
        match role {
            Role::Plain | Role::Request => {
                if let Some(around) = self.draft() {
                    around.take_in(&frame.draft);
                }
            }
            Role::Part | Role::Item => {
                let is_item = role == Role::Item;
                if is_item && frame.draft.is_stored_item() {
                    self.state(Some("input"));
                }
                let bounded = frame.draft.count_into(&mut self.found.media, is_item);
                self.found.by_reference |= !bounded;
            }
            Role::Tool => self.tool(frame.draft.tool.unwrap_or(ToolKind::Client), &frame.draft),
            Role::TypedTool => {
                self.tool(frame.draft.tool.unwrap_or(ToolKind::Unknown), &frame.draft);
            }
        }
        if let Place::Object(shape) = frame.place {
            self.end_slot(shape, frame.is_empty);
        }
    }

    fn end_slot(&mut self, shape: &'static Shape, empty: bool) {
        let is_open_at = match self.frames.len() {
            0 => &mut self.found.root,
            1 => match self.frames.last().map(|frame| frame.rule) {
                Some(Rule::StreamOptions(inner)) if std::ptr::eq(inner, shape) => {
                    &mut self.found.stream_options
                }
                Some(Rule::Config(inner)) if std::ptr::eq(inner, shape) => &mut self.found.config,
                _ => return,
            },
            _ => return,
        };
        if let Slot::Object { is_empty, .. } = is_open_at {
            *is_empty = empty;
        }
    }

    /// Files are searched in stores that the provider keeps.
    pub(super) fn server_tool(
        &mut self,
        tool: ServerTool,
        param: &'static str,
        most_calls: Option<u64>,
    ) {
        self.found.server_tools.add(tool, param, most_calls);
        if tool == ServerTool::FileSearch {
            self.feature(FeatureKind::ProviderState, Some(param));
        }
    }

    fn tool(&mut self, kind: ToolKind, draft: &Draft) {
        match kind {
            ToolKind::Client => {}
            ToolKind::Shell if draft.is_local => {}
            ToolKind::Shell => self.server_tool(ServerTool::CodeExecution, "tools", draft.max_uses),
            ToolKind::Server(tool) => self.server_tool(tool, "tools", draft.max_uses),
            ToolKind::Remote => self.feature(FeatureKind::RemoteTools, Some("tools")),
            ToolKind::DrawsImages => self.feature(FeatureKind::OutputModality, Some("tools")),
            ToolKind::Unknown => self.feature(FeatureKind::UnknownTool, Some("tools")),
        }
    }
}

fn object_slot(inside: usize) -> Slot {
    Slot::Object { inside, is_empty: true }
}

impl Sink for Reader {
    fn event(&mut self, event: Event<'_>, depth: usize, start: u64, end: u64) {
        if let Some(parameter) = self.awaited {
            self.value_of(parameter, &event);
        }
        if let Some(skipped) = self.skipped {
            if depth == skipped && matches!(event, Event::Close { .. }) {
                self.skipped = None;
            }
            return;
        }
        // No body that is taken is longer than a memory, so offsets fit.
        let span = usize::try_from(start).unwrap_or(0)..usize::try_from(end).unwrap_or(0);
        let (rule, name) =
            self.frames.last().map_or((Rule::Skip, None), |frame| (frame.rule, frame.name));
        match event {
            Event::Name(text) => self.name(text, span),
            Event::Close { .. } => self.close(),
            Event::Open { object: true } if depth == 0 => {
                self.found.root = object_slot(span.end);
                self.push(Place::Object(self.root), Rule::Skip, None);
            }
            Event::Open { object } => self.open(rule, name, object, span, depth),
            value => self.scalar(rule, name, &value, span),
        }
    }

    fn passes_over(&self, _: usize) -> bool {
        self.skipped.is_some() && self.awaited.is_none()
    }

    /// A list of tokens says how many they are.
    fn counts_numbers(&self) -> bool {
        let frame = self.frames.last().filter(|_| self.skipped.is_none() && self.awaited.is_none());
        frame.is_some_and(|frame| {
            let is_list = matches!(frame.place, Place::List);
            is_list && matches!(frame.rule, Rule::Token | Rule::PromptItem)
        })
    }

    fn counted(&mut self, numbers: u64) {
        self.tokens(u128::from(numbers));
    }

    fn wants_string(&self, _: usize) -> bool {
        if self.awaited.is_some_and(Parameter::wants_string) {
            return true;
        }
        let rule = self.frames.last().map(|frame| frame.rule).filter(|_| self.skipped.is_none());
        rule.is_some_and(|rule| {
            !matches!(
                rule,
                Rule::Skip
                    | Rule::Inside(_)
                    | Rule::Switch(_)
                    | Rule::Options(..)
                    | Rule::Truncates
                    | Rule::ItemId
                    | Rule::Token
                    | Rule::Data
                    | Rule::Prompt
                    | Rule::PromptItem
                    | Rule::Needs(_)
                    | Rule::Unknown
                    | Rule::Reference
                    | Rule::State
                    | Rule::Encrypted
                    | Rule::MessageRole
            )
        })
    }
}
