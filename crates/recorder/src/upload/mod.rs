//! Uploads of finished recordings.
