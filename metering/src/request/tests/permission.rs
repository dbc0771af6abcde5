//! What needs permission.

use super::Operation::*;
use super::*;

fn body_with(operation: Operation, members: &str) -> String {
    match operation {
        Messages => format!(r#"{{"model":"m","max_tokens":9,{members}}}"#),
        GenerateContent | BatchEmbedContents | EmbedContent => format!("{{{members}}}"),
        _ => format!(r#"{{"model":"m",{members}}}"#),
    }
}

#[test]
fn each_feature_is_listed() {
    for (operation, members, expected) in [
        (Chat, r#""service_tier":"priority""#, "price_tier:service_tier"),
        (Chat, r#""service_tier":"flex""#, "price_tier:service_tier"),
        (Chat, r#""service_tier":7"#, "price_tier:service_tier"),
        (Chat, r#""service_tier":{"a":"default"}"#, "price_tier:service_tier"),
        (Chat, r#""audio":{"voice":"x"}"#, "output_modality:audio"),
        (Chat, r#""modalities":["text","audio"]"#, "output_modality:modalities"),
        (Chat, r#""store":true"#, "provider_state:store"),
        (Chat, r#""models":["x"]"#, "fallback_models:models"),
        (Chat, r#""prediction":{"type":"content"}"#, "unbounded_output:prediction"),
        (Chat, r#""tools":[{"type":"openrouter:web_search"}]"#, "unknown_tool:tools"),
        (Chat, r#""tools":[{"function":{}}]"#, "unknown_tool:tools"),
        (Chat, r#""novelty":{"google":{}}"#, "unknown_parameter:novelty"),
        (Chat, r#""messages":[{"audio":{"id":"audio_1"}}]"#, "provider_state:audio"),
        (Completions, r#""use_beam_search":true"#, "unknown_parameter:use_beam_search"),
        (Embeddings, r#""sur\u0070rise":1"#, "unknown_parameter:surprise"),
        (Responses, r#""background":true"#, "background:background"),
        (Responses, r#""background":"yes""#, "background:background"),
        (Responses, r#""previous_response_id":"resp_1""#, "provider_state:previous_response_id"),
        (Responses, r#""conversation":{"id":"c"}"#, "provider_state:conversation"),
        (Responses, r#""conversation":"conv_1""#, "provider_state:conversation"),
        (Responses, r#""prompt":{"id":"p"}"#, "provider_state:prompt"),
        (Responses, r#""store":true"#, "provider_state:store"),
        (Responses, r#""service_tier":"priority""#, "price_tier:service_tier"),
        (
            Responses,
            r#""context_management":[{"type":"compaction"}]"#,
            "unbounded_output:context_management",
        ),
        (Responses, r#""tools":[{"type":"mcp","server_url":"https://x"}]"#, "remote_tools:tools"),
        (Responses, r#""tools":[{"type":"image_generation"}]"#, "output_modality:tools"),
        (Responses, r#""tools":[{"type":["function"]}]"#, "unknown_tool:tools"),
        (Responses, r#""tools":[{"type":"file_search"}]"#, "provider_state:tools"),
        (
            Responses,
            r#""tools":[{"type":"custom","vector_store_ids":["vs_1"]}]"#,
            "provider_state:vector_store_ids",
        ),
        (
            Responses,
            r#""tools":[{"type":"code_interpreter","container":"cntr_1"}]"#,
            "provider_state:container",
        ),
        (
            Responses,
            r#""tools":[{"type":"code_interpreter","container":{"type":"auto","file_ids":["f"]}}]"#,
            "provider_state:file_ids",
        ),
        (
            Responses,
            r#""tools":[{"type":"shell","environment":{"type":"container_reference","container_id":"c"}}]"#,
            "provider_state:container_id",
        ),
        (
            Responses,
            r#""tools":[{"type":"shell","environment":{"type":"local","skills":[{"skill_id":"s"}]}}]"#,
            "provider_state:skill_id",
        ),
        (
            Responses,
            r#""input":[{"type":"additional_tools","role":"developer","tools":[{"type":"mcp"}]}]"#,
            "remote_tools:tools",
        ),
        (Responses, r#""input":[{"type":"compaction_trigger"}]"#, "unbounded_output:input"),
        (Responses, r#""n":2"#, "extra_candidates:n"),
        (Responses, r#""max_tokens":2"#, "unknown_parameter:max_tokens"),
        (Messages, r#""service_tier":"priority""#, "price_tier:service_tier"),
        (Messages, r#""speed":"fast""#, "price_tier:speed"),
        (Messages, r#""inference_geo":"us""#, "price_tier:inference_geo"),
        (Messages, r#""container":"container_1""#, "provider_state:container"),
        (Messages, r#""container":{"skills":[]}"#, "provider_state:container"),
        (Messages, r#""mcp_servers":[{"url":"https://x"}]"#, "remote_tools:mcp_servers"),
        (
            Messages,
            r#""tools":[{"type":"mcp_toolset","mcp_server_name":"x"}]"#,
            "remote_tools:tools",
        ),
        (Messages, r#""toolsets":[{"type":"mcp"}]"#, "remote_tools:toolsets"),
        (Messages, r#""tools":[{"type":"browser_toolset_20260801"}]"#, "unknown_tool:tools"),
        (Messages, r#""tools":[{"type":"computer_toolset_20260801"}]"#, "unknown_tool:tools"),
        (Messages, r#""tools":[{"type":"advisor_20260301"}]"#, "unknown_tool:tools"),
        (
            Messages,
            r#""messages":[{"content":[{"type":"tool_addition","tool":{"type":"tool_definition","definition":{"type":"mcp_toolset"}}}]}]"#,
            "remote_tools:tools",
        ),
        (Messages, r#""thread":{"type":"create"}"#, "provider_state:thread"),
        (Messages, r#""compaction":{}"#, "unbounded_output:compaction"),
        (Messages, r#""billing_policy":{"bill_to":"user_profile"}"#, "price_tier:billing_policy"),
        (
            Messages,
            r#""context_management":{"edits":[{"type":"compact_20260112"}]}"#,
            "unbounded_output:context_management",
        ),
        (Messages, r#""n":3"#, "extra_candidates:n"),
        (Messages, r#""max_tokens_to_sample":3"#, "unknown_parameter:max_tokens_to_sample"),
        (GenerateContent, r#""cachedContent":"cachedContents/x""#, "provider_state:cachedContent"),
        (GenerateContent, r#""cached_content":"cachedContents/x""#, "provider_state:cachedContent"),
        (GenerateContent, r#""serviceTier":"priority""#, "price_tier:serviceTier"),
        (GenerateContent, r#""service_tier":"flex""#, "price_tier:serviceTier"),
        (
            GenerateContent,
            r#""tools":[{"fileSearch":{"fileSearchStoreNames":["fileSearchStores/a"]}}]"#,
            "provider_state:fileSearch",
        ),
        (GenerateContent, r#""tools":[{"mcpServers":[{}]}]"#, "remote_tools:mcpServers"),
        (GenerateContent, r#""tools":[{"oracle":{}}]"#, "unknown_tool:oracle"),
        (
            GenerateContent,
            r#""generationConfig":{"responseModalities":["TEXT","IMAGE"]}"#,
            "output_modality:responseModalities",
        ),
        (
            GenerateContent,
            r#""generation_config":{"response_modalities":["AUDIO"]}"#,
            "output_modality:responseModalities",
        ),
        (GenerateContent, r#""generationConfig":{"novelty":1}"#, "unknown_parameter:novelty"),
        (BatchEmbedContents, r#""requests":[{"novelty":1}]"#, "unknown_parameter:novelty"),
    ] {
        let request = read_as(operation, &body_with(operation, members))
            .unwrap_or_else(|problem| panic!("{members}: {problem}"));
        assert_eq!(features(&request), [expected], "{operation:?} {members}");
    }
}

/// Chat, completions and embeddings let through what they do not know, so what costs money or
/// reaches beyond the request must be known.
#[test]
fn what_servers_add_to_older_operations_is_known() {
    for (members, expected) in [
        (r#""service_tier":"priority""#, "price_tier:service_tier"),
        (r#""models":["x"]"#, "fallback_models:models"),
        (r#""fallbacks":["x"]"#, "fallback_models:fallbacks"),
        (r#""route":"fallback""#, "fallback_models:route"),
        (r#""provider":{"order":["dear"],"data_collection":"deny"}"#, "price_tier:order"),
        (r#""provider":{"sort":"throughput"}"#, "price_tier:sort"),
        (r#""provider":"dear""#, "price_tier:provider"),
        (r#""provider":["dear"]"#, "price_tier:provider"),
        (r#""speed":"fast""#, "price_tier:speed"),
        (r#""plugins":[{"id":"web"}]"#, "unknown_tool:plugins"),
        (r#""compound_custom":{"tools":{}}"#, "unknown_tool:compound_custom"),
        (r#""mcp_servers":[{"url":"https://x"}]"#, "remote_tools:mcp_servers"),
        (r#""deferred":true"#, "background:deferred"),
        (r#""data_sources":[{"type":"azure_search"}]"#, "provider_state:data_sources"),
        (r#""dataSources":[{"type":"azure_search"}]"#, "provider_state:data_sources"),
        (r#""cached_content":"cachedContents/a""#, "provider_state:cached_content"),
        (r#""preset":"ours""#, "provider_state:preset"),
        (r#""kv_transfer_params":{"remote_host":"x"}"#, "provider_state:kv_transfer_params"),
        (
            r#""extra_body":{"google":{"cached_content":"cachedContents/a"}}"#,
            "provider_state:cached_content",
        ),
        (r#""extra_body":{"cached_content":"cachedContents/a"}"#, "provider_state:cached_content"),
        (r#""google":{"cachedContent":"cachedContents/a"}"#, "provider_state:cached_content"),
        (r#""google":{"novelty":1}"#, "provider_options:novelty"),
        (r#""extra_body":{"google":{"novelty":1}}"#, "provider_options:novelty"),
        (r#""extra_body":{"google":"x"}"#, "provider_options:google"),
        (r#""extra_body":7"#, "provider_options:extra_body"),
        (r#""extra_body":{"novelty":1}"#, "unknown_parameter:novelty"),
        (r#""enhancements":{"ocr":{}}"#, "provider_options:enhancements"),
        (r#""safety_model":"x""#, "provider_options:safety_model"),
        (r#""image_config":{"size":"4K"}"#, "output_modality:image_config"),
    ] {
        for operation in [Chat, Completions, Embeddings] {
            let request = read_as(operation, &body_with(operation, members))
                .unwrap_or_else(|problem| panic!("{members}: {problem}"));
            assert_eq!(features(&request), [expected], "{operation:?} {members}");
        }
    }
    for members in [
        r#""provider":{"data_collection":"deny","zdr":true,"max_price":{"prompt":1}}"#,
        r#""provider":null,"plugins":[],"extra_body":{},"google":{},"fallbacks":null,"deferred":false"#,
        r#""transforms":["middle-out"],"usage":{"include":true},"session_id":"s","trace":{}"#,
        r#""service_tier":"on_demand","min_tokens":5,"guided_json":{"type":"object"}"#,
        r#""google":{"thinking_config":{"thinking_budget":5},"safety_settings":[]}"#,
    ] {
        let request = read_as(Chat, &body_with(Chat, members)).unwrap();
        assert_eq!((features(&request), request.by_reference), (vec![], false), "{members}");
    }
    let chat = |members| read_as(Chat, &body_with(Chat, members)).unwrap();
    for members in [r#""search_parameters":{"mode":"auto"}"#, r#""enable_search":true"#] {
        let tools = chat(members).server_tools;
        assert_eq!((tools.kinds, tools.most_calls), (vec![ServerTool::WebSearch], None));
    }
    assert!(chat(r#""enable_search":false"#).server_tools.kinds.is_empty());
    for members in [
        r#""chat_template":"{% for i in range(9) %}""#,
        r#""mm_processor_kwargs":{"max_pixels":9}"#,
        r#""prompt_embeds":"AAAA""#,
    ] {
        let request = chat(members);
        assert!(request.by_reference && request.features.is_empty(), "{members}");
    }
}

#[test]
fn what_is_off_or_ordinary_is_not_listed() {
    for (operation, members) in [
        (
            Chat,
            r#""store":false,"service_tier":null,"modalities":["text"],"models":[],"audio":null"#,
        ),
        (Chat, r#""service_tier":"auto","temperature":1,"response_format":{"type":"json_object"}"#),
        (Chat, r#""unheard_of":null,"top_k":5,"chat_template_kwargs":{"thinking":true}"#),
        (Responses, r#""background":false,"previous_response_id":null,"conversation":null,"n":1"#),
        (Responses, r#""include":["reasoning.encrypted_content"],"reasoning":{"effort":"low"}"#),
        (Chat, r#""service_tier":"default","moderation":{"model":"omni-moderation-latest"}"#),
        (
            Responses,
            r#""service_tier":"auto","moderation":{"model":"x","policy":{"input":{"mode":"block"}}},
               "prompt_cache_retention":"24h","prompt_cache_options":{"mode":"explicit","ttl":"12h"}"#,
        ),
        (
            Responses,
            r#""tools":[{"type":"shell","environment":{"type":"local"}},{"type":"function"}]"#,
        ),
        (
            Responses,
            r#""input":[{"role":"user","content":[{"type":"input_text","text":"x",
                "prompt_cache_breakpoint":{"mode":"explicit"}}]}]"#,
        ),
        (
            Chat,
            r#""messages":[{"role":"user","cache_control":{"type":"ephemeral"},"content":[{"type":"text",
                "text":"x","prompt_cache_breakpoint":{"mode":"explicit"}}]}]"#,
        ),
        (Messages, r#""service_tier":"standard_only","mcp_servers":[],"container":null"#),
        (Messages, r#""service_tier":"auto","diagnostics":{"previous_message_id":"msg_1"}"#),
        (GenerateContent, r#""serviceTier":"SERVICE_TIER_UNSPECIFIED""#),
        (GenerateContent, r#""serviceTier":"standard""#),
        (GenerateContent, r#""service_tier":"unspecified""#),
        (
            Messages,
            r#""context_management":{"edits":[{"type":"clear_tool_uses_20250919","keep":{"type":"x"}}]}"#,
        ),
        (GenerateContent, r#""generationConfig":{"responseModalities":["TEXT"],"topK":4}"#),
        (GenerateContent, r#""safetySettings":[{"category":"x"}],"cachedContent":null"#),
    ] {
        let request = read_as(operation, &body_with(operation, members)).unwrap();
        assert_eq!((features(&request), request.by_reference), (vec![], false), "{members}");
    }
}

#[test]
fn state_at_the_provider_draws_in_a_whole_context() {
    for members in
        [r#""previous_response_id":"r""#, r#""conversation":{"id":"c"}"#, r#""prompt":{"id":"p"}"#]
    {
        assert!(read_as(Responses, &body_with(Responses, members)).unwrap().by_reference);
    }
    assert!(read_as(GenerateContent, r#"{"cachedContent":"x"}"#).unwrap().by_reference);
}

#[test]
fn betas_that_lift_bounds_or_are_unknown_are_listed() {
    let listed = |betas: &str| {
        let source = Source { betas, ..Source::body(Messages) };
        features(&read(br#"{"model":"m","max_tokens":1}"#, source).unwrap())
    };
    assert_eq!(listed("prompt-caching-2024-07-31, interleaved-thinking-2025-05-14,"), [""; 0]);
    assert_eq!(
        listed("context-1m-2025-08-07,output-128k-2025-02-19 , fast-mode-2026-02-01"),
        ["beta:context-1m-2025-08-07", "beta:output-128k-2025-02-19", "beta:fast-mode-2026-02-01"]
    );
    assert_eq!(listed("warp"), ["beta:warp"]);
    // What Claude Code sends with each request, as captured in October 2026.
    let of_a_client = "claude-code-20250219,oauth-2025-04-20,interleaved-thinking-2025-05-14,\
        redact-thinking-2026-02-12,thinking-token-count-2026-05-13,context-management-2025-06-27,\
        prompt-caching-scope-2026-01-05,mid-conversation-system-2026-04-07,advisor-tool-2026-03-01,\
        advanced-tool-use-2025-11-20,effort-2025-11-24,extended-cache-ttl-2025-04-11,\
        cache-diagnosis-2026-04-07,thinking-display-updates-2026-08-18";
    assert_eq!(listed(of_a_client), [""; 0]);
    assert_eq!(listed("server-side-fallback-2026-07-01,compact-2026-09-04").len(), 2);
}

#[test]
fn a_beta_of_a_tool_does_not_permit_the_tool() {
    let body = br#"{"model":"m","max_tokens":1,"tools":[{"type":"advisor_20260301"}]}"#;
    let source = Source { betas: "advisor-tool-2026-03-01", ..Source::body(Messages) };
    assert_eq!(features(&read(body, source).unwrap()), ["unknown_tool:tools"]);
}

#[test]
fn the_list_is_bounded_and_nothing_slips_past_its_end() {
    let members: Vec<String> = (0..1000).map(|i| format!(r#""new{i}":1"#)).collect();
    let many = body_with(Chat, &format!(r#"{},"store":true"#, members.join(",")));
    let listed = features(&read_as(Chat, &many).unwrap());
    assert_eq!(listed.len(), MOST_UNKNOWN + 2);
    assert_eq!(listed[MOST_UNKNOWN - 1], format!("unknown_parameter:new{}", MOST_UNKNOWN - 1));
    assert_eq!(listed[MOST_UNKNOWN..], ["unknown_parameter:…", "provider_state:store"]);
    let long = body_with(Chat, &format!(r#""{}":1"#, "x".repeat(400)));
    let request = read_as(Chat, &long).unwrap();
    assert_eq!(request.features[0].param, format!("{}…", "x".repeat(LONGEST_UNKNOWN_NAME)));
}

#[test]
fn every_table_fits_its_marks() {
    for operation in [
        Chat,
        Completions,
        Responses,
        Embeddings,
        Messages,
        CountMessageTokens,
        GenerateContent,
        StreamGenerateContent,
        EmbedContent,
        BatchEmbedContents,
        CountTokens,
    ] {
        assert!(table(operation).all_members().count() <= 128, "{operation:?}");
    }
}

/// Some servers lay it over the body: what it says then counts, and the outermost object does not.
#[test]
fn what_stands_in_an_extra_body_is_read_as_outside_of_it_or_needs_permission() {
    for member in [
        r#""model":"dear""#,
        r#""messages":[{"role":"user"}]"#,
        r#""prompt":"x""#,
        r#""input":"x""#,
        r#""stream":true"#,
        r#""stream_options":{"include_usage":false}"#,
        r#""max_tokens":9000"#,
        r#""max_completion_tokens":9000"#,
        r#""n":20"#,
        r#""best_of":20"#,
        r#""tools":[{"type":"web_search"}]"#,
        r#""audio":{"voice":"x"}"#,
        r#""modalities":["audio"]"#,
        r#""store":true"#,
        r#""prediction":{"type":"content"}"#,
    ] {
        let extra = format!(r#""extra_body":{{{member}}}"#);
        for operation in [Chat, Completions, Embeddings] {
            let request = read_as(operation, &body_with(operation, &extra)).unwrap();
            assert!(request.needs(FeatureKind::ProviderOptions), "{operation:?} {member}");
        }
    }
    let chat = |extra: &str| {
        read_as(Chat, &body_with(Chat, &format!(r#""extra_body":{{{extra}}}"#))).unwrap()
    };
    assert_eq!(features(&chat(r#""service_tier":"priority""#)), ["price_tier:service_tier"]);
    assert_eq!(features(&chat(r#""fallbacks":["dear"]"#)), ["fallback_models:fallbacks"]);
    assert_eq!(chat(r#""enable_search":true"#).server_tools.kinds, [ServerTool::WebSearch]);
    let searches = chat(r#""web_search_options":{}"#).server_tools;
    assert_eq!(searches.kinds, [ServerTool::WebSearch]);
    assert!(chat(r#""chat_template":"{{x}}""#).by_reference);
    assert_eq!(features(&chat(r#""chat_template_kwargs":{"a":1},"top_k":3"#)), [""; 0]);
}
