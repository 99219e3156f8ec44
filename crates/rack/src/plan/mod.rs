//! What a rack holds, and whether it may: the model, placement, heat and optimisation. Pure: no clock, no network, no files.

pub mod model;
