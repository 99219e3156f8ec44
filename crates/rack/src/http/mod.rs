//! The API, sessions, and the files of the page.
