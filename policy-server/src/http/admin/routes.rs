//! Routes as data: each says which action of the table it needs, and what the audit calls it.

use axum::extract::Extension;
use axum::handler::Handler;
use axum::routing::{MethodFilter, on};
use axum::{Router, http::Method};

use crate::http::edge::Edge;
use crate::http::operation::Operation;
use crate::permissions::Action;

/// What a route needs.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Need {
    /// The method.
    pub method: Method,
    /// The path, with the names of its parameters.
    pub path: &'static str,
    /// What whoever asks must be permitted.
    pub action: Action,
    /// What the audit calls it; none where it changes nothing.
    pub verb: Option<&'static str>,
}

/// Routes that are being put together, and what each needs: nothing is reachable beside the list.
#[derive(Default)]
pub struct Routes {
    router: Router<Edge>,
    needs: Vec<Need>,
    /// Of each what the API's document says, in the same order.
    operations: Vec<Option<Operation>>,
}

/// A route as the API's document has it.
pub type Described = (Need, Option<Operation>);

impl Routes {
    /// A route that reads.
    pub fn get<H, T>(self, path: &'static str, action: Action, handler: H) -> Self
    where
        H: Handler<T, Edge>,
        T: 'static,
    {
        let need = Need { method: Method::GET, path, action, verb: None };
        self.add(MethodFilter::GET, need, handler)
    }

    /// A route by which something is put in its place.
    pub fn put<H, T>(self, path: &'static str, action: Action, verb: &'static str, put: H) -> Self
    where
        H: Handler<T, Edge>,
        T: 'static,
    {
        let need = Need { method: Method::PUT, path, action, verb: Some(verb) };
        self.add(MethodFilter::PUT, need, put)
    }

    /// A route that reads what is too much, or too secret, to stand in a URL.
    pub fn ask<H, T>(self, path: &'static str, action: Action, handler: H) -> Self
    where
        H: Handler<T, Edge>,
        T: 'static,
    {
        let need = Need { method: Method::POST, path, action, verb: None };
        self.add(MethodFilter::POST, need, handler)
    }

    /// A route by which something is made or done.
    pub fn post<H, T>(self, path: &'static str, action: Action, verb: &'static str, post: H) -> Self
    where
        H: Handler<T, Edge>,
        T: 'static,
    {
        let need = Need { method: Method::POST, path, action, verb: Some(verb) };
        self.add(MethodFilter::POST, need, post)
    }

    /// A route by which fields are changed.
    pub fn patch<H, T>(self, path: &'static str, action: Action, verb: &'static str, to: H) -> Self
    where
        H: Handler<T, Edge>,
        T: 'static,
    {
        let need = Need { method: Method::PATCH, path, action, verb: Some(verb) };
        self.add(MethodFilter::PATCH, need, to)
    }

    /// A route by which something is removed.
    pub fn delete<H, T>(self, path: &'static str, action: Action, verb: &'static str, to: H) -> Self
    where
        H: Handler<T, Edge>,
        T: 'static,
    {
        let need = Need { method: Method::DELETE, path, action, verb: Some(verb) };
        self.add(MethodFilter::DELETE, need, to)
    }

    /// What the route that was added last takes and answers.
    pub fn says(mut self, operation: Operation) -> Self {
        if let Some(last) = self.operations.last_mut() {
            *last = Some(operation);
        }
        self
    }

    /// All of them, for mounting.
    pub fn into_router(self) -> Router<Edge> {
        self.router
    }

    /// All of them, for listing.
    pub fn into_list(self) -> Vec<Described> {
        self.needs.into_iter().zip(self.operations).collect()
    }

    fn add<H, T>(mut self, filter: MethodFilter, need: Need, handler: H) -> Self
    where
        H: Handler<T, Edge>,
        T: 'static,
    {
        let route = on(filter, handler).route_layer(Extension(need.clone()));
        self.router = self.router.route(need.path, route);
        self.needs.push(need);
        self.operations.push(None);
        self
    }
}
