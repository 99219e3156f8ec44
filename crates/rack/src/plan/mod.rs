//! What a rack holds, and whether it may: the model, checks, heat and optimisation. Pure: no clock, no network, no files.

pub mod check;
pub mod model;
pub mod optimise;
pub mod thermal;
