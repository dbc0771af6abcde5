//! What a piece of content or a tool turns out to be, once its object has ended: its members may
//! stand in any order.

use super::feature::ServerTool;

/// Media that stand in the body itself.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Media {
    /// Images.
    pub images: u64,
    /// Recordings.
    pub audio: u64,
    /// Documents and anything else whose bytes do not bound its tokens: PDF, video, unknown kinds.
    pub documents: u64,
    /// Bytes of the body that are images or audio in base64, which no model reads as text.
    pub encoded_bytes: u64,
}

/// What an object's members have said so far.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Draft {
    pub(super) kind: Option<Kind>,
    pub(super) mime: Option<Mime>,
    pub(super) is_text_source: bool,
    /// Pieces of data in the body.
    pub(super) inline: u32,
    pub(super) inline_bytes: u64,
    pub(super) is_encrypted: bool,
    pub(super) has_role: bool,
    /// An item has an id, and other members than that, its type and its status.
    pub(super) has_id: bool,
    pub(super) has_more: bool,
    /// A value says that the member is off, or used in spite of such a value.
    pub(super) is_off: bool,
    pub(super) is_on: bool,
    /// The tool works at the client.
    pub(super) is_local: bool,
    pub(super) tool: Option<ToolKind>,
    pub(super) max_uses: Option<u64>,
}

/// The type of a piece of content.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    /// Every token of it is paid for by a byte of the body.
    Text,
    Image,
    Audio,
    Document,
    /// Reasoning of an earlier answer, which the provider keeps unless it comes back encrypted.
    Reasoning,
    /// The id of an item that the provider keeps.
    Stored,
    /// Not known, or known to stand for something elsewhere.
    Elsewhere,
}

impl Kind {
    pub(super) fn of(name: &[u8]) -> Self {
        match name {
            b"text"
            | b"refusal"
            | b"input_text"
            | b"output_text"
            | b"summary_text"
            | b"reasoning_text"
            | b"thinking"
            | b"redacted_thinking"
            | b"tool_use"
            | b"tool_result"
            | b"tool_reference"
            | b"tool_addition"
            | b"tool_removal"
            | b"server_tool_use"
            | b"mcp_tool_use"
            | b"search_result"
            | b"message"
            | b"additional_tools"
            | b"function_call"
            | b"function_call_output"
            | b"custom_tool_call"
            | b"custom_tool_call_output"
            | b"local_shell_call"
            | b"local_shell_call_output"
            | b"shell_call"
            | b"shell_call_output"
            | b"apply_patch_call"
            | b"apply_patch_call_output"
            | b"computer_call"
            | b"computer_call_output" => Self::Text,
            b"image" | b"image_url" | b"input_image" | b"computer_screenshot" => Self::Image,
            b"input_audio" | b"audio_url" => Self::Audio,
            b"file" | b"input_file" | b"document" | b"video_url" => Self::Document,
            b"reasoning" => Self::Reasoning,
            b"item_reference" => Self::Stored,
            _ => Self::Elsewhere,
        }
    }
}

/// The kinds of media type that differ in what they cost.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Mime {
    /// A single picture; formats with pages are documents.
    Image,
    Audio,
    /// Its base64 is longer than the text, so bytes bound it.
    Text,
    Other,
}

impl Mime {
    pub(super) fn of(name: &[u8]) -> Self {
        if let Some(format) = name.strip_prefix(b"image/") {
            let single: [&[u8]; 7] = [b"png", b"jpeg", b"jpg", b"webp", b"gif", b"heic", b"heif"];
            return if single.contains(&format) { Self::Image } else { Self::Other };
        }
        if name.starts_with(b"audio/") {
            return Self::Audio;
        }
        if name.starts_with(b"text/") || name == b"application/json" {
            return Self::Text;
        }
        Self::Other
    }

