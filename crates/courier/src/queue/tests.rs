use std::os::unix::fs::FileExt;

use super::*;
use crate::clock::Moment;
use crate::labels::Labels;
use codec::Sample;

mod cuts;
mod reads;

fn frame(number: i64) -> Frame {
    let series = |name| Labels::new(&[("__name__", name), ("job", "test")]);
    let sample = |name, value| Sample {
        series: series(name),
        value,
        at_ms: None,
    };
    Frame {
        moment: Moment {
            up_ms: number,
            at_ms: 1_700_000_000_000 + number * 15_000,
            known: true,
        },
        samples: vec![sample("n", number as f64), sample("constant", 1.5)],
    }
}

struct Place {
    directory: tempfile::TempDir,
    stats: Arc<Stats>,
    most_bytes: u64,
}

impl Place {
    fn new() -> Self {
        Place {
            directory: durable::scratch(),
            stats: Arc::default(),
            most_bytes: 1 << 20,
        }
    }

    fn open(&self) -> Queue {
        let folder = self.directory.path().join("queue");
        let clock = Clock::new(None).in_boot("a");
        Queue::open(&folder, self.most_bytes, clock, self.stats.clone()).unwrap()
    }

    fn files(&self, extension: &str) -> Vec<PathBuf> {
        let entries = fs::read_dir(self.directory.path().join("queue")).unwrap();
        let paths = entries.map(|entry| entry.unwrap().path());
        let mut paths: Vec<_> = paths
            .filter(|path| path.extension().is_some_and(|e| e == extension))
            .collect();
        paths.sort();
        paths
    }

    /// The numbers of all frames that wait, in the order in which they are sent; acknowledges them.
    fn drain(&self) -> Vec<i64> {
        drain(&mut self.open())
    }
}

fn numbers(batch: &Batch) -> Vec<i64> {
    let numbers = batch.frames.iter().map(|frame| {
        assert_eq!(frame.samples[1].value, 1.5);
        assert_eq!(frame.samples[0].value as i64, frame.moment.up_ms);
        frame.moment.up_ms
    });
    numbers.collect()
}

fn next(queue: &mut Queue, order: Order, samples: usize) -> Option<Batch> {
    queue.next(order, samples).unwrap()
}

fn drain(queue: &mut Queue) -> Vec<i64> {
    let mut all = Vec::new();
    while let Some(batch) = next(queue, Order::OldestFirst, 6) {
        all.extend(numbers(&batch));
        queue.acknowledge(&batch).unwrap();
    }
    all
}

#[test]
fn what_was_added_comes_out_once_in_its_order_also_after_a_restart() {
    let place = Place::new();
    let mut queue = place.open();
    (0..5).for_each(|n| queue.append(frame(n)).unwrap());
    let batch = next(&mut queue, Order::OldestFirst, 4).unwrap();
    assert_eq!((numbers(&batch), batch.boot.as_str()), (vec![0, 1], "a"));
    queue.acknowledge(&batch).unwrap();
    drop(queue);
    let mut queue = place.open();
    (5..8).for_each(|n| queue.append(frame(n)).unwrap());
    assert_eq!(place.stats.samples_waiting(), 12);
    assert_eq!(drain(&mut queue), [2, 3, 4, 5, 6, 7]);
    assert_eq!((queue.frames(), place.stats.samples_waiting()), (0, 0));
    drop(queue);
    assert_eq!(place.drain(), Vec::<i64>::new());
    assert_eq!(place.files("segment"), Vec::<PathBuf>::new());
}

#[test]
fn what_was_not_acknowledged_comes_again() {
    let place = Place::new();
    let mut queue = place.open();
    (0..4).for_each(|n| queue.append(frame(n)).unwrap());
    for _ in 0..2 {
        let batch = next(&mut queue, Order::OldestFirst, 4).unwrap();
        assert_eq!(numbers(&batch), [0, 1]);
    }
    drop(queue);
    assert_eq!(place.drain(), [0, 1, 2, 3]);
}

