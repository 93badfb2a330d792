//! The faults of requests to the relay.

use callbox_base::faults::Selector;
use callbox_turn::{
    ErrorCode,
    faults::{Method, RequestFault as Outcome, RequestRule},
};
use serde::{Deserialize, Deserializer, Serialize, Serializer, de};
use serde_json::Value;
use utoipa::{
    PartialSchema, ToSchema,
    openapi::{ObjectBuilder, OneOfBuilder, RefOr, Schema, Type},
};

use super::FaultError;

/// The largest number of requests that a fault is for.
pub(super) const MAX_COUNT: u32 = 1_000_000;

/// A fault of the next requests of a method.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
#[schema(as = RequestFault)]
pub struct RequestFault {
    /// The users and calls whose requests it is for. A Binding request is of nobody.
    #[serde(rename = "for", default)]
    #[schema(required = false)]
    pub selector: Selector,
    /// The method of the requests.
    pub method: RequestMethod,
    /// The answer to them.
    pub answer: RequestOutcome,
    /// The number of requests: of those whose credentials are valid.
    #[schema(minimum = 1, maximum = 1000000)]
    pub count: u32,
    /// The number of requests that it is still for; only in answers.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false, read_only)]
    pub left: Option<u32>,
}

/// A method of a request to the relay.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub enum RequestMethod {
    /// Binding (RFC 8489 §3).
    Binding,
    /// Allocate (RFC 8656 §7).
    Allocate,
    /// Refresh (RFC 8656 §8).
    Refresh,
    /// CreatePermission (RFC 8656 §10).
    CreatePermission,
    /// ChannelBind (RFC 8656 §12).
    ChannelBind,
    /// Connect (RFC 6062 §4.3).
    Connect,
    /// ConnectionBind (RFC 6062 §4.4).
    ConnectionBind,
}

impl RequestMethod {
    fn method(self) -> Method {
        match self {
            Self::Binding => Method::Binding,
            Self::Allocate => Method::Allocate,
            Self::Refresh => Method::Refresh,
            Self::CreatePermission => Method::CreatePermission,
            Self::ChannelBind => Method::ChannelBind,
            Self::Connect => Method::Connect,
            Self::ConnectionBind => Method::ConnectionBind,
        }
    }
}

/// The fate of a request: an error code of those that clients must handle, or silence.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RequestOutcome(Outcome);

/// The codes that a request may be answered with.
const CODES: [ErrorCode; 5] = [
    ErrorCode::Unauthorized,
    ErrorCode::AllocationMismatch,
    ErrorCode::StaleNonce,
    ErrorCode::AllocationQuotaReached,
    ErrorCode::InsufficientCapacity,
];

/// The word for no answer.
const SILENCE: &str = "silence";

impl Serialize for RequestOutcome {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self.0 {
            Outcome::Answer(code) => serializer.serialize_u16(code.number()),
            Outcome::Silence => serializer.serialize_str(SILENCE),
        }
    }
}

impl<'de> Deserialize<'de> for RequestOutcome {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let value = Value::deserialize(deserializer)?;
        if value == SILENCE {
            return Ok(Self(Outcome::Silence));
        }
        let number = value.as_u64();
        let code = CODES.into_iter().find(|code| number == Some(code.number().into()));
        code.map(|code| Self(Outcome::Answer(code))).ok_or_else(|| {
            let expected = "one of 401, 437, 438, 486, 508 and \"silence\" is expected";
            de::Error::custom(format!("the value is {value}; {expected}"))
        })
    }
}

impl PartialSchema for RequestOutcome {
    fn schema() -> RefOr<Schema> {
        let codes = CODES.map(ErrorCode::number);
        let code = ObjectBuilder::new().schema_type(Type::Integer).enum_values(Some(codes));
        let word = ObjectBuilder::new().schema_type(Type::String).enum_values(Some([SILENCE]));
        let description = Some("An error code, or `silence` for no answer.");
        OneOfBuilder::new().item(code).item(word).description(description).into()
    }
}

impl ToSchema for RequestOutcome {}

impl RequestFault {
    /// Checks the values; `path` is that of the fault.
    ///
    /// # Errors
    /// [`FaultError::Value`]
    pub(super) fn check(&self, path: &str) -> Result<(), FaultError> {
        if !(1..=MAX_COUNT).contains(&self.count) {
            let expected = format!("it may be from 1 to {MAX_COUNT}");
            return Err(FaultError::value(format!("{path}.count"), self.count, expected));
        }
        if let Some(left) = self.left {
            let expected = "it is only in answers: give count";
            return Err(FaultError::value(format!("{path}.left"), left, expected));
        }
        if self.method == RequestMethod::Binding && !self.selector.is_everybody() {
            let selector = serde_json::to_string(&self.selector).unwrap_or_default();
            let expected = "a Binding request has no credentials, so that it is of nobody";
            return Err(FaultError::value(format!("{path}.for"), selector, expected));
        }
        Ok(())
    }

    /// Returns the relay's rule for it.
    pub(crate) fn rule(&self) -> RequestRule {
        RequestRule::new(self.selector.clone(), self.method.method(), self.answer.0, self.count)
    }
}
