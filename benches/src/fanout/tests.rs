//! A whole run in one process: server and load client talk as they do in two.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::io::{BufRead, BufReader, PipeWriter, Write, pipe};
use std::thread;

use serde::Serialize;
use serde::de::DeserializeOwned;

use super::clock::now_us;
use super::plan::{Calls, Dialect, Heard, Listening, Ready, Schedule};
use super::server::Kind;
use super::{cases, load, server};
use crate::measure::laws;

/// The other end of a server or a load client.
struct Peer {
    input: PipeWriter,
    output: Box<dyn BufRead>,
}

impl Peer {
    fn start(
        run: impl FnOnce(BufReader<std::io::PipeReader>, PipeWriter) + Send + 'static,
    ) -> Self {
        let (their_input, input) = pipe().unwrap();
        let (output, their_output) = pipe().unwrap();
        thread::spawn(move || run(BufReader::new(their_input), their_output));
        Self {
            input,
            output: Box::new(BufReader::new(output)),
        }
    }

    fn say(&mut self, what: &impl Serialize) {
        writeln!(self.input, "{}", serde_json::to_string(what).unwrap()).unwrap();
    }

    fn hear<T: DeserializeOwned>(&mut self) -> T {
        let mut line = String::new();
        self.output.read_line(&mut line).unwrap();
        serde_json::from_str(&line).unwrap()
    }
}

fn deliver(kind: Kind, dialect: Dialect) -> Heard {
    let mut server = Peer::start(move |input, output| {
        server::run(kind, 100, input, output).unwrap();
    });
    let Listening { port } = server.hear();
    let mut client = Peer::start(|input, output| load::run(input, output).unwrap());
    client.say(&Calls {
        port,
        dialect,
        connections: 3,
        stalled: 1,
        addresses: 3,
        checking: if dialect == Dialect::Ours { 2 } else { 0 },
    });
    let Ready { connected } = client.hear();
    assert_eq!(connected, 3);
    let schedule = Schedule {
        start_us: now_us() + 200_000,
        interval_us: 1_000,
        count: 100,
        critical_interval_us: 20_000,
        critical_count: 5,
        agents: 10,
        bytes: 200,
    };
    // Longer than any machine takes, so that no test fails on a timing; it ends when all is there.
    let window = schedule.window(schedule.start_us, schedule.start_us + 100_000, 60_000_000);
    client.say(&window);
    server.say(&schedule);
    client.hear()
}

#[test]
fn every_server_delivers_every_update_once_to_those_who_read() {
    for (kind, dialect) in [
        (Kind::Ours, Dialect::Ours),
        (Kind::Broadcast, Dialect::Plain),
    ] {
        let heard = deliver(kind, dialect);
        assert_eq!((heard.delivered, heard.expected), (210, 210), "{kind:?}");
        assert_eq!((heard.wrong, heard.disconnected), (0, 0), "{kind:?}");
        assert_eq!((heard.normal.count, heard.critical.count), (200, 10));
        let checked = heard
            .checked
            .map(|checked| (checked.complete, checked.fault));
        let expected = (dialect == Dialect::Ours).then_some((2, None));
        assert_eq!(checked, expected, "{kind:?}");
    }
}

#[test]
fn every_case_has_ours_and_a_name_of_its_own() {
    laws::check_cases(&cases::all(&[]), 0);
}

#[test]
fn every_aim_names_contenders_that_take_part() {
    laws::check_aims(&cases::all(&[]));
}
