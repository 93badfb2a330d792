//! Stateless nonces.
/// x
pub struct Nonces;
/// x
pub enum NonceError {}
