//! HTTP, kept thin: reads a request, runs one job, writes the answer. The only place that knows
//! status codes.

mod admin;
mod answer;
mod browsers;
mod budget_form;
mod conditions;
mod edge;
mod export;
mod filter;
mod filter_configuration;
mod form;
mod key_form;
mod key_test_form;
mod log_reads;
mod metrics;
mod model_form;
mod openapi;
mod operation;
mod org_form;
mod people_form;
mod plan_form;
mod price_form;
mod query;
mod reader;
mod schema;
mod selection_form;
mod shapes;
mod shapes_entitlement;
mod shapes_key_test;
mod shapes_people;
mod show;
mod show_entitlement;
mod show_key_test;
mod show_people;
mod wait;
mod webhook_form;

use axum::Router;

pub use edge::Edge;
pub use log_reads::LogReads;

/// The filter API, for filters only.
pub fn filter_router(edge: Edge) -> Router {
    browsers::guarded(metrics::counted(filter::router(edge.clone()), "filter", edge))
}

/// Counts for Prometheus, without a token.
pub fn metrics_router(edge: Edge) -> Router {
    browsers::guarded(metrics::router(edge))
}

pub use admin::{Need, document, needs};
pub(crate) use reader::is_unseen;

/// The admin API.
pub fn admin_router(edge: Edge) -> Router {
    browsers::guarded(metrics::counted(admin::router(edge.clone()), "admin", edge))
}
