//! The vocabulary of the tables that say which members of a body are read, and how.

use super::feature::{FeatureKind, ServerTool};
use super::parameter::Parameter;

/// What is known about the members of one kind of object.
pub(super) struct Shape {
    /// What the object is.
    pub(super) role: Role,
    /// The members that are known; at most 128, with those of [`Rule::Also`].
    pub(super) members: &'static [Member],
    /// What any other member is.
    pub(super) other: Rule,
}

impl Shape {
    /// Every member that is known, with those of [`Rule::Also`].
    pub(super) fn all_members(&self) -> impl Iterator<Item = &'static Member> {
        let more: &[Member] = match self.other {
            Rule::Also(more) => more.shape.members,
            _ => &[],
        };
        self.members.iter().chain(more)
    }

    /// What a member is that is not known.
    pub(super) fn rest(&self) -> Rule {
        match self.other {
            Rule::Also(more) => more.shape.other,
            other => other,
        }
    }
}

/// What the end of an object means.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Role {
    /// What was found in it counts for the object around it.
    Plain,
    /// A piece of content: text, an image, a document and the like.
    Part,
    /// An item of the Responses API: a message, or a piece of content.
    Item,
    /// A tool; one without a type runs at the client.
    Tool,
    /// A tool whose type must be said.
    TypedTool,
    /// One of several requests in one body.
    Request,
}

/// A member that is known.
pub(super) struct Member {
    pub(super) name: &'static str,
    /// The other spelling that protobuf's JSON reads as the same member.
    pub(super) snake: Option<&'static str>,
    /// What both spellings have in common with names that may be them.
    likeness: [u32; 2],
    pub(super) rule: Rule,
    /// What it is as one that not every model takes, in either spelling.
    pub(super) parameter: [Option<Parameter>; 2],
}

impl Member {
    const fn new(name: &'static str, snake: Option<&'static str>, rule: Rule) -> Self {
        let of_snake = match snake {
            Some(snake) => likeness(snake.as_bytes()),
            None => likeness(name.as_bytes()),
        };
        let likeness = [likeness(name.as_bytes()), of_snake];
        Self { name, snake, likeness, rule, parameter: [None; 2] }
    }
}

impl Shape {
    /// The member of this name, whatever its case, and its place.
    pub(super) fn find(&self, name: &[u8]) -> Option<(u32, &'static Member)> {
        let like = likeness(name);
        let of = |members: &'static [Member]| {
            let is = |known: &str| name.eq_ignore_ascii_case(known.as_bytes());
            (0u32..).zip(members).find(|(_, member)| {
                member.likeness.contains(&like) && (is(member.name) || member.snake.is_some_and(is))
            })
        };
        of(self.members).or_else(|| match self.other {
            Rule::Also(more) if more.may_have(like) => {
                let behind = u32::try_from(self.members.len()).unwrap_or(u32::MAX);
                of(more.shape.members).map(|(at, member)| (at.saturating_add(behind), member))
            }
            _ => None,
        })
    }
}

/// Members of several operations, with a quick answer for names that are none of them.
pub(super) struct Common {
    pub(super) shape: Shape,
    /// One bit for each remainder that the likeness of some member has.
    likely: [u64; LIKELY_WORDS],
}

/// Enough that nine of ten names that are in no table are told so by one bit.
const LIKELY_WORDS: usize = 16;

impl Common {
    pub(super) const fn new(shape: Shape) -> Self {
        let mut likely = [0; LIKELY_WORDS];
        let mut rest = shape.members;
        while let [member, others @ ..] = rest {
            let [name, snake] = member.likeness;
            likely = with_bit(with_bit(likely, name), snake);
            rest = others;
        }
        Self { shape, likely }
    }

    fn may_have(&self, like: u32) -> bool {
        let (word, bit) = likely_place(like);
        self.likely.get(word).is_some_and(|bits| bits >> bit & 1 == 1)
    }
}

/// A word and a bit in it.
const fn likely_place(like: u32) -> (usize, u32) {
    let mixed = like.wrapping_mul(0x9e37_79b1) >> 22;
    (mixed as usize / 64 % LIKELY_WORDS, mixed % 64)
}

#[expect(clippy::indexing_slicing, reason = "at compile time, below the length")]
const fn with_bit(mut likely: [u64; LIKELY_WORDS], like: u32) -> [u64; LIKELY_WORDS] {
    let (word, bit) = likely_place(like);
    likely[word] |= 1 << bit;
    likely
}

