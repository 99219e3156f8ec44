//! PostgreSQL is killed while it is written to: whatever was acknowledged is there, once, and what was not is whole or not there.

use std::collections::BTreeMap;
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use daemons::{Device, Postgres};
use rack::plan::model::{Id, Place, Version};
use rack::store::{Error, Store};
use testbed::{Result, bail, ensure, figures};

use crate::support::{at, client, device, kind, rack, runtime, settings, who};

const CLIENTS: usize = 4;

/// What the clients were told.
#[derive(Default)]
struct Told {
    /// By the name of a device, of which each is made once: its number, version and place.
    devices: BTreeMap<String, (Id, Version, Option<Place>)>,
    /// Changes of which nobody knows whether they were made: by name, what the device would be then.
    open: BTreeMap<String, Option<(Version, Option<Place>)>>,
}

struct Load<'a> {
    store: &'a Store,
    told: &'a Mutex<Told>,
    over: &'a AtomicBool,
    /// Changes that were acknowledged.
    count: &'a AtomicU64,
    kind: Id,
    rack: Id,
}

impl Load<'_> {
    /// Makes devices, and moves each once, until it is told that it is enough.
    async fn write(&self, client: usize, round: usize) -> Result<()> {
        for number in 0.. {
            if self.over.load(Ordering::Relaxed) {
                return Ok(());
            }
            let name = format!("c{client}-r{round}-{number}");
            let (who, wish) = (who(), device(&name, self.kind));
            let made = match self.store.create_device(&who, &wish, None).await {
                Ok(made) => made,
                Err(Error::Gone(why)) => {
                    if why.contains("unknown") {
                        self.told.lock().unwrap().open.insert(name, None);
                    }
                    continue;
                }
                Err(other) => bail!(other),
            };
            self.acknowledge(&name, (made.id, made.version, made.place));
            let place = Some(at(self.rack, 1 + client as u8));
            match self.store.place(&who, made.id, 1, place).await {
                Ok(moved) => {
                    self.acknowledge(&name, (moved.id, moved.version, moved.place));
                    self.out(&name, made.id).await?;
                }
                Err(Error::Gone(why)) => {
                    if why.contains("unknown") {
                        let open = Some((2, place));
                        self.told.lock().unwrap().open.insert(name, open);
                    }
                }
                // One of an earlier round, of which nobody knew whether it was put there, is in the way.
                Err(Error::Conflicts(_)) => {}
                Err(other) => bail!(other),
            }
        }
        Ok(())
    }

    /// Makes room for the next one.
    async fn out(&self, name: &str, id: Id) -> Result<()> {
        match self.store.place(&who(), id, 2, None).await {
            Ok(out) => self.acknowledge(name, (out.id, out.version, out.place)),
            Err(Error::Gone(why)) => {
                if why.contains("unknown") {
                    let open = Some((3, None));
                    self.told.lock().unwrap().open.insert(name.into(), open);
                }
            }
            Err(other) => bail!(other),
        }
        Ok(())
    }

    fn acknowledge(&self, name: &str, state: (Id, Version, Option<Place>)) {
        self.told.lock().unwrap().devices.insert(name.into(), state);
        self.count.fetch_add(1, Ordering::Relaxed);
    }
}

