//! The stories, a module for each group.

automod::dir!("tests");
