//! What reading a stream holds does not grow with the stream: 10 KB and 100 MB hold the same.

use metering::usage::{AnswerFormat, StreamAnswer, StreamView};

use super::answers::simple_cost;

const SHORT: usize = 10 << 10;
const LONG: usize = 100 << 20;
/// What a proxy hands over at once, not a multiple of any event.
const CHUNK: usize = 1021;
const LONGEST_EVENT: usize = 4096;

/// Events of some hundred bytes to [`LONGEST_EVENT`], over and over, then what ends the stream.
struct Upstream {
    format: AnswerFormat,
    number: u64,
    left: usize,
    ready: Vec<u8>,
    ended: bool,
}

impl Upstream {
    fn new(format: AnswerFormat, bytes: usize) -> Self {
        Self { format, number: 0, left: bytes, ready: Vec::new(), ended: false }
    }

    fn chunk(&mut self) -> Option<Vec<u8>> {
        while self.ready.len() < CHUNK && !self.ended {
            self.number += 1;
            self.ended = self.left < LONGEST_EVENT;
            let event = if self.ended { self.last() } else { self.event() };
            assert!(event.len() <= LONGEST_EVENT);
            self.left -= event.len().min(self.left);
            self.ready.extend(event.into_bytes());
        }
        let rest = self.ready.split_off(CHUNK.min(self.ready.len()));
        let chunk = std::mem::replace(&mut self.ready, rest);
        (!chunk.is_empty()).then_some(chunk)
    }

    fn event(&self) -> String {
        let n = self.number;
        let text = "word ".repeat(usize::try_from(n * 389 % 700).unwrap());
        match self.format {
            AnswerFormat::AnthropicMessages => format!(
                "event: content_block_delta\ndata: {{\"type\":\"content_block_delta\",\"index\":0,\"delta\":{{\"type\":\"text_delta\",\"text\":\"{text}\"}}}}\n\n"
            ),
            AnswerFormat::OpenAiResponses => format!(
                "event: response.output_text.delta\ndata: {{\"type\":\"response.output_text.delta\",\"sequence_number\":{n},\"delta\":\"{text}\"}}\n\n"
            ),
            AnswerFormat::GeminiGenerate => format!(
                "data: {{\"candidates\":[{{\"content\":{{\"parts\":[{{\"text\":\"{text}\"}}]}}}}],\"usageMetadata\":{{\"promptTokenCount\":5,\"candidatesTokenCount\":{n}}}}}\r\n\r\n"
            ),
            _ => format!(
                "data: {{\"choices\":[{{\"index\":0,\"delta\":{{\"content\":\"{text}\"}}}}],\"usage\":{{\"prompt_tokens\":5,\"completion_tokens\":{n}}}}}\n\n"
            ),
        }
    }

    fn last(&self) -> String {
        let n = self.number;
        match self.format {
            AnswerFormat::AnthropicMessages => format!(
                "data: {{\"type\":\"message_delta\",\"usage\":{{\"input_tokens\":5,\"output_tokens\":{n}}}}}\n\ndata: {{\"type\":\"message_stop\"}}\n\n"
            ),
            AnswerFormat::OpenAiResponses => format!(
                "data: {{\"type\":\"response.completed\",\"response\":{{\"usage\":{{\"input_tokens\":5,\"output_tokens\":{n}}}}}}}\n\n"
            ),
            AnswerFormat::GeminiGenerate => format!(
                "data: {{\"candidates\":[{{\"finishReason\":\"STOP\"}}],\"usageMetadata\":{{\"candidatesTokenCount\":{n}}}}}\r\n\r\n"
            ),
            _ => format!(
                "data: {{\"choices\":[],\"usage\":{{\"prompt_tokens\":5,\"completion_tokens\":{n}}}}}\n\ndata: [DONE]\n\n"
            ),
        }
    }
}

/// Reads a stream of that length and returns the most bytes that were held between two chunks.
fn most_held(format: AnswerFormat, bytes: usize) -> usize {
    let mut upstream = Upstream::new(format, bytes);
    let mut answer = StreamAnswer::of(format, StreamView::WithUsage, None);
    let (mut most, mut fed, mut shown) = (0, 0, 0);
    while let Some(chunk) = upstream.chunk() {
        fed += chunk.len();
        shown += answer.chunk(&chunk, simple_cost).map_or(chunk.len(), |out| out.len());
        most = most.max(answer.held_bytes());
        assert!(shown + answer.held_bytes() >= fed, "bytes were lost");
    }
    let seen = answer.seen();
    assert!(seen.complete);
    assert_eq!(seen.usage.map(|usage| usage.output_tokens), Some(upstream.number));
    assert_eq!(seen.deltas, upstream.number - 1 - upstream.empty_events());
    most
}

impl Upstream {
    /// Events whose text has no word.
    fn empty_events(&self) -> u64 {
        (self.number - 1) / 700
    }
}

fn check(format: AnswerFormat) {
    let (short, long) = (most_held(format, SHORT), most_held(format, LONG));
    println!("{format:?}: {short} bytes held at 10 KB, {long} at 100 MB");
    assert!(short <= LONGEST_EVENT && long <= LONGEST_EVENT);
    assert!(short > 0 && long > 0, "nothing was ever held: the test does not see what it measures");
}

#[test]
fn chat_streams_hold_one_event() {
    check(AnswerFormat::OpenAiChat);
}

#[test]
fn responses_streams_hold_one_event() {
    check(AnswerFormat::OpenAiResponses);
}

#[test]
fn anthropic_streams_hold_one_event() {
    check(AnswerFormat::AnthropicMessages);
}

#[test]
fn gemini_streams_hold_one_event() {
    check(AnswerFormat::GeminiGenerate);
}
