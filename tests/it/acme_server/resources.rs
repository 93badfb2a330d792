//! The resources (RFC 8555 §7) and their requests.

use std::{sync::Arc, time::Duration};

use serde_json::{Value, json};

use super::{
    Account, Shared, State,
    answers::{failure, ok, problem, random, strings},
    http::{Request, Response},
    jws::{Signed, Signer, decode},
    validate,
};

const DAY: Duration = Duration::from_secs(86400);

/// An order, with one authorization for each name and one challenge in each.
pub(super) struct Order {
    pub account: String,
    pub names: Vec<Name>,
    pub status: &'static str,
    /// The index of the certificate.
    certificate: Option<usize>,
}

pub(super) struct Name {
    pub name: String,
    pub token: String,
    pub status: &'static str,
    /// The reason why validation failed.
    pub error: Option<String>,
}

/// A refusal: the status, the type without its prefix, and the detail.
type Refusal = (u16, &'static str, String);

fn malformed(detail: impl Into<String>) -> Refusal {
    (400, "malformed", detail.into())
}

impl Shared {
    /// Responds to a request, and records violations by the client.
    pub(super) fn handle(self: &Arc<Self>, request: &Request) -> Response {
        let mut state = self.state.lock().unwrap();
        let agent = request.headers.get("user-agent").map_or("", String::as_str);
        if !agent.starts_with("callbox/") {
            state.complaints.push(format!("the agent is {agent:?} (§6.1)"));
        }
        let mut response = match (request.method.as_str(), request.path.as_str()) {
            ("GET", "/directory") => self.directory(),
            // §7.2: 200 for HEAD, 204 for GET.
            ("HEAD", "/new-nonce") => {
                Response { status: 200, headers: vec![], body: String::new() }
            }
            ("POST", path) => match self.post(&mut state, request, path) {
                Ok(response) => response,
                Err((status, kind, detail)) => problem(status, kind, &detail),
            },
            (method, path) => {
                state.complaints.push(format!("{method} {path}"));
                problem(405, "malformed", "no such thing can be asked for")
            }
        };
        if request.method != "GET" {
            // §6.5: every response has a nonce.
            let nonce = random();
            state.nonces.insert(nonce.clone());
            response.headers.push(("replay-nonce", nonce));
            response.headers.push(("cache-control", "no-store".into()));
        }
        self.changed.notify_all();
        response
    }

    fn directory(&self) -> Response {
        let at = |path: &str| format!("{}/{path}", self.base);
        let body = json!({
            "newNonce": at("new-nonce"), "newAccount": at("new-account"),
            "newOrder": at("new-order"), "revokeCert": at("revoke"), "keyChange": at("key"),
            "meta": { "termsOfService": at("terms") },
        });
        ok(200, &body)
    }

    fn post(
        self: &Arc<Self>,
        state: &mut State,
        request: &Request,
        path: &str,
    ) -> Result<Response, Refusal> {
        let url = format!("{}{path}", self.base);
        let key_of = |kid: &str| state.accounts.get(kid).map(|account| account.key.clone());
        let signed = match Signed::read(request, &url, key_of) {
            Ok(signed) => signed,
            Err(reason) => {
                state.complaints.push(format!("{path}: {reason}"));
                return Err(malformed(reason));
            }
        };
        if !state.nonces.remove(&signed.nonce) {
            state.complaints.push(format!("{path}: a nonce that is used or was never given"));
            return Err((400, "badNonce", "this nonce is not known".into()));
        }
        let mut parts = path[1..].split('/');
        let (resource, id) =
            (parts.next().unwrap_or(""), parts.next().and_then(|id| id.parse().ok()));
        let name = parts.next().and_then(|name| name.parse().ok());
        let resource = match resource {
            "new-account" => "newAccount",
            "new-order" => "newOrder",
            "account" => "account",
            "order" => "order",
            "authorization" => "authorization",
            "challenge" => "challenge",
            "finalize" => "finalize",
            "certificate" => "certificate",
            _ => return Err((404, "malformed", "there is no such resource".into())),
        };
        state.requests.push((resource, std::time::Instant::now()));
        if state.faults.front().is_some_and(|(name, _)| *name == resource) {
            let (_, fault) = state.faults.pop_front().unwrap();
            return Ok(failure(fault));
        }
        let answer = match (resource, signed.signer) {
            ("newAccount", Signer::Key(key)) => {
                let account = (key.point, key.thumbprint);
                self.new_account(state, account, &signed.payload.unwrap_or_default())
            }
            // §6.2: the key itself for a new account, the account for all other requests.
            ("newAccount", _) | (_, Signer::Key(_)) => Err(malformed("jwk and kid are mixed up")),
            ("account", Signer::Account(kid)) if kid == url => {
                let contact = signed.payload.as_ref().map(|it| strings(&it["contact"]));
                let account = state.accounts.get_mut(&kid).unwrap();
                account.contact = contact.unwrap_or(account.contact.clone());
                Ok(ok(200, &json!({ "status": "valid", "contact": account.contact })))
            }
            ("newOrder", Signer::Account(kid)) => {
                self.new_order(state, kid, &signed.payload.unwrap_or_default())
            }
            (_, Signer::Account(kid)) => {
                let indices = (id.unwrap_or(usize::MAX), name.unwrap_or(0));
                self.of_order(state, resource, indices, &kid, signed.payload)
            }
        };
        if let Err((_, _, reason)) = &answer {
            state.complaints.push(format!("{path}: {reason}"));
        }
        answer
    }

    /// §7.3
    fn new_account(
        &self,
        state: &mut State,
        (key, thumbprint): (Vec<u8>, String),
        payload: &Value,
    ) -> Result<Response, Refusal> {
        if let Some((url, _)) = state.accounts.iter().find(|(_, account)| account.key == key) {
            return Ok(ok(200, &json!({ "status": "valid" })).with("location", url.clone()));
        }
        if payload["termsOfServiceAgreed"] != true {
            return Err((403, "userActionRequired", "the terms are not agreed to".into()));
        }
        let url = format!("{}/account/{}", self.base, state.accounts.len());
        let contact = strings(&payload["contact"]);
        let body = json!({ "status": "valid", "contact": contact });
        state.accounts.insert(url.clone(), Account { key, thumbprint, contact });
        Ok(ok(201, &body).with("location", url))
    }

    /// §7.4
    fn new_order(
        &self,
        state: &mut State,
        account: String,
        payload: &Value,
    ) -> Result<Response, Refusal> {
        let identifiers = payload["identifiers"].as_array().filter(|list| !list.is_empty());
        let mut names = Vec::new();
        for identifier in identifiers.ok_or_else(|| malformed("no identifiers"))? {
            if identifier["type"] != "dns" {
                return Err((400, "unsupportedIdentifier", identifier.to_string()));
            }
            let name = identifier["value"].as_str().unwrap_or_default().to_owned();
            names.push(Name { name, token: random(), status: "pending", error: None });
        }
        let id = state.orders.len();
        state.orders.push(Order { account, names, status: "pending", certificate: None });
        let url = format!("{}/order/{id}", self.base);
        Ok(ok(201, &self.order(state, id)).with("location", url))
    }

    /// Responds to requests for an order, its authorizations, its challenges, its finalization and
    /// its certificate.
    fn of_order(
        self: &Arc<Self>,
        state: &mut State,
        resource: &str,
        (id, name): (usize, usize),
        kid: &str,
        payload: Option<Value>,
    ) -> Result<Response, Refusal> {
        let order = state.orders.get_mut(id).filter(|order| name < order.names.len());
        let order = order.ok_or((404, "malformed", "there is no such order".to_owned()))?;
        if order.account != kid {
            return Err((403, "unauthorized", "it is another account's".into()));
        }
        match (resource, payload) {
            ("order", None) => {
                let body = self.order(state, id);
                // The order is in the state "processing" until it has been polled once.
                if state.orders[id].status == "processing" {
                    state.orders[id].status = "valid";
                }
                Ok(ok(200, &body))
            }
            ("authorization", None) => Ok(ok(200, &self.authorization(order, id, name))),
            // §7.5.1: an empty object, and nothing else.
            ("challenge", Some(payload)) if payload == json!({}) => {
                if order.names[name].status == "pending" {
                    order.names[name].status = "processing";
                    validate::start(self.clone(), id, name);
                }
                let up = format!("<{}/authorization/{id}/{name}>;rel=\"up\"", self.base);
                Ok(ok(200, &self.challenge(order, id, name)).with("link", up))
            }
            ("finalize", Some(payload)) => self.finalize(state, id, &payload),
            ("certificate", None) => {
                let chain = state.orders[id].certificate.map(|number| &state.issued[number]);
                let body = chain.ok_or_else(|| malformed("there is none yet"))?.clone();
                let kind = ("content-type", "application/pem-certificate-chain".to_owned());
                Ok(Response { status: 200, headers: vec![kind], body })
            }
            // §6.3: only an empty payload reads a resource.
            _ => Err(malformed(format!("a payload that {resource} does not take"))),
        }
    }

    fn finalize(&self, state: &mut State, id: usize, payload: &Value) -> Result<Response, Refusal> {
        let order = &state.orders[id];
        if order.status != "ready" {
            return Err((403, "orderNotReady", format!("the order is {}", order.status)));
        }
        let csr = decode(payload["csr"].as_str().unwrap_or_default()).map_err(malformed)?;
        let names: Vec<_> = order.names.iter().map(|name| name.name.clone()).collect();
        let account = &state.accounts[&order.account].key;
        let lifetime = state.lifetimes.pop_front().unwrap_or((DAY, 89 * DAY));
        let chain = self.ca.sign(&csr, &names, account, lifetime);
        state.issued.push(chain.map_err(|reason| (400, "badCSR", reason))?);
        state.orders[id].certificate = Some(state.issued.len() - 1);
        state.orders[id].status = "processing";
        Ok(ok(200, &self.order(state, id)))
    }

    fn order(&self, state: &State, id: usize) -> Value {
        let order = &state.orders[id];
        let at = |path: String| format!("{}/{path}", self.base);
        let identifiers: Vec<_> = order.names.iter().map(identifier).collect();
        let authorizations: Vec<_> =
            (0..order.names.len()).map(|name| at(format!("authorization/{id}/{name}"))).collect();
        let mut body = json!({
            "status": order.status, "expires": "2100-01-01T00:00:00Z",
            "identifiers": identifiers, "authorizations": authorizations,
            "finalize": at(format!("finalize/{id}")),
        });
        if order.status == "valid" {
            body["certificate"] = at(format!("certificate/{id}")).into();
        }
        body
    }

    fn authorization(&self, order: &Order, id: usize, name: usize) -> Value {
        let status = match order.names[name].status {
            "processing" => "pending",
            status => status,
        };
        let other = json!({
            "type": "http-01", "status": "pending", "token": random(),
            "url": format!("{}/not-for-you", self.base),
        });
        json!({
            "identifier": identifier(&order.names[name]), "status": status,
            "expires": "2100-01-01T00:00:00Z",
            "challenges": [other, self.challenge(order, id, name)],
        })
    }

    fn challenge(&self, order: &Order, id: usize, name: usize) -> Value {
        let Name { token, status, error, .. } = &order.names[name];
        let url = format!("{}/challenge/{id}/{name}", self.base);
        let mut body =
            json!({ "type": "tls-alpn-01", "status": status, "token": token, "url": url });
        if let Some(detail) = error {
            let kind = "urn:ietf:params:acme:error:unauthorized";
            body["error"] = json!({ "type": kind, "detail": detail, "status": 403 });
        }
        body
    }
}

fn identifier(name: &Name) -> Value {
    json!({ "type": "dns", "value": name.name })
}