#[test]
fn what_is_newest_may_go_first_and_the_rest_still_comes_once() {
    let place = Place::new();
    let mut queue = place.open();
    (0..4).for_each(|n| queue.append(frame(n)).unwrap());
    queue.begin_anew();
    (4..6).for_each(|n| queue.append(frame(n)).unwrap());
    let mut order = Vec::new();
    for fresh in 6..9 {
        let batch = next(&mut queue, Order::NewestFirst, 4).unwrap();
        order.extend(numbers(&batch));
        queue.acknowledge(&batch).unwrap();
        if fresh == 7 {
            queue.append(frame(6)).unwrap();
        }
    }
    assert_eq!(order, [4, 5, 0, 1, 6]);
    drop(queue);
    assert_eq!(place.drain(), [2, 3]);
}

#[test]
fn a_cut_between_any_two_steps_loses_nothing_that_was_durable() {
    let mut cuts = 0;
    for point in 0.. {
        let place = Place::new();
        let (mut added, mut arrived) = (0, Vec::new());
        let whole = durable::cut::at(point, || {
            let mut queue = place.open();
            for round in 0..4 {
                for _ in 0..3 {
                    queue.append(frame(added)).unwrap();
                    added += 1;
                }
                if round % 2 == 1 {
                    queue.begin_anew();
                }
                let batch = next(&mut queue, Order::OldestFirst, 4).unwrap();
                // It has arrived, whether or not that can still be noted.
                arrived.extend(numbers(&batch));
                queue.acknowledge(&batch).unwrap();
            }
        });
        let rest = place.drain();
        let mut all = arrived.clone();
        all.extend(&rest);
        all.dedup();
        all.sort_unstable();
        let doubles = all.len();
        all.dedup();
        // The frame that was being written may or may not be there.
        assert!(
            all.iter().copied().eq(0..added) || all.iter().copied().eq(0..=added),
            "cut {point}: {arrived:?} {rest:?}"
        );
        // At most what was sent last is sent again.
        assert!(
            doubles - all.len() <= 2,
            "cut {point}: {arrived:?} {rest:?}"
        );
        if whole.is_some() {
            break;
        }
        cuts += 1;
    }
    assert!(cuts > 30, "{cuts}");
}

#[test]
fn wherever_the_newest_segment_is_torn_what_was_before_is_there() {
    let place = Place::new();
    let mut queue = place.open();
    let mut lengths = Vec::new();
    for n in 0..3 {
        queue.append(frame(n)).unwrap();
        lengths.push(queue.bytes());
    }
    drop(queue);
    let path = place.files("segment").remove(0);
    let whole = fs::read(&path).unwrap();
    for torn in 0..whole.len() {
        for tail in [&[][..], &[0; 40], &[0xff; 40]] {
            let bytes = [&whole[..torn], tail].concat();
            let is_whole = |n: &i64| bytes.starts_with(&whole[..lengths[*n as usize] as usize]);
            let expected: Vec<i64> = (0..3).filter(is_whole).collect();
            if tail.is_empty() || !bytes.starts_with(&whole) {
                let mut file = OpenForTest::new(&path);
                file.replace(&bytes);
                fs::remove_file(path.with_file_name("mark")).unwrap();
                assert_eq!(place.drain(), expected, "torn at {torn}");
            }
        }
    }
    assert!(place.stats.how_many_lost(Lost::Damaged) == 0);
}

/// A file that is written without any care, as a broken disk does.
struct OpenForTest(std::fs::File);

impl OpenForTest {
    fn new(path: &Path) -> Self {
        let mut options = fs::OpenOptions::new();
        OpenForTest(
            options
                .write(true)
                .create(true)
                .truncate(true)
                .open(path)
                .unwrap(),
        )
    }

    fn replace(&mut self, bytes: &[u8]) {
        self.0.write_all_at(bytes, 0).unwrap();
    }
}

fn flip(path: &Path, at: u64) {
    let mut options = fs::OpenOptions::new();
    let file = options.read(true).write(true).open(path).unwrap();
    let mut byte = [0];
    file.read_exact_at(&mut byte, at).unwrap();
    file.write_all_at(&[byte[0] ^ 0x10], at).unwrap();
}

#[test]
fn a_damaged_segment_costs_only_itself() {
    let place = Place::new();
    let mut queue = place.open();
    for n in 0..9 {
        queue.append(frame(n)).unwrap();
        if n % 3 == 2 {
            queue.begin_anew();
        }
    }
    drop(queue);
    let files = place.files("segment");
    assert_eq!(files.len(), 3);
    // Of the first the beginning is damaged, of the second the end.
    flip(&files[0], 3);
    flip(&files[1], fs::metadata(&files[1]).unwrap().len() - 1);
    assert_eq!(place.drain(), [3, 4, 6, 7, 8]);
    assert_eq!(place.files("damaged").len(), 1);
}

