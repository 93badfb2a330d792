//! Where what is kept of a CA lies in the state directory.

use std::path::{Path, PathBuf};

/// The account at the CA, with its key.
pub(super) const ACCOUNT: &str = "account.json";

/// The key and the certificate, in one file so that they cannot get apart.
pub(super) const CERTIFICATE: &str = "certificate.pem";

/// A directory of its own for each CA: an account of one means nothing to another, and a certificate
/// of a test system must not be taken for a real one.
pub(super) fn directory_of(state_dir: &Path, directory: &str) -> PathBuf {
    state_dir.join("acme").join(file_name(directory))
}

/// A URL as the name of a file: without its scheme, and with `_` for what names do not have.
fn file_name(url: &str) -> String {
    let rest = url.strip_prefix("https://").unwrap_or(url);
    let fits = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '.');
    rest.chars().map(|c| if fits(c) { c } else { '_' }).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_ca_has_a_directory_of_its_own_inside() {
        let name = file_name("https://ca.example:14000/directory");
        assert_eq!(name, "ca.example_14000_directory");
        assert_eq!(file_name("https://../../etc"), ".._.._etc");
        assert_ne!(file_name(super::super::PRODUCTION), file_name(super::super::STAGING));
    }
}
