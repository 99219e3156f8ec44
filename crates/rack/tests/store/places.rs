//! Places: what fits where, whoever else is moving something.

use std::sync::Arc;

use rack::plan::check::Conflict;
use rack::plan::model::{COLUMNS, Face, KindFields, Place};
use rack::store::{Error, Move};
use testbed::{Result, bail, ensure};

use crate::support::{at, device, kind, refusal, story, who};

#[test]
fn a_device_is_placed_moved_and_taken_out() -> Result<()> {
    story(async |db| {
        let (kind, a, b) = (
            db.kind("One", 2).await?,
            db.rack("A", 4).await?,
            db.rack("B", 4).await?,
        );
        let web = db.device("web1", &kind).await?;
        let other = db.device("web2", &kind).await?;
        let placed = db.store.place(&who(), web.id, 1, Some(at(a.id, 2))).await?;
        assert_eq!((placed.version, placed.place), (2, Some(at(a.id, 2))));
        let there = refusal(db.store.place(&who(), other.id, 1, Some(at(a.id, 2))).await);
        let Error::Conflicts(conflicts) = &there else {
            bail!("{there}");
        };
        let [Conflict::Occupied { by, .. }] = conflicts[..] else {
            bail!("{there}");
        };
        assert_eq!(by, web.id);
        let moved = db.store.place(&who(), web.id, 2, Some(at(b.id, 1))).await?;
        assert_eq!((moved.version, moved.place), (3, Some(at(b.id, 1))));
        // Where it is already: nothing happens.
        let same = db.store.place(&who(), web.id, 3, Some(at(b.id, 1))).await?;
        assert_eq!(same, moved);
        db.store
            .place(&who(), other.id, 1, Some(at(a.id, 2)))
            .await?;
        let old = refusal(db.store.place(&who(), web.id, 2, None).await);
        assert!(matches!(old, Error::Changed { now: 3, .. }), "{old}");
        let missing = refusal(db.store.place(&who(), web.id, 3, Some(at(77, 1))).await);
        assert_eq!(missing.to_string(), "there is no rack 77");
        let missing = refusal(db.store.place(&who(), 7777, 1, None).await);
        assert_eq!(missing.to_string(), "there is no device 7777");
        let out = db.store.place(&who(), web.id, 3, None).await?;
        assert_eq!(out.place, None);
        assert_eq!(db.store.filled(b.id).await?.items.len(), 0);
        Ok(())
    })
}

#[test]
fn what_stands_on_a_shelf_goes_with_it() -> Result<()> {
    story(async |db| {
        let shelf = KindFields {
            shelf: true,
            ..kind("Shelf", 6)
        };
        let small = KindFields {
            columns: COLUMNS / 4,
            ..kind("Small", 4)
        };
        let shelf = db.store.create_kind(&who(), &shelf).await?;
        let small = db.store.create_kind(&who(), &small).await?;
        let (a, b) = (db.rack("A", 12).await?, db.rack("B", 12).await?);
        let board = device("board", shelf.id);
        let board = db
            .store
            .create_device(&who(), &board, Some(at(a.id, 1)))
            .await?;
        let on_it = |rack, left| Place::Shelf {
            rack,
            shelf: board.id,
            left,
        };
        let pi = device("pi", small.id);
        let pi = db
            .store
            .create_device(&who(), &pi, Some(on_it(a.id, 3)))
            .await?;
        let moved = db
            .store
            .place(&who(), board.id, 1, Some(at(a.id, 4)))
            .await?;
        assert_eq!(
            db.store.device(pi.id).await?,
            pi,
            "it has not moved on its shelf"
        );
        db.store
            .place(&who(), board.id, moved.version, Some(at(b.id, 1)))
            .await?;
        let carried = db.store.device(pi.id).await?;
        assert_eq!((carried.place, carried.version), (Some(on_it(b.id, 3)), 2));
        assert_eq!(db.store.filled(a.id).await?.items.len(), 0);
        assert_eq!(db.store.filled(b.id).await?.items.len(), 2);
        let used = refusal(db.store.place(&who(), board.id, 3, None).await);
        assert_eq!(
            used.to_string(),
            "the shelf is still in use: pi stands on it"
        );
        let used = refusal(db.store.delete_device(&who(), board.id, 3).await);
        assert!(matches!(used, Error::InUse { what: "shelf", .. }), "{used}");
        // Both at once may go.
        let out = |device, version| Move {
            device,
            version,
            place: None,
        };
        db.store
            .move_all(&who(), vec![out(board.id, 3), out(pi.id, 2)])
            .await?;
        Ok(())
    })
}

#[test]
fn what_stands_on_a_shelf_counts_where_the_shelf_goes() -> Result<()> {
    story(async |db| {
        let shelf = KindFields {
            shelf: true,
            watts: 0.0,
            ..kind("Shelf", 6)
        };
        let shelf = db.store.create_kind(&who(), &shelf).await?;
        let hot = db.kind("Hot", 4).await?;
        let mut weak = crate::support::rack("B", 12);
        weak.watts = Some(99.0);
        let (a, b) = (
            db.rack("A", 12).await?,
            db.store.create_rack(&who(), &weak).await?,
        );
        let board = device("board", shelf.id);
        let board = db
            .store
            .create_device(&who(), &board, Some(at(a.id, 1)))
            .await?;
        let place = Place::Shelf {
            rack: a.id,
            shelf: board.id,
            left: 0,
        };
        let heater = device("heater", hot.id);
        db.store.create_device(&who(), &heater, Some(place)).await?;
        let refused = refusal(db.store.place(&who(), board.id, 1, Some(at(b.id, 1))).await);
        assert!(
            refused.to_string().to_lowercase().contains("w"),
            "{refused}"
        );
        assert!(matches!(refused, Error::Conflicts(_)), "{refused}");
        assert_eq!(db.store.filled(a.id).await?.items.len(), 2);
        Ok(())
    })
}

