//! What was read from the database, kept in Redis.
