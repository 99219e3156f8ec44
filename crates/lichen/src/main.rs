//! lichen
fn main() {}
