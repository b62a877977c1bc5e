//! What patterns match, against an oracle, and what they cost at worst.

use globset::GlobBuilder;
use proptest::prelude::*;

use super::*;

fn globs(patterns: &[&str]) -> Result<Globs, GlobError> {
    let patterns: Vec<String> = patterns.iter().map(|&pattern| pattern.to_owned()).collect();
    Globs::new(&patterns)
}

#[test]
fn patterns_match_what_they_say() {
    for (pattern, matches, fails) in [
        (
            "PLC01/D1",
            &["PLC01/D1"][..],
            &["PLC01/D10", "xPLC01/D1", ""][..],
        ),
        (
            "PLC01/*",
            &["PLC01/D1", "PLC01/", "PLC01/a/b"],
            &["PLC02/D1"],
        ),
        ("*temp*", &["a/temp", "temp", "a/temp/b"], &["a/tmp"]),
        ("*/D?", &["a/D1", "b/Dé"], &["a/D", "a/D10"]),
        ("**/D1", &["a/D1"], &["D1"]),
        ("a/[0-9x]", &["a/7", "a/x"], &["a/y", "a/"]),
        ("a/[!0-9]", &["a/y", "a/é"], &["a/7"]),
        ("a/[^0-9]", &["a/y"], &["a/7"]),
        ("a/[]-]", &["a/]", "a/-"], &["a/a"]),
        ("{a,b{c,d}}/*", &["a/1", "bc/1", "bd/1"], &["b/1", "c/1"]),
        ("a{,b}", &["a", "ab"], &["abb"]),
        ("a/\\*", &["a/*"], &["a/b", "a/\\*"]),
        ("a,b", &["a,b"], &["a"]),
        ("é*", &["éa", "é"], &["ea"]),
        ("*aab", &["aaab", "aabaab"], &["aaba"]),
    ] {
        let globs = globs(&[pattern]).unwrap();
        for text in matches {
            assert!(globs.matches_text(text), "{pattern} should match {text:?}");
        }
        for text in fails {
            assert!(
                !globs.matches_text(text),
                "{pattern} should not match {text:?}"
            );
        }
    }
}

#[test]
fn what_is_no_pattern_is_refused_and_says_why() {
    for (pattern, says) in [
        ("a[b", "a `[` without `]`"),
        ("a[b-", "a `[` without `]`"),
        ("{a", "a `{` without `}`"),
        ("{a,", "a `{` without `}`"),
        ("a}", "a `}` without `{`"),
        ("a\\", "nothing behind it"),
        ("[z-a]", "ends before it begins"),
        (&"{".repeat(9), "more than 8 braces"),
    ] {
        let error = globs(&[pattern]).unwrap_err().to_string();
        assert!(error.contains(says), "{error}");
    }
    let count = globs(&[]).unwrap_err().to_string();
    assert_eq!(count, "there are 0 patterns, expected 1 to 512");
    assert!(globs(&["a"; 513]).is_err());
    let long = globs(&[&"a".repeat(1025)]).unwrap_err().to_string();
    assert_eq!(long, "a pattern has 1025 bytes, the limit is 1024");
}

/// What an attacker would send; each is refused, or small and quickly made.
#[test]
fn hostile_patterns_are_refused_or_cost_little() {
    let hostile = |unit: &str, count: usize| {
        let pattern = unit.repeat(PATTERN_BYTES_MAX / unit.len());
        vec![pattern; count]
    };
    let nested = format!("{}{}", "{a,".repeat(8), "b}".repeat(8));
    for unit in [
        "*a",
        "?",
        "[a-z]",
        "[!a]",
        "{a,b}",
        "{*a,?b}",
        "{a,b,c,d,e,f,g,h}",
        "{}",
        "{a}",
        "{,,,}",
        "\\a",
        "*",
        "é?",
        &nested,
    ] {
        for count in [1, 8, 512] {
            let Ok(globs) = Globs::new(&hostile(unit, count)) else {
                continue;
            };
            let steps: usize = globs.wild.iter().map(|wild| wild.steps.len() + 1).sum();
            assert!(steps <= STEPS_MAX, "{unit} {count}: {steps}");
        }
        assert!(Globs::new(&hostile(unit, 512)).is_err(), "{unit}");
    }
    let error = Globs::new(&hostile("{a,b}", 1)).unwrap_err().to_string();
    assert!(
        error.contains("more than 8192 characters in all"),
        "{error}"
    );
    assert!(
        std::mem::size_of::<Step>() * STEPS_MAX <= 256 << 10,
        "what all steps take"
    );
}

#[test]
fn a_key_of_one_letter_and_a_pattern_of_many_stars_take_few_steps() {
    // Each of these would take an exponential time where every star is gone back to.
    let globs = globs(&[&"*a".repeat(250), &format!("{}b", "a*".repeat(250))]).unwrap();
    assert!(!globs.matches_text(&"a".repeat(249)));
    assert!(globs.matches_text(&"a".repeat(250)));
    assert!(!globs.matches_text(&format!("{}c", "a".repeat(511))));
}

#[test]
fn as_many_names_as_allowed_are_a_list_of_names() {
    let names: Vec<String> = (0..512).map(|n| format!("PLC01/{n:0>1000}")).collect();
    let globs = Globs::new(&names).unwrap();
    assert!(globs.wild.is_empty() && globs.matches_text(&names[511]));
    assert!(Globs::new(&(0..512).map(|n| format!("PLC{n}/*")).collect::<Vec<_>>()).is_ok());
}

proptest! {
    #[test]
    fn patterns_match_as_those_of_a_known_library_do(
        pattern in "[ab/*?]{0,8}|[ab/*?{},\\[\\]!\\\\-]{0,10}",
        text in "[ab/,]{0,8}",
    ) {
        // There two stars beside a slash mean directories; here they are one.
        prop_assume!(!pattern.contains("**"));
        let oracle = GlobBuilder::new(&pattern).empty_alternates(true).build();
        let ours = globs(&[&pattern]);
        match (oracle, ours) {
            (Ok(oracle), Ok(ours)) => {
                let expected = oracle.compile_matcher().is_match(&text);
                prop_assert_eq!(ours.matches_text(&text), expected, "{} {}", pattern, text);
            }
            (Err(_), Ok(_)) => prop_assert!(false, "{} should be refused", pattern),
            (Ok(_), Err(error)) => {
                // What comes to too much is refused here alone.
                let is_cost = matches!(error, GlobError::TooMuch) || pattern.contains("{{");
                prop_assert!(is_cost, "{}: {}", pattern, error);
            }
            (Err(_), Err(_)) => {}
        }
    }
}
