//! The account at the CA (RFC 8555 §7.3): created once, then stored.

use instant_acme::{Account, AccountCredentials, NewAccount};
use serde::{Deserialize, Serialize};

use super::{Settings, error::OrderError, https::Https, state::ACCOUNT};
use crate::state_dir::StateDir;

/// The stored form of the account.
#[derive(Serialize, Deserialize)]
struct StoredAccount {
    /// The contact address that was sent to the CA.
    email: Option<String>,
    /// The account's key and URL, as the library serializes them.
    credentials: AccountCredentials,
}

/// Returns the stored account, or a new one.
///
/// # Errors
/// [`OrderError`]
pub(super) async fn get(
    settings: &Settings,
    https: &Https,
    state: &StateDir,
) -> Result<Account, OrderError> {
    let builder = Account::builder_with_http(Box::new(https.clone()));
    let Settings { email, directory, .. } = settings;
    let contact: Vec<String> = email.iter().map(|email| format!("mailto:{email}")).collect();
    let contact: Vec<&str> = contact.iter().map(String::as_str).collect();
    let Some(text) = state.read(ACCOUNT).map_err(OrderError::Keep)? else {
        let new = NewAccount {
            contact: &contact,
            terms_of_service_agreed: true,
            only_return_existing: false,
        };
        let (account, credentials) = builder.create(&new, directory.clone(), None).await?;
        store(state, &StoredAccount { email: email.clone(), credentials })?;
        tracing::info!(account = account.id(), "there is a new account at the CA");
        return Ok(account);
    };
    // The text of the error could contain a part of the key.
    let stored: StoredAccount =
        serde_json::from_slice(&text).map_err(|_| OrderError::NoAccount(state.path(ACCOUNT)))?;
    if stored.email == *email {
        return Ok(builder.from_credentials(stored.credentials).await?);
    }
    // The credentials are consumed by the account that is created from them.
    let again: StoredAccount =
        serde_json::from_slice(&text).map_err(|_| OrderError::NoAccount(state.path(ACCOUNT)))?;
    let account = builder.from_credentials(stored.credentials).await?;
    account.update_contacts(&contact).await?;
    store(state, &StoredAccount { email: email.clone(), ..again })?;
    tracing::info!(account = account.id(), "the CA knows of the new --acme-email");
    Ok(account)
}

/// Removes an account that the CA does not know.
///
/// # Errors
/// [`OrderError::Keep`]
pub(super) fn remove(state: &StateDir) -> Result<(), OrderError> {
    state.remove(ACCOUNT).map_err(OrderError::Keep)
}

fn store(state: &StateDir, account: &StoredAccount) -> Result<(), OrderError> {
    let text = serde_json::to_vec(account).expect("text and numbers become JSON");
    state.write(ACCOUNT, &text).map_err(OrderError::Keep)
}
