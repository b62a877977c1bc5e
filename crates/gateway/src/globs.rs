//! Patterns over `source/tag`: `*`, `?`, `[a-z]`, `[!a-z]`, `{one,other}`, and `\` before what
//! shall mean itself. `*` matches across the slash too, and `**` is the same.
//!
//! They come from strangers, so what they may cost is bounded before anything is built: 512
//! patterns of 1,024 bytes, and 8,192 steps in all once the braces are written out. That is some
//! 200 KiB at the most, made in about a millisecond, where an automaton for the same patterns would
//! take tens of megabytes. Matching a key takes time in proportion to the square of its own length
//! at worst, whatever the pattern: one that is longer than the key is passed over. How many
//! steps all keys together may take is bounded where they are looked through.

use std::collections::HashSet;

use record::Key;

/// Patterns that a subscription may have, and bytes that one may have.
pub(crate) const PATTERNS_MAX: usize = 512;
pub(crate) const PATTERN_BYTES_MAX: usize = 1024;
/// Steps of all patterns of a subscription, with their braces written out.
const STEPS_MAX: usize = 8_192;
/// Steps that looking through all keys for one subscription or request may take: some 100 ms.
pub(crate) const LOOK_STEPS_MAX: usize = 20_000_000;
/// Braces within braces.
const DEPTH_MAX: usize = 8;

/// Why patterns are refused.
#[derive(Debug, thiserror::Error)]
pub(crate) enum GlobError {
    #[error("there are {count} patterns, expected 1 to {PATTERNS_MAX}")]
    Count { count: usize },
    #[error("a pattern has {length} bytes, the limit is {PATTERN_BYTES_MAX}")]
    TooLong { length: usize },
    #[error(
        "with their braces written out the patterns have more than {STEPS_MAX} characters in all"
    )]
    TooMuch,
    #[error("to look through {keys} keys for them would take too long; ask for less")]
    Slow { keys: usize },
    #[error("the pattern {pattern:?} has {what}")]
    Invalid { pattern: String, what: &'static str },
}

/// A set of patterns.
#[derive(Debug)]
pub(crate) struct Globs {
    /// Those in which every character means itself.
    literal: HashSet<String>,
    wild: Vec<Wild>,
}

/// A pattern without braces.
#[derive(Debug)]
struct Wild {
    steps: Box<[Step]>,
    /// Bytes that a key has to have at least.
    bytes_min: usize,
}

#[derive(Clone, Debug)]
enum Step {
    /// One byte of a character that means itself.
    Byte(u8),
    /// Any character.
    Any,
    /// Any characters, or none.
    Star,
    /// A character in one of the ranges, or in none of them.
    Class(Box<[(char, char)]>, Meaning),
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Meaning {
    In,
    NotIn,
}

impl Globs {
    /// # Errors
    /// When there are too many, or one is too long or not well formed.
    pub(crate) fn new(patterns: &[String]) -> Result<Self, GlobError> {
        if !(1..=PATTERNS_MAX).contains(&patterns.len()) {
            return Err(GlobError::Count {
                count: patterns.len(),
            });
        }
        let mut globs = Self {
            literal: HashSet::new(),
            wild: Vec::new(),
        };
        let mut budget = STEPS_MAX;
        for pattern in patterns {
            if pattern.len() > PATTERN_BYTES_MAX {
                return Err(GlobError::TooLong {
                    length: pattern.len(),
                });
            }
            if !pattern.contains(['*', '?', '[', ']', '{', '}', '\\']) {
                globs.literal.insert(pattern.clone());
                continue;
            }
            let written = Parser::new(pattern, budget).all()?;
            // What takes long to read and comes to nothing has its price too.
            let cost = size_of(&written).max(pattern.len());
            budget = budget.checked_sub(cost).ok_or(GlobError::TooMuch)?;
            globs.wild.extend(written.into_iter().map(Wild::new));
        }
        Ok(globs)
    }

    pub(crate) fn matches(&self, key: &Key) -> bool {
        self.matches_counted(key, &mut 0)
    }

