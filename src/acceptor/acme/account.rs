//! The account at the CA (RFC 8555 §7.3): created once, then stored.

use instant_acme::{Account, AccountCredentials, NewAccount};
use serde::{Deserialize, Serialize};

use super::{Acme, error::OrderError, state::ACCOUNT};

/// The stored form of the account.
#[derive(Serialize, Deserialize)]
struct Kept {
    /// The contact address that the CA was told.
    email: Option<String>,
    /// The account's key and URL, as the library serializes them.
    credentials: AccountCredentials,
}

/// Returns the stored account, or a new one.
///
/// # Errors
/// [`OrderError`]
pub(super) async fn get(acme: &Acme) -> Result<Account, OrderError> {
    let builder = Account::builder_with_http(Box::new(acme.https.clone()));
    let email = &acme.settings.email;
    let contact: Vec<String> = email.iter().map(|email| format!("mailto:{email}")).collect();
    let contact: Vec<&str> = contact.iter().map(String::as_str).collect();
    let Some(text) = acme.state.read(ACCOUNT).map_err(OrderError::Keep)? else {
        let new = NewAccount {
            contact: &contact,
            terms_of_service_agreed: true,
            only_return_existing: false,
        };
        let directory = acme.settings.directory.clone();
        let (account, credentials) = builder.create(&new, directory, None).await?;
        keep(acme, credentials)?;
        tracing::info!(account = account.id(), "there is a new account at the CA");
        return Ok(account);
    };
    // The text of the error could contain a part of the key.
    let kept: Kept = serde_json::from_slice(&text)
        .map_err(|_| OrderError::NoAccount(acme.state.path(ACCOUNT)))?;
    if kept.email == *email {
        return Ok(builder.from_credentials(kept.credentials).await?);
    }
    // The credentials are consumed by the account that is created from them.
    let again: Kept = serde_json::from_slice(&text)
        .map_err(|_| OrderError::NoAccount(acme.state.path(ACCOUNT)))?;
    let account = builder.from_credentials(kept.credentials).await?;
    account.update_contacts(&contact).await?;
    keep(acme, again.credentials)?;
    tracing::info!(account = account.id(), "the CA knows of the new --acme-email");
    Ok(account)
}

/// Removes an account that the CA does not know.
///
/// # Errors
/// [`OrderError::Keep`]
pub(super) fn forget(acme: &Acme) -> Result<(), OrderError> {
    acme.state.remove(ACCOUNT).map_err(OrderError::Keep)
}

fn keep(acme: &Acme, credentials: AccountCredentials) -> Result<(), OrderError> {
    let kept = Kept { email: acme.settings.email.clone(), credentials };
    let text = serde_json::to_vec(&kept).expect("text and numbers become JSON");
    acme.state.write(ACCOUNT, &text).map_err(OrderError::Keep)
}
