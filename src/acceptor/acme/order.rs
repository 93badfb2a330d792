//! One order (RFC 8555 §7.4): from the account to a stored certificate.

use std::time::Duration;

use instant_acme::{
    AuthorizationStatus, ChallengeType, Error, Identifier, NewOrder, Order, OrderStatus,
    RetryPolicy,
};
use rcgen::{CertificateParams, DistinguishedName, KeyPair};

use super::{Acme, challenge::OpenChallenge, error::OrderError};
use crate::acceptor::pair::Pair;

/// The longest time that the CA may take to validate the challenges, and then to issue. It is
/// polled at growing intervals.
const PATIENCE: RetryPolicy = RetryPolicy::new().timeout(Duration::from_secs(120));

/// The problem of a CA that does not know the account (RFC 8555 §6.7).
const NO_SUCH_ACCOUNT: &str = "urn:ietf:params:acme:error:accountDoesNotExist";

/// Orders a certificate, answers the challenges, and stores the result.
///
/// # Errors
/// [`OrderError`]; the certificate that was stored before remains.
pub(super) async fn obtain(acme: &Acme) -> Result<Pair, OrderError> {
    let domains = acme.domains();
    let account = acme.account().await?;
    let identifiers: Vec<_> = domains.iter().cloned().map(Identifier::Dns).collect();
    let mut order = match account.new_order(&NewOrder::new(&identifiers)).await {
        Err(Error::Api(problem)) if problem.r#type.as_deref() == Some(NO_SUCH_ACCOUNT) => {
            acme.remove_account()?;
            return Err(OrderError::UnknownAccount);
        }
        order => order?,
    };
    if order.state().status != OrderStatus::Ready {
        let open = answer_challenges(acme, &mut order).await?;
        wait_until_ready(&mut order).await?;
        drop(open);
    }
    // Each certificate has a new key, so that an old one that leaked is worthless.
    let key = KeyPair::generate()?;
    let mut params = CertificateParams::new(domains)?;
    params.distinguished_name = DistinguishedName::new();
    order.finalize_csr(params.serialize_request(&key)?.der()).await?;
    let chain = order.poll_certificate(&PATIENCE).await?;
    let pem = format!("{}{chain}", key.serialize_pem());
    acme.store_certificate(pem.as_bytes())
}

/// Answers the challenges for as long as the result lives, and requests their validation by the CA
/// (RFC 8555 §7.5.1).
async fn answer_challenges(
    acme: &Acme,
    order: &mut Order,
) -> Result<Vec<OpenChallenge>, OrderError> {
    let mut open = Vec::new();
    let mut authorizations = order.authorizations();
    while let Some(authorization) = authorizations.next().await {
        let mut authorization = authorization?;
        let domain = authorization.identifier().to_string();
        if !acme.domains().contains(&domain) {
            return Err(OrderError::NotOrdered(domain));
        }
        // A name that was validated recently need not be validated again (RFC 8555 §7.4.1).
        if authorization.status == AuthorizationStatus::Valid {
            continue;
        }
        let mut challenge = authorization
            .challenge(ChallengeType::TlsAlpn01)
            .ok_or_else(|| OrderError::NoChallenge(domain.clone()))?;
        let digest = challenge.key_authorization().digest();
        open.push(acme.open_challenge(&domain, digest.as_ref())?);
        challenge.set_ready().await?;
    }
    Ok(open)
}

/// Waits until the CA has validated the challenges.
async fn wait_until_ready(order: &mut Order) -> Result<(), OrderError> {
    let refused = match order.poll_ready(&PATIENCE).await {
        Ok(OrderStatus::Ready) => return Ok(()),
        Ok(_) => None,
        Err(Error::Api(problem)) => Some(problem.to_string()),
        Err(error) => return Err(error.into()),
    };
    // The order only says that it failed; the reason is in the challenge (RFC 8555 §8.2).
    match validation_error(order).await.or(refused) {
        Some(reason) => Err(OrderError::NotValidated(reason)),
        None => Err(OrderError::NotValidated("it does not say why".into())),
    }
}

async fn validation_error(order: &mut Order) -> Option<String> {
    let mut authorizations = order.authorizations();
    while let Some(Ok(authorization)) = authorizations.next().await {
        let mut errors = authorization.challenges.iter().filter_map(|it| it.error.as_ref());
        if let Some(error) = errors.next() {
            return Some(format!("{}: {error}", authorization.identifier()));
        }
    }
    None
}