    /// The same, and counts the steps that it takes. Whoever looks through many keys for a stranger
    /// stops when they become too many.
    pub(crate) fn matches_counted(&self, key: &Key, steps: &mut usize) -> bool {
        self.matches_steps(&key.to_string(), steps)
    }

    #[cfg(test)]
    fn matches_text(&self, text: &str) -> bool {
        self.matches_steps(text, &mut 0)
    }

    fn matches_steps(&self, text: &str, steps: &mut usize) -> bool {
        *steps += 1;
        let mut wild = self.wild.iter();
        self.literal.contains(text) || wild.any(|wild| wild.matches(text, steps))
    }
}

impl Wild {
    fn new(steps: Vec<Step>) -> Self {
        let fixed = steps.iter().filter(|step| !matches!(step, Step::Star));
        Self {
            bytes_min: fixed.count(),
            steps: steps.into(),
        }
    }

    /// Goes on greedily, and back to the last star alone when that does not lead to the end: an
    /// earlier one would only find what the last one has found.
    fn matches(&self, text: &str, steps: &mut usize) -> bool {
        *steps += 1;
        if self.bytes_min > text.len() {
            return false;
        }
        let (mut at, mut step) = (0, 0);
        let mut star = None;
        while at < text.len() {
            *steps += 1;
            match self.steps.get(step) {
                Some(Step::Star) => {
                    step += 1;
                    if step == self.steps.len() {
                        return true;
                    }
                    star = Some((step, at));
                    continue;
                }
                Some(next) => {
                    if let Some(taken) = next.take(text, at) {
                        (at, step) = (at + taken, step + 1);
                        continue;
                    }
                }
                None => {}
            }
            let Some((behind, from)) = star else {
                return false;
            };
            let from = from + width(text, from);
            star = Some((behind, from));
            (at, step) = (from, behind);
        }
        let mut rest = self.steps[step..].iter();
        rest.all(|step| matches!(step, Step::Star))
    }
}

impl Step {
    /// The bytes that it takes at a place, which is not the end.
    fn take(&self, text: &str, at: usize) -> Option<usize> {
        match self {
            Self::Byte(byte) => (text.as_bytes()[at] == *byte).then_some(1),
            Self::Any => Some(width(text, at)),
            Self::Class(ranges, meaning) => {
                let found = text.get(at..)?.chars().next()?;
                let is_in = (ranges.iter()).any(|(from, to)| (*from..=*to).contains(&found));
                (is_in == (*meaning == Meaning::In)).then_some(found.len_utf8())
            }
            Self::Star => None,
        }
    }
}

/// The bytes of the character at a place.
fn width(text: &str, at: usize) -> usize {
    let rest = text.as_bytes().get(at + 1..).unwrap_or_default();
    1 + rest.iter().take_while(|byte| **byte & 0xC0 == 0x80).count()
}

/// Reads a pattern and writes its braces out, as far as the budget reaches.
struct Parser<'a> {
    pattern: &'a str,
    rest: std::iter::Peekable<std::str::Chars<'a>>,
    budget: usize,
}

/// Patterns without braces, one of which has to match.
type Written = Vec<Vec<Step>>;

impl<'a> Parser<'a> {
    fn new(pattern: &'a str, budget: usize) -> Self {
        Self {
            pattern,
            rest: pattern.chars().peekable(),
            budget,
        }
    }

    fn all(mut self) -> Result<Written, GlobError> {
        let written = self.sequence(0)?;
        match self.rest.peek() {
            None => Ok(written),
            Some(_) => Err(self.invalid("a `}` without `{`")),
        }
    }

