//! lichenctl
fn main() {}
