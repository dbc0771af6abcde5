//! Answers of every dialect, from files, at every split; what they cost; what reading them holds.

mod answers;

mod every_fixture;
