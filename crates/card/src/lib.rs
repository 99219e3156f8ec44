//! A card, or the image for one: its partition table, its partitions, and the files on BOOT.
//!
//! All code that reads or changes a partition table is here: for the device, which grows DATA ([`growth`]); for the
//! host, which writes `lichen.toml` to BOOT of a freshly flashed card; and for the tests.
//!
//! A table is accepted only if Linux would accept it ([`Table::read`]); all users refuse a damaged one.

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