#[test]
fn devices_change_places_all_or_none() -> Result<()> {
    story(async |db| {
        let (kind, rack) = (db.kind("One", 2).await?, db.rack("A", 4).await?);
        let mut things = Vec::new();
        for unit in 1..=3 {
            let fields = device(&format!("web{unit}"), kind.id);
            let place = Some(at(rack.id, unit));
            things.push(db.store.create_device(&who(), &fields, place).await?);
        }
        let go = |index: usize, version, unit| Move {
            device: things[index].id,
            version,
            place: Some(at(rack.id, unit)),
        };
        let around = vec![go(0, 1, 2), go(1, 1, 3), go(2, 1, 1)];
        let moved = db.store.move_all(&who(), around).await?;
        let places: Vec<_> = moved.iter().map(|thing| thing.place).collect();
        assert_eq!(places, [2, 3, 1].map(|unit| Some(at(rack.id, unit))));
        for (wrong, expected) in [
            (vec![go(0, 2, 4), go(1, 2, 5)], "fit"),
            (vec![go(0, 2, 4), go(1, 1, 2)], "changed"),
            (vec![go(0, 2, 4), go(0, 2, 4)], "twice"),
            (vec![go(0, 2, 4), go(1, 2, 4)], "fit"),
        ] {
            let refused = refusal(db.store.move_all(&who(), wrong).await).to_string();
            assert!(refused.contains(expected), "{refused}");
        }
        assert_eq!(db.store.device(things[0].id).await?, moved[0]);
        assert_eq!(db.store.move_all(&who(), Vec::new()).await?, []);
        Ok(())
    })
}

#[test]
fn of_two_people_who_move_one_device_at_once_one_is_told() -> Result<()> {
    story(async |db| {
        let (kind, rack) = (db.kind("One", 2).await?, db.rack("A", 40).await?);
        let db = Arc::new(db);
        let mut version = 1;
        let web = db.device("web1", &kind).await?;
        for round in 0..20u8 {
            let moves = [1, 2].map(|person| {
                let db = db.clone();
                let place = Some(at(rack.id, 2 * (round % 18) + person));
                tokio::spawn(async move { db.store.place(&who(), web.id, version, place).await })
            });
            let (mut moved, mut told) = (0, 0);
            for outcome in moves {
                match outcome.await? {
                    Ok(device) => {
                        moved += 1;
                        ensure!(device.version == version + 1);
                    }
                    Err(Error::Changed { now, .. }) => {
                        told += 1;
                        ensure!(now == version + 1);
                    }
                    Err(other) => bail!(other),
                }
            }
            ensure!((moved, told) == (1, 1), "{moved} moved, {told} told");
            version += 1;
        }
        let log = "SELECT count(*) FROM audit WHERE action = 'move'";
        ensure!(db.count(log).await? == 20);
        Ok(())
    })
}

#[test]
fn of_many_who_want_one_place_one_gets_it() -> Result<()> {
    story(async |db| {
        let (kind, rack) = (db.kind("One", 2).await?, db.rack("A", 40).await?);
        let db = Arc::new(db);
        for unit in 1..=5 {
            let mut wishes = Vec::new();
            for person in 0..8 {
                let (db, kind) = (db.clone(), kind.id);
                wishes.push(tokio::spawn(async move {
                    let fields = device(&format!("web{unit}-{person}"), kind);
                    let place = Some(at(rack.id, unit));
                    db.store.create_device(&who(), &fields, place).await
                }));
            }
            let mut got = 0;
            for wish in wishes {
                match wish.await? {
                    Ok(_) => got += 1,
                    Err(Error::Conflicts(_)) => {}
                    Err(other) => bail!(other),
                }
            }
            ensure!(got == 1, "{got} are in unit {unit}");
        }
        ensure!(db.count("SELECT count(*) FROM devices").await? == 5);
        Ok(())
    })
}

#[test]
fn opposite_moves_between_racks_do_not_hinder_each_other() -> Result<()> {
    story(async |db| {
        let kind = db.kind("One", 2).await?;
        let racks = [db.rack("A", 40).await?, db.rack("B", 40).await?];
        let db = Arc::new(db);
        let mut movers = Vec::new();
        for number in 0..8u8 {
            let web = db.device(&format!("web{number}"), &kind).await?;
            let (db, racks) = (db.clone(), [racks[0].id, racks[1].id]);
            movers.push(tokio::spawn(async move {
                for version in 1..=20 {
                    let rack = racks[(version as usize + usize::from(number)) % 2];
                    let place = Place::Units {
                        rack,
                        face: Face::Rear,
                        bottom: 4 * number,
                        left: 0,
                    };
                    db.store.place(&who(), web.id, version, Some(place)).await?;
                }
                Ok::<_, Error>(())
            }));
        }
        for mover in movers {
            mover.await??;
        }
        ensure!(db.count("SELECT sum(version)::bigint FROM devices").await? == 8 * 21);
        Ok(())
    })
}
