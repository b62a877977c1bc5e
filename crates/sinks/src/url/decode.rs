//! Parts of a URL as they are meant: a query decodes itself, users and passwords do not.

use super::InvalidUrl;

/// A part of a URL with its percent escapes undone.
///
/// # Errors
/// When that is not UTF-8; the part itself is in no message.
pub(crate) fn decoded(text: &str) -> Result<String, InvalidUrl> {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.as_bytes();
    while let Some((&first, behind)) = rest.split_first() {
        let digits = behind
            .get(..2)
            .and_then(|two| std::str::from_utf8(two).ok());
        let escaped = digits.and_then(|two| u8::from_str_radix(two, 16).ok());
        match (first, escaped) {
            (b'%', Some(byte)) => {
                bytes.push(byte);
                rest = &behind[2..];
            }
            _ => {
                bytes.push(first);
                rest = behind;
            }
        }
    }
    String::from_utf8(bytes).map_err(|_| {
        InvalidUrl::new("the user, password or database is not UTF-8 behind its escapes")
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_whole_escapes_are_undone() {
        let part = |text| decoded(text).map_err(|error| error.to_string());
        assert_eq!(part("p%2Fw+&%"), Ok("p/w+&%".to_owned()));
        assert_eq!(part("%zz%c3%bc"), Ok("%zzü".to_owned()));
        let error = part("secret%ff").unwrap_err();
        assert!(
            error.contains("not UTF-8") && !error.contains("secret"),
            "{error}"
        );
    }
}
