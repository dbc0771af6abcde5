//! Members that some parsers read otherwise than most: names in disguise, numbers that are not exact
//! everywhere, and what JavaScript takes for an object's prototype.

use super::Operation::*;
use super::*;

/// What some parser behind the filter may take for a name, written in JSON.
fn disguises(name: &str) -> Vec<String> {
    let mut all = vec![
        format!("{name}\\u0000"),
        format!("{name}\\u0000x"),
        format!("\\u0000{name}"),
        format!("{name}\\ud800"),
        format!("\\udfff{name}"),
        format!("\u{feff}{name}"),
        format!("{}\u{200b}{}", &name[..2], &name[2..]),
        format!("{}\\t{}", &name[..1], &name[1..]),
        name.to_ascii_uppercase(),
        format!("{}\\u007f", name.to_ascii_uppercase()),
    ];
    // What Go's encoding/json folds onto letters of ASCII.
    all.extend(name.contains('s').then(|| name.replace('s', "\u{17f}")));
    all.extend(name.contains('s').then(|| name.replacen('s', "\\u017f", 1)));
    all.extend(name.contains('k').then(|| name.replace('k', "\u{212a}")));
    all
}

#[track_caller]
fn refused(operation: Operation, body: &str, field: &str) {
    match read_as(operation, body) {
        Err(Problem::Duplicate(name)) => assert_eq!(name, field, "{body}"),
        other => panic!("{other:?}\n{body}"),
    }
}

#[test]
fn a_name_in_disguise_is_refused_beside_the_plain_one_and_alone() {
    let members = [
        ("model", r#""dear""#),
        ("max_tokens", "100000"),
        ("max_completion_tokens", "100000"),
        ("stream", "true"),
        ("stream_options", "{}"),
        ("best_of", "9"),
        ("messages", "[]"),
        ("tools", "[]"),
        ("num_predict", "100000"),
        ("service_tier", r#""priority""#),
    ];
    for (name, value) in members {
        for disguise in disguises(name) {
            let plain = if name == "model" { "" } else { r#""model":"cheap","# };
            refused(Chat, &format!(r#"{{{plain}"{disguise}":{value}}}"#), name);
            let both = format!(r#"{{{plain}"{name}":{value},"{disguise}":{value}}}"#);
            refused(Chat, &both, name);
        }
    }
    for disguise in disguises("include_usage") {
        let body =
            format!(r#"{{"model":"m","stream":true,"stream_options":{{"{disguise}":false}}}}"#);
        refused(Chat, &body, "include_usage");
    }
    for disguise in disguises("max_tokens") {
        refused(Messages, &format!(r#"{{"model":"m","{disguise}":5}}"#), "max_tokens");
    }
    for disguise in disguises("maxOutputTokens") {
        let body = format!(r#"{{"generationConfig":{{"{disguise}":5}}}}"#);
        refused(GenerateContent, &body, "maxOutputTokens");
    }
}

#[test]
fn other_names_are_not_taken_for_disguises() {
    for name in ["größe", "模型", "n\u{303}", "mode", "models2", "\u{212a}", "", "\\u0000"] {
        let read = read_as(Chat, &format!(r#"{{"model":"cheap","{name}":1}}"#));
        assert!(read.is_ok(), "{name}: {read:?}");
    }
}

/// `Object.assign({}, body)` makes what stands there an object's prototype, and a program then sees
/// members in it that are nowhere in the outermost object.
#[test]
fn a_prototype_is_refused_wherever_members_are_read() {
    let bodies = [
        (Chat, r#"{"model":"m","__proto__":{"stream":true}}"#),
        (Chat, r#"{"model":"m","\u005f_proto__":null}"#),
        (Chat, r#"{"model":"m","stream_options":{"__proto__":{"include_usage":false}}}"#),
        (Messages, r#"{"model":"m","max_tokens":1,"__proto__":{}}"#),
        (GenerateContent, r#"{"generationConfig":{"__proto__":{"maxOutputTokens":9}}}"#),
    ];
    for (operation, body) in bodies {
        let problem = read_as(operation, body).unwrap_err();
        assert_eq!(problem.code(), "unsupported_parameter", "{body}");
        assert_eq!(problem.field(), Some("__proto__"), "{body}");
    }
    // A schema may describe one.
    let schema =
        r#"{"model":"m","tools":[{"type":"function","function":{"parameters":{"__proto__":1}}}]}"#;
    assert!(read_as(Chat, schema).is_ok());
}

/// 2^53 and above: JavaScript rounds to the next number that it has.
#[test]
fn limits_that_are_not_exact_everywhere_are_refused() {
    for (operation, member) in [
        (Chat, "max_tokens"),
        (Chat, "max_completion_tokens"),
        (Chat, "n_predict"),
        (Responses, "max_output_tokens"),
        (Messages, "max_tokens"),
    ] {
        let body = |number: &str| format!(r#"{{"model":"m","{member}":{number}}}"#);
        assert!(read_as(operation, &body("9007199254740991")).is_ok());
        for number in ["9007199254740992", "9007199254740993", "18446744073709551615"] {
            let problem = read_as(operation, &body(number)).unwrap_err();
            assert_eq!((problem.code(), problem.field()), ("invalid_value", Some(member)));
        }
    }
}

/// Which of the two an upstream reads is not known.
#[test]
fn of_two_budgets_of_thinking_the_larger_one_counts() {
    let budgets = [
        r#""thinking":{"type":"enabled","budget_tokens":9000},"reasoning":{"max_tokens":10}"#,
        r#""reasoning":{"max_tokens":10},"thinking":{"type":"enabled","budget_tokens":9000}"#,
        r#""reasoning":{"max_tokens":9000},"thinking":{"type":"enabled","budget_tokens":10}"#,
    ];
    for both in budgets {
        let body = format!(r#"{{"model":"m","max_tokens":20,{both}}}"#);
        let request = read_as(Chat, &body).unwrap();
        assert_eq!(request.output_limit, OutputLimit::Tokens(9000), "{body}");
    }
}

#[test]
fn a_model_is_not_called_by_what_parsers_differ_on() {
    for name in [r"cheap\ud800", r"\udc00", r"cheap\u0000", r"che\nap", "cheap\u{fffd}"] {
        let problem = read_as(Chat, &format!(r#"{{"model":"{name}"}}"#)).unwrap_err();
        assert_eq!((problem.code(), problem.field()), ("invalid_value", Some("model")), "{name}");
    }
}
