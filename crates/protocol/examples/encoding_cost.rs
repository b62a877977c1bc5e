//! What writing and reading a frame costs:
//! `cargo run --release -p protocol --example encoding_cost`.
//!
//! The frame is an update of five keys, each with a value of about 200 bytes. It prints the median
//! of the rounds, in nanoseconds per frame.

use std::hint::black_box;
use std::time::Instant;

use protocol::{Change, Changes, Content, Encoding, ServerMessage};
use record::{Name, Priority, Quality};
use serde_json::json;

const ROUNDS: usize = 201;
const FRAMES_PER_ROUND: u32 = 500;

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let message = ServerMessage::Update(Changes {
        id: "load".to_owned(),
        seq: 123_456,
        timestamp: 1_795_215_464_587_904,
        changes: (0..5).map(change).collect::<Result<_, _>>()?,
        ..Changes::default()
    });
    println!("an update of 5 keys, about 200 bytes each");
    for encoding in Encoding::ALL {
        let frame = encoding.encode(&message)?;
        let mut bytes = Vec::with_capacity(frame.len());
        let write_ns = median_ns(|| {
            bytes.clear();
            encoding
                .encode_into(black_box(&message), &mut bytes)
                .is_ok()
        });
        let read_ns = median_ns(|| encoding.decode::<ServerMessage>(black_box(&frame)).is_ok());
        println!(
            "{:<12} {:>5} bytes, written in {write_ns} ns, read in {read_ns} ns",
            encoding.name(),
            frame.len()
        );
    }
    Ok(())
}

fn change(number: u64) -> Result<Change, record::RecordError> {
    Ok(Change {
        source: Name::new("source", &format!("agent-{number}"))?,
        tag: Name::new("tag", "state")?,
        timestamp: 1_795_215_464_571_455,
        content: Content::Whole(json!({
            "task": "move", "battery": 0.7312, "errors": number, "position": [12.25, 7.5, 0.125],
            "note": "x".repeat(110),
        })),
        quality: Quality::Good,
        priority: Priority::Normal,
        rev: None,
    })
}

/// The median time of one frame.
fn median_ns(mut frame: impl FnMut() -> bool) -> u128 {
    let mut rounds: Vec<u128> = (0..ROUNDS)
        .map(|_| {
            let start = Instant::now();
            for _ in 0..FRAMES_PER_ROUND {
                assert!(black_box(frame()));
            }
            start.elapsed().as_nanos() / u128::from(FRAMES_PER_ROUND)
        })
        .collect();
    rounds.sort_unstable();
    rounds[ROUNDS / 2]
}
