use super::*;

mod chat;
