//! No large and no generated files: a clone stays small, and every line was written to be read.

use crate::workspace::TrackedFile;

const SIZE_MAX_BYTES: u64 = 1024 * 1024;

/// One problem per file that is too large or minified.
pub(super) fn check(files: &[TrackedFile]) -> Vec<String> {
    let mut problems = Vec::new();
    for TrackedFile {
        path, size_bytes, ..
    } in files
    {
        if *size_bytes > SIZE_MAX_BYTES {
            problems.push(format!(
                "{path}: {size_bytes} bytes; the limit is {SIZE_MAX_BYTES}"
            ));
        }
        if path.ends_with(".min.js") || path.ends_with(".min.css") {
            problems.push(format!(
                "{path}: minified; libraries come through a package registry"
            ));
        }
    }
    problems
}

#[cfg(test)]
mod tests {
    use super::super::file;
    use super::*;

    #[test]
    fn large_and_minified_files_fail() {
        let limit = usize::try_from(SIZE_MAX_BYTES).unwrap();
        assert!(check(&[file("a.png", &"x".repeat(limit)), file("page.js", "")]).is_empty());
        assert_eq!(check(&[file("a.png", &"x".repeat(limit + 1))]).len(), 1);
        assert_eq!(
            check(&[file("chart.min.js", ""), file("page.min.css", "")]).len(),
            2
        );
    }
}
