//! What other parsers see in a request body, against what the filter read: whoever gets a body that
//! was let through must find in it the model, the bounds and the flags that it was charged for.

mod generator;
mod judgement;
mod tree;
mod view;

pub use generator::body;
pub use judgement::{Reading, judge};
pub use tree::{Names, Tree, views_of_serde};
pub use view::{PATHS, View};
