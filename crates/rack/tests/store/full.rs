//! A full disk: writes are refused with the reason, reads go on, and there is room again later.

use std::fs::{self, File};
use std::io::Write;
use std::time::Duration;

use daemons::{Device, Postgres};
use rack::plan::model::DeviceFields;
use rack::store::{Error, Store};
use testbed::{Context, Result, ensure, wait_until};

use crate::support::{device, kind, runtime, settings, who};

/// The file system, most of which other data fill.
const ROOM: u64 = 260 << 20;

#[test]
fn a_full_disk_refuses_writes_and_loses_none() -> Result<()> {
    let host = Device::new("postgresql", &[])?;
    let mut server = host.start_small(ROOM, Some("postgresql-room"))?;
    let connect = || Postgres::connect(&host.runtime());
    server.ready(connect)?.context("it ended")?;
    let runtime = runtime()?;
    let store =
        runtime.block_on(async { Store::open(&settings(&host.runtime(), "postgres"), None) })?;
    runtime.block_on(store.migrate())?;
    let kind = runtime.block_on(store.create_kind(&who(), &kind("One", 2)))?;
    let ballast = server.there(&host.data_there())?.join("ballast");
    let mut file = File::create(&ballast)?;
    for size in [1 << 20, 4096, 1] {
        let block = vec![1; size];
        while file.write_all(&block).is_ok() {}
    }
    drop(file);
    let wish = |number: usize| DeviceFields {
        notes: "x"
            .repeat(10_000)
            .replace("xx", &format!("{:02x}", fastrand::u8(..))),
        ..device(&format!("web{number}"), kind.id)
    };
    let mut acknowledged = Vec::new();
    let refused = (0..100_000).find_map(|number| {
        match runtime.block_on(store.create_device(&who(), &wish(number), None)) {
            Ok(made) => {
                acknowledged.push(made);
                None
            }
            Err(error) => Some(error),
        }
    });
    let refused = refused.context("a full disk was written to")?;
    // The server may have to end for want of room; then it is the connection that was lost.
    ensure!(
        matches!(refused, Error::Busy(_) | Error::Gone(_)),
        "{refused}"
    );
    wait_until("a read", Duration::from_secs(60), || {
        for made in acknowledged.iter().rev().take(10) {
            let found = runtime.block_on(store.device(made.id))?;
            ensure!(found == *made);
        }
        Ok(())
    })?;
    fs::remove_file(ballast)?;
    wait_until("a write", Duration::from_secs(60), || {
        Ok(runtime.block_on(store.create_device(&who(), &wish(100_000), None))?)
    })?;
    for made in &acknowledged {
        let found = runtime.block_on(store.device(made.id))?;
        ensure!(found == *made);
    }
    Ok(())
}
