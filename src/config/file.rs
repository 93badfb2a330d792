//! The configuration file: TOML, parsed so that each error can name its line.

use std::path::{Path, PathBuf};

use callbox_base::text;
use toml::{
    Spanned,
    de::{DeTable, DeValue},
};

use super::ConfigError;

/// The text of a configuration file.
pub(super) struct File {
    path: PathBuf,
    text: String,
}

/// One key with its value, or its values if it is a list.
pub(super) struct Entry {
    pub(super) key: String,
    pub(super) values: Vec<String>,
    pub(super) shape: Shape,
    line: usize,
}

/// The kind of a key's value.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Shape {
    One,
    List,
    Table,
}

impl File {
    pub(super) fn read(path: &Path) -> Result<Self, ConfigError> {
        match text::read(path) {
            Ok(text) => Ok(Self { path: path.into(), text }),
            Err(source) => Err(ConfigError::Read { path: path.into(), source }),
        }
    }

    pub(super) fn entries(&self) -> Result<Vec<Entry>, ConfigError> {
        let table = DeTable::parse(&self.text).map_err(|error| ConfigError::File {
            path: self.path.clone(),
            line: self.line(error.span().map_or(0, |span| span.start)),
            reason: error.message().to_owned(),
        })?;
        let mut entries: Vec<_> = table
            .into_inner()
            .into_iter()
            .map(|(key, value)| self.entry(&key, &value))
            .collect::<Result<_, _>>()?;
        entries.sort_by_key(|entry| entry.line);
        Ok(entries)
    }

    fn entry(
        &self,
        key: &Spanned<std::borrow::Cow<'_, str>>,
        value: &Spanned<DeValue<'_>>,
    ) -> Result<Entry, ConfigError> {
        let line = self.line(key.span().start);
        let key = key.get_ref().to_string();
        let shape = match value.get_ref() {
            DeValue::Array(_) => Shape::List,
            DeValue::Table(_) => Shape::Table,
            _ => Shape::One,
        };
        let mut entry = Entry { key, values: Vec::new(), shape, line };
        match value.get_ref() {
            DeValue::Array(array) => {
                for value in array {
                    let text = self.scalar(&entry, value)?;
                    entry.values.push(text);
                }
            }
            // Refused later: an unknown name is the likelier mistake, and is checked first.
            DeValue::Table(_) => {}
            _ => {
                let text = self.scalar(&entry, value)?;
                entry.values.push(text);
            }
        }
        Ok(entry)
    }

    fn scalar(&self, entry: &Entry, value: &Spanned<DeValue<'_>>) -> Result<String, ConfigError> {
        match value.get_ref() {
            DeValue::String(text) => Ok(text.to_string()),
            DeValue::Integer(number) => Ok(number.to_string()),
            DeValue::Boolean(yes) => Ok(yes.to_string()),
            _ => Err(self.bad_value(entry, "expected text, a whole number, true or false".into())),
        }
    }

    pub(super) fn bad_value(&self, entry: &Entry, reason: String) -> ConfigError {
        let reason = format!("`{}`: {reason}", entry.key);
        ConfigError::File { path: self.path.clone(), line: entry.line, reason }
    }

    pub(super) fn unknown_key<'a>(
        &self,
        entry: &Entry,
        keys: impl Iterator<Item = &'a str>,
    ) -> ConfigError {
        let hint = match nearest(&entry.key, keys) {
            Some(key) => format!("did you mean `{key}`?"),
            None => "the options are listed by `callbox serve --help`".into(),
        };
        let reason = format!("there is no option `{}`; {hint}", entry.key);
        ConfigError::File { path: self.path.clone(), line: entry.line, reason }
    }

    /// Returns the line, counted from 1, of the byte at `offset`.
    fn line(&self, offset: usize) -> usize {
        self.text.as_bytes()[..offset.min(self.text.len())].iter().filter(|b| **b == b'\n').count()
            + 1
    }
}

/// Returns the name that was probably meant.
pub(super) fn nearest<'a>(name: &str, known: impl Iterator<Item = &'a str>) -> Option<&'a str> {
    known
        .map(|known| (strsim::damerau_levenshtein(known, name), known))
        .min()
        .filter(|(distance, known)| *distance <= known.len() / 2)
        .map(|(_, known)| known)
}
