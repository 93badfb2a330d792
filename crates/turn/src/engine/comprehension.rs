//! The check for comprehension-required attributes (RFC 8489 §6.3).

use callbox_stun::{ErrorCode, Request};

/// Checks that every comprehension-required attribute is known, and that all have a value that can
/// be read.
///
/// # Errors
/// 420 for an unknown attribute, 400 for a malformed one.
pub(super) fn check(request: &Request<'_>) -> Result<(), ErrorCode> {
    if !request.attributes.unknown.is_empty() {
        return Err(ErrorCode::UnknownAttribute);
    }
    if request.attributes.malformed {
        return Err(ErrorCode::BadRequest);
    }
    Ok(())
}
