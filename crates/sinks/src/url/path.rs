//! The path of a URL that names a file or a directory.

use std::path::PathBuf;

use url::Url;

use super::InvalidUrl;

/// The path behind the scheme: `scheme:relative/path`, or `scheme:///absolute/path`, with what is
/// percent-encoded decoded.
pub(crate) fn path_of(url: &Url) -> Result<PathBuf, InvalidUrl> {
    let scheme = url.scheme();
    if let Some(host) = url.host_str().filter(|host| !host.is_empty()) {
        return Err(InvalidUrl::new(format!(
            "`{host}` stands where a host would, and this is a path: write {scheme}:relative/path \
             or {scheme}:///absolute/path"
        )));
    }
    let is_absolute = url.path().starts_with('/');
    let slash = if is_absolute { "" } else { "/" };
    let as_file = Url::parse(&format!("file://{slash}{}", url.path()));
    let path = as_file.ok().and_then(|file| file.to_file_path().ok());
    let path = path.filter(|_| !matches!(url.path(), "" | "/"));
    let Some(path) = path else {
        return Err(InvalidUrl::new(format!(
            "the path is missing, expected {scheme}:relative/path or {scheme}:///absolute/path"
        )));
    };
    if is_absolute {
        return Ok(path);
    }
    // The rules of URLs would take `..` away, and another file would be meant.
    if url.path().split('/').any(|part| part == "..") {
        return Ok(url.path().split('/').filter_map(part_of).collect());
    }
    Ok(path.strip_prefix("/").map_or(path.clone(), PathBuf::from))
}

/// One part of a path, decoded.
fn part_of(part: &str) -> Option<PathBuf> {
    if part == ".." {
        return Some(PathBuf::from(part));
    }
    let decoded = Url::parse(&format!("file:///{part}")).ok()?;
    let decoded = decoded.to_file_path().ok()?;
    decoded.strip_prefix("/").ok().map(PathBuf::from)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_path_is_relative_or_absolute_and_never_a_host() {
        let table = [
            ("sqlite:data/x.sqlite", Ok("data/x.sqlite")),
            ("sqlite:../a%20b/../x.sqlite", Ok("../a b/../x.sqlite")),
            ("sqlite:///var/x%20y.sqlite", Ok("/var/x y.sqlite")),
            ("sqlite:/var/x.sqlite?a=b", Ok("/var/x.sqlite")),
            (
                "sqlite://data/x.sqlite",
                Err("`data` stands where a host would"),
            ),
            ("sqlite:", Err("the path is missing")),
            ("sqlite:///", Err("the path is missing")),
        ];
        for (text, expected) in table {
            let found = path_of(&Url::parse(text).expect("a URL"));
            match (found, expected) {
                (Ok(path), Ok(right)) => assert_eq!(path, PathBuf::from(right), "{text}"),
                (Err(error), Err(right)) => {
                    assert!(error.to_string().contains(right), "{text}: {error}");
                }
                (found, _) => panic!("{text}: {found:?}"),
            }
        }
    }
}
