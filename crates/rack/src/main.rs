//! The rack planner's program.
fn main() {}
