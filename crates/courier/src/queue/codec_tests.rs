use proptest::prelude::*;

use super::*;

fn series(number: usize) -> Labels {
    Labels::new(&[("__name__", "m"), ("n", &number.to_string())])
}

fn frame(at_ms: i64, values: &[(usize, f64, Option<i64>)]) -> Frame {
    let moment = Moment {
        up_ms: at_ms / 2,
        at_ms,
        known: at_ms % 2 == 0,
    };
    let sample = |(number, value, at_ms): &(usize, f64, Option<i64>)| Sample {
        series: series(*number),
        value: *value,
        at_ms: *at_ms,
    };
    let samples = values.iter().map(sample).collect();
    Frame { moment, samples }
}

/// Frames are the same if their samples are, in any order, down to the bits of what is no number.
fn assert_same(decoded: &Frame, written: &Frame) {
    let told = |frame: &Frame| {
        let samples = frame.samples.iter();
        let mut told: Vec<_> = samples
            .map(|sample| (sample.series.clone(), sample.value.to_bits(), sample.at_ms))
            .collect();
        told.sort();
        (frame.moment, told)
    };
    assert_eq!(told(decoded), told(written));
}

fn is_read_as_written(frames: &[Frame]) {
    let (mut encoder, mut decoder) = (Encoder::default(), Decoder::default());
    for frame in frames {
        let bytes = encoder.encode(frame);
        assert_same(&decoder.decode(&bytes).unwrap(), frame);
    }
}

#[test]
fn every_kind_of_value_is_read_as_it_was_written() {
    let values = [
        0.0,
        -0.0,
        1.0,
        1.0,
        2.0,
        3.0,
        12.34,
        12.35,
        -0.001,
        0.1 + 0.2,
        1e300,
        f64::MIN_POSITIVE,
        f64::INFINITY,
        f64::NEG_INFINITY,
        f64::NAN,
        STALE,
        STALE,
        4.0,
        9_007_199_254_740_993.0,
        i64::MIN as f64,
    ];
    let frames = values.map(|value| frame(1000, &[(0, value, None)]));
    is_read_as_written(&frames);
}

#[test]
fn what_is_as_before_costs_nearly_nothing() {
    let mut encoder = Encoder::default();
    let values: Vec<_> = (0..1000).map(|n| (n, n as f64 * 1.5, None)).collect();
    encoder.encode(&frame(1000, &values));
    let again = encoder.encode(&frame(16_000, &values));
    assert!(again[20..].iter().all(|byte| *byte == 0));
    let small = zstd::bulk::compress(&again, 3).unwrap();
    assert!(small.len() < 40, "{}", small.len());
}

#[test]
fn a_time_of_its_own_stays_with_its_sample() {
    let own = [
        (5, 1.0, None),
        (3, 2.0, Some(-7)),
        (4, 3.0, Some(i64::MAX / 4)),
    ];
    is_read_as_written(&[frame(2000, &own), frame(4000, &own)]);
}

#[test]
fn what_is_no_frame_is_refused() {
    let bytes = Encoder::default().encode(&frame(1000, &[(0, 1.5, None), (1, 7.0, Some(3))]));
    for length in 0..bytes.len() {
        let read = Decoder::default().decode(&bytes[..length]);
        assert_eq!(read, Err(Unreadable), "{length}");
    }
    let more = [&bytes[..], &[0]].concat();
    assert_eq!(Decoder::default().decode(&more), Err(Unreadable));
}

proptest! {
    #[test]
    fn any_frames_are_read_as_they_were_written(
        frames in prop::collection::vec(
            prop::collection::btree_map(
                0usize..40,
                (prop_oneof![any::<f64>(), (-1000i32..1000).prop_map(|n| f64::from(n) / 100.0), Just(STALE)], any::<Option<i32>>()),
                0..30,
            ),
            1..12,
        )
    ) {
        let frames: Vec<Frame> = frames.iter().enumerate().map(|(at, values)| {
            let values: Vec<_> = values.iter().map(|(n, (value, own))| (*n, *value, own.map(i64::from))).collect();
            frame(at as i64 * 15_001, &values)
        }).collect();
        is_read_as_written(&frames);
    }

    #[test]
    fn no_bytes_make_it_panic(bytes in prop::collection::vec(any::<u8>(), 0..80)) {
        let _ = Decoder::default().decode(&bytes);
    }
}