/// Looks at all devices, without the store.
async fn judge(device: &Device, told: &Mutex<Told>) -> Result<()> {
    let client = client(&settings(&device.runtime(), "postgres"), "postgres").await?;
    let rows = client
        .query(
            "SELECT d.name, count(*), min(d.id), min(d.version), min(d.bottom), \
             (SELECT count(*) FROM audit a WHERE a.what = 'device' AND a.id_of = min(d.id)) FROM devices d GROUP BY d.name",
            &[],
        )
        .await?;
    let mut there = BTreeMap::<String, (Id, Version, Option<i16>)>::new();
    for row in &rows {
        let (name, count): (String, i64) = (row.try_get(0)?, row.try_get(1)?);
        ensure!(count == 1, "{name} was made {count} times");
        let (version, log): (Version, i64) = (row.try_get(3)?, row.try_get(5)?);
        ensure!(
            version == log,
            "{name} was changed {version} times, and the log has {log}"
        );
        there.insert(name, (row.try_get(2)?, version, row.try_get(4)?));
    }
    let mut told = told.lock().unwrap();
    let told = &mut *told;
    let bottom = |place: Option<Place>| match place {
        Some(Place::Units { bottom, .. }) => Some(i16::from(bottom)),
        _ => None,
    };
    for (name, (id, version, place)) in &mut told.devices {
        let Some(found) = there.remove(name) else {
            bail!("{name} was acknowledged, and is lost");
        };
        if found == (*id, *version, bottom(*place)) {
            continue;
        }
        // It may be what nobody knew.
        match told.open.get(name) {
            Some(Some(open)) if found == (*id, open.0, bottom(open.1)) => {
                (*version, *place) = *open;
            }
            _ => bail!("{name} is {found:?}, and was acknowledged as {version} at {place:?}"),
        }
    }
    for (name, found) in there {
        let may_be = told.open.get(&name) == Some(&None) && found.1 == 1;
        ensure!(may_be, "{name} is there, and was never acknowledged");
    }
    Ok(())
}

fn kills(count: usize) -> Result<()> {
    let device = Device::new("postgresql", &[])?;
    let runtime = runtime()?;
    let settings = settings(&device.runtime(), "postgres");
    // The same store all the time: it has to find the server again.
    let store = runtime.block_on(async { Store::open(&settings, None) })?;
    let (told, acknowledged, open) = (Mutex::default(), AtomicU64::new(0), AtomicU64::new(0));
    let mut made = None;
    for round in 0..count {
        let up = device.up(|| Postgres::connect(&device.runtime()))?;
        ensure!(up.said.is_empty(), "a start failed: {:?}", up.said);
        let over = AtomicBool::new(false);
        let mut server = Some(up.server);
        runtime.block_on(async {
            if made.is_none() {
                store.migrate().await?;
                let rack = store.create_rack(&who(), &rack("A", 40)).await?;
                made = Some((
                    rack.id,
                    store.create_kind(&who(), &kind("One", 2)).await?.id,
                ));
            }
            let (rack, kind) = made.expect("it was just made");
            judge(&device, &told).await?;
            let load = Load {
                store: &store,
                told: &told,
                over: &over,
                count: &acknowledged,
                kind,
                rack,
            };
            let clients = (0..CLIENTS).map(|client| load.write(client, round));
            let clients = futures_util::future::try_join_all(clients);
            let enough = acknowledged.load(Ordering::Relaxed) + fastrand::u64(1..60);
            let kill = async {
                let deadline = Instant::now() + Duration::from_secs(60);
                while acknowledged.load(Ordering::Relaxed) < enough {
                    ensure!(
                        Instant::now() < deadline,
                        "so many changes are not acknowledged"
                    );
                    tokio::task::yield_now().await;
                }
                if let Some(server) = server.take() {
                    tokio::task::block_in_place(|| server.kill())?;
                }
                over.store(true, Ordering::Relaxed);
                Ok(())
            };
            tokio::try_join!(clients, kill)?;
            Ok::<_, testbed::Error>(())
        })?;
        open.store(told.lock().unwrap().open.len() as u64, Ordering::Relaxed);
    }
    let _up = device.up(|| Postgres::connect(&device.runtime()))?;
    runtime.block_on(judge(&device, &told))?;
    figures(format!(
        "The rack planner's store: {count} kills of PostgreSQL under load: none of {} acknowledged changes lost, none made twice; of {} \
         the callers were told that the outcome is unknown",
        acknowledged.into_inner(),
        open.into_inner()
    ));
    Ok(())
}

#[test]
fn a_kill_of_the_database_costs_no_acknowledged_change() -> Result<()> {
    kills(5)
}

#[test]
#[ignore = "takes some minutes: a hundred kills"]
fn a_hundred_kills_of_the_database_cost_no_acknowledged_change() -> Result<()> {
    kills(100)
}
