//! Media, references and tools, and the bound on input that follows from them.

use super::Operation::*;
use super::*;

const LIMITS: InputLimits = InputLimits {
    context_length: 100_000,
    overhead_tokens: 10,
    image_tokens: Some(1_600),
    audio_tokens: Some(2_000),
    document_tokens: None,
};

/// A body with one piece of content in the first message.
fn with_part(operation: Operation, part: &str) -> String {
    match operation {
        Chat => format!(r#"{{"model":"m","messages":[{{"role":"user","content":[{part}]}}]}}"#),
        Responses => {
            format!(r#"{{"model":"m","input":[{{"role":"user","content":[{part}]}}]}}"#)
        }
        Messages => format!(
            r#"{{"model":"m","max_tokens":9,"messages":[{{"role":"user","content":[{part}]}}]}}"#
        ),
        _ => format!(r#"{{"contents":[{{"role":"user","parts":[{part}]}}]}}"#),
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Is {
    Text,
    /// An image, a recording or a document with this many bytes of base64 that count as none.
    Image(u64),
    Audio(u64),
    Document,
    Reference,
    State,
}

fn what(request: &Request) -> Is {
    let Media { images, audio, documents, encoded_bytes } = request.media;
    match (images, audio, documents, request.by_reference) {
        (0, 0, 0, false) => Is::Text,
        (1, 0, 0, false) => Is::Image(encoded_bytes),
        (0, 1, 0, false) => Is::Audio(encoded_bytes),
        (0, 0, 1, false) => Is::Document,
        (0, 0, 0, true) if request.features.is_empty() => Is::Reference,
        (0, 0, 0, true) => Is::State,
        other => panic!("{other:?}"),
    }
}

#[test]
fn pieces_of_content() {
    let table: &[(Operation, &str, Is)] = &[
        (Chat, r#"{"type":"text","text":"data:image/png;base64,AAAA"}"#, Is::Text),
        (
            Chat,
            r#"{"type":"image_url","image_url":{"url":"data:image/png;base64,AAAA","detail":"low"}}"#,
            Is::Image(26),
        ),
        (Chat, r#"{"type":"image_url","image_url":"data:image/jpeg;base64,A"}"#, Is::Image(24)),
        (
            Chat,
            r#"{"image_url":{"url":"data:image/png;base64,AAAA"},"type":"image_url"}"#,
            Is::Image(26),
        ),
        (Chat, r#"{"type":"image_url","image_url":{"url":"https://a/b.png"}}"#, Is::Reference),
        (Chat, r#"{"type":"image_url","image_url":{"url":"DATA:image/png,AA"}}"#, Is::Reference),
        (Chat, r#"{"type":"image_url","image_url":{"url":{"url":"x"}}}"#, Is::Reference),
        (Chat, r#"{"type":"image_url","image_url":{"url":"data:text/plain,AAAA"}}"#, Is::Document),
        (
            Chat,
            r#"{"type":"image_url","image_url":{"url":"data:image/tiff;base64,AA"}}"#,
            Is::Document,
        ),
        (
            Chat,
            r#"{"type":"input_audio","input_audio":{"data":"AAAAAAAA","format":"wav"}}"#,
            Is::Audio(8),
        ),
        (
            Chat,
            r#"{"type":"file","file":{"file_data":"data:application/pdf;base64,A"}}"#,
            Is::Document,
        ),
        (Chat, r#"{"type":"file","file":{"file_data":"data:image/png;base64,A"}}"#, Is::Document),
        (Chat, r#"{"type":"file","file":{"file_id":"file-1"}}"#, Is::State),
        (Chat, r#"{"type":"video_url","video_url":{"url":"https://a/b.mp4"}}"#, Is::Reference),
        (Chat, r#"{"type":"hologram","hologram":{}}"#, Is::Reference),
        (Chat, r#"{"type":"text","text":"x","attachment":{"id":1}}"#, Is::Reference),
        (Chat, r#"{"type":["text"],"text":"x"}"#, Is::Reference),
        (Chat, r#"{"type":"text","text":"x","surprise":null}"#, Is::Text),
        // two in one piece: which one is read is not known
        (
            Chat,
            r#"{"type":"image_url","image_url":"data:image/png,A","audio_url":"data:audio/wav,A"}"#,
            Is::Reference,
        ),
        (Responses, r#"{"type":"input_text","text":"x"}"#, Is::Text),
        (
            Responses,
            r#"{"type":"input_image","image_url":"data:image/png;base64,AAAA"}"#,
            Is::Image(26),
        ),
        (
            Responses,
            r#"{"type":"input_image","image_url":"https://a/b","file_id":null}"#,
            Is::Reference,
        ),
        (Responses, r#"{"type":"input_image","file_id":"file-1"}"#, Is::State),
        (Responses, r#"{"type":"input_file","file_url":"https://a/b.pdf"}"#, Is::Reference),
        (
            Responses,
            r#"{"type":"input_file","filename":"a","file_data":"data:application/pdf;base64,A"}"#,
            Is::Document,
        ),
        (Messages, r#"{"type":"text","text":"x","cache_control":{"type":"ephemeral"}}"#, Is::Text),
        (
            Messages,
            r#"{"type":"image","source":{"type":"base64","media_type":"image/png","data":"AAAA"}}"#,
            Is::Image(4),
        ),
        (
            Messages,
            r#"{"source":{"data":"AAAA","media_type":"image/png","type":"base64"},"type":"image"}"#,
            Is::Image(4),
        ),
        (
            Messages,
            r#"{"type":"image","source":{"type":"url","url":"https://a/b"}}"#,
            Is::Reference,
        ),
        (Messages, r#"{"type":"image","source":{"type":"file","file_id":"f"}}"#, Is::State),
        (
            Messages,
            r#"{"type":"document","source":{"type":"base64","media_type":"application/pdf","data":"AA"}}"#,
            Is::Document,
        ),
        (
            Messages,
            r#"{"type":"document","source":{"type":"text","media_type":"text/plain","data":"AA"}}"#,
            Is::Text,
        ),
        (
            Messages,
            r#"{"type":"document","source":{"type":"content","content":[{"type":"image","source":{"type":"base64","media_type":"image/webp","data":"AAAAAA"}}]}}"#,
            Is::Image(6),
        ),
        (Messages, r#"{"type":"document","source":{"type":"moon","rock":1}}"#, Is::Reference),
        (
            Messages,
            r#"{"type":"tool_result","tool_use_id":"t","content":[{"type":"image","source":{"type":"base64","media_type":"image/png","data":"AAAA"}}]}"#,
            Is::Image(4),
        ),
        (
            Messages,
            r#"{"type":"tool_use","id":"t","name":"n","input":{"type":"image","file_id":"f","source":{"type":"url"}}}"#,
            Is::Text,
        ),
        (Messages, r#"{"type":"container_upload","file_id":"f"}"#, Is::State),
        (
            Messages,
            r#"{"type":"web_search_tool_result","tool_use_id":"t","content":[]}"#,
            Is::Reference,
        ),
        (
            Messages,
            r#"{"type":"search_result","source":"https://a","title":"t","content":[{"type":"text","text":"x"}]}"#,
            Is::Text,
        ),
        (GenerateContent, r#"{"text":"x","thoughtSignature":"AA"}"#, Is::Text),
        (GenerateContent, r#"{"inlineData":{"mimeType":"image/png","data":"AAAA"}}"#, Is::Image(4)),
        (
            GenerateContent,
            r#"{"inline_data":{"data":"AAAAA","mime_type":"audio/mp3"}}"#,
            Is::Audio(5),
        ),
        (
            GenerateContent,
            r#"{"inlineData":{"mimeType":"application/pdf","data":"AA"}}"#,
            Is::Document,
        ),
        (GenerateContent, r#"{"inlineData":{"mimeType":"video/mp4","data":"AA"}}"#, Is::Document),
        (GenerateContent, r#"{"inlineData":{"mimeType":"text/plain","data":"AA"}}"#, Is::Text),
        (GenerateContent, r#"{"inlineData":{"data":"AA"}}"#, Is::Document),
        (GenerateContent, r#"{"fileData":{"fileUri":"https://youtu.be/x"}}"#, Is::Reference),
        (
            GenerateContent,
            r#"{"file_data":{"file_uri":"https://generativelanguage.googleapis.com/v1beta/files/x"}}"#,
            Is::State,
        ),
        (
            GenerateContent,
            r#"{"fileData":{"fileUri":"gs://bucket/x","mimeType":"image/png"}}"#,
            Is::State,
        ),
        (
            GenerateContent,
            r#"{"functionResponse":{"name":"f","response":{"fileData":{"fileUri":"gs://x"}}}}"#,
            Is::Text,
        ),
        (
            GenerateContent,
            r#"{"functionResponse":{"name":"f","response":{},"parts":[{"inlineData":{"mimeType":"image/png","data":"AA"}}]}}"#,
            Is::Image(2),
        ),
        (GenerateContent, r#"{"hologram":{}}"#, Is::Reference),
    ];
    for (operation, part, expected) in table {
        let body = with_part(*operation, part);
        let request = read_as(*operation, &body).unwrap_or_else(|why| panic!("{body}: {why}"));
        assert_eq!(what(&request), *expected, "{operation:?} {part}");
    }
}

#[test]
fn names_in_schemas_and_arguments_are_not_content() {
    for (operation, body) in [
        (
            Chat,
            r#"{"model":"m","tools":[{"type":"function","function":{"parameters":{"properties":{"file_id":{"type":"string"},"image_url":{"url":"https://x"}}}}}],
               "messages":[{"role":"assistant","content":null,"tool_calls":[{"type":"function","image_url":"https://x"}]}]}"#,
        ),
        (
            GenerateContent,
            r#"{"tools":[{"functionDeclarations":[{"name":"f","parameters":{"properties":{"fileUri":{"type":"STRING"}}}}]}],
               "contents":[{"parts":[{"functionCall":{"name":"f","args":{"fileUri":"gs://x"}}}]}]}"#,
        ),
    ] {
        let request = read_as(operation, body).unwrap();
        assert_eq!((what(&request), features(&request)), (Is::Text, vec![]));
    }
}

#[test]
fn items_of_responses() {
    for (item, expected) in [
        (r#"{"role":"user","content":"hi"}"#, Is::Text),
        (
            r#"{"type":"message","role":"assistant","id":"msg_1","status":"completed","content":[{"type":"output_text","text":"x","annotations":[]}]}"#,
            Is::Text,
        ),
        (r#"{"type":"function_call","call_id":"c","name":"f","arguments":"{}"}"#, Is::Text),
        (r#"{"type":"function_call_output","call_id":"c","output":"{}"}"#, Is::Text),
        (
            r#"{"type":"function_call_output","call_id":"c","output":[{"type":"input_image","image_url":"https://x"}]}"#,
            Is::Reference,
        ),
        (r#"{"type":"reasoning","id":"rs_1","summary":[],"encrypted_content":"AAAA"}"#, Is::Text),
        (r#"{"type":"reasoning","id":"rs_1","summary":[]}"#, Is::Reference),
        (r#"{"type":"reasoning","id":"rs_1","encrypted_content":""}"#, Is::Reference),
        (r#"{"type":"item_reference","id":"msg_1"}"#, Is::State),
        (r#"{"id":"msg_1"}"#, Is::State),
        (r#"{"id":"msg_1","type":null,"role":null,"content":null}"#, Is::State),
        (r#"{"type":"message","id":"msg_1","status":"completed"}"#, Is::State),
        (r#"{"type":"reasoning","id":"rs_1"}"#, Is::State),
        (r#"{"type":"image_generation_call","id":"ig_1"}"#, Is::State),
        (r#"{"type":"image_generation_call","id":"ig_1","result":"AAAA"}"#, Is::Reference),
        (r#"{"role":"user","id":"msg_1","content":"hi"}"#, Is::Text),
        (
            r#"{"type":"computer_call_output","call_id":"c","output":{"type":"computer_screenshot","image_url":"data:image/png;base64,AAAA"}}"#,
            Is::Image(26),
        ),
    ] {
        let body = format!(r#"{{"model":"m","input":[{item}]}}"#);
        assert_eq!(what(&read_as(Responses, &body).unwrap()), expected, "{item}");
    }
}

#[test]
fn tools_that_the_provider_runs() {
    use ServerTool::*;
    type Row<'a> = (Operation, &'a str, &'a [ServerTool], Option<u64>);
    let table: &[Row<'_>] = &[
        (Chat, r#""tools":[{"type":"function","function":{}}]"#, &[], Some(0)),
        (Chat, r#""web_search_options":{}"#, &[WebSearch], None),
        (Chat, r#""web_search_options":null"#, &[], Some(0)),
        (Responses, r#""tools":[{"type":"web_search_preview"}]"#, &[WebSearch], None),
        (
            Responses,
            r#""max_tool_calls":4,"tools":[{"type":"web_search"},{"type":"code_interpreter","container":{"type":"auto"}},{"type":"web_search"}]"#,
            &[WebSearch, CodeExecution],
            Some(4),
        ),
        (
            Responses,
            r#""tools":[{"type":"file_search","vector_store_ids":["v"]}]"#,
            &[FileSearch],
            None,
        ),
        (Responses, r#""tools":[{"type":"shell"}]"#, &[CodeExecution], None),
        (
            Responses,
            r#""tools":[{"environment":{"type":"container_auto"},"type":"shell"}]"#,
            &[CodeExecution],
            None,
        ),
        (Responses, r#""tools":[{"environment":{"type":"local"},"type":"shell"}]"#, &[], Some(0)),
        (
            Responses,
            r#""input":[{"type":"additional_tools","tools":[{"type":"web_search"}]}]"#,
            &[WebSearch],
            None,
        ),
        (
            Messages,
            r#""tools":[{"name":"f","input_schema":{"type":"web_search_20250305"}},{"type":"custom"},{"type":"bash_20250124","name":"bash"}]"#,
            &[],
            Some(0),
        ),
        (
            Messages,
            r#""tools":[{"max_uses":5,"type":"web_search_20250305"},{"type":"web_fetch_20250910","max_uses":2}]"#,
            &[WebSearch, WebFetch],
            Some(7),
        ),
        (
            Messages,
            r#""tools":[{"type":"web_search_20250305","max_uses":5},{"type":"code_execution_20250825"}]"#,
            &[WebSearch, CodeExecution],
            None,
        ),
        (
            GenerateContent,
            r#""tools":[{"googleSearch":{}},{"url_context":{}}]"#,
            &[WebSearch, WebFetch],
            None,
        ),
        (GenerateContent, r#""tools":{"codeExecution":{}}"#, &[CodeExecution], None),
        (GenerateContent, r#""tools":[{"functionDeclarations":[]}]"#, &[], Some(0)),
    ];
    for (operation, members, kinds, most) in table {
        let body = match operation {
            Messages => format!(r#"{{"model":"m","max_tokens":9,{members}}}"#),
            GenerateContent => format!("{{{members}}}"),
            _ => format!(r#"{{"model":"m",{members}}}"#),
        };
        let request = read_as(*operation, &body).unwrap();
        let tools = &request.server_tools;
        assert_eq!((&*tools.kinds, tools.most_calls), (*kinds, *most), "{members}");
        assert_eq!(request.features.is_empty(), *kinds != [FileSearch], "{members}");
        assert_eq!(tools.param.is_empty(), kinds.is_empty());
    }
}

#[test]
fn bounds_by_hand() {
    let bound = |operation, body: &str, calls| {
        input_bound(&read_as(operation, body).unwrap(), &LIMITS, calls)
    };
    let text = r#"{"model":"m","messages":[]}"#;
    assert_eq!(bound(Chat, text, 0), 27 + 10);
    // an image of 26 bytes in base64, three of which the model sees as none
    let image = with_part(Chat, r#"{"type":"image_url","image_url":"data:image/png;base64,AAAA"}"#);
    assert_eq!(bound(Chat, &image, 0), image.len() as u64 - 26 + 10 + 1_600);
    let audio =
        with_part(GenerateContent, r#"{"inlineData":{"mimeType":"audio/wav","data":"AA"}}"#);
    assert_eq!(bound(GenerateContent, &audio, 0), audio.len() as u64 - 2 + 10 + 2_000);
    // nothing is known of documents, nor of what lies elsewhere
    let pdf =
        with_part(GenerateContent, r#"{"inlineData":{"mimeType":"application/pdf","data":"AA"}}"#);
    assert_eq!(bound(GenerateContent, &pdf, 0), 100_000);
    assert_eq!(bound(Chat, r#"{"model":"m","messages":[{"audio":{"id":"a"}}]}"#, 0), 100_000);
    // no more than the context, for each prompt
    let long = "x".repeat(500_000);
    assert_eq!(bound(Chat, &format!(r#"{{"model":"m","user":"{long}"}}"#), 0), 100_000);
    let three = format!(r#"{{"model":"m","input":["a","b","{long}"]}}"#);
    assert_eq!(bound(Embeddings, &three, 0), 300_000);
    assert_eq!(bound(Embeddings, r#"{"model":"m","input":["a","b"]}"#, 0), 31 + 20);
    // each use of a tool reads everything again
    let search =
        r#"{"model":"m","max_tokens":9,"tools":[{"type":"web_search_20250305","max_uses":3}]}"#;
    assert_eq!(bound(Messages, search, 3), 400_000);
    assert_eq!(bound(Messages, search, u64::MAX), u64::MAX);
    assert_eq!(bound(CountMessageTokens, r#"{"model":"m"}"#, 0), 0);
    let no_maximum = InputLimits { image_tokens: None, ..LIMITS };
    assert_eq!(input_bound(&read_as(Chat, &image).unwrap(), &no_maximum, 0), 100_000);
}

#[test]
fn input_that_no_text_accounts_for() {
    for (operation, part, is_beyond) in [
        (Chat, r#"{"type":"text","text":"x"}"#, false),
        (Chat, r#"{"type":"image_url","image_url":{"url":"https://a/b.png"}}"#, true),
        (Chat, r#"{"type":"image_url","image_url":{"url":"data:image/png;base64,AA"}}"#, true),
        (Chat, r#"{"type":"file","file":{"file_id":"f"}}"#, true),
        (GenerateContent, r#"{"inlineData":{"mimeType":"application/pdf","data":"AA"}}"#, true),
        (GenerateContent, r#"{"inlineData":{"mimeType":"audio/wav","data":"AA"}}"#, true),
    ] {
        let request = read_as(operation, &with_part(operation, part)).unwrap();
        assert_eq!(request.has_input_beyond_text(), is_beyond, "{part}");
    }
    let search = r#"{"model":"m","web_search_options":{}}"#;
    assert!(read_as(Chat, search).unwrap().has_input_beyond_text());
}
