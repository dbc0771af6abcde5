//! Optional members: which a request uses, and which of them a model does not take.

use super::Operation::*;
use super::shape::Rule;
use super::*;

/// What the documentation of a gateway names for its chat models.
const CHAT_MODEL: &str = "max_tokens temperature top_p top_k seed frequency_penalty presence_penalty \
                          stream stop reasoning include_reasoning tools tool_choice \
                          response_format reasoning_effort";

fn supported(names: &str) -> Vec<String> {
    names.split_whitespace().map(str::to_owned).collect()
}

fn request(operation: Operation, members: &str) -> Request {
    let model = match operation {
        GenerateContent | EmbedContent => "",
        Messages => r#""model":"m","max_tokens":9,"#,
        _ => r#""model":"m","#,
    };
    let body = format!("{{{model}{}}}", members.trim_end_matches(','));
    let body = if members.is_empty() { body.replace(",}", "}") } else { body };
    read_as(operation, &body).unwrap_or_else(|problem| panic!("{body}: {problem:?}"))
}

/// The used members as the catalogue calls them.
fn used(request: &Request) -> Vec<&'static str> {
    request.parameters.iter().map(|(_, name)| name).collect()
}

#[test]
fn each_spelling_means_a_name_of_the_catalogue() {
    for (operation, members, written, name) in [
        (Chat, r#""temperature":0"#, "temperature", "temperature"),
        (Chat, r#""top_p":1"#, "top_p", "top_p"),
        (Chat, r#""n":2"#, "n", "n"),
        (Chat, r#""best_of":2"#, "best_of", "best_of"),
        (Chat, r#""stop":"x""#, "stop", "stop"),
        (Chat, r#""stop":["x"]"#, "stop", "stop"),
        (Chat, r#""logit_bias":{"5":1}"#, "logit_bias", "logit_bias"),
        (Chat, r#""logprobs":true"#, "logprobs", "logprobs"),
        (Chat, r#""top_logprobs":0"#, "top_logprobs", "top_logprobs"),
        (Chat, r#""parallel_tool_calls":false"#, "parallel_tool_calls", "parallel_tool_calls"),
        (Chat, r#""tools":[{"type":"function"}]"#, "tools", "tools"),
        (Chat, r#""functions":[{"name":"f"}]"#, "functions", "tools"),
        (Chat, r#""function_call":{"name":"f"}"#, "function_call", "tool_choice"),
        (Chat, r#""tool_choice":"required""#, "tool_choice", "tool_choice"),
        (Chat, r#""response_format":{"type":"json_object"}"#, "response_format", "response_format"),
        (Chat, r#""reasoning":{"effort":"low"}"#, "reasoning", "reasoning"),
        (Chat, r#""reasoning_effort":"low""#, "reasoning_effort", "reasoning_effort"),
        (Chat, r#""include_reasoning":true"#, "include_reasoning", "include_reasoning"),
        (Chat, r#""enable_thinking":true"#, "enable_thinking", "reasoning"),
        (Chat, r#""thinking":{"type":"enabled"}"#, "thinking", "reasoning"),
        (Chat, r#""reasoning":{"effort":"low","enabled":true}"#, "reasoning", "reasoning"),
        (Chat, r#""google":{"thinking_config":{"x":1}}"#, "thinking_config", "reasoning"),
        (Chat, r#""random_seed":7"#, "random_seed", "seed"),
        (Chat, r#""guided_regex":"a*""#, "guided_regex", "structured_outputs"),
        // libraries that ignore case read it all the same
        (Chat, r#""TOP_K":7"#, "top_k", "top_k"),
        (Chat, r#""top\u005fk":7"#, "top_k", "top_k"),
        (Chat, r#""top_k":null,"top_k":7"#, "top_k", "top_k"),
        (Completions, r#""echo":true"#, "echo", "echo"),
        (Completions, r#""logprobs":0"#, "logprobs", "logprobs"),
        (Embeddings, r#""dimensions":64"#, "dimensions", "dimensions"),
        (Responses, r#""reasoning":{"summary":"auto"}"#, "reasoning", "reasoning"),
        (
            Responses,
            r#""text":{"format":{"type":"json_object"}}"#,
            "text.format",
            "response_format",
        ),
        (Responses, r#""text":{"verbosity":"low"}"#, "text.verbosity", "verbosity"),
        (Messages, r#""stop_sequences":["x"]"#, "stop_sequences", "stop"),
        (Messages, r#""top_k":5"#, "top_k", "top_k"),
        (Messages, r#""thinking":{"type":"adaptive"}"#, "thinking", "reasoning"),
        (
            Messages,
            r#""output_config":{"effort":"low"}"#,
            "output_config.effort",
            "reasoning_effort",
        ),
        (
            Messages,
            r#""output_config":{"format":{"type":"json_schema"}}"#,
            "output_config.format",
            "response_format",
        ),
        (
            Messages,
            r#""tool_choice":{"type":"auto","disable_parallel_tool_use":true}"#,
            "tool_choice",
            "tool_choice",
        ),
        (GenerateContent, r#""toolConfig":{"a":{}}"#, "toolConfig", "tool_choice"),
        (GenerateContent, r#""tool_config":{"a":{}}"#, "tool_config", "tool_choice"),
        (GenerateContent, r#""generationConfig":{"topK":7}"#, "topK", "top_k"),
        (GenerateContent, r#""generation_config":{"top_k":7}"#, "top_k", "top_k"),
        (GenerateContent, r#""generationConfig":{"top_k":7}"#, "top_k", "top_k"),
        (GenerateContent, r#""generationConfig":{"candidateCount":2}"#, "candidateCount", "n"),
        (GenerateContent, r#""generationConfig":{"stopSequences":["x"]}"#, "stopSequences", "stop"),
        (
            GenerateContent,
            r#""generationConfig":{"responseLogprobs":true}"#,
            "responseLogprobs",
            "logprobs",
        ),
        (
            GenerateContent,
            r#""generationConfig":{"thinkingConfig":{"thinkingBudget":-1}}"#,
            "thinkingConfig",
            "reasoning",
        ),
        (
            GenerateContent,
            r#""generationConfig":{"responseSchema":{"type":"OBJECT"}}"#,
            "responseSchema",
            "response_format",
        ),
        (EmbedContent, r#""outputDimensionality":64"#, "outputDimensionality", "dimensions"),
    ] {
        let request = request(operation, members);
        assert_eq!(request.unsupported(&[]), Some(written), "{members}");
        assert_eq!(used(&request), [name], "{members}");
        assert_eq!(request.unsupported(&supported(name)), None, "{members}");
        assert_eq!(request.unsupported(&supported(written)), None, "{members}");
    }
}

/// What stands for its own absence uses nothing, and neither does what every model takes.
#[test]
fn defaults_and_plain_requests_use_nothing() {
    for (operation, members) in [
        (Chat, ""),
        (
            Chat,
            r#""messages":[{"role":"user","content":"temperature","name":"tools"}],"stream":true,
               "stream_options":{"include_usage":true},"max_tokens":5,"max_completion_tokens":6,
               "user":"u","metadata":{"top_k":1,"seed":[2]},"safety_identifier":"s","unknown":9"#,
        ),
        (Chat, r#""temperature":null,"top_p":null,"tools":null,"stop":null,"n":null"#),
        (Chat, r#""tools":[],"stop":[],"logit_bias":{},"response_format":{}"#),
        (Chat, r#""n":1,"logprobs":false,"best_of":1"#),
        (Chat, r#""reasoning_effort":"none","response_format":{"type":"text"}"#),
        (
            Chat,
            r#""thinking":{"type":"disabled"},"enable_thinking":false,"include_reasoning":false"#,
        ),
        (Chat, r#""reasoning":{"effort":"none"},"thinking_budget":0"#),
        (Chat, r#""reasoning":{"enabled":false},"thinking":{"budget_tokens":9,"type":"disabled"}"#),
        (Chat, r#""tools":[],"tool_choice":"none","function_call":"none""#),
        (Chat, r#""tools":null,"tool_choice":"auto""#),
        (Responses, r#""reasoning":{"effort":"none"},"text":{"format":{"type":"text"}}"#),
        (Responses, r#""reasoning":null,"tool_choice":"none","tools":[]"#),
        (Messages, r#""thinking":{"type":"disabled"},"tool_choice":{"type":"auto"}"#),
        (GenerateContent, r#""generationConfig":{"thinkingConfig":{"thinkingBudget":0}}"#),
        (GenerateContent, r#""generationConfig":{"responseMimeType":"text/plain"}"#),
        (GenerateContent, r#""toolConfig":{"functionCallingConfig":{"mode":"AUTO"}}"#),
        (Completions, r#""echo":false,"prompt":["top_k"]"#),
        (Embeddings, r#""input":"text","encoding_format":"base64","user":"u""#),
        (Responses, r#""instructions":"top_k","max_output_tokens":5,"text":{},"include":[]"#),
        (Responses, r#""text":{"format":null},"max_tool_calls":3"#),
        (Messages, r#""system":"s","messages":[{"role":"user","content":[]}],"metadata":{}"#),
        (Messages, r#""messages":[{"content":[{"type":"tool_use","input":{"top_k":3}}]}]"#),
        (GenerateContent, r#""contents":[],"systemInstruction":{"parts":[{"text":"t"}]}"#),
        (GenerateContent, r#""generationConfig":{"maxOutputTokens":5,"candidateCount":0}"#),
        (GenerateContent, r#""generationConfig":{"candidateCount":1,"topK":null}"#),
        (CountMessageTokens, r#""tools":[{"name":"t"}],"thinking":{"budget_tokens":9}"#),
    ] {
        assert_eq!(used(&request(operation, members)), [""; 0], "{members}");
    }
}

#[test]
fn the_first_member_that_the_model_does_not_take_is_named() {
    let list = supported(CHAT_MODEL);
    let every = r#""temperature":1,"top_p":1,"top_k":2,"seed":3,"frequency_penalty":0,
                   "presence_penalty":0,"stop":"x","reasoning":{"effort":"low"},
                   "include_reasoning":true,"tools":[{"type":"function"}],"tool_choice":"auto",
                   "response_format":{"type":"text"},"reasoning_effort":"low","max_tokens":5,
                   "stream":true"#;
    assert_eq!(request(Chat, every).unsupported(&list), None);
    // the choice of tools and the form of the answer are those of a request without them
    assert_eq!(used(&request(Chat, every)).len(), 11);
    let more = format!(r#"{every},"logit_bias":{{"1":2}}"#);
    assert_eq!(request(Chat, &more).unsupported(&list), Some("logit_bias"));
    let more = format!(r#"{every},"n":2"#);
    assert_eq!(request(Chat, &more).unsupported(&list), Some("n"));
    let config = r#""generationConfig":{"topK":4,"responseLogprobs":true}"#;
    assert_eq!(request(GenerateContent, config).unsupported(&list), Some("responseLogprobs"));
    assert_eq!(request(GenerateContent, config).unsupported(&[]), Some("topK"));
}

#[test]
fn that_no_tool_be_used_says_something_where_there_are_tools() {
    let tools = r#""tools":[{"type":"function"}],"#;
    assert_eq!(used(&request(Chat, &format!(r#"{tools}"tool_choice":"none""#))).len(), 2);
    assert_eq!(used(&request(Chat, &format!(r#""tool_choice":"none",{tools}"#))).len(), 2);
    assert_eq!(used(&request(Chat, &format!(r#"{tools}"tool_choice":"auto""#))), ["tools"]);
}

#[test]
fn reasoning_is_asked_for_in_many_ways() {
    for (operation, members, asks) in [
        (Chat, r#""temperature":1"#, false),
        (Chat, r#""reasoning_effort":"minimal""#, true),
        (Chat, r#""reasoning_effort":"none""#, false),
        (Chat, r#""reasoning":{"max_tokens":900}"#, true),
        (Chat, r#""reasoning":{"enabled":false}"#, false),
        (Chat, r#""chat_template_kwargs":{"enable_thinking":true}"#, true),
        (Chat, r#""chat_template_kwargs":{"enable_thinking":false}"#, false),
        (Chat, r#""chat_template_kwargs":{"custom":1}"#, false),
        (Responses, r#""reasoning":{"effort":"high"}"#, true),
        (Responses, r#""text":{"verbosity":"low"}"#, false),
        (Messages, r#""thinking":{"type":"enabled","budget_tokens":5}"#, true),
        (Messages, r#""thinking":{"type":"adaptive"}"#, true),
        (Messages, r#""thinking":{"budget_tokens":5,"type":"disabled"}"#, false),
        (GenerateContent, r#""generationConfig":{"thinkingConfig":{"thinkingLevel":"low"}}"#, true),
        (GenerateContent, r#""generationConfig":{"thinkingConfig":{"thinkingBudget":0}}"#, false),
    ] {
        assert_eq!(request(operation, members).asks_for_reasoning(), asks, "{members}");
    }
}

/// Every table's optional member has a place in the set, and every place a table's member.
#[test]
fn tables_and_places_belong_together() {
    let mut seen: Vec<&Shape> = Vec::new();
    let mut waiting: Vec<&Shape> = Operation::ALL.iter().map(|one| table(*one)).collect();
    let mut reached = Parameters::default();
    while let Some(shape) = waiting.pop() {
        if seen.iter().any(|known| std::ptr::eq(*known, shape)) {
            continue;
        }
        seen.push(shape);
        for member in shape.all_members() {
            for parameter in member.parameter.iter().flatten() {
                assert!(parameter.is_listed(), "{}", member.name);
                reached.insert(*parameter);
            }
            if let Rule::Inside(inner)
            | Rule::Config(inner)
            | Rule::Switch(inner)
            | Rule::Options(inner, _) = member.rule
            {
                waiting.push(inner);
            }
        }
    }
    let unreached: Vec<_> =
        Parameters::all().iter().filter(|one| !reached.iter().any(|known| known == *one)).collect();
    assert_eq!(unreached, []);
}

#[test]
fn members_are_known_by_name() {
    for name in CHAT_MODEL.split_whitespace() {
        assert!(is_member(name), "{name}");
    }
    for name in ["messages", "max_output_tokens", "topK", "text.format", "dimensions", "contents"] {
        assert!(is_member(name), "{name}");
    }
    for name in ["", "temprature", "Temperature", "top-k", "reasoning.effort", "*"] {
        assert!(!is_member(name), "{name}");
    }
}