#[test]
fn what_follows_a_damage_is_lost_and_counted_and_what_was_never_whole_is_not() {
    let place = Place::new();
    let mut queue = place.open();
    let lengths: Vec<u64> = (0..5)
        .map(|n| {
            queue.append(frame(n)).unwrap();
            queue.bytes()
        })
        .collect();
    drop(queue);
    let path = &place.files("segment")[0];
    flip(path, lengths[1] + 20);
    drop(place.open());
    assert_eq!(place.stats.how_many_lost(Lost::Damaged), 6);
    // The power was cut while the last one was being written.
    flip(path, lengths[1] - 1);
    assert_eq!(place.drain(), [0]);
    assert_eq!(place.stats.how_many_lost(Lost::Damaged), 6);
}

#[test]
fn what_is_damaged_while_it_waits_is_counted_and_never_blocks() {
    let place = Place::new();
    let mut queue = place.open();
    (0..3).for_each(|n| queue.append(frame(n)).unwrap());
    queue.begin_anew();
    queue.append(frame(3)).unwrap();
    let files = place.files("segment");
    flip(&files[0], fs::metadata(&files[0]).unwrap().len() - 1);
    assert_eq!(drain(&mut queue), [0, 1, 3]);
    assert_eq!(place.stats.how_many_lost(Lost::Damaged), 2);
}

#[test]
fn a_segment_that_cannot_be_read_costs_only_itself() {
    let place = Place::new();
    place.open().append(frame(0)).unwrap();
    // A folder stands for what the card does not give any more.
    fs::create_dir(segment::path(&place.directory.path().join("queue"), 2)).unwrap();
    assert_eq!(place.drain(), [0]);
    assert_eq!(place.files("damaged").len(), 1);
}

#[test]
fn of_damaged_segments_only_the_newest_are_kept() {
    let place = Place::new();
    for n in 0..7 {
        let mut queue = place.open();
        queue.append(frame(n)).unwrap();
        drop(queue);
        flip(place.files("segment").last().unwrap(), 3);
        assert_eq!(place.drain(), Vec::<i64>::new());
    }
    assert_eq!(place.files("damaged").len(), ASIDE);
}

#[test]
fn there_are_never_more_bytes_than_allowed_and_the_oldest_is_given_up_first() {
    let mut place = Place::new();
    place.most_bytes = 16_000;
    let mut queue = place.open();
    for n in 0..600 {
        queue.append(frame(n)).unwrap();
        assert!(queue.bytes() <= 16_000);
    }
    let lost = place.stats.how_many_lost(Lost::QueueFull) as i64 / 2;
    assert!(lost > 100, "{lost}");
    assert_eq!(drain(&mut queue), (lost..600).collect::<Vec<_>>());
}

#[test]
fn what_is_given_up_while_it_is_being_sent_disturbs_nothing() {
    let mut place = Place::new();
    place.most_bytes = 16_000;
    let mut queue = place.open();
    queue.append(frame(0)).unwrap();
    let batch = next(&mut queue, Order::OldestFirst, 4).unwrap();
    (1..600).for_each(|n| queue.append(frame(n)).unwrap());
    queue.acknowledge(&batch).unwrap();
    assert_eq!(drain(&mut queue).last(), Some(&599));
}

#[test]
fn what_the_disk_does_not_take_waits_in_memory_and_is_written_when_it_does() {
    let place = Place::new();
    let mut queue = place.open();
    queue.append(frame(0)).unwrap();
    queue.begin_anew();
    // A folder is in the way of the next file.
    let in_the_way = segment::path(&queue.folder, queue.next);
    fs::create_dir(&in_the_way).unwrap();
    for n in 1..4 {
        queue.append(frame(n)).unwrap_err();
    }
    assert_eq!(place.stats.samples_waiting(), 8);
    let batch = next(&mut queue, Order::OldestFirst, 2).unwrap();
    assert_eq!(numbers(&batch), [0]);
    queue.acknowledge(&batch).unwrap();
    // What is only in memory can be sent all the same.
    let batch = next(&mut queue, Order::OldestFirst, 2).unwrap();
    assert_eq!(numbers(&batch), [1, 2, 3]);
    fs::remove_dir(&in_the_way).unwrap();
    queue.append(frame(4)).unwrap();
    drop(queue);
    assert_eq!(place.drain(), [1, 2, 3, 4]);
    assert_eq!(place.stats.how_many_lost(Lost::NotWritten), 0);
}

