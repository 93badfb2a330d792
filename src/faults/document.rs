//! The document of faults.

use serde::{Deserialize, Serialize};
use serde_json::Value;
use utoipa::ToSchema;

use super::{EventFault, FaultAction, FaultError, PacketFault, RequestFault};

/// The largest number of faults in a document.
pub const MAX_RULES: usize = 64;

/// The largest seed: JavaScript keeps integers up to it.
const MAX_SEED: u64 = (1 << 53) - 1;

/// The faults that the server is to inject. They replace all that it had before.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct FaultDocument {
    /// The seed of all random draws; without it, one is generated. It is in the answer and in the
    /// log, so that a run can be repeated.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false, maximum = 9007199254740991_u64)]
    pub seed: Option<u64>,
    /// The faults of relayed packets.
    #[serde(default)]
    #[schema(required = false)]
    pub packets: Vec<PacketFault>,
    /// The faults of requests to the relay.
    #[serde(default)]
    #[schema(required = false)]
    pub requests: Vec<RequestFault>,
    /// The faults of events.
    #[serde(default)]
    #[schema(required = false)]
    pub events: Vec<EventFault>,
    /// The faults that are injected once, in their order.
    #[serde(default)]
    #[schema(required = false)]
    pub actions: Vec<FaultAction>,
}

impl FaultDocument {
    /// Parses and checks a document.
    ///
    /// # Errors
    /// [`FaultError`] names the field and its value.
    pub fn parse(text: &str) -> Result<Self, FaultError> {
        let value = serde_json::from_str(text).map_err(|error| FaultError::Json(error.to_string()));
        Self::from_value(value?)
    }

    /// Reads and checks a document.
    ///
    /// # Errors
    /// [`FaultError`] names the field and its value.
    pub fn from_value(value: Value) -> Result<Self, FaultError> {
        check_objects(&value)?;
        let document: Self = serde_path_to_error::deserialize(value).map_err(|error| {
            let path = match error.path().to_string() {
                path if path == "." => "the faults".to_owned(),
                path => path,
            };
            FaultError::Field { path, reason: error.into_inner().to_string() }
        })?;
        document.check()?;
        Ok(document)
    }

    fn check(&self) -> Result<(), FaultError> {
        if let Some(seed) = self.seed.filter(|seed| *seed > MAX_SEED) {
            return Err(FaultError::value("seed", seed, format!("it may be {MAX_SEED} at most")));
        }
        let Self { packets, requests, events, actions, .. } = self;
        let rules = packets.len() + requests.len() + events.len() + actions.len();
        if rules > MAX_RULES {
            let expected = format!("a document may have {MAX_RULES} in all its lists together");
            return Err(FaultError::value("the number of faults", rules, expected));
        }
        let at = |list: &str, index: usize| format!("{list}[{index}]");
        for (index, fault) in packets.iter().enumerate() {
            fault.check(&at("packets", index))?;
        }
        for (index, fault) in requests.iter().enumerate() {
            fault.check(&at("requests", index))?;
        }
        for (index, fault) in events.iter().enumerate() {
            fault.check(&at("events", index))?;
        }
        for (index, action) in actions.iter().enumerate() {
            action.check(&at("actions", index))?;
        }
        Ok(())
    }

    /// Returns the seed, which is drawn from `random` if there is none.
    pub(crate) fn seed_or(&self, random: u64) -> u64 {
        self.seed.unwrap_or(random & MAX_SEED)
    }
}

/// Checks that the document, its faults and their selectors are objects: serde would take arrays
/// with the values of the fields, too.
fn check_objects(document: &Value) -> Result<(), FaultError> {
    let not_an_object = |path: String, value: &Value| {
        Err(FaultError::value(path, value, "it must be an object with named fields"))
    };
    let Some(lists) = document.as_object() else {
        return not_an_object("the document".to_owned(), document);
    };
    for (name, list) in lists {
        for (index, fault) in list.as_array().into_iter().flatten().enumerate() {
            if !fault.is_object() {
                return not_an_object(format!("{name}[{index}]"), fault);
            }
            if let Some(selector) = fault.get("for").filter(|selector| !selector.is_object()) {
                return not_an_object(format!("{name}[{index}].for"), selector);
            }
        }
    }
    Ok(())
}
