//! Racks.

use rack::plan::check::Conflict;
use rack::store::Error;
use testbed::Result;

use crate::support::{at, device, rack, refusal, story, who};

#[test]
fn a_rack_is_made_changed_and_deleted() -> Result<()> {
    story(async |db| {
        let made = db.rack("R2", 42).await?;
        let other = db.rack("R1", 12).await?;
        assert_eq!((made.version, &made.fields), (1, &rack("R2", 42)));
        assert_eq!(db.store.racks().await?, [other, made.clone()]);
        let mut wish = rack("R2", 48);
        wish.watts = Some(3000.0);
        wish.notes = "Zähler 4711\n'\"\\".into();
        let changed = db.store.change_rack(&who(), made.id, 1, &wish).await?;
        assert_eq!((changed.version, &changed.fields), (2, &wish));
        assert_eq!(db.store.rack(made.id).await?, changed);
        let filled = db.store.filled(made.id).await?;
        assert_eq!((filled.rack, filled.items.len()), (changed, 0));
        db.store.delete_rack(&who(), made.id, 2).await?;
        let gone = refusal(db.store.rack(made.id).await);
        assert_eq!(gone.to_string(), format!("there is no rack {}", made.id));
        let gone = refusal(db.store.filled(made.id).await);
        assert!(matches!(gone, Error::Missing { what: "rack", .. }));
        Ok(())
    })
}

#[test]
fn what_is_not_allowed_is_named() -> Result<()> {
    story(async |db| {
        let made = db.rack("R1", 42).await?;
        let other = db.rack("R2", 42).await?;
        let store = &db.store;
        let taken = refusal(store.create_rack(&who(), &rack("R1", 12)).await);
        assert_eq!(taken.to_string(), "there is already a rack named `R1`");
        let taken = refusal(
            store
                .change_rack(&who(), other.id, 1, &rack("R1", 42))
                .await,
        );
        assert!(matches!(taken, Error::Taken { .. }), "{taken}");
        let invalid = refusal(store.create_rack(&who(), &rack("R3", 101)).await);
        assert!(matches!(invalid, Error::Invalid { ref field, .. } if field == "units"));
        let missing = refusal(store.change_rack(&who(), 9999, 1, &rack("R3", 1)).await);
        assert!(
            matches!(missing, Error::Missing { id: 9999, .. }),
            "{missing}"
        );
        store
            .change_rack(&who(), made.id, 1, &rack("R1", 40))
            .await?;
        let changed = refusal(store.change_rack(&who(), made.id, 1, &rack("R1", 30)).await);
        assert!(
            matches!(changed, Error::Changed { now: 2, .. }),
            "{changed}"
        );
        let changed = refusal(store.delete_rack(&who(), made.id, 1).await);
        assert!(
            matches!(changed, Error::Changed { now: 2, .. }),
            "{changed}"
        );
        Ok(())
    })
}

#[test]
fn a_rack_with_something_in_it_can_neither_go_nor_be_too_small_for_it() -> Result<()> {
    story(async |db| {
        let (made, kind) = (db.rack("R1", 12).await?, db.kind("Server", 4).await?);
        let wish = device("web1", kind.id);
        let place = Some(at(made.id, 11));
        let placed = db.store.create_device(&who(), &wish, place).await?;
        let used = refusal(db.store.delete_rack(&who(), made.id, 1).await);
        assert_eq!(
            used.to_string(),
            "the rack is still in use: devices in it: 1"
        );
        let small = refusal(
            db.store
                .change_rack(&who(), made.id, 1, &rack("R1", 11))
                .await,
        );
        let Error::Conflicts(conflicts) = &small else {
            panic!("{small}");
        };
        assert!(
            matches!(conflicts[..], [Conflict::OutsideRack { .. }]),
            "{small}"
        );
        let mut weak = rack("R1", 12);
        weak.watts = Some(99.0);
        let small = refusal(db.store.change_rack(&who(), made.id, 1, &weak).await);
        assert!(matches!(small, Error::Conflicts(_)), "{small}");
        assert_eq!(db.store.rack(made.id).await?, made, "nothing has changed");
        weak.watts = Some(100.0);
        db.store.change_rack(&who(), made.id, 1, &weak).await?;
        let taken_out = db.store.place(&who(), placed.id, 1, None).await?;
        assert_eq!((taken_out.place, taken_out.version), (None, 2));
        db.store.delete_rack(&who(), made.id, 2).await?;
        Ok(())
    })
}
