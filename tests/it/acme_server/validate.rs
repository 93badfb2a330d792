//! Validation of challenges of the type tls-alpn-01 (RFC 8737 §3).

use std::{io::Read, net::SocketAddr, sync::Arc, thread};

use ring::digest::{SHA256, digest};
use x509_parser::{
    extensions::{GeneralName, ParsedExtension},
    oid_registry::asn1_rs::oid,
    prelude::{FromDer, X509Certificate},
};

use super::{Shared, tls};

/// Validates in a thread of its own, once the name has an address.
pub(super) fn start(shared: Arc<Shared>, order: usize, name: usize) {
    thread::spawn(move || {
        let has_address = |state: &super::State| state.target.is_some_and(|(_, times)| times > 0);
        let mut state = shared.wait("an address to validate", has_address);
        let (target, times) = state.target.as_mut().unwrap();
        let target = *target;
        *times -= 1;
        let it = &state.orders[order];
        let thumbprint = &state.accounts[&it.account].thumbprint;
        let authorization = format!("{}.{thumbprint}", it.names[name].token);
        let domain = it.names[name].name.clone();
        drop(state);
        let seen = look(target, &domain, digest(&SHA256, authorization.as_bytes()).as_ref());
        let mut state = shared.state.lock().unwrap();
        let order = &mut state.orders[order];
        order.names[name].status = if seen.is_ok() { "valid" } else { "invalid" };
        order.names[name].error = seen.err();
        if order.names.iter().any(|name| name.status == "invalid") {
            order.status = "invalid";
        } else if order.names.iter().all(|name| name.status == "valid") {
            order.status = "ready";
        }
        shared.changed.notify_all();
    });
}

fn look(target: SocketAddr, domain: &str, digest: &[u8]) -> Result<(), String> {
    let stream = tls::connect(&target.to_string(), domain, &[b"acme-tls/1"]);
    let mut stream = stream.map_err(|error| format!("no connection: {error}"))?;
    if stream.conn.alpn_protocol() != Some(b"acme-tls/1") {
        return Err("another protocol was chosen".into());
    }
    is_answer(&tls::leaf(&stream), domain, digest)?;
    match stream.read(&mut [0]) {
        Ok(0) => Ok(()),
        other => Err(format!("the connection was not just closed: {other:?}")),
    }
}

/// Checks that a certificate is for exactly this name and contains this digest.
pub(super) fn is_answer(certificate: &[u8], domain: &str, digest: &[u8]) -> Result<(), String> {
    let (_, certificate) =
        X509Certificate::from_der(certificate).map_err(|error| error.to_string())?;
    let mut names = Vec::new();
    let mut answer = None;
    for extension in certificate.extensions() {
        if let ParsedExtension::SubjectAlternativeName(san) = extension.parsed_extension() {
            names.extend(san.general_names.clone());
        }
        if extension.oid == oid!(1.3.6.1.5.5.7.1.31) {
            answer = Some((extension.critical, extension.value));
        }
    }
    if names != [GeneralName::DNSName(domain)] {
        return Err(format!("it is for {names:?}"));
    }
    if certificate.verify_signature(None).is_err() {
        return Err("it is not self-signed".into());
    }
    // An OCTET STRING of 32 bytes.
    let expected = [&[4, 32], digest].concat();
    match answer {
        Some((true, value)) if value == expected => Ok(()),
        Some((false, _)) => Err("acmeIdentifier is not critical".into()),
        Some(_) => Err("acmeIdentifier is another".into()),
        None => Err("there is no acmeIdentifier".into()),
    }
}