    /// That of a `data:` URL.
    pub(super) fn of_data_url(rest: &[u8]) -> Self {
        Self::of(rest.split(|byte| matches!(byte, b';' | b',')).next().unwrap_or_default())
    }
}

impl Draft {
    /// What an object inside found counts for the one around it.
    pub(super) fn take_in(&mut self, inner: &Self) {
        self.mime = self.mime.or(inner.mime);
        self.is_off |= inner.is_off;
        self.is_on |= inner.is_on;
        self.is_local |= inner.is_local;
        self.is_text_source |= inner.is_text_source;
        self.inline = self.inline.saturating_add(inner.inline);
        self.inline_bytes = self.inline_bytes.saturating_add(inner.inline_bytes);
    }

    /// An item that stands for one which the provider keeps, and of which nothing is in the body.
    pub(super) fn is_stored_item(&self) -> bool {
        match self.kind {
            Some(Kind::Stored) => true,
            Some(_) => self.has_id && !self.has_more,
            None => self.has_id && !self.has_role,
        }
    }

    /// Adds a finished piece of content to the media; false when its tokens are not bounded by
    /// anything in the body.
    pub(super) fn count_into(&self, media: &mut Media, is_item: bool) -> bool {
        let unknown = match self.kind {
            Some(Kind::Elsewhere | Kind::Stored) => true,
            Some(Kind::Reasoning) => !self.is_encrypted,
            None => is_item && !self.has_role,
            Some(_) => false,
        };
        if unknown || self.inline > 1 {
            return false;
        }
        if self.inline == 0 || self.is_text_source {
            return true;
        }
        let place = match (self.kind, self.mime) {
            (Some(Kind::Image), None) | (Some(Kind::Image) | None, Some(Mime::Image)) => {
                &mut media.images
            }
            (Some(Kind::Audio), None) | (Some(Kind::Audio) | None, Some(Mime::Audio)) => {
                &mut media.audio
            }
            (Some(Kind::Document) | None, Some(Mime::Text)) => return true,
            _ => {
                media.documents = media.documents.saturating_add(1);
                return true;
            }
        };
        *place = place.saturating_add(1);
        media.encoded_bytes = media.encoded_bytes.saturating_add(self.inline_bytes);
        true
    }
}

/// Where a tool runs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum ToolKind {
    /// At the client: its calls are output, its results input of another request.
    Client,
    Server(ServerTool),
    /// In a container of the provider's or at the client, as another member says.
    Shell,
    /// On a server of the client's choice.
    Remote,
    /// At the provider, drawing images.
    DrawsImages,
    Unknown,
}

impl ToolKind {
    /// Anthropic's and some of OpenAI's types end in a date.
    pub(super) fn of(name: &[u8]) -> Self {
        const CLIENT: [&[u8]; 6] = [
            b"function",
            b"custom",
            b"local_shell",
            b"apply_patch",
            b"computer",
            b"computer_use_preview",
        ];
        const DATED_CLIENT: [&[u8]; 4] =
            [b"computer_20", b"bash_20", b"text_editor_20", b"memory_20"];
        const SERVER: [(&[u8], ServerTool); 6] = [
            (b"web_search", ServerTool::WebSearch),
            (b"web_fetch", ServerTool::WebFetch),
            (b"code_execution", ServerTool::CodeExecution),
            (b"code_interpreter", ServerTool::CodeExecution),
            (b"file_search", ServerTool::FileSearch),
            (b"tool_search", ServerTool::ToolSearch),
        ];
        if CLIENT.contains(&name) || DATED_CLIENT.iter().any(|start| name.starts_with(start)) {
            return Self::Client;
        }
        if let Some((_, tool)) = SERVER.iter().find(|(start, _)| name.starts_with(start)) {
            return Self::Server(*tool);
        }
        match name {
            b"shell" => Self::Shell,
            b"image_generation" => Self::DrawsImages,
            b"mcp" | b"mcp_toolset" => Self::Remote,
            _ => Self::Unknown,
        }
    }
}
