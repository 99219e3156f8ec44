//! A card, or the image for one: its partition table, its partitions, and the files on BOOT.
//!
//! Everything that reads or changes a partition table stands here once: the device, which grows DATA ([`growth`]);
//! the host, which writes `lichen.toml` to BOOT of a card that was just flashed; and the tests.
//!
//! The one idea: a table counts only if Linux would take it ([`Table::read`]). What is damaged is refused by all alike.

#[cfg(feature = "boot")]
mod boot;
mod gpt;
pub mod growth;
mod partition;
#[cfg(any(test, feature = "testing"))]
pub mod testing;

#[cfg(feature = "boot")]
pub use boot::{read_from_boot, write_to_boot};
pub use gpt::{GptError, Read, SECTOR, Table, reader_of_bytes, reader_of_file};
pub use partition::Partition;
