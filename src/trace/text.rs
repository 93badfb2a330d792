//! Texts of strangers, such as the names of users: without what a terminal or a drawing would obey,
//! and with their widths.

use unicode_width::{UnicodeWidthChar, UnicodeWidthStr};

/// Returns a text without control characters and without invisible ones, which may begin an escape
/// sequence of a terminal or reverse the direction of a line.
pub fn printable(text: &str) -> String {
    text.chars().filter(|char| !char.is_control() && !is_invisible(*char)).collect()
}

/// Returns true for characters that format text and have no shape of their own.
fn is_invisible(char: char) -> bool {
    matches!(
        char,
        '\u{ad}' | '\u{61c}' | '\u{180e}' | '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}'
            | '\u{2060}'..='\u{206f}' | '\u{feff}' | '\u{fff9}'..='\u{fffb}'
            | '\u{e0000}'..='\u{e0fff}'
    )
}

/// Returns the number of columns that a text takes in a terminal.
pub(super) fn columns(text: &str) -> usize {
    text.width()
}

/// Returns the beginning of a text that fits into this number of columns, with `…` at its end if
/// something is left out.
pub(super) fn cut(text: &str, max: usize) -> String {
    if columns(text) <= max {
        return text.to_owned();
    }
    let mut taken = 0;
    let fits = |char: &char| {
        taken += char.width().unwrap_or_default();
        taken < max
    };
    let beginning: String = text.chars().take_while(fits).collect();
    format!("{}…", beginning.trim_end())
}

/// Returns a text in lines of at most this number of columns. It is divided at spaces; longer words
/// are cut.
pub(super) fn wrapped(text: &str, max: usize) -> Vec<String> {
    let mut lines = vec![String::new()];
    for word in text.split_whitespace() {
        let word = cut(word, max);
        let last = lines
            .last_mut()
            .filter(|line| line.is_empty() || columns(line) + 1 + columns(&word) <= max);
        match last {
            Some(line) if line.is_empty() => line.push_str(&word),
            Some(line) => {
                line.push(' ');
                line.push_str(&word);
            }
            None => lines.push(word),
        }
    }
    lines
}

/// Returns a time as seconds with their thousandths.
pub(super) fn seconds(ms: f64) -> String {
    format!("{:.3}", ms / 1000.0)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn nothing_that_a_terminal_obeys_remains() {
        let text = "a\u{1b}[31mb\u{9b}2J\u{202e}c\n\u{200b}d\u{2028}\u{7}e\u{301}ü";
        assert_eq!(printable(text), "a[31mb2Jcde\u{301}ü");
    }

    #[test]
    fn a_cut_text_fits() {
        assert_eq!(cut("alice", 5), "alice");
        assert_eq!(cut("alice@example.com", 8), "alice@e…");
        assert_eq!(cut("日本語", 5), "日本…");
        assert_eq!(columns("日本語e\u{301}"), 7);
    }

    #[test]
    fn lines_end_at_spaces() {
        assert_eq!(wrapped("the quick brown fox", 9), ["the quick", "brown fox"]);
        assert_eq!(wrapped("a incomprehensible b", 8), ["a", "incompr…", "b"]);
        assert_eq!(wrapped("", 8), [""]);
    }

    proptest! {
        #[test]
        fn no_line_is_too_long(text: String, max in 2usize..40) {
            for line in wrapped(&printable(&text), max) {
                prop_assert!(columns(&line) <= max, "{:?}", line);
            }
        }
    }
}
