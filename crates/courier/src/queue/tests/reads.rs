//! Reads that fail, once or for ever: what a read does not give is not damaged yet.

use super::*;

#[test]
fn a_read_that_fails_is_tried_again_and_costs_nothing() {
    let place = Place::new();
    let mut queue = place.open();
    (0..3).for_each(|n| queue.append(frame(n)).unwrap());
    // A folder in its place cannot be read, as what a card does not give at the moment.
    let path = place.files("segment").remove(0);
    let kept = path.with_extension("kept");
    fs::rename(&path, &kept).unwrap();
    fs::create_dir(&path).unwrap();
    for _ in 1..TRIES {
        queue.next(Order::OldestFirst, 6).unwrap_err();
    }
    fs::remove_dir(&path).unwrap();
    fs::rename(&kept, &path).unwrap();
    assert_eq!(drain(&mut queue), [0, 1, 2]);
    assert_eq!(place.stats.how_many_lost(Lost::Damaged), 0);
}

#[test]
fn what_the_card_never_gives_again_costs_only_itself() {
    let place = Place::new();
    let mut queue = place.open();
    queue.append(frame(0)).unwrap();
    queue.begin_anew();
    queue.append(frame(1)).unwrap();
    let path = place.files("segment").remove(0);
    fs::remove_file(&path).unwrap();
    fs::create_dir(&path).unwrap();
    for _ in 1..TRIES {
        queue.next(Order::OldestFirst, 6).unwrap_err();
    }
    assert_eq!(drain(&mut queue), [1]);
    assert_eq!(place.stats.how_many_lost(Lost::Damaged), 2);
    assert_eq!(place.files("damaged").len(), 1);
}

#[test]
fn it_costs_only_itself_also_while_newer_frames_are_read_between_the_tries() {
    let place = Place::new();
    let mut queue = place.open();
    for number in 0..2 {
        queue.append(frame(number)).unwrap();
        queue.begin_anew();
    }
    let path = place.files("segment").remove(0);
    fs::remove_file(&path).unwrap();
    fs::create_dir(&path).unwrap();
    for number in 2..2 + i64::from(TRIES) {
        queue.append(frame(number)).unwrap();
        let batch = queue.next(Order::NewestFirst, 6).unwrap().unwrap();
        assert_eq!(numbers(&batch), [number]);
        queue.acknowledge(&batch).unwrap();
        if let Ok(batch) = queue.next(Order::NewestFirst, 6) {
            assert_eq!(numbers(&batch.unwrap()), [1]);
            assert_eq!(place.stats.how_many_lost(Lost::Damaged), 2);
            return;
        }
    }
    panic!("{TRIES} reads failed, and nothing behind what cannot be read is sent");
}

#[test]
fn a_read_that_fails_at_the_start_is_tried_again_and_costs_nothing() {
    let place = Place::new();
    let mut queue = place.open();
    (0..3).for_each(|n| queue.append(frame(n)).unwrap());
    drop(queue);
    let path = place.files("segment").remove(0);
    let kept = path.with_extension("kept");
    fs::rename(&path, &kept).unwrap();
    // A pipe cannot be read at a position, and tells when somebody tries to.
    rustix::fs::mknodat(
        rustix::fs::CWD,
        &path,
        rustix::fs::FileType::Fifo,
        rustix::fs::Mode::RUSR,
        0,
    )
    .unwrap();
    let waits = std::thread::spawn(move || {
        let pipe = fs::OpenOptions::new().write(true).open(&path).unwrap();
        fs::rename(kept, path).unwrap();
        drop(pipe);
    });
    let mut queue = place.open();
    waits.join().unwrap();
    assert_eq!(drain(&mut queue), [0, 1, 2]);
    assert_eq!(place.stats.how_many_lost(Lost::Damaged), 0);
}
