//! The command line.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use clap::{Args, Parser, Subcommand, ValueEnum};
use jiff::tz::TimeZone;
use pipeline::source::{ColumnMap, CsvOptions, Decimal, Format, Layout, OpenOptions, TimeUnit};

use super::config::is_label;
use super::logs::{LogFormat, LogLevel};
use super::storage::DATA_DIRECTORY;
use super::units;

/// Takes what fast producers push, and hands it to a database and a live page at their own rate.
///
/// Without a command it runs: it polls this machine's own metrics, keeps them in forebay-data/ and
/// shows them in a browser at 127.0.0.1:8000.
#[derive(Parser)]
#[command(version, args_conflicts_with_subcommands = true)]
pub(crate) struct Arguments {
    #[command(subcommand)]
    pub(crate) command: Option<Command>,
    #[command(flatten)]
    pub(crate) run: RunArguments,
}

#[derive(Subcommand)]
pub(crate) enum Command {
    /// Polls this machine, stores what it reads, and serves the live page
    Run(Box<RunArguments>),
    /// Loads a file or standard input into a sink, each row exactly once
    Ingest(Box<IngestArguments>),
    /// Delivers again what sinks and quarantines kept in files, each row exactly once
    Replay(Box<ReplayArguments>),
    /// Lists the sinks that this build can write to
    Sinks {
        /// As one JSON line
        #[arg(long)]
        json: bool,
    },
    /// Makes a token that lets somebody in, and prints what belongs into the configuration
    Token(TokenArguments),
    /// Checks a configuration file and prints what would be in effect
    CheckConfig {
        /// The file to check
        file: PathBuf,
    },
}

#[derive(Args, Clone)]
pub(crate) struct RunArguments {
    /// Configuration file (TOML)
    #[arg(long, value_name = "FILE")]
    pub(crate) config: Option<PathBuf>,
    /// Directory of the database [default: forebay-data]
    #[arg(long, value_name = "DIR")]
    pub(crate) data: Option<PathBuf>,
    /// Where records go, such as `postgres://user@host/database`; see `forebay sinks`
    /// [default: the database]
    #[arg(long, value_name = "URL")]
    pub(crate) sink: Option<String>,
    /// Address of the page and the API; port 0 takes a free one [default: 127.0.0.1:8000]
    #[arg(long, value_name = "ADDRESS:PORT")]
    pub(crate) listen: Option<SocketAddr>,
    /// Ends by itself after this time, such as 30s
    #[arg(long = "for", value_name = "DURATION", value_parser = units::parse_duration)]
    pub(crate) duration: Option<Duration>,
    /// How log lines look [default: human]
    #[arg(long, value_name = "FORMAT")]
    pub(crate) log: Option<LogFormat>,
    /// How much is logged [default: info]
    #[arg(long, value_name = "LEVEL")]
    pub(crate) log_level: Option<LogLevel>,
}

/// NDJSON or a table (CSV), told apart by content. A file that was ingested before, in part or in
/// full, is resumed after its last row in the sink: running the same command again is safe.
#[derive(Args)]
pub(crate) struct IngestArguments {
    /// File to read; `-` is standard input
    pub(crate) file: PathBuf,
    #[command(flatten)]
    pub(crate) load: LoadArguments,
    /// Format, where the content should not decide
    #[arg(long, value_name = "FORMAT")]
    pub(crate) format: Option<FormatName>,
    #[command(flatten)]
    pub(crate) table: TableArguments,
    /// Resumes by this name instead of by the content of the file
    #[arg(long, value_name = "NAME", value_parser = parse_scope)]
    pub(crate) scope: Option<String>,
    /// How far ahead of the clock a timestamp may be
    #[arg(long, value_name = "DURATION", default_value = "24h",
          value_parser = units::parse_duration)]
    pub(crate) max_future: Duration,
}

/// CSV and Parquet files that a sink wrote, files of a quarantine, and NDJSON such as the file of
/// undelivered records that `run` leaves. Each row arrives exactly once: what an earlier run
/// delivered is skipped, so that running the same command again is safe.
#[derive(Args)]
pub(crate) struct ReplayArguments {
    /// Files to read, one after the other
    #[arg(required = true)]
    pub(crate) files: Vec<PathBuf>,
    #[command(flatten)]
    pub(crate) load: LoadArguments,
}

/// The token itself is shown once and kept nowhere; the configuration gets its hash. Whoever shows
/// the token may do what is said here, and nothing else.
#[derive(Args)]
pub(crate) struct TokenArguments {
    /// Whose it is, for the log and for people
    #[arg(long, value_name = "NAME", default_value = "token", value_parser = parse_label)]
    pub(crate) name: String,
    /// Keys that it lets read, as globs over source/tag, such as 'PLC01/*'
    #[arg(long, value_name = "GLOB", num_args = 1..)]
    pub(crate) read: Vec<String>,
    /// Lets hand in records
    #[arg(long)]
    pub(crate) ingest: bool,
    /// Lets ask for actions
    #[arg(long)]
    pub(crate) act: bool,
    /// Lets flush, purge, reload, disconnect and the like
    #[arg(long)]
    pub(crate) admin: bool,
}

