//! Spellings of paths and methods.

use super::Outcome::{self, Passes, Proxy, Refused};
use super::{BODY, Corpus, request, send_raw};

const CHAT: &str = "/v1/chat/completions";
const NOWHERE: Outcome = Refused(404, "unknown_endpoint");

/// The first line of a request without the version, and what becomes of it.
const TABLE: &[(&str, Outcome)] = &[
    ("POST /v1/chat/completions", Passes(CHAT)),
    ("POST /v1/chat/completions?", Passes("/v1/chat/completions?")),
    ("POST /v1/chat/completions?a=b&c=%2f", Passes("/v1/chat/completions?a=b&c=%2f")),
    // Slashes: Envoy merges them before the filter looks.
    ("POST //v1/chat/completions", Passes(CHAT)),
    ("POST /v1//chat///completions", Passes(CHAT)),
    ("POST /v1/chat/completions/", NOWHERE),
    ("POST /v1/chat/completions//", NOWHERE),
    ("POST /v1\\chat\\completions", Passes(CHAT)),
    ("POST /v1/chat%2fcompletions", NOWHERE),
    ("POST /v1/chat%2Fcompletions", NOWHERE),
    ("POST /v1/chat%5ccompletions", NOWHERE),
    ("POST %2fv1/chat/completions", Proxy(400)),
    // Dots.
    ("POST /./v1/./chat/completions", Passes(CHAT)),
    ("POST /v1/files/../chat/completions", Passes(CHAT)),
    ("POST /../v1/chat/completions", Passes(CHAT)),
    ("POST /v1/chat/completions/..", NOWHERE),
    ("POST /v1/chat/completions/../../files", NOWHERE),
    ("POST /v1/chat/completions/..%2f..%2ffiles", NOWHERE),
    ("POST /v1/chat/completions/..;/files", NOWHERE),
    ("POST /v1/chat/%2e%2e/chat/completions", Passes(CHAT)),
    ("POST /v1/%2e/chat/completions", Passes(CHAT)),
    ("POST /v1/%c0%ae%c0%ae/v1/chat/completions", NOWHERE),
    ("POST /v1/..%00/chat/completions", Proxy(400)),
    // Path parameters.
    ("POST /v1/chat/completions;x", NOWHERE),
    ("POST /v1/chat/completions;x=1?y=2", NOWHERE),
    ("POST /v1;x/chat/completions", NOWHERE),
    ("POST /;/v1/chat/completions", NOWHERE),
    // Escapes.
    ("POST /v1/chat/%63ompletions", Passes(CHAT)),
    ("POST /%76%31/chat/completions", Passes(CHAT)),
    ("POST /v1/chat/%2563ompletions", NOWHERE),
    ("POST /v1/chat/completions%00", Proxy(400)),
    ("POST /v1/chat/completions%20", NOWHERE),
    ("POST /v1/chat/completions%0d%0ax:y", NOWHERE),
    ("POST /v1/chat/completions%3fx=1", NOWHERE),
    ("POST /v1/chat/completions%23x", NOWHERE),
    ("POST /v1/chat/completions%", NOWHERE),
    ("POST /v1/chat/completions%zz", NOWHERE),
    ("POST /v1/chat/compl\u{e9}tions", Proxy(400)),
    ("POST /v1/chat/\u{ff43}ompletions", Proxy(400)),
    // Case.
    ("POST /V1/chat/completions", NOWHERE),
    ("POST /v1/Chat/Completions", NOWHERE),
    // Fragments.
    ("POST /v1/chat/completions#x", Proxy(400)),
    ("POST /v1/chat/completions?x#y", Proxy(400)),
    ("POST /v1/files#/v1/chat/completions", Proxy(400)),
    // The absolute form, and forms for other purposes.
    ("POST http://gateway/v1/chat/completions", Passes(CHAT)),
    ("POST http://elsewhere:1/v1/chat/completions", Passes(CHAT)),
    ("POST http://localhost:1/#@gateway/v1/chat/completions", Proxy(400)),
    ("POST http://gateway", NOWHERE),
    ("POST ftp://gateway/v1/chat/completions", Proxy(400)),
    ("POST v1/chat/completions", Proxy(400)),
    ("OPTIONS *", Proxy(404)),
    ("CONNECT gateway:443", Proxy(400)),
    ("POST ?x=/v1/chat/completions", Proxy(400)),
    // Methods.
    ("GET /v1/chat/completions", NOWHERE),
    ("PUT /v1/chat/completions", NOWHERE),
    ("PATCH /v1/chat/completions", NOWHERE),
    ("DELETE /v1/chat/completions", NOWHERE),
    ("OPTIONS /v1/chat/completions", NOWHERE),
    ("TRACE /v1/chat/completions", NOWHERE),
    ("PROPFIND /v1/chat/completions", NOWHERE),
    ("post /v1/chat/completions", Proxy(400)),
    ("P\u{d6}ST /v1/chat/completions", Proxy(400)),
    // What a provider serves beside it.
    ("POST /v1/files", NOWHERE),
    ("POST /v1/fine_tuning/jobs", NOWHERE),
    ("POST /v1/organization/api_keys", NOWHERE),
    ("GET /_mock/stats", NOWHERE),
    ("POST /", NOWHERE),
    // The mounts for further providers.
    ("POST /anthropic/../v1/chat/completions", Passes(CHAT)),
    ("POST /anthropic/../../v1/files", NOWHERE),
    ("POST /anthropic/v1/files", NOWHERE),
    ("POST /anthropic/gemini/v1/chat/completions", NOWHERE),
    ("POST /anthropic%2fv1/messages", NOWHERE),
    ("POST /gemini/_mock/reset", NOWHERE),
    // Models in paths.
    (
        "POST /v1beta/models/gpt-4o-mini:generateContent",
        Passes("/v1beta/models/gpt-4o-mini:generateContent"),
    ),
    ("POST /v1beta/models/gpt-4o:generateContent:generateContent", Refused(400, "unknown_model")),
    ("POST /v1beta/models/gpt-4o-mini%3AgenerateContent", NOWHERE),
    ("POST /v1beta/models/gpt-4o-mini:GenerateContent", NOWHERE),
    ("POST /v1beta/models/gpt-4o-mini:deleteModel", NOWHERE),
    ("POST /v1beta/models/:generateContent", NOWHERE),
    ("POST /v1beta/models/..%2f..%2ffiles:generateContent", NOWHERE),
    ("POST /v1beta/models/nope:generateContent", Refused(400, "unknown_model")),
    ("POST /v1beta/tunedModels/gpt-4o-mini:generateContent", NOWHERE),
    ("POST /v1beta/cachedContents", NOWHERE),
];

#[test]
fn every_spelling_of_a_path() {
    let mut corpus = Corpus::start();
    let credential = corpus.credential();
    for (line, outcome) in TABLE {
        let body = if line.contains("v1beta") { r#"{"contents":[]}"# } else { BODY };
        let credential = credential.clone();
        corpus.row(line, *outcome, move |url, row| {
            send_raw(url, &request(line, row, credential.as_bytes(), body))
        });
    }
    corpus.run();
}

#[test]
fn no_spelling_of_a_path_goes_without_a_key() {
    let mut corpus = Corpus::start();
    let missing = b"authorization: Bearer sk-0123456789012345678901\r\n";
    for (line, outcome) in TABLE {
        // Which paths there are is no secret; who asks decides whether any of them answers.
        let outcome = match outcome {
            Passes(_) | Refused(400, _) => Refused(401, "invalid_api_key"),
            other => *other,
        };
        corpus
            .row(line, outcome, move |url, row| send_raw(url, &request(line, row, missing, BODY)));
    }
    corpus.run();
}
