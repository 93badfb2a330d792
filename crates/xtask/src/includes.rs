//! Parts of files in pages: `<!-- include FILE#ANCHOR -->`, a block of code, `<!-- end of include -->`.
//!
//! The part is between the comments `ANCHOR: name` and `ANCHOR_END: name` of the file, as in mdBook.
//! Thus the code in a page is code that tests run. The indentation of the first comment is left out.

use std::{fs, path::Path};

use anyhow::Context;

const BEGIN: &str = "<!-- include ";
const END: &str = "<!-- end of include -->";

/// Returns a page with the present parts of the files in it. Paths are relative to `root`.
///
/// # Errors
/// A comment is malformed, or names a file or an anchor that does not exist.
pub(crate) fn with_includes(root: &Path, page: &str) -> anyhow::Result<String> {
    let mut text = String::new();
    let mut rest = page;
    while let Some((before, after)) = rest.split_once(BEGIN) {
        let (source, after) =
            after.split_once(" -->\n").context("an include does not end in -->")?;
        let (_, after) = after.split_once(END).with_context(|| format!("{source}: no {END}"))?;
        let part = part(root, source).with_context(|| format!("include {source}"))?;
        let (file, _) = source.split_once('#').unwrap_or((source, ""));
        let language = match Path::new(file).extension().and_then(|name| name.to_str()) {
            Some("rs") => "rust",
            Some("py") => "python",
            Some(other) => other,
            None => "",
        };
        text += &format!("{before}{BEGIN}{source} -->\n```{language}\n{part}```\n{END}");
        rest = after;
    }
    Ok(text + rest)
}

/// Returns the lines of a file between the comments of an anchor.
fn part(root: &Path, source: &str) -> anyhow::Result<String> {
    let (file, anchor) = source.split_once('#').context("expected FILE#ANCHOR")?;
    let text = fs::read_to_string(root.join(file)).context("the file cannot be read")?;
    let is = |line: &str, mark: &str| {
        line.trim_start().trim_start_matches(['/', '#']).trim() == format!("{mark}: {anchor}")
    };
    let mut lines = text.lines().skip_while(|line| !is(line, "ANCHOR"));
    let begin = lines.next().with_context(|| format!("there is no line `ANCHOR: {anchor}`"))?;
    let indent = &begin[..begin.len() - begin.trim_start().len()];
    let mut part = String::new();
    for line in lines {
        if is(line, "ANCHOR_END") {
            return Ok(part);
        }
        part += line.strip_prefix(indent).unwrap_or(line);
        part.push('\n');
    }
    anyhow::bail!("there is no line `ANCHOR_END: {anchor}`")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_part_takes_the_place_of_an_old_one() {
        let dir = tempfile::tempdir().unwrap();
        let file = "no\n  // ANCHOR: one\n  fn one() {\n\n  }\n  // ANCHOR_END: one\nno\n";
        fs::write(dir.path().join("a.rs"), file).unwrap();
        let page = "x\n<!-- include a.rs#one -->\nold\n<!-- end of include -->\ny\n";
        let expected = "x\n<!-- include a.rs#one -->\n```rust\nfn one() {\n\n}\n```\n\
                        <!-- end of include -->\ny\n";
        let made = with_includes(dir.path(), page).unwrap();
        assert_eq!(made, expected);
        assert_eq!(with_includes(dir.path(), &made).unwrap(), expected);
        for (source, fault) in [("a.rs#two", "ANCHOR: two"), ("b.rs#one", "read"), ("a.rs", "FILE")]
        {
            let page = format!("<!-- include {source} -->\n<!-- end of include -->");
            let error = format!("{:#}", with_includes(dir.path(), &page).unwrap_err());
            assert!(error.contains(source) && error.contains(fault), "{error}");
        }
    }
}
