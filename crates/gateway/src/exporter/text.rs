//! The text format of Prometheus, version 0.0.4.

use std::fmt::Write;

/// What is written line by line. Writing to a string cannot fail.
#[derive(Default)]
pub(super) struct Text(String);

impl Text {
    /// Begins a family; its samples follow.
    pub(super) fn family(&mut self, name: &str, kind: &str, help: &str) {
        let _ = write!(self.0, "# HELP {name} ");
        for c in help.chars() {
            match c {
                '\\' => self.0.push_str("\\\\"),
                '\n' => self.0.push_str("\\n"),
                other => self.0.push(other),
            }
        }
        let _ = writeln!(self.0, "\n# TYPE {name} {kind}");
    }

    pub(super) fn count(
        &mut self,
        name: &str,
        suffix: &str,
        labels: &[(String, String)],
        value: u64,
    ) {
        self.series(name, suffix, labels, None);
        let _ = writeln!(self.0, " {value}");
    }

    pub(super) fn sample(
        &mut self,
        name: &str,
        suffix: &str,
        labels: &[(String, String)],
        quantile: Option<f64>,
        value: f64,
    ) {
        self.series(name, suffix, labels, quantile);
        let _ = match value {
            f64::INFINITY => writeln!(self.0, " +Inf"),
            f64::NEG_INFINITY => writeln!(self.0, " -Inf"),
            value => writeln!(self.0, " {value}"),
        };
    }

    pub(super) fn finish(self) -> String {
        self.0
    }

    fn series(
        &mut self,
        name: &str,
        suffix: &str,
        labels: &[(String, String)],
        quantile: Option<f64>,
    ) {
        self.0.push_str(name);
        self.0.push_str(suffix);
        let mut before = '{';
        for (key, value) in labels {
            self.0.push(before);
            before = ',';
            let _ = write!(self.0, "{key}=\"");
            for c in value.chars() {
                match c {
                    '\\' => self.0.push_str("\\\\"),
                    '"' => self.0.push_str("\\\""),
                    '\n' => self.0.push_str("\\n"),
                    other => self.0.push(other),
                }
            }
            self.0.push('"');
        }
        if let Some(quantile) = quantile {
            let _ = write!(self.0, "{before}quantile=\"{quantile}\"");
            before = ',';
        }
        if before == ',' {
            self.0.push('}');
        }
    }
}

/// Whether a metric may be called so.
pub(super) fn is_name(name: &str) -> bool {
    let allowed = |c: char| c.is_ascii_alphanumeric() || matches!(c, '_' | ':');
    !name.is_empty() && name.chars().all(allowed) && !name.starts_with(|c: char| c.is_ascii_digit())
}

/// Whether a label may be called so; two names belong to summaries and histograms.
pub(super) fn is_label_name(name: &str) -> bool {
    is_name(name)
        && !name.contains(':')
        && !name.starts_with("__")
        && name != "quantile"
        && name != "le"
}