#[derive(Args)]
pub(crate) struct LoadArguments {
    /// Directory of the database
    #[arg(long, value_name = "DIR", default_value = DATA_DIRECTORY)]
    pub(crate) data: PathBuf,
    /// Where rows go, such as `postgres://user@host/database`; see `forebay sinks`. Without it
    /// `FOREBAY_SINK__URL` says so, and then it is the database
    #[arg(long, value_name = "URL")]
    pub(crate) sink: Option<String>,
    /// Prints the summary as one JSON line on standard output
    #[arg(long)]
    pub(crate) json: bool,
    /// Delivers everything once more, though it was delivered before
    #[arg(long)]
    pub(crate) again: bool,
    /// Rows that are committed together
    #[arg(long, value_name = "N", default_value_t = 5_000,
          value_parser = clap::value_parser!(u32).range(1..=1_000_000))]
    pub(crate) batch_size: u32,
    /// How often a failed batch is tried again
    #[arg(long, value_name = "N", default_value_t = 3,
          value_parser = clap::value_parser!(u32).range(0..=1_000))]
    pub(crate) retries: u32,
    /// How log lines look
    #[arg(long, value_name = "FORMAT", default_value = "human")]
    pub(crate) log: LogFormat,
    /// How much is logged
    #[arg(long, value_name = "LEVEL", default_value = "warn")]
    pub(crate) log_level: LogLevel,
}

#[derive(Args)]
#[command(next_help_heading = "Tables")]
pub(crate) struct TableArguments {
    /// Columns by field, such as timestamp=datetime,value=reading
    #[arg(
        long,
        value_name = "FIELD=COLUMN,…",
        default_value = "",
        hide_default_value = true
    )]
    map: ColumnMap,
    /// The source of all rows
    #[arg(long, value_name = "NAME")]
    source: Option<String>,
    /// The tag of all rows
    #[arg(long, value_name = "NAME", conflicts_with = "wide")]
    tag: Option<String>,
    /// One time per row and a column per tag, as plant historians export
    #[arg(long)]
    pub(crate) wide: bool,
    /// What stands between cells; `tab` or one character [default: found by itself]
    #[arg(long, value_name = "CHARACTER", value_parser = parse_delimiter)]
    delimiter: Option<u8>,
    /// Numbers have a decimal comma
    #[arg(long)]
    decimal_comma: bool,
    /// Where the clocks were set for times without an offset, such as Europe/Berlin
    #[arg(long, value_name = "ZONE", default_value = "UTC", value_parser = parse_timezone)]
    timezone: TimeZone,
    /// The unit of times that are numbers: s, ms, us or ns
    #[arg(long, value_name = "UNIT")]
    time_unit: Option<TimeUnit>,
}

/// A format by its name.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum FormatName {
    /// A JSON object per line.
    Ndjson,
    /// Cells separated by comma, semicolon or tab, below a header.
    Csv,
}

impl IngestArguments {
    /// How the input is to be read.
    pub(crate) fn open_options(&self) -> OpenOptions {
        let table = &self.table;
        let format = match self.format {
            Some(FormatName::Ndjson) => Some(Format::Ndjson),
            Some(FormatName::Csv) => Some(Format::Csv),
            // Who asks for a layout of tables has one.
            None if table.wide => Some(Format::Csv),
            None => None,
        };
        OpenOptions {
            format,
            csv: CsvOptions {
                delimiter: table.delimiter,
                map: table.map.clone(),
                source: table.source.clone(),
                tag: table.tag.clone(),
                layout: if table.wide {
                    Layout::Wide
                } else {
                    Layout::Long
                },
                timezone: table.timezone.clone(),
                time_unit: table.time_unit,
                decimal: if table.decimal_comma {
                    Decimal::Comma
                } else {
                    Decimal::Point
                },
            },
        }
    }
}

fn parse_delimiter(text: &str) -> Result<u8, String> {
    match text {
        "tab" | "\\t" => Ok(b'\t'),
        "comma" => Ok(b','),
        "semicolon" => Ok(b';'),
        _ => match text.as_bytes() {
            [byte] if byte.is_ascii() && !matches!(byte, b'"' | b'\n' | b'\r') => Ok(*byte),
            _ => Err("expected `tab` or one ASCII character, no quote, no line end".to_owned()),
        },
    }
}

fn parse_timezone(text: &str) -> Result<TimeZone, String> {
    TimeZone::get(text).map_err(|_| {
        "expected the name of a time zone such as UTC or Europe/Berlin (an offset can stand in \
         each time itself)"
            .to_owned()
    })
}

fn parse_scope(text: &str) -> Result<String, String> {
    if (1..=200).contains(&text.len()) && !text.contains(|c: char| c.is_control() || c == '#') {
        Ok(text.to_owned())
    } else {
        Err("expected 1 to 200 bytes without control characters and `#`".to_owned())
    }
}

fn parse_label(text: &str) -> Result<String, String> {
    match is_label(text) {
        true => Ok(text.to_owned()),
        false => Err("expected 1 to 64 letters, digits, `-`, `_` and `.`".to_owned()),
    }
}
