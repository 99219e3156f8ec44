//! What a rack holds, and whether it may: the model, checks, heat and optimisation. Pure: no network, no files, and no
//! clock but the one that ends a search.

pub mod check;
pub mod model;
pub mod optimise;
mod space;
pub mod thermal;

pub use space::Extent;

#[cfg(test)]
mod testing;
