//! What of a URL may be shown.

use url::Url;

/// What stands in the place of a secret.
const HIDDEN: &str = "***";

/// Parameters with one of these in their name are secrets.
const SECRETS: [&str; 10] = [
    "password",
    "passwd",
    "pwd",
    "secret",
    "token",
    "auth",
    "bearer",
    "key",
    "header",
    "credential",
];

/// Schemes whose addresses are paths.
const FILES: [&str; 4] = ["sqlite:", "csv:", "parquet:", "tracker:"];

/// A URL with `***` in the place of its password and of parameters that are secrets. Where it is
/// not sure what the password is, as in a text that is no URL, more is hidden. Of HTTP it is
/// scheme, host and port alone, since path, query and headers may be secrets there.
///
/// ```
/// use sinks::url::hide_password;
/// assert_eq!(hide_password("postgres://me:hunter2@host/db"), "postgres://me:***@host/db");
/// ```
#[must_use]
pub fn hide_password(url: &str) -> String {
    let Some((scheme, rest)) = url.split_once("://") else {
        return hide_unclear(url);
    };
    // In a file of settings the URL stands in quotes.
    let kind = scheme.trim_start_matches(|letter: char| !letter.is_ascii_alphanumeric());
    if kind.eq_ignore_ascii_case("http") || kind.eq_ignore_ascii_case("https") {
        return hide_http(kind, rest);
    }
    let authority = rest.split(['/', '?', '#']).next().unwrap_or_default();
    // A password with a slash or the like in it, which should have been escaped, reaches further
    // than the part of the URL that it belongs into.
    let reaches_further = !authority.is_empty() && rest[authority.len()..].contains('@');
    if reaches_further || Url::parse(url).is_err() {
        return match rest.rsplit_once('@') {
            Some((_, host)) => format!("{scheme}://{HIDDEN}@{}", hide_parameters(host)),
            None => hide_parameters(url),
        };
    }
    let Some((user, host)) = authority.rsplit_once('@') else {
        return hide_parameters(url);
    };
    let rest = hide_parameters(&rest[authority.len()..]);
    match user.split_once(':') {
        Some((user, _)) => format!("{scheme}://{user}:{HIDDEN}@{host}{rest}"),
        None => format!("{scheme}://{user}@{host}{rest}"),
    }
}

/// The origin, if it is clear which part that is.
fn hide_http(scheme: &str, rest: &str) -> String {
    let rest = rest.trim_end_matches(['"', '\'']);
    let origin = Url::parse(&format!("{scheme}://{rest}")).map(|url| url.origin());
    let authority = rest.split(['/', '?', '#']).next().unwrap_or_default();
    // A password with a slash in it ends what looks like the host.
    let is_clear = !rest[authority.len()..].contains('@');
    match origin {
        Ok(origin) if is_clear => origin.ascii_serialization(),
        _ => format!("{scheme}://{HIDDEN}"),
    }
}

/// A path, or something that was meant to be a URL.
fn hide_unclear(text: &str) -> String {
    let is_path = FILES.iter().any(|scheme| text.starts_with(scheme));
    match (text.split_once(':'), text.rsplit_once('@')) {
        (Some((before, _)), Some((_, after)))
            if !is_path && before.len() < text.len() - after.len() =>
        {
            format!("{before}:{HIDDEN}@{}", hide_parameters(after))
        }
        _ => hide_parameters(text),
    }
}

/// Whether the value of a parameter with this name is a secret.
pub(super) fn is_secret(name: &str) -> bool {
    let name = name.to_ascii_lowercase().replace('-', "_");
    // A number of keys, not a key.
    name != "keys_max" && SECRETS.iter().any(|secret| name.contains(secret))
}

/// Hides the values of parameters that are secrets.
fn hide_parameters(text: &str) -> String {
    let mut hidden = String::with_capacity(text.len());
    for (index, part) in text.split_inclusive(['?', '#', '&']).enumerate() {
        match part.split_once('=') {
            Some((name, value)) if index > 0 && is_secret(name) => {
                let end = value.find(['?', '#', '&']).unwrap_or(value.len());
                hidden.push_str(name);
                hidden.push('=');
                hidden.push_str(HIDDEN);
                hidden.push_str(&value[end..]);
            }
            _ => hidden.push_str(part),
        }
    }
    hidden
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn passwords_are_hidden_wherever_they_stand() {
        let table = [
            ("postgres://a:hunter2@h/d", "postgres://a:***@h/d"),
            ("postgres://:hunter2@h/d", "postgres://:***@h/d"),
            ("postgres://a@h/d?x=1", "postgres://a@h/d?x=1"),
            ("redis://h:1/0", "redis://h:1/0"),
            ("mysql://a:hunt@er2@h/d", "mysql://a:***@h/d"),
            ("mysql://a:1/hunter2@h/d", "mysql://***@h/d"),
            ("mysql://a:1#hunter2@h/d", "mysql://***@h/d"),
            ("mysql://a:1?hunter2@h/d", "mysql://***@h/d"),
            ("mysql://a:hunter2@h:port/d", "mysql://***@h:port/d"),
            ("a:hunter2@h", "a:***@h"),
            ("postgres:a:hunter2@h/d", "postgres:***@h/d"),
            ("sqlite:a@b.sqlite", "sqlite:a@b.sqlite"),
            ("sqlite:///dir/a@b.sqlite", "sqlite:///dir/a@b.sqlite"),
            ("sqlite:rows.sqlite?x=1", "sqlite:rows.sqlite?x=1"),
            ("tracker:a@b?keys_max=9", "tracker:a@b?keys_max=9"),
            ("redis://h/0?token=hunter2&x=1", "redis://h/0?token=***&x=1"),
            ("redis://h/#Api-Key=hunter2", "redis://h/#Api-Key=***"),
            ("redis://h/?headers=X:hunter2", "redis://h/?headers=***"),
            ("https://h:8443/hunter2", "https://h:8443"),
            ("\"https://h/hunter2?x=hunter2\"", "https://h"),
            ("http://h/p#headers=X-Api-Key:hunter2", "http://h"),
            ("HTTP://h?hunter2", "http://h"),
            ("http://a:hunter2@h?pwd=hunter2", "http://h"),
            ("http://a:1/hunter2@h/", "http://***"),
            ("http://a:hunter2@h:port/d", "http://***"),
        ];
        for (url, expected) in table {
            assert_eq!(hide_password(url), expected, "{url}");
        }
    }
}