/// The length of a name and its outermost letters without their case: comparing whole names takes
/// long where a body has thousands that are in no table.
const fn likeness(name: &[u8]) -> u32 {
    let (first, last) = match name {
        [] => return 0,
        [only] => (*only, *only),
        [first, .., last] => (*first, *last),
    };
    let letters = u16::from_le_bytes([first.to_ascii_lowercase(), last.to_ascii_lowercase()]);
    // Names in tables are shorter than 65536 bytes; longer ones are cut before.
    (name.len() as u32) << 16 | letters as u32
}

pub(super) const fn member(name: &'static str, rule: Rule) -> Member {
    Member::new(name, None, rule)
}

/// A member that is read in two spellings, as all of Gemini's API are.
pub(super) const fn camel(name: &'static str, snake: &'static str, rule: Rule) -> Member {
    Member::new(name, Some(snake), rule)
}

/// A member that not every model takes.
pub(super) const fn optional(name: &'static str, rule: Rule) -> Member {
    nested(name, name, rule)
}

/// The same within another one, by the path that clients know it by.
pub(super) const fn nested(name: &'static str, path: &str, rule: Rule) -> Member {
    let parameter = [Some(Parameter::written(path)), None];
    Member { parameter, ..member(name, rule) }
}

/// The same in Gemini's API, read in both spellings.
pub(super) const fn optional_camel(name: &'static str, snake: &'static str, rule: Rule) -> Member {
    let parameter = [Some(Parameter::written(name)), Some(Parameter::written(snake))];
    Member { parameter, ..camel(name, snake, rule) }
}

/// How a value is read.
#[derive(Clone, Copy)]
pub(super) enum Rule {
    /// Harmless: neither it nor anything in it is looked at.
    Skip,
    /// Objects of this shape, alone or in lists; texts in their place are just text.
    Inside(&'static Shape),
    /// An object of this shape that may switch its optional member off ([`Rule::Off`]); a plain
    /// value is one of that member's own.
    Switch(&'static Shape),
    /// Objects of this shape, alone or in lists; anything else needs permission unless it is `null`
    /// or `false`.
    Options(&'static Shape, FeatureKind),
    /// Only for members that are not known here: they are looked for among these.
    Also(&'static Common),
    /// The model.
    Model,
    /// A repetition of the model of the path.
    PathModel,
    Stream,
    StreamOptions(&'static Shape),
    IncludeUsage,
    /// One of these values says that the optional member around it is off.
    Off(&'static [&'static str]),
    /// `true` says that the optional member around it is used, whatever is off.
    On,
    /// A bound on output tokens, by place in [`super::found::Limits`].
    Limit(usize),
    /// The same by a name that not every server reads.
    OtherLimit,
    /// Gemini's object around the bound on output.
    Config(&'static Shape),
    ThinkingBudget,
    /// Answers per prompt.
    Choices,
    /// Answers of which the best are kept; all are charged.
    BestOf,
    /// Text, a list of texts, a list of tokens or a list of those.
    Prompt,
    /// An item of that list.
    PromptItem,
    /// An item of a list of tokens in that list.
    Token,
    /// The upstream cuts a prompt that is too long, so none is known not to fit.
    Truncates,
    /// `max_tool_calls`.
    MaxToolCalls,
    /// Needs permission unless it is `null`, `false` or an empty list.
    Needs(FeatureKind),
    /// A text, or a list of texts; any but these needs permission.
    OneOf(&'static [&'static str], FeatureKind),
    /// Needs permission unless it is 1.
    OnlyOne,
    /// Not known: needs permission unless it is `null`.
    Unknown,
    /// The type of one of Anthropic's edits of the context.
    ContextEdit,
    /// Its presence asks for a tool that the provider runs.
    ServerTool(ServerTool),
    ToolType,
    MaxUses,
    /// Where a tool works: in a container of the provider's, or at the client.
    Workplace,
    /// Draws something in whose size is not known.
    Reference,
    /// Draws in something kept at the provider.
    State,
    /// The type of a piece of content.
    PartType,
    /// Where the source of an Anthropic block lies.
    SourceType,
    MimeType,
    /// A URL, or an object around one.
    Url(&'static Shape),
    /// A URL of Gemini's file service or of the web.
    FileUri,
    /// Base64.
    Data,
    /// Content that was encrypted by the provider and comes back.
    Encrypted,
    /// The member that makes an item a message.
    MessageRole,
    /// The name under which the provider may keep an item.
    ItemId,
}
