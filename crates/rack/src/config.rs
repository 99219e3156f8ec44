//! The configuration: config.json, written by the module.
