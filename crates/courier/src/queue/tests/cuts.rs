//! The queue on a disk that loses power: at each point between two steps, whatever the disk may have made of what was not
//! synced yet.

use std::collections::BTreeSet;

use fastrand::Rng;

use super::*;

/// What a disk writes as a whole or not at all.
const SECTOR: usize = 512;
/// How many disks are looked at for each cut, beside the one that has done everything and the one that has done nothing.
const SAMPLES: usize = 12;

/// The files of a folder.
type Files = BTreeMap<PathBuf, Vec<u8>>;

/// What is known when the power is cut.
#[derive(Debug, Default)]
struct Told {
    /// How many frames are durable.
    added: i64,
    /// Which of them have arrived.
    arrived: BTreeSet<i64>,
    /// And which are not sent again.
    acknowledged: BTreeSet<i64>,
    /// What is on the disk for certain.
    durable: Files,
}

fn files(place: &Place) -> Files {
    let entries = fs::read_dir(place.directory.path().join("queue"));
    let paths = (entries.into_iter().flatten()).map(|entry| entry.unwrap().path());
    paths
        .map(|path| (path.file_name().unwrap().into(), fs::read(&path).unwrap()))
        .collect()
}

/// What a disk may have that had `old` and was told to have `new`.
fn remains(old: &Files, new: &Files, rng: &mut Rng) -> Files {
    let paths: BTreeSet<&PathBuf> = old.keys().chain(new.keys()).collect();
    let mut remains = Files::new();
    for path in paths {
        let file = match (old.get(path), new.get(path)) {
            (Some(old), Some(new)) => Some(mixed(old, new, rng)),
            // Its entry may have reached the disk, or not yet.
            (None, Some(new)) => rng.bool().then(|| mixed(&[], new, rng)),
            (Some(old), None) => rng.bool().then(|| old.clone()),
            (None, None) => None,
        };
        remains.extend(file.map(|bytes| (path.clone(), bytes)));
    }
    remains
}

/// Some sectors are old, and some are new; what was never written is zero, or anything.
fn mixed(old: &[u8], new: &[u8], rng: &mut Rng) -> Vec<u8> {
    let length = rng.usize(old.len().min(new.len())..=new.len());
    let mut mixed = new[..length].to_vec();
    for (number, sector) in mixed.chunks_mut(SECTOR).enumerate() {
        let kind = rng.u8(..4);
        for (at, byte) in sector.iter_mut().enumerate() {
            *byte = match (kind, old.get(number * SECTOR + at)) {
                (0 | 1, _) => *byte,
                (_, Some(old)) => *old,
                (2, None) => 0,
                (_, None) => rng.u8(..),
            };
        }
    }
    mixed
}

/// Adds frames, and lets some of them arrive: what is oldest first, and later what is newest first.
fn story(place: &Place, told: &mut Told) {
    let mut queue = place.open();
    told.durable = files(place);
    for round in 0..6 {
        for _ in 0..3 {
            queue.append(frame(told.added)).unwrap();
            told.added += 1;
            told.durable = files(place);
        }
        if round % 2 == 1 {
            queue.begin_anew();
            told.durable = files(place);
        }
        let order = match round < 3 {
            true => Order::OldestFirst,
            false => Order::NewestFirst,
        };
        let batch = next(&mut queue, order, 4).unwrap();
        // It has arrived, whether or not that can still be noted.
        told.arrived.extend(numbers(&batch));
        queue.acknowledge(&batch).unwrap();
        told.acknowledged.extend(numbers(&batch));
        told.durable = files(place);
    }
}

/// Starts anew with these files.
fn restart(files: &Files) -> Place {
    let place = Place::new();
    let folder = place.directory.path().join("queue");
    durable::directory(&folder, 0o700).unwrap();
    for (name, bytes) in files {
        OpenForTest::new(&folder.join(name)).replace(bytes);
    }
    place
}

#[test]
fn whatever_a_disk_makes_of_a_cut_nothing_durable_is_lost_and_nothing_acknowledged_comes_again() {
    let (mut cuts, mut disks) = (0, 0);
    for point in 0.. {
        let (place, mut told) = (Place::new(), Told::default());
        let whole = durable::cut::at(point, || story(&place, &mut told));
        let now = files(&place);
        let mut rng = Rng::with_seed(point as u64);
        let samples = (0..SAMPLES).map(|_| remains(&told.durable, &now, &mut rng));
        let mut all: Vec<Files> = samples.collect();
        all.extend([told.durable.clone(), now]);
        for disk in all {
            let place = restart(&disk);
            let rest = place.drain();
            let known: BTreeSet<i64> = rest.iter().copied().collect();
            assert_eq!(known.len(), rest.len(), "cut {point}: {rest:?}");
            // The frame that was being written may or may not be there.
            let written = known.union(&told.arrived).copied();
            let written: Vec<i64> = written.filter(|n| *n != told.added).collect();
            assert_eq!(
                written,
                (0..told.added).collect::<Vec<_>>(),
                "cut {point}: {told:?}"
            );
            assert!(
                known.is_disjoint(&told.acknowledged),
                "cut {point}: {rest:?}, but {:?} was acknowledged",
                told.acknowledged
            );
            // It goes on from there.
            place.open().append(frame(100)).unwrap();
            assert_eq!(place.drain(), [100], "cut {point}");
            disks += 1;
        }
        if whole.is_some() {
            break;
        }
        cuts += 1;
    }
    println!("{cuts} cuts, {disks} disks");
    assert!(cuts > 50, "{cuts}");
}
