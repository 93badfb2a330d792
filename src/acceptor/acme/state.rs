//! The names of the files of a CA in the state directory.

use std::path::{Path, PathBuf};

/// The account at the CA, with its key.
pub(super) const ACCOUNT: &str = "account.json";

/// The key and the certificate, in one file so that they always match.
pub(super) const CERTIFICATE: &str = "certificate.pem";

/// Returns the directory of a CA: an account of one is unknown to another, and a certificate of a
/// test system must not be taken for a real one.
pub(super) fn directory_of(state_dir: &Path, directory: &str) -> PathBuf {
    state_dir.join("acme").join(file_name(directory))
}

/// Returns a URL as the name of a file: without its scheme, and with `_` for other characters than
/// letters, digits, `-` and `.`.
fn file_name(url: &str) -> String {
    let rest = url.strip_prefix("https://").unwrap_or(url);
    let fits = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '.');
    rest.chars().map(|c| if fits(c) { c } else { '_' }).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_ca_has_its_own_subdirectory() {
        let name = file_name("https://ca.example:14000/directory");
        assert_eq!(name, "ca.example_14000_directory");
        assert_eq!(file_name("https://../../etc"), ".._.._etc");
        assert_ne!(file_name(super::super::PRODUCTION), file_name(super::super::STAGING));
    }
}
