//! Text that people and their editors have written: secrets, lists, configuration files and PEM.
//!
//! Editors and shells add invisible characters: a byte order mark, carriage returns, blanks at the
//! ends, and on Windows a different encoding. None of them is intended, so they are all removed
//! here.

use std::{borrow::Cow, fs, io, path::Path};

/// The byte order mark, which Unicode does not class as white space.
const BOM: char = '\u{feff}';

/// Returns the text without blanks, line ends and byte order marks around it.
pub fn trimmed(text: &str) -> &str {
    text.trim_matches(|c: char| c.is_whitespace() || c == BOM)
}

/// Returns the text of a file, without a byte order mark.
///
/// # Errors
/// The system's error, or one that says that the bytes are not text.
pub fn read(path: &Path) -> io::Result<String> {
    decode(&fs::read(path)?)
}

fn decode(bytes: &[u8]) -> io::Result<String> {
    let text = match utf16(bytes) {
        Some(text) => text,
        None => String::from_utf8(bytes.to_vec()).map_err(|_| {
            let reason = "it is not text in UTF-8: save it in that encoding";
            io::Error::new(io::ErrorKind::InvalidData, reason)
        })?,
    };
    Ok(without_bom(&text).to_owned())
}

/// Returns the lines of a PEM file, without the white space around them. Bytes that are not text
/// are replaced: they can only be in the comments between the sections.
pub fn pem(bytes: &[u8]) -> String {
    let text = match utf16(bytes) {
        Some(text) => Cow::Owned(text),
        None => String::from_utf8_lossy(bytes),
    };
    let lines = text.lines().map(trimmed);
    lines.flat_map(|line| [line, "\n"]).collect()
}

fn without_bom(text: &str) -> &str {
    text.strip_prefix(BOM).unwrap_or(text)
}

/// Returns the text of bytes that begin with a byte order mark of UTF-16, as PowerShell's `>`
/// writes them.
fn utf16(bytes: &[u8]) -> Option<String> {
    let (mark, rest) = bytes.split_first_chunk()?;
    let unit = match mark {
        [0xff, 0xfe] => u16::from_le_bytes,
        [0xfe, 0xff] => u16::from_be_bytes,
        _ => return None,
    };
    let (units, odd) = rest.as_chunks();
    let text = char::decode_utf16(units.iter().map(|pair| unit(*pair))).collect::<Result<_, _>>();
    text.ok().filter(|_| odd.is_empty())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn marks_and_blanks_around_a_text_are_removed() {
        for text in ["a b", " a b", "a b\r\n", "\u{feff}a b\t", "\r\n \u{feff} a b\n\n"] {
            assert_eq!(trimmed(text), "a b", "{text:?}");
        }
        assert_eq!(trimmed("\u{feff}\r\n"), "");
    }

    #[test]
    fn a_file_is_read_in_each_encoding_that_its_mark_names() {
        let utf16 = |order: fn(u16) -> [u8; 2]| {
            "\u{feff}gr\u{fc}n\r\n".encode_utf16().flat_map(order).collect::<Vec<_>>()
        };
        let utf8 = "\u{feff}gr\u{fc}n\r\n".as_bytes().to_vec();
        for bytes in [utf8, utf16(u16::to_le_bytes), utf16(u16::to_be_bytes)] {
            assert_eq!(decode(&bytes).unwrap(), "gr\u{fc}n\r\n");
        }
        for bytes in [&b"gr\xfcn"[..], b"\xff\xfea", b"\xff\xfe\0\xd8"] {
            let error = decode(bytes).unwrap_err().to_string();
            assert_eq!(error, "it is not text in UTF-8: save it in that encoding");
        }
    }

    #[test]
    fn lines_of_pem_have_no_blanks_around_them() {
        let text = "\u{feff}-----BEGIN X-----\r\n  YQ==\t\r\n-----END X-----";
        assert_eq!(pem(text.as_bytes()), "-----BEGIN X-----\nYQ==\n-----END X-----\n");
        assert!(pem(b"subject=\xfc\n-----BEGIN X-----\n").ends_with("\n-----BEGIN X-----\n"));
    }
}
