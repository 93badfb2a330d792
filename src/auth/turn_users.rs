//! TURN users.
/// x
pub struct LongTermKey;
/// x
pub struct TurnAuth;
/// x
pub struct TurnAuthError;
/// x
pub struct TurnIdentity;
