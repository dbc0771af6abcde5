//! The targets on what was found and on their corpus, and the filter's reading of request bodies
//! beside that of other languages.

mod agreement;
mod nasty_bodies;
mod other_parser;
mod replay;
