//! Several processes on one database are one planner.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use rack::plan::check::conflicts;
use rack::plan::model::Id;
use rack::store::{Error, Store};
use testbed::{Result, bail, ensure};
use tokio::runtime::Runtime;
use tokio::task::JoinHandle;

use crate::support::{Db, at, device, refusal, runtime, story, who};

/// Threads and connections of its own, as a process has, and what it was told.
struct Process {
    threads: Runtime,
    writers: Vec<JoinHandle<Result<()>>>,
    acknowledged: Arc<Mutex<Vec<Id>>>,
}

impl Process {
    /// Puts devices of this kind anywhere into these racks, until it is over.
    fn start(
        db: &Db,
        number: usize,
        kind: Id,
        racks: &[Id],
        over: &Arc<AtomicBool>,
    ) -> Result<Self> {
        let (threads, acknowledged) = (runtime()?, Arc::<Mutex<Vec<Id>>>::default());
        let store = {
            let _threads = threads.enter();
            Store::open(&db.settings, None)?
        };
        let writers = (0..4).map(|writer| {
            let (store, over, racks) = (store.clone(), over.clone(), racks.to_owned());
            let acknowledged = acknowledged.clone();
            threads.spawn(async move {
                for count in 0.. {
                    if over.load(Ordering::Relaxed) {
                        break;
                    }
                    let wish = device(&format!("p{number}-{writer}-{count}"), kind);
                    let rack = racks[fastrand::usize(..racks.len())];
                    let place = Some(at(rack, fastrand::u8(1..=100)));
                    match store.create_device(&who(), &wish, place).await {
                        Ok(made) => acknowledged.lock().unwrap().push(made.id),
                        Err(Error::Conflicts(_)) => {}
                        Err(other) => bail!(other),
                    }
                }
                Ok(())
            })
        });
        Ok(Process {
            writers: writers.collect(),
            threads,
            acknowledged,
        })
    }

    fn count(&self) -> usize {
        self.acknowledged.lock().unwrap().len()
    }

    /// Waits until it was told of so many.
    async fn reaches(&self, count: usize) -> Result<()> {
        let deadline = Instant::now() + Duration::from_secs(60);
        while self.count() < count {
            let told = self.count();
            ensure!(
                Instant::now() < deadline,
                "{told} of {count} are acknowledged"
            );
            tokio::task::yield_now().await;
        }
        Ok(())
    }
}

#[test]
fn one_of_three_ends_in_the_middle_of_its_work_and_the_others_go_on() -> Result<()> {
    story(async |db| {
        let kind = db.kind("One", 2).await?.id;
        let mut racks = Vec::new();
        for name in ["A", "B", "C", "D"] {
            racks.push(db.rack(name, 100).await?.id);
        }
        let over = Arc::new(AtomicBool::new(false));
        let processes = (0..3).map(|number| Process::start(&db, number, kind, &racks, &over));
        let mut processes = processes.collect::<Result<Vec<_>>>()?;
        for process in &processes {
            process.reaches(4).await?;
        }
        let killed = processes.remove(0);
        killed.threads.shutdown_background();
        for process in &processes {
            process.reaches(process.count() + 4).await?;
        }
        over.store(true, Ordering::Relaxed);
        let mut acknowledged = killed.acknowledged.lock().unwrap().clone();
        for process in processes {
            for writer in process.writers {
                writer.await??;
            }
            acknowledged.extend(process.acknowledged.lock().unwrap().iter());
            process.threads.shutdown_background();
        }
        for rack in racks {
            let filled = db.store.filled(rack).await?;
            acknowledged.retain(|id| !filled.items.iter().any(|item| item.device.id == *id));
            let conflicts = conflicts(&filled);
            ensure!(conflicts.is_empty(), "{conflicts:?}");
        }
        ensure!(
            acknowledged.is_empty(),
            "{acknowledged:?} were acknowledged"
        );
        let log = "SELECT count(*) FROM audit WHERE what = 'device' AND action = 'create'";
        ensure!(db.count(log).await? == db.count("SELECT count(*) FROM devices").await?);
        Ok(())
    })
}

#[test]
fn what_is_dropped_half_done_holds_nobody_up() -> Result<()> {
    story(async |db| {
        let made = db.rack("A", 4).await?;
        let mut blocker = db.client().await?;
        let held = blocker.transaction().await?;
        held.batch_execute("SELECT * FROM racks FOR UPDATE").await?;
        let store = Store::open(&db.settings, None)?;
        let task = tokio::spawn(async move {
            let wish = crate::support::rack("B", 4);
            store.change_rack(&who(), made.id, 1, &wish).await
        });
        let waits = "SELECT count(*) FROM pg_stat_activity WHERE wait_event_type = 'Lock' AND datname = current_database()";
        db.wait_for(waits, 1).await?;
        task.abort();
        ensure!(task.await.is_err());
        held.rollback().await?;
        let wish = crate::support::rack("C", 4);
        let changed = db.store.change_rack(&who(), made.id, 1, &wish).await?;
        ensure!(changed.version == 2, "the other one was not carried out");
        let old = refusal(db.store.change_rack(&who(), made.id, 1, &wish).await);
        ensure!(matches!(old, Error::Changed { now: 2, .. }), "{old}");
        Ok(())
    })
}
