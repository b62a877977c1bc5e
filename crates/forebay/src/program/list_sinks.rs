//! `forebay sinks`: what this build can write to.

use std::process::ExitCode;

use super::output::say;

/// Prints all kinds of sinks, those that this build does not have included.
pub(crate) fn list_sinks(json: bool) -> ExitCode {
    if json {
        let known: Vec<_> = sinks::known().collect();
        say(&serde_json::to_string(&known).expect("text and truths make JSON"));
        return ExitCode::SUCCESS;
    }
    let mut rows =
        vec![["URL", "WHAT", "GUARANTEE", "BAD ROWS GO TO", "BUILT IN"].map(str::to_owned)];
    rows.extend(sinks::known().map(|about| {
        let built_in = match about.built_in {
            true => "yes".to_owned(),
            false => format!("no, feature `{}`", about.feature),
        };
        [
            about.example.to_owned(),
            about.what.to_owned(),
            about.guarantee.to_string(),
            about.quarantine.to_owned(),
            built_in,
        ]
    }));
    say(table(&rows).trim_end());
    ExitCode::SUCCESS
}

/// Columns of the width of their widest cell.
fn table<const COLUMNS: usize>(rows: &[[String; COLUMNS]]) -> String {
    let mut text = String::new();
    for row in rows {
        let mut line = String::new();
        for (column, cell) in row.iter().enumerate() {
            let width = rows
                .iter()
                .map(|row| row[column].chars().count())
                .max()
                .unwrap_or(0);
            line.push_str(&format!("{cell:width$}  "));
        }
        text.push_str(line.trim_end());
        text.push('\n');
    }
    text
}
