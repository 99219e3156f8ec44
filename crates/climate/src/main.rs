//! climate
fn main() {}
