//! A strict reader of the text format of Prometheus: what it takes, a server takes.

use std::collections::{BTreeMap, BTreeSet};

/// What was read. Panics on anything that the format does not allow.
pub(crate) struct Exposition {
    pub(crate) families: BTreeMap<String, Family>,
}

#[derive(Debug, Default)]
pub(crate) struct Family {
    pub(crate) help: String,
    pub(crate) kind: String,
    pub(crate) samples: Vec<Sample>,
}

#[derive(Debug)]
pub(crate) struct Sample {
    pub(crate) name: String,
    pub(crate) labels: BTreeMap<String, String>,
    pub(crate) value: f64,
}

impl Exposition {
    /// Reads all of it: a family begins with its help and type, once each, and its samples follow
    /// without another family's between; no series comes twice; the last line ends.
    pub(crate) fn read(text: &str) -> Self {
        assert!(text.ends_with('\n'), "the last line does not end");
        let mut families: BTreeMap<String, Family> = BTreeMap::new();
        let mut seen = BTreeSet::new();
        let mut current = String::new();
        for line in text.lines() {
            if let Some(rest) = line.strip_prefix("# HELP ") {
                let (name, help) = rest.split_once(' ').unwrap();
                assert!(is_name(name), "{line}");
                let family = Family {
                    help: unescaped(help, &['\\', 'n']),
                    ..Family::default()
                };
                assert!(
                    families.insert(name.to_owned(), family).is_none(),
                    "{name} again"
                );
                name.clone_into(&mut current);
            } else if let Some(rest) = line.strip_prefix("# TYPE ") {
                let (name, kind) = rest.split_once(' ').unwrap();
                assert!(["counter", "gauge", "summary"].contains(&kind), "{line}");
                let family = families.get_mut(name).unwrap();
                assert!(name == current && family.kind.is_empty() && family.samples.is_empty());
                kind.clone_into(&mut family.kind);
            } else {
                let sample = Sample::read(line);
                let family = families.get_mut(&current).unwrap();
                family.check(&current, &sample);
                let series = (sample.name.clone(), sample.labels.clone());
                assert!(seen.insert(series), "a series comes twice: {line}");
                family.samples.push(sample);
            }
        }
        for (name, family) in &families {
            assert!(!family.kind.is_empty(), "{name} has no type");
            assert!(!family.samples.is_empty(), "{name} has no sample");
        }
        Self { families }
    }

    /// The sum over all series of that name that have these labels.
    pub(crate) fn sum(&self, name: &str, labels: &[(&str, &str)]) -> f64 {
        let samples = self.families.values().flat_map(|family| &family.samples);
        let mut found = samples
            .filter(|sample| sample.name == name)
            .filter(|sample| {
                let has = |(key, value): &(&str, &str)| {
                    sample.labels.get(*key).is_some_and(|is| is == value)
                };
                labels.iter().all(has)
            })
            .peekable();
        assert!(found.peek().is_some(), "there is no {name} with {labels:?}");
        found.map(|sample| sample.value).sum()
    }
}

impl Family {
    fn check(&self, name: &str, sample: &Sample) {
        let quantile = sample.labels.get("quantile");
        match self.kind.as_str() {
            "summary" if sample.name == name => {
                let quantile: f64 = quantile.unwrap().parse().unwrap();
                assert!((0.0..=1.0).contains(&quantile));
            }
            "summary" => {
                let suffix = sample.name.strip_prefix(name).unwrap();
                assert!(["_sum", "_count"].contains(&suffix), "{}", sample.name);
                assert!(quantile.is_none());
            }
            kind => {
                assert_eq!(sample.name, name);
                assert!(quantile.is_none());
                let whole = sample.value >= 0.0 && sample.value.fract() == 0.0;
                assert!(kind == "gauge" || whole, "a counter of {}", sample.value);
            }
        }
    }
}

impl Sample {
    fn read(line: &str) -> Self {
        let end = line.find(['{', ' ']).unwrap();
        let (name, mut rest) = line.split_at(end);
        assert!(is_name(name), "{line}");
        let mut labels = BTreeMap::new();
        if let Some(inner) = rest.strip_prefix('{') {
            rest = inner;
            loop {
                let (key, after) = rest.split_once("=\"").unwrap();
                assert!(is_name(key) && !key.contains(':'), "{line}");
                let end = closing_quote(after);
                let value = unescaped(&after[..end], &['\\', 'n', '"']);
                assert!(
                    labels.insert(key.to_owned(), value).is_none(),
                    "{key} twice"
                );
                rest = &after[end + 1..];
                match rest.as_bytes()[0] {
                    b',' => rest = &rest[1..],
                    b'}' => break,
                    _ => panic!("neither a comma nor the end of the labels: {line}"),
                }
            }
            rest = &rest[1..];
        }
        let value = rest.strip_prefix(' ').unwrap();
        assert!(!value.contains(' '), "{line}");
        Self {
            name: name.to_owned(),
            labels,
            value: value.parse().unwrap(),
        }
    }
}

fn closing_quote(text: &str) -> usize {
    let mut escaped = false;
    text.char_indices()
        .find(|(_, c)| {
            let ends = *c == '"' && !escaped;
            escaped = *c == '\\' && !escaped;
            ends
        })
        .unwrap()
        .0
}

fn unescaped(text: &str, allowed: &[char]) -> String {
    let mut out = String::new();
    let mut chars = text.chars();
    while let Some(c) = chars.next() {
        out.push(match c {
            '\\' => {
                let escaped = chars.next().unwrap();
                assert!(allowed.contains(&escaped), "\\{escaped} in {text}");
                if escaped == 'n' { '\n' } else { escaped }
            }
            other => other,
        });
    }
    out
}

fn is_name(name: &str) -> bool {
    let rest = |c: char| c.is_ascii_alphanumeric() || "_:".contains(c);
    name.chars().all(rest)
        && name.starts_with(|c: char| c.is_ascii_alphabetic() || "_:".contains(c))
}
