//! Simulated trades, for trying the service without a network.

use super::{Decode, Exchange, Nature, SourceSettings};
use crate::feed::decode::{Decoded, Table};

pub struct Simulated;

impl Exchange for Simulated {
    fn name(&self) -> &'static str {
        "simulated"
    }

    fn channels(&self) -> &'static [(&'static str, Nature)] {
        &[]
    }

    fn nature(&self, _: &SourceSettings, _: &str) -> Option<Nature> {
        Some(Nature::TRADES)
    }

    fn address(&self, _: &SourceSettings) -> Option<String> {
        None
    }

    fn decoder(&self, _: &SourceSettings, _: Table) -> Decode {
        Box::new(|_, _, _| Ok(Decoded::Other))
    }
}
