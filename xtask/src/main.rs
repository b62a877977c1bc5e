//! The project's checks and chores, as Rust code: `cargo xtask <command>`.
//!
//! Each command is a module, and each is what continuous integration runs, so that a red build can
//! be repeated on any machine with one line. Commands call the plain `cargo` that started them and
//! nothing else from the network. They keep one feature set (`--workspace --all-features`), because
//! another one would build the dependencies again.

mod bench;
mod chaos;
mod ci;
mod docs;
mod e2e;
mod fuzz;
mod loom;
mod process;
mod simulate;
mod stress;
mod test;
mod tidy;
mod workspace;

use std::process::ExitCode;

use anyhow::Result;

/// The commands by name, with the line that the usage text has for each.
#[rustfmt::skip]
const COMMANDS: &[(&str, &str)] = &[
    ("test",  "[ARGS…]       every test of the workspace; ARGS go to cargo test"),
    ("ci",    "[--no-test]   every check there is, up to the first failure"),
    ("tidy",  "              dependency direction, lengths, links, forbidden text"),
    ("e2e",   "              the browser test; screenshots in target/e2e"),
    ("bench", "CASE [ARGS…]  `ingest`, `run`, `core`, `dataservice` or `sinks`; see target/bench"),
    ("fuzz",  "[--seconds N] [TARGET…] the parsers of what strangers send; see docs/fuzzing.md"),
    ("chaos", "[ARGS…]       databases and their clients killed at random points; --rounds 50"),
    ("simulate", "[ARGS…] the whole pipeline in virtual time; --seeds 200, --seed N replays one"),
    ("stress", "[--tsan] [ARGS…] rings and coalescers under threads in real time; --seconds 60"),
    ("docs",  "              the API documentation, with warnings denied"),
    ("loom",  "              the models of atomics and locks: tests/loom_*.rs"),
];

fn main() -> ExitCode {
    let args: Vec<String> = std::env::args().skip(1).collect();
    let Some((command, rest)) = args.split_first() else {
        return usage("no command given");
    };
    if matches!(command.as_str(), "help" | "--help" | "-h") {
        println!("{}", usage_text());
        return ExitCode::SUCCESS;
    }
    if !COMMANDS.iter().any(|(name, _)| name == command) {
        return usage(&format!("unknown command `{command}`"));
    }
    if let Some(argument) = unexpected_argument(command, rest) {
        return usage(&format!("`{command}` does not take `{argument}`"));
    }
    match run(command, rest) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("xtask {command}: {error:#}");
            process::exit_code_of(&error)
        }
    }
}

/// Runs one command; `main` has checked that it exists and takes these arguments.
fn run(command: &str, args: &[String]) -> Result<()> {
    match command {
        "test" => test::run(args),
        "ci" => ci::run(if args.is_empty() {
            ci::Tests::Run
        } else {
            ci::Tests::Skip
        }),
        "tidy" => tidy::run(),
        "e2e" => e2e::run(),
        "bench" => bench::run(args),
        "fuzz" => fuzz::run(args),
        "chaos" => chaos::run(args),
        "simulate" => simulate::run(args),
        "stress" => stress::run(args),
        "docs" => docs::run(),
        "loom" => loom::run(),
        other => unreachable!("`{other}` is in COMMANDS and has no arm"),
    }
}

/// The first argument that the command does not understand, if any.
fn unexpected_argument<'a>(command: &str, args: &'a [String]) -> Option<&'a str> {
    let known: &[&str] = match command {
        "test" | "bench" | "fuzz" | "chaos" | "simulate" | "stress" => return None,
        "ci" => &["--no-test"],
        _ => &[],
    };
    args.iter()
        .map(String::as_str)
        .find(|arg| !known.contains(arg))
}

fn usage(complaint: &str) -> ExitCode {
    eprintln!("xtask: {complaint}\n\n{}", usage_text());
    ExitCode::from(2)
}

fn usage_text() -> String {
    let mut text = String::from("usage: cargo xtask <command>\n");
    for (name, line) in COMMANDS {
        text.push_str(&format!("\n  {name:<6} {line}"));
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn arguments_that_a_command_does_not_take_are_refused() {
        let args = |list: &[&str]| list.iter().map(ToString::to_string).collect::<Vec<_>>();
        assert_eq!(unexpected_argument("ci", &args(&["--no-test"])), None);
        assert_eq!(
            unexpected_argument("ci", &args(&["--no-tests"])),
            Some("--no-tests")
        );
        assert_eq!(unexpected_argument("tidy", &args(&["x"])), Some("x"));
        assert_eq!(unexpected_argument("test", &args(&["-p", "record"])), None);
    }

    #[test]
    fn the_usage_text_names_every_command() {
        let text = usage_text();
        for (name, _) in COMMANDS {
            assert!(
                text.contains(&format!("\n  {name} ")) || text.contains(name),
                "{name}"
            );
        }
    }
}
