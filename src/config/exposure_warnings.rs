//! Configurations that work but leave something open to others: files that they may read or change,
//! secrets that can be guessed, tokens that are sent unencrypted. Each is a warning, and with
//! `--strict` an error.

use std::{
    io,
    net::SocketAddr,
    path::{Path, PathBuf},
};

use callbox_base::auth::Secret;

use super::{ConfigError, Options, layers};

/// The permission bits that let others, who are neither the owner nor in the group, read and write.
const OTHERS_READ: u32 = 0o004;
const OTHERS_WRITE: u32 = 0o002;

/// The findings about a configuration, as text.
#[derive(Debug, Default)]
pub(super) struct ExposureWarnings(Vec<String>);

impl ExposureWarnings {
    /// Returns the warnings, or an error with all of them if none are permitted.
    ///
    /// # Errors
    /// [`ConfigError::Exposed`]
    pub(super) fn warnings(self, strict: bool) -> Result<Vec<String>, ConfigError> {
        match strict && !self.0.is_empty() {
            true => Err(ConfigError::Exposed(self.0)),
            false => Ok(self.0),
        }
    }

    /// Checks the secrets of tokens and of TURN credentials, in the order of the options: first
    /// those in the options themselves, then those in files.
    pub(super) fn secrets(&mut self, options: &Options, jwt: &[Secret], auth: &[Secret]) {
        let (tokens, credentials) = (&options.tokens, &options.credentials);
        let given = (tokens.jwt_secret.len(), &tokens.jwt_secret_file[..]);
        for (option, length) in shorter_than(32, "jwt-secret", given, jwt) {
            self.0.push(format!(
                "{option}: a secret of {length} bytes is shorter than the 32 that RFC 7518 asks for"
            ));
        }
        let given = (credentials.auth_secret.len(), &credentials.auth_secret_file[..]);
        for (option, length) in shorter_than(16, "auth-secret", given, auth) {
            self.0.push(format!(
                "{option}: a secret of {length} bytes can be guessed by whoever sees a credential \
                 made with it; make one with: openssl rand -base64 32"
            ));
        }
    }

    /// Checks if faults are allowed.
    pub(super) fn faults(&mut self, options: &Options) {
        if options.faults.allow_faults {
            self.0.push(
                "--allow-faults: whoever has an API key can make this server lose packets, refuse \
                 requests and cut connections; it is for tests alone"
                    .to_owned(),
            );
        }
    }

    /// Checks the address of plain HTTP, if there is TLS as well.
    pub(super) fn plain_http(&mut self, address: SocketAddr) {
        if address.ip().is_unspecified() {
            self.0.push(format!(
                "--http {address}: plain HTTP is served on every address of this machine although \
                 there is TLS, so that tokens can travel in the clear; leave the option out to serve \
                 this machine alone, or name an inner address"
            ));
        }
    }

    /// Checks the permissions of the files of the configuration.
    ///
    /// # Errors
    /// [`ConfigError`] if the configuration file cannot be read.
    pub(super) fn files(&mut self, options: &Options) -> Result<(), ConfigError> {
        if let Some(path) = &options.source.config {
            let mode = mode(path);
            if mode & OTHERS_READ != 0 && layers::file_has_secrets(path)? {
                self.readable("config", path, mode);
            }
            self.writable("config", path, mode);
        }
        let files = [
            ("auth-secret-file", &options.credentials.auth_secret_file),
            ("user-file", &options.turn_users.user_file),
            ("oauth-key-file", &options.turn_users.oauth_key_file),
            ("jwt-secret-file", &options.tokens.jwt_secret_file),
            ("api-key-file", &options.api.api_key_file),
            ("webhook-secret-file", &options.reports.webhook_secret_file),
        ];
        let files = files.into_iter().flat_map(|(key, paths)| paths.iter().map(move |p| (key, p)));
        for (key, path) in files.chain(options.tls.tls_key.iter().map(|path| ("tls-key", path))) {
            let mode = mode(path);
            if mode & OTHERS_READ != 0 {
                self.readable(key, path, mode);
            }
            self.writable(key, path, mode);
        }
        if let Some(path) = &options.run.state_dir {
            // A directory that is created later is accessible to its owner only.
            self.writable("state-dir", path, mode(path));
        }
        Ok(())
    }

    fn readable(&mut self, key: &str, path: &Path, mode: u32) {
        let path = path.display();
        self.0.push(format!(
            "--{key} {path}: others on this machine may read the secrets in it (mode {mode:04o}): \
             chmod o-r {path}"
        ));
    }

    fn writable(&mut self, key: &str, path: &Path, mode: u32) {
        let path = path.display();
        if mode & OTHERS_WRITE != 0 {
            self.0.push(format!(
                "--{key} {path}: others on this machine may change what is in it (mode {mode:04o}): \
                 chmod o-w {path}"
            ));
        }
    }
}

/// Returns the permission bits of a file or directory; 0 if it does not exist, which is reported
/// elsewhere, or if the system has no such bits.
fn mode(path: &Path) -> u32 {
    #[cfg(unix)]
    let mode = |path: &Path| -> io::Result<u32> {
        Ok(std::os::unix::fs::PermissionsExt::mode(&path.metadata()?.permissions()))
    };
    #[cfg(not(unix))]
    let mode = |_: &Path| -> io::Result<u32> { Ok(0) };
    mode(path).unwrap_or_default() & 0o7777
}

/// Returns the secrets of fewer than `bytes` bytes: the option of each, and its length. The first
/// ones are in the options themselves, the others in files.
fn shorter_than(
    bytes: usize,
    option: &str,
    (given, files): (usize, &[PathBuf]),
    secrets: &[Secret],
) -> Vec<(String, usize)> {
    let name = |at: usize| match at.checked_sub(given).and_then(|at| files.get(at)) {
        Some(path) => format!("--{option}-file {}", path.display()),
        None => format!("--{option}"),
    };
    let lengths = secrets.iter().map(|secret| secret.expose().len()).enumerate();
    lengths.filter(|(_, length)| *length < bytes).map(|(at, length)| (name(at), length)).collect()
}