    /// Up to the end, or to what ends a part of braces.
    fn sequence(&mut self, depth: usize) -> Result<Written, GlobError> {
        let mut written: Written = vec![Vec::new()];
        let mut size = 1;
        while let Some(next) = self.rest.next_if(|next| match next {
            '}' => false,
            ',' => depth == 0,
            _ => true,
        }) {
            let step = match next {
                '{' => {
                    let options = self.braces(depth + 1)?;
                    (written, size) = self.product(&written, &options)?;
                    continue;
                }
                '*' => Step::Star,
                '?' => Step::Any,
                '[' => self.class()?,
                '\\' => {
                    let escaped = self.rest.next();
                    let escaped =
                        escaped.ok_or_else(|| self.invalid("a `\\` with nothing behind it"))?;
                    self.write(&mut written, &mut size, &bytes_of(escaped))?;
                    continue;
                }
                literal => {
                    self.write(&mut written, &mut size, &bytes_of(literal))?;
                    continue;
                }
            };
            self.write(&mut written, &mut size, &[step])?;
        }
        Ok(written)
    }

    /// The parts between braces, of which the first is read already.
    fn braces(&mut self, depth: usize) -> Result<Written, GlobError> {
        if depth > DEPTH_MAX {
            return Err(self.invalid("more than 8 braces within each other"));
        }
        let mut options = Vec::new();
        loop {
            options.extend(self.sequence(depth)?);
            if options.len() > self.budget {
                return Err(GlobError::TooMuch);
            }
            match self.rest.next() {
                Some(',') => {}
                Some('}') => return Ok(options),
                _ => return Err(self.invalid("a `{` without `}`")),
            }
        }
    }

    fn class(&mut self) -> Result<Step, GlobError> {
        let open = "a `[` without `]`";
        let negates = self.rest.next_if(|next| matches!(next, '!' | '^'));
        let meaning = negates.map_or(Meaning::In, |_| Meaning::NotIn);
        let mut ranges = Vec::new();
        loop {
            let from = self.rest.next().ok_or_else(|| self.invalid(open))?;
            if from == ']' && !ranges.is_empty() {
                return Ok(Step::Class(ranges.into(), meaning));
            }
            // A dash before the end means itself.
            let mut ahead = self.rest.clone();
            let is_range = ahead.next() == Some('-') && ahead.next().is_some_and(|to| to != ']');
            let to = match is_range {
                true => {
                    self.rest.next();
                    self.rest.next().ok_or_else(|| self.invalid(open))?
                }
                false => from,
            };
            if from > to {
                return Err(self.invalid("a range in `[]` that ends before it begins"));
            }
            ranges.push((from, to));
        }
    }

    /// Writes steps to the end of each.
    fn write(
        &self,
        written: &mut Written,
        size: &mut usize,
        steps: &[Step],
    ) -> Result<(), GlobError> {
        *size += written.len() * steps.iter().map(Step::size).sum::<usize>();
        if *size > self.budget {
            return Err(GlobError::TooMuch);
        }
        for each in written {
            for step in steps {
                // Two stars are one.
                if !matches!((each.last(), step), (Some(Step::Star), Step::Star)) {
                    each.push(step.clone());
                }
            }
        }
        Ok(())
    }

    /// Each of the first followed by each of the second, and how much that is.
    fn product(&self, first: &Written, second: &Written) -> Result<(Written, usize), GlobError> {
        let size = size_of(first) * second.len() + size_of(second) * first.len();
        if size > self.budget {
            return Err(GlobError::TooMuch);
        }
        let mut product = Vec::with_capacity(first.len() * second.len());
        for one in first {
            for other in second {
                product.push([&one[..], &other[..]].concat());
            }
        }
        Ok((product, size))
    }

    fn invalid(&self, what: &'static str) -> GlobError {
        GlobError::Invalid {
            pattern: self.pattern.to_owned(),
            what,
        }
    }
}

impl Step {
    /// What it costs of the budget.
    fn size(&self) -> usize {
        match self {
            Self::Class(ranges, _) => 1 + ranges.len(),
            Self::Byte(_) | Self::Any | Self::Star => 1,
        }
    }
}

/// What patterns cost of the budget.
fn size_of(written: &Written) -> usize {
    let steps = written.iter().flatten().map(Step::size);
    steps.sum::<usize>() + written.len()
}

fn bytes_of(literal: char) -> Vec<Step> {
    let mut bytes = [0; 4];
    let bytes = literal.encode_utf8(&mut bytes).bytes();
    bytes.map(Step::Byte).collect()
}

#[cfg(test)]
mod tests;
