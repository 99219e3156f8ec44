//! Whether a device may be at a place.
