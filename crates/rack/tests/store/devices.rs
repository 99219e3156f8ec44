//! Devices.

use rack::plan::model::DeviceFields;
use rack::store::{DeviceQuery, Error};
use testbed::Result;

use crate::support::{at, device, refusal, story, who};

fn all() -> DeviceQuery {
    DeviceQuery {
        limit: 1000,
        ..DeviceQuery::default()
    }
}

#[test]
fn a_device_is_made_changed_and_deleted() -> Result<()> {
    story(async |db| {
        let (one, high) = (db.kind("One", 2).await?, db.kind("High", 6).await?);
        let rack = db.rack("R1", 4).await?;
        let wish = DeviceFields {
            watts: Some(33.5),
            pinned: true,
            notes: "Serial SN-1".into(),
            tags: vec!["prod".into(), "Süd".into()],
            ..device("web1", one.id)
        };
        let place = Some(at(rack.id, 3));
        let made = db.store.create_device(&who(), &wish, place).await?;
        assert_eq!((made.version, made.place, &made.fields), (1, place, &wish));
        assert_eq!(db.store.device(made.id).await?, made);
        let filled = db.store.filled(rack.id).await?;
        assert_eq!(
            (&filled.items[0].device, &filled.items[0].kind),
            (&made, &one)
        );
        let plain = device("web2", one.id);
        let changed = db.store.change_device(&who(), made.id, 1, &plain).await?;
        assert_eq!(
            (changed.version, changed.place, &changed.fields),
            (2, place, &plain)
        );
        let higher = device("web2", high.id);
        let refused = refusal(db.store.change_device(&who(), made.id, 2, &higher).await);
        assert!(matches!(refused, Error::Conflicts(_)), "{refused}");
        let old = refusal(db.store.change_device(&who(), made.id, 1, &plain).await);
        assert!(matches!(old, Error::Changed { now: 2, .. }), "{old}");
        let old = refusal(db.store.delete_device(&who(), made.id, 1).await);
        assert!(matches!(old, Error::Changed { now: 2, .. }), "{old}");
        db.store.delete_device(&who(), made.id, 2).await?;
        let gone = refusal(db.store.device(made.id).await);
        assert!(matches!(gone, Error::Missing { what: "device", .. }));
        Ok(())
    })
}

#[test]
fn what_a_device_needs_has_to_be_there() -> Result<()> {
    story(async |db| {
        let (kind, rack) = (db.kind("One", 2).await?, db.rack("R1", 4).await?);
        let store = &db.store;
        let missing = refusal(store.create_device(&who(), &device("a", 999), None).await);
        assert_eq!(missing.to_string(), "there is no kind 999");
        let place = Some(at(999, 1));
        let missing = refusal(
            store
                .create_device(&who(), &device("a", kind.id), place)
                .await,
        );
        assert_eq!(missing.to_string(), "there is no rack 999");
        let place = Some(rack::plan::model::Place::Shelf {
            rack: rack.id,
            shelf: 999,
            left: 0,
        });
        let missing = refusal(
            store
                .create_device(&who(), &device("a", kind.id), place)
                .await,
        );
        assert_eq!(missing.to_string(), "there is no shelf 999");
        let place = Some(at(rack.id, 5));
        let outside = refusal(
            store
                .create_device(&who(), &device("a", kind.id), place)
                .await,
        );
        assert!(matches!(outside, Error::Conflicts(_)), "{outside}");
        let nameless = refusal(
            store
                .create_device(&who(), &device("", kind.id), None)
                .await,
        );
        assert!(matches!(nameless, Error::Invalid { .. }), "{nameless}");
        assert_eq!(store.devices(all()).await?, []);
        assert_eq!(
            db.count("SELECT count(*) FROM audit WHERE what = 'device'")
                .await?,
            0
        );
        Ok(())
    })
}

#[test]
fn devices_are_listed_by_rack_by_words_and_page_by_page() -> Result<()> {
    story(async |db| {
        let (kind, rack) = (db.kind("Blade", 2).await?, db.rack("R1", 40).await?);
        for number in 1..=30 {
            let place = (number % 2 == 0).then(|| at(rack.id, number));
            let fields = device(&format!("web{number}"), kind.id);
            db.store.create_device(&who(), &fields, place).await?;
        }
        let in_rack = DeviceQuery {
            rack: Some(rack.id),
            ..all()
        };
        assert_eq!(db.store.devices(in_rack).await?.len(), 15);
        let nowhere = DeviceQuery {
            unplaced: true,
            ..all()
        };
        assert_eq!(db.store.devices(nowhere).await?.len(), 15);
        // Words of its kind count as well, and so does any part of its name.
        for (q, count) in [
            ("web1", 11),
            ("blade web3", 2),
            ("eb30", 1),
            ("acme", 30),
            ("xyz", 0),
        ] {
            let q = Some(q.to_owned());
            let found = db.store.devices(DeviceQuery { q, ..all() }).await?;
            assert_eq!(found.len(), count);
        }
        let (mut names, mut query) = (Vec::new(), all());
        query.limit = 7;
        loop {
            let page = db.store.devices(query.clone()).await?;
            let Some(last) = page.last() else { break };
            query.after = Some(last.id);
            names.extend(page.into_iter().map(|device| device.fields.name));
        }
        let expected: Vec<String> = (1..=30).map(|number| format!("web{number}")).collect();
        assert_eq!(names, expected);
        Ok(())
    })
}
