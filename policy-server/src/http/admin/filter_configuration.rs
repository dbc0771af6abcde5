//! `/admin/v1/filter-configuration`.

use axum::Json;
use wire::OrgId;

use super::{Answer, Pairs, Routes, Visitor, asked};
use crate::app::KeyListing;
use crate::http::filter_configuration::{FILTER_CONFIGURATION, show};
use crate::http::operation::Operation;
use crate::http::query::Parameters;
use crate::permissions::Action::ServerRead;
use crate::store::KeyOrder;

pub fn routes(routes: Routes) -> Routes {
    let summary = "Shows keys and models as a filter without a server takes them, a page of keys \
                   at a time; the models stand on the first";
    routes
        .get("/admin/v1/filter-configuration", ServerRead, export)
        .says(Operation::new(summary).asks(wanted).shows(&FILTER_CONFIGURATION))
}

/// The oldest first, so that keys that are made meanwhile come at the end.
fn wanted(query: &mut Parameters) -> KeyListing {
    KeyListing {
        org: query.id("org", OrgId::LONGEST, OrgId::new),
        order: KeyOrder::Oldest,
        cursor: query.text("cursor"),
        limit: query.limit(),
        ..KeyListing::default()
    }
}

async fn export(visitor: Visitor, pairs: Pairs) -> Answer {
    let listing = asked(pairs, wanted)?;
    let page =
        visitor.list(None, move |work, sight| work.filter_export(KeyListing { sight, ..listing }));
    Ok(Json(show(&page.await?)))
}
