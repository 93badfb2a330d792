//! The documents of the repository that are generated from the code.

use std::{
    fs,
    path::{Path, PathBuf},
};

use anyhow::Context;
use callbox::{config, documents};

use crate::includes::with_includes;

/// The root of the repository.
pub(crate) const ROOT: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../..");

/// The page with a generated table in it; all else on the page is written by hand.
const LIMITS: &str = "docs/security.md";

/// The page with parts of the examples in it.
const TESTING: &str = "docs/testing.md";

/// The comments around that table. The first one goes on with words for the reader.
const LIMITS_BEGIN: &str = "<!-- limits: ";
const LIMITS_END: &str = "<!-- end of limits -->";

/// The generated texts, by their files' paths from the root.
pub(crate) struct Documents {
    root: PathBuf,
    texts: Vec<(&'static str, String)>,
}

impl Documents {
    /// Generates the documents of the repository at `root`. Nothing is written.
    ///
    /// # Errors
    /// The page that contains the table of limits cannot be read, or has no such table; or a page
    /// includes a part of a file that does not exist.
    pub(crate) fn generate(root: &Path) -> anyhow::Result<Self> {
        let page = fs::read_to_string(root.join(LIMITS)).context(LIMITS)?;
        let testing = fs::read_to_string(root.join(TESTING)).context(TESTING)?;
        let texts = vec![
            ("docs/configuration.md", config::markdown()),
            ("deploy/callbox.toml", config::annotated_file()),
            ("docs/asyncapi.json", documents::asyncapi()),
            ("docs/openapi.json", documents::openapi()),
            ("clients/js/events.d.ts", documents::typescript()),
            (LIMITS, with_limits(&page, &config::limits()).context(LIMITS)?),
            (TESTING, with_includes(root, &testing).context(TESTING)?),
        ];
        Ok(Self { root: root.to_owned(), texts })
    }

    /// Returns the files that do not contain what was generated.
    pub(crate) fn outdated(&self) -> Vec<&'static str> {
        let is_outdated = |file: &str, text: &str| {
            fs::read_to_string(self.root.join(file)).map_or(true, |found| found != text)
        };
        let outdated = self.texts.iter().filter(|(file, text)| is_outdated(file, text));
        outdated.map(|(file, _)| *file).collect()
    }

    /// Writes the files that do not contain what was generated, and returns them.
    ///
    /// # Errors
    /// A file cannot be written.
    pub(crate) fn write(&self) -> anyhow::Result<Vec<&'static str>> {
        let outdated = self.outdated();
        for (file, text) in self.texts.iter().filter(|(file, _)| outdated.contains(file)) {
            fs::write(self.root.join(file), text).context(*file)?;
        }
        Ok(outdated)
    }
}

/// Returns a page with this table between the two comments.
fn with_limits(page: &str, limits: &str) -> anyhow::Result<String> {
    let missing = || format!("there are no comments {LIMITS_BEGIN}… --> and {LIMITS_END}");
    let (before, rest) = page.split_once(LIMITS_BEGIN).with_context(missing)?;
    let (comment, rest) = rest.split_once('\n').with_context(missing)?;
    let (_, after) = rest.split_once(LIMITS_END).with_context(missing)?;
    Ok(format!("{before}{LIMITS_BEGIN}{comment}\n\n{limits}\n{LIMITS_END}{after}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_documents_in_the_repository_are_as_generated() {
        let outdated = Documents::generate(Path::new(ROOT)).unwrap().outdated();
        assert!(
            outdated.is_empty(),
            "{outdated:?} are not as generated; run: cargo xtask generate"
        );
    }

    #[test]
    fn a_changed_or_missing_document_is_outdated_until_it_is_written() {
        let dir = tempfile::tempdir().unwrap();
        let root = dir.path();
        for folder in ["docs", "deploy", "clients/js"] {
            fs::create_dir_all(root.join(folder)).unwrap();
        }
        let page = "above\n<!-- limits: a table -->\nold\n<!-- end of limits -->\nbelow\n";
        fs::write(root.join(LIMITS), page).unwrap();
        fs::write(root.join(TESTING), "no includes\n").unwrap();
        let documents = Documents::generate(root).unwrap();
        assert_eq!(documents.write().unwrap().len(), 6);
        let page = fs::read_to_string(root.join(LIMITS)).unwrap();
        assert!(page.starts_with("above\n<!-- limits: a table -->\n\n|"), "{page}");
        assert!(page.ends_with("|\n\n<!-- end of limits -->\nbelow\n"), "{page}");

        let documents = Documents::generate(root).unwrap();
        assert!(documents.outdated().is_empty());
        fs::write(root.join("docs/openapi.json"), "{}").unwrap();
        fs::remove_file(root.join("deploy/callbox.toml")).unwrap();
        assert_eq!(documents.outdated(), ["deploy/callbox.toml", "docs/openapi.json"]);
        documents.write().unwrap();
        assert!(documents.outdated().is_empty());
    }
}
