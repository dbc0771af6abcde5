//! OTLP's `ExportTraceServiceRequest` in JSON (opentelemetry-proto 1.x: ids in hexadecimal, 64-bit
//! numbers as texts).

use serde_json::{Value, json};

use super::Span;

/// A span of a server (`SPAN_KIND_SERVER`).
const KIND_SERVER: u8 = 2;
/// `STATUS_CODE_ERROR`; an answer of ours with 5xx. What a client did wrong is no error of a server.
const STATUS_ERROR: u8 = 2;

/// One message with these spans.
pub fn message(spans: &[Span]) -> Value {
    json!({"resourceSpans": [{
        "resource": {"attributes": [
            text("service.name", "tollgate"),
            text("service.version", env!("CARGO_PKG_VERSION")),
        ]},
        "scopeSpans": [{
            "scope": {"name": "tollgate"},
            "spans": spans.iter().map(span).collect::<Vec<_>>(),
        }],
    }]})
}

fn text(name: &str, value: &str) -> Value {
    json!({"key": name, "value": {"stringValue": value}})
}

fn span(span: &Span) -> Value {
    let mut attributes = vec![
        text("tollgate.api", span.api),
        json!({
            "key": "http.response.status_code",
            "value": {"intValue": span.status.to_string()},
        }),
    ];
    if let Some((method, route)) = span.name.split_once(' ') {
        attributes.push(text("http.request.method", method));
        attributes.push(text("http.route", route));
    }
    attributes.extend(span.notes.iter().map(|(name, value)| text(name, value)));
    let status = if span.status >= 500 { json!({"code": STATUS_ERROR}) } else { json!({}) };
    json!({
        "traceId": span.parent.trace,
        "spanId": span.id,
        "parentSpanId": span.parent.span,
        "name": span.name,
        "kind": KIND_SERVER,
        "startTimeUnixNano": span.began_unix_ns.to_string(),
        "endTimeUnixNano": span.ended_unix_ns.to_string(),
        "attributes": attributes,
        "status": status,
    })
}
