//! Where devices are better placed.
