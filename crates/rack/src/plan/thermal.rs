//! How warm a rack gets.
