//! Secrets that options have as values or in files.

use std::{
    io,
    path::{Path, PathBuf},
};

use callbox_base::{auth::Secret, text};

/// The reason why there is no secret. The text names the option and the file; it holds no secret.
#[derive(Debug, thiserror::Error)]
pub enum SecretError {
    /// The file that an option names cannot be read.
    #[error("--{option}: {path}: cannot be read: {source}", path = path.display())]
    Read {
        /// The option's flag.
        option: &'static str,
        /// The file that it names.
        path: PathBuf,
        /// The error of the system.
        source: io::Error,
    },
    /// The file that an option names begins with an empty line, or has none.
    #[error(
        "--{option}: {path} has nothing in its first line; fill it with: openssl rand -base64 32",
        path = path.display()
    )]
    Empty {
        /// The option's flag.
        option: &'static str,
        /// The file that it names.
        path: PathBuf,
    },
    /// A command needs the secret that signs tokens.
    #[error(
        "no secret to sign a token with: give --jwt-secret-file, CALLBOX_JWT_SECRET or --config FILE, \
         with the same secret as the server's (--jwt-public-key can only verify)"
    )]
    NoSigningSecret,
}

/// Returns the secrets that are given as values, and after them those in files.
///
/// # Errors
/// [`SecretError`] if a file cannot be read, or has no secret in its first line.
pub fn with_files(
    given: &[Secret],
    option: &'static str,
    files: &[PathBuf],
) -> Result<Vec<Secret>, SecretError> {
    let read = files.iter().map(|path| first_line(option, path));
    given.iter().cloned().map(Ok).chain(read).collect()
}

/// Reads the file that an option names.
///
/// # Errors
/// [`SecretError::Read`]
pub fn read(option: &'static str, path: &Path) -> Result<String, SecretError> {
    text::read(path).map_err(|source| SecretError::Read { option, path: path.to_owned(), source })
}

/// Reads a secret from a file, without the characters that an editor adds.
fn first_line(option: &'static str, path: &Path) -> Result<Secret, SecretError> {
    let text = read(option, path)?;
    match text.lines().next().map(text::trimmed) {
        Some(line) if !line.is_empty() => Ok(Secret::new(line)),
        _ => Err(SecretError::Empty { option, path: path.to_owned() }),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn secrets_of_files_follow_those_of_arguments() {
        let given = [Secret::new("given")];
        let file = |text: &str| {
            let file = tempfile::NamedTempFile::new().unwrap();
            std::fs::write(&file, text).unwrap();
            file
        };
        let good = file("\u{feff} in a file \r\nnot this");
        let all = with_files(&given, "secret-file", &[good.path().to_owned()]).unwrap();
        let all: Vec<_> = all.iter().map(Secret::expose_text).collect();
        assert_eq!(all, [Some("given"), Some("in a file")]);
        for text in ["", "\n", " \nsecond"] {
            let bad = file(text);
            let paths = [bad.path().to_owned()];
            let error = with_files(&given, "secret-file", &paths).unwrap_err().to_string();
            let begin = format!("--secret-file: {} has nothing in", bad.path().display());
            assert!(error.starts_with(&begin), "{error}");
        }
        let lost = with_files(&[], "secret-file", &["/nowhere/a".into()]).unwrap_err();
        let error =
            "--secret-file: /nowhere/a: cannot be read: No such file or directory (os error 2)";
        assert_eq!(lost.to_string(), error);
    }
}