#[test]
fn what_has_arrived_makes_room_even_if_that_cannot_be_marked() {
    let place = Place::new();
    let mut queue = place.open();
    (0..2).for_each(|n| queue.append(frame(n)).unwrap());
    queue.begin_anew();
    queue.append(frame(2)).unwrap();
    queue.mark = Mark::open(Path::new("/dev/full")).unwrap().0;
    let batch = next(&mut queue, Order::OldestFirst, 4).unwrap();
    queue.acknowledge(&batch).unwrap_err();
    assert_eq!(place.files("segment").len(), 1);
    assert_eq!(place.stats.samples_waiting(), 2);
    drop(queue);
    assert_eq!(place.drain(), [2]);
}

#[test]
fn memory_is_bounded_too() {
    let place = Place::new();
    let mut queue = place.open();
    let in_the_way = segment::path(&queue.folder, queue.next);
    fs::create_dir(&in_the_way).unwrap();
    let frames = UNWRITTEN_SAMPLES as i64 / 2 + 5;
    for n in 0..frames {
        queue.append(frame(n)).unwrap_err();
    }
    assert_eq!(place.stats.how_many_lost(Lost::NotWritten), 10);
    assert_eq!(
        next(&mut queue, Order::OldestFirst, 2).unwrap().frames[0]
            .moment
            .up_ms,
        5
    );
}

#[test]
fn a_clock_that_went_back_does_not_mix_what_is_new_with_what_is_old() {
    let place = Place::new();
    let mut queue = place.open();
    let mut late = frame(0);
    late.moment.at_ms = kit::clock::now_ms() + 3_600_000;
    let before = late.moment.at_ms;
    queue.append(late).unwrap();
    drop(queue);
    for sent in [false, true] {
        if sent {
            place.drain();
        }
        let mut queue = place.open();
        let mut early = frame(1);
        early.moment.known = false;
        early.moment.at_ms = kit::clock::now_ms();
        queue.append(early).unwrap();
        let mut last = None;
        while let Some(batch) = next(&mut queue, Order::OldestFirst, 1) {
            last = batch.frames.last().map(|frame| frame.moment.at_ms);
            queue.acknowledge(&batch).unwrap();
        }
        let after = last.unwrap() - before;
        assert!((0..10_000).contains(&after), "{after}");
    }
}

/// A device with a few services: what a sample costs on disk, labels and all.
#[test]
fn a_sample_takes_two_bytes_at_the_most() {
    let place = Place::new();
    let mut queue = place.open();
    let mut random = fastrand::Rng::with_seed(1);
    let series: Vec<Labels> = (0..300)
        .map(|n| {
            let (name, device) = (
                format!("node_something_{}_total", n / 6),
                format!("disk{}", n % 6),
            );
            let of = [
                ("__name__", name.as_str()),
                ("device", &device),
                ("instance", "rack7"),
                ("job", "node"),
                ("location", "the cellar"),
            ];
            Labels::new(&of)
        })
        .collect();
    let mut values: Vec<f64> = series.iter().map(|_| f64::from(random.u32(..))).collect();
    let rounds = 960;
    for round in 0..rounds {
        for (n, value) in values.iter_mut().enumerate() {
            *value = match n % 10 {
                // Counters of bytes, of seconds, a temperature, a random number; the others stand still.
                0 => *value + f64::from(random.u32(0..100_000)),
                1 => ((*value + random.f64()) * 1000.0).round() / 1000.0,
                2 => f64::from(random.i32(400..600)) / 10.0,
                3 if n < 30 => random.f64(),
                _ => *value,
            };
        }
        let samples = series.iter().zip(&values).map(|(series, value)| Sample {
            series: series.clone(),
            value: *value,
            at_ms: None,
        });
        let mut frame = frame(round);
        frame.samples = samples.collect();
        queue.append(frame).unwrap();
    }
    let bytes = queue.bytes() as f64 / (rounds as usize * series.len()) as f64;
    println!("bytes per sample: {bytes:.2}");
    assert!(bytes <= 2.0, "{bytes}");
}
