//! A rack from a file.

use rack::plan::model::{Filled, KindFields, Place};
use rack::store::Error;
use testbed::{Result, ensure};

use crate::support::{Db, at, device, kind, refusal, story, who};

/// A rack with a shelf that something stands on, as it would be in a file.
async fn exported(db: &Db) -> Result<Filled> {
    let shelf = KindFields {
        shelf: true,
        ..kind("Shelf", 6)
    };
    let shelf = db.store.create_kind(&who(), &shelf).await?;
    let small = db.kind("Small", 4).await?;
    let rack = db.rack("A", 12).await?;
    let board = device("board", shelf.id);
    let board = db
        .store
        .create_device(&who(), &board, Some(at(rack.id, 1)))
        .await?;
    let place = Place::Shelf {
        rack: rack.id,
        shelf: board.id,
        left: 0,
    };
    db.store
        .create_device(&who(), &device("pi", small.id), Some(place))
        .await?;
    let mut filled = db.store.filled(rack.id).await?;
    filled.rack.fields.name = "B".into();
    // The order of a file is any.
    filled
        .items
        .sort_by_key(|item| std::cmp::Reverse(item.device.id));
    Ok(filled)
}

#[test]
fn a_rack_of_a_file_becomes_a_new_one() -> Result<()> {
    story(async |db| {
        let mut wish = exported(&db).await?;
        let mut other = kind("New", 2);
        other.watts = 7.0;
        let item = wish
            .items
            .iter()
            .find(|item| item.device.fields.name == "board");
        let mut item = item.cloned().expect("the board is there");
        (item.device.id, item.device.fields.name) = (9999, "new".into());
        (item.kind.id, item.kind.fields) = (8888, other);
        item.device.place = Some(at(wish.rack.id, 10));
        wish.items.push(item);
        let made = db.store.import_rack(&who(), &wish).await?;
        ensure!(made == db.store.filled(made.rack.id).await?);
        ensure!(made.items.len() == 3 && made.rack.id != wish.rack.id);
        let of = |name: &str| {
            let mut items = made.items.iter();
            items
                .find(|item| item.device.fields.name == name)
                .cloned()
                .expect("it is there")
        };
        let (board, pi) = (of("board"), of("pi"));
        ensure!(
            matches!(pi.device.place, Some(Place::Shelf { shelf, .. }) if shelf == board.device.id)
        );
        ensure!(board.kind.id == wish.items[1].kind.id, "its kind was there");
        ensure!(of("new").kind.fields.watts == 7.0);
        Ok(())
    })
}

#[test]
fn a_rack_that_does_not_fit_is_not_made() -> Result<()> {
    story(async |db| {
        let wish = exported(&db).await?;
        let mut twice = wish.clone();
        let mut item = twice.items[1].clone();
        item.device.id = 9999;
        twice.items.push(item);
        let refused = refusal(db.store.import_rack(&who(), &twice).await);
        ensure!(matches!(refused, Error::Conflicts(_)), "{refused}");
        let mut lone = wish.clone();
        lone.items.remove(1);
        let refused = refusal(db.store.import_rack(&who(), &lone).await);
        ensure!(matches!(refused, Error::Invalid { .. }), "{refused}");
        let mut taken = wish;
        taken.rack.fields.name = "A".into();
        let refused = refusal(db.store.import_rack(&who(), &taken).await);
        ensure!(matches!(refused, Error::Taken { .. }), "{refused}");
        ensure!(db.store.racks().await?.len() == 1);
        ensure!(db.count("SELECT count(*) FROM devices").await? == 2);
        Ok(())
    })
}
