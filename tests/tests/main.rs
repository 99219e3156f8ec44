//! The stories, a module for each group: whatever file is here. `cargo fmt` does not find them by that; `rustfmt
//! --edition 2024 tests/tests/*.rs` does.

automod::dir!("tests");
