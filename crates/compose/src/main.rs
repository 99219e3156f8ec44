//! compose
fn main() {}
