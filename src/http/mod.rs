//! The axum app.

/// The longest message that a client may send by default, in bytes.
pub const MAX_MESSAGE: usize = 64 * 1024;

/// How many connections one address may have by default.
pub const MAX_CONNECTIONS_PER_ADDRESS: usize = 1000;

/// Settings.
pub struct Config {
    /// l
    pub listen: std::net::SocketAddr,
    /// t
    pub tokens: crate::auth::TokenVerifier,
    /// a
    pub api_keys: crate::auth::ApiKeys,
    /// o
    pub allow_origins: Vec<String>,
    /// m
    pub max_message: usize,
    /// m
    pub max_connections: usize,
    /// m
    pub max_connections_per_address: usize,
    /// d
    pub dev: Option<crate::auth::TokenMinter>,
}
