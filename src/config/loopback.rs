//! The restriction of `--dev` to loopback.

use std::net::SocketAddr;

use super::ConfigError;

/// Returns the address of a listener, unless it is not a loopback one with `--dev`, which gives a
/// token to any client.
///
/// # Errors
/// [`ConfigError::Option`]
pub(super) fn loopback_only(
    option: &'static str,
    address: SocketAddr,
    dev: bool,
) -> Result<SocketAddr, ConfigError> {
    if dev && !address.ip().is_loopback() {
        let reason = format!(
            "{address} is no loopback address, and --dev serves on loopback only, since it gives \
             a token to whoever asks; leave --dev out to serve others"
        );
        return Err(ConfigError::Option { option, reason });
    }
    Ok(address)
}
