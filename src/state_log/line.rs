//! One entry of the log as a line of text: a checksum, a mark, the key and the value.
//!
//! ```text
//! 1f0c98a2+call/01JNVH0A7GQ2W5E8R1T4Y6V9PB {"state":"connected"}
//! 77b1e6d0.text/01JNVH0A7GQ2W5E8R1T4Y6V9PB/3
//! ```
//!
//! A line without a value removes its key. `+` marks that more of the same batch follows, `.` ends
//! a batch. Values are JSON on one line, so that a reader finds the next entry after a damaged one.

use crc::{CRC_32_ISCSI, Crc, Table};

use super::Change;

static CRC: Crc<u32, Table<16>> = Crc::<u32, Table<16>>::new(&CRC_32_ISCSI);

/// The hexadecimal digits of the checksum.
const CHECKSUM: usize = 8;

/// Appends an entry to a buffer.
pub(super) fn write(to: &mut Vec<u8>, key: &str, value: Option<&str>, ends_batch: bool) {
    let start = to.len();
    to.extend_from_slice(b"00000000");
    to.push(if ends_batch { b'.' } else { b'+' });
    to.extend_from_slice(key.as_bytes());
    if let Some(value) = value {
        debug_assert!(!value.contains('\n'), "a value is one line");
        to.push(b' ');
        to.extend_from_slice(value.as_bytes());
    }
    let checksum = CRC.checksum(&to[start + CHECKSUM..]);
    let digits = format!("{checksum:08x}");
    to[start..start + CHECKSUM].copy_from_slice(digits.as_bytes());
    to.push(b'\n');
}

/// An entry that was read; `ends_batch` is true if its batch ends with it.
pub(super) struct Entry {
    pub change: Change,
    pub ends_batch: bool,
}

/// Parses a line without its end; returns `None` for a damaged one.
pub(super) fn read(line: &[u8]) -> Option<Entry> {
    let (checksum, rest) = line.split_at_checked(CHECKSUM)?;
    let checksum = u32::from_str_radix(std::str::from_utf8(checksum).ok()?, 16).ok()?;
    if CRC.checksum(rest) != checksum {
        return None;
    }
    let ends_batch = match rest.first()? {
        b'.' => true,
        b'+' => false,
        _ => return None,
    };
    let text = std::str::from_utf8(&rest[1..]).ok()?;
    let (key, value) = match text.split_once(' ') {
        Some((key, value)) => (key, Some(value.to_owned())),
        None => (text, None),
    };
    Some(Entry { change: Change { key: key.to_owned(), value }, ends_batch })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_is_parsed_again_and_a_damaged_one_is_refused() {
        for (key, value) in [("call/1", Some("{\"a b\":1}")), ("call/1", None), ("x", Some(""))] {
            let mut line = Vec::new();
            write(&mut line, key, value, true);
            assert_eq!(line.pop(), Some(b'\n'));
            let entry = read(&line).unwrap();
            assert_eq!((entry.change.key.as_str(), entry.change.value.as_deref()), (key, value));
            assert!(entry.ends_batch);
            for at in 0..line.len() {
                let mut damaged = line.clone();
                damaged[at] ^= 1;
                assert!(read(&damaged).is_none(), "{key}: byte {at}");
            }
        }
    }
}
