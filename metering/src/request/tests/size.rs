//! Large and deep bodies.

use super::Operation::*;
use super::*;
use crate::json::{DEEPEST, SyntaxError};

const MEBIBYTE: usize = 1 << 20;

#[test]
fn a_model_behind_8_mebibytes_is_found() {
    let text = "long \\\"text\\\" ".repeat(8 * MEBIBYTE / 13);
    let body = format!(r#"{{"messages":[{{"role":"user","content":"{text}"}}],"model":"m"}}"#);
    assert!(body.len() > 8 * MEBIBYTE - 100);
    let request = read_as(Chat, &body).unwrap();
    assert_eq!((&*request.model, request.body_bytes), ("m", body.len() as u64));
    let edits = request.edits(Edits { model: Some("real"), ..Edits::default() });
    let out = apply_edits(body.as_bytes(), &edits);
    assert!(out.ends_with(br#""model":"real"}"#));
}

#[test]
fn many_small_members_and_messages_are_read() {
    let message = r#"{"role":"user","content":[{"type":"text","text":"x"}]},"#;
    let messages = message.repeat(30_000);
    let body = format!(r#"{{"messages":[{messages}{{}}],"model":"m"}}"#);
    assert_eq!(read_as(Chat, &body).unwrap().model, "m");
    let numbers = "1,".repeat(399_000);
    let body = format!(r#"{{"input":[{numbers}1],"model":"m"}}"#);
    assert_eq!(read_as(Embeddings, &body).unwrap().prompts, 1);
}

#[test]
fn pieces_are_bounded_whatever_they_are() {
    // Object, name, list and their ends, the model's name and value.
    let around = 7;
    let most = usize::try_from(MOST_PIECES).unwrap() - around;
    for (item, pieces) in [("1", 1), ("[]", 2), (r#""""#, 1), (r#"{"":0}"#, 4), ("null", 1)] {
        let body =
            |count: usize| format!(r#"{{"input":[{}],"model":"m"}}"#, vec![item; count].join(","));
        // They are counted part by part.
        let slack = pieces::PART;
        assert!(!matches!(read_as(Embeddings, &body(most / pieces)), Err(Problem::TooManyPieces)));
        let above = read_as(Embeddings, &body((most + slack) / pieces));
        assert_eq!(above, Err(Problem::TooManyPieces), "{item}");
    }
    let members = vec![r#""a":0"#; 10 * MEBIBYTE / 6].join(",");
    let problem = read_as(Chat, &format!(r#"{{{members},"model":"m"}}"#)).unwrap_err();
    assert_eq!((&problem, problem.code()), (&Problem::TooManyPieces, "body_too_large"));
}

/// It is known before the body has come, and at the same byte wherever its chunks end.
#[test]
fn too_many_pieces_are_known_early() {
    let body = format!(r#"{{{},"model":"m"}}"#, vec![r#""a":0"#; 10 * MEBIBYTE / 6].join(","));
    let refused_after = |chunk: usize| {
        let mut reader = BodyReader::new(Chat, None);
        let refused = body.as_bytes().chunks(chunk).find_map(|part| reader.feed(part).err());
        assert_eq!(refused, Some(Problem::TooManyPieces), "chunks of {chunk}");
        reader.bytes()
    };
    let bytes = refused_after(1_000);
    assert!(bytes < 2 * MEBIBYTE as u64, "{bytes} bytes");
    assert_eq!(refused_after(7), bytes);
    assert_eq!(refused_after(MEBIBYTE), bytes);
    // A body that ends before that is refused as well.
    let short = &body.as_bytes()[..usize::try_from(bytes).unwrap() - 10];
    let short = [short, br#","model":"m"}"#].concat();
    assert_eq!(read(&short, source(Chat)), Err(Problem::TooManyPieces));
}

/// What is wrong first is what is told, wherever the chunks end.
#[test]
fn the_first_thing_wrong_is_told() {
    let unexpected = |at| Err(Problem::Syntax(SyntaxError::Unexpected(at)));
    for (body, problem) in [
        (&b"{\"a\" \"b\":\"\xff\"}"[..], unexpected(5)),
        (b"{\"a\":\"\xff\" \"b\"}", Err(Problem::NotUtf8)),
        (b"{\"a\":\xc3\x28}", unexpected(5)),
        (b"{\"a\":\"\xc3", Err(Problem::NotUtf8)),
        (b"{\"a\":\"\xc3\xa4", Err(Problem::Syntax(SyntaxError::Truncated))),
    ] {
        for cut in 0..body.len() {
            assert_eq!(read_in_chunks(body, &[cut], source(Chat)), problem, "{body:x?} at {cut}");
        }
    }
}

/// Numbers with a comma behind them are counted together, those before a blank one by one.
#[test]
fn lists_of_tokens_are_the_same_however_they_are_counted() {
    for (list, prompts, longest) in [
        ("[1,2,3]", 1, 3),
        ("[1]", 1, 1),
        ("[]", 1, 0),
        ("[0,-1,2.5,1e3, 4]", 1, 5),
        ("[[1,2,3],[4,5,6,7],[8]]", 3, 4),
        (r#"["a",1,2,"b",3]"#, 3, 3),
        (r#"[1,"a",2]"#, 2, 2),
        ("[[1,2],3,4]", 2, 2),
        (r#"[[1,"a",null,2,3]]"#, 1, 3),
    ] {
        for list in [list.to_owned(), list.replace(',', ", "), list.replace(',', " ,")] {
            let body = format!(r#"{{"model":"m","input":{list}}}"#);
            let request = read_as(Embeddings, &body).unwrap();
            assert_eq!((request.prompts, request.least_input_tokens), (prompts, longest), "{list}");
        }
    }
    for list in ["[1,2", "[1,]", "[01,2]", "[1.,2]", "[-,2]", "[1,2}", "[1,,2]", "[1, ,2]"] {
        let problem = read_as(Embeddings, &format!(r#"{{"model":"m","input":{list}}}"#));
        assert!(matches!(problem, Err(Problem::Syntax(_))), "{list}");
    }
}

#[test]
fn depth_is_bounded() {
    let nested = |open: &str, close: &str, levels: usize| {
        format!(r#"{{"model":"m","messages":{}{}}}"#, open.repeat(levels), close.repeat(levels))
    };
    assert!(read_as(Chat, &nested("[", "]", DEEPEST - 1)).is_ok());
    let too_deep = Err(Problem::Syntax(SyntaxError::TooDeep));
    assert_eq!(read_as(Chat, &nested("[", "]", DEEPEST)), too_deep);
    assert_eq!(read_as(Chat, &nested("[", "]", 1_000_000)), too_deep);
}

/// Content may lie as deep as brackets may.
#[test]
fn nested_results_are_read_to_the_end() {
    let image =
        r#"{"type":"image","source":{"type":"base64","media_type":"image/png","data":"A"}}"#;
    let mut content = image.to_owned();
    for _ in 0..25 {
        content = format!(r#"{{"type":"tool_result","content":[{content}]}}"#);
    }
    let body = format!(r#"{{"model":"m","max_tokens":1,"messages":[{{"content":[{content}]}}]}}"#);
    assert_eq!(read_as(Messages, &body).unwrap().media.images, 1);
}
