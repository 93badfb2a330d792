//! Reads a kind from its text.

use std::str::FromStr;

use super::{Access, Behavior, Kind, Nat, Ports};

/// The words that may come first in a kind.
const NAMES: [&str; 12] = [
    "none",
    "full-cone",
    "address-restricted",
    "port-restricted",
    "symmetric",
    "udp-blocked",
    "tcp-443-only",
    "http-proxy",
    "carrier-grade",
    "ipv6",
    "ipv6-firewall",
    "nat",
];

/// The settings of a kind with a NAT.
const SETTINGS: [&str; 5] = ["mapping=", "filtering=", "ports=", "hairpin", "timeout="];

/// The error for a text that is no kind.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct KindError(String);

impl FromStr for Kind {
    type Err = KindError;

    fn from_str(text: &str) -> Result<Self, KindError> {
        let mut words = text.split(',').map(str::trim).peekable();
        let first = words.peek().copied().unwrap_or_default();
        let named = base(first);
        if named.is_some() {
            words.next();
        } else if !is_setting(first) {
            return Err(unknown(text, first, NAMES.iter().chain(&SETTINGS)));
        }
        let mut kind = named.unwrap_or(Kind::new(Access::Nat));
        let mut settings = Settings::default();
        for word in words {
            settings.read(text, word)?;
        }
        settings.apply(text, &mut kind)?;
        Ok(kind)
    }
}

impl TryFrom<String> for Kind {
    type Error = KindError;
    fn try_from(text: String) -> Result<Self, KindError> {
        text.parse()
    }
}

/// Returns the kind that a first word names.
fn base(word: &str) -> Option<Kind> {
    use Behavior::{AddressAndPortDependent, AddressDependent, EndpointIndependent};
    let nat = |mapping, filtering| Some(Kind::of_nat(Nat::new(mapping, filtering)));
    match word {
        "full-cone" => nat(EndpointIndependent, EndpointIndependent),
        "address-restricted" => nat(EndpointIndependent, AddressDependent),
        "port-restricted" => nat(EndpointIndependent, AddressAndPortDependent),
        "symmetric" => nat(AddressAndPortDependent, AddressAndPortDependent),
        _ => Access::ALL.into_iter().find(|access| access.name() == word).map(Kind::new),
    }
}

fn is_setting(word: &str) -> bool {
    SETTINGS.iter().any(|name| match name.strip_suffix('=') {
        Some(key) => word.split_once('=').is_some_and(|(given, _)| given == key),
        None => word == *name,
    })
}

fn unknown<'a>(
    text: &str,
    word: &str,
    names: impl Iterator<Item = &'a &'a str> + Clone,
) -> KindError {
    let key = word.split('=').next().unwrap_or(word);
    let distance = |name: &&&str| strsim::damerau_levenshtein(key, name.trim_end_matches('='));
    let nearest = names.clone().min_by_key(distance).copied().unwrap_or_default();
    let all: Vec<_> = names.copied().collect();
    KindError(format!(
        "unknown kind `{text}`: there is no `{word}`; did you mean `{nearest}`? There are {}",
        all.join(", ")
    ))
}

/// The settings that a text has.
#[derive(Default)]
struct Settings {
    mapping: Option<Behavior>,
    filtering: Option<Behavior>,
    ports: Option<Ports>,
    hairpin: Option<bool>,
    timeout: Option<std::time::Duration>,
}

impl Settings {
    fn read(&mut self, text: &str, word: &str) -> Result<(), KindError> {
        let (key, value) = word.split_once('=').unwrap_or((word, ""));
        let bad = |what: &str| {
            KindError(format!("kind `{text}`: `{key}` cannot be `{value}`; expected {what}"))
        };
        let behavior = || {
            value.parse::<Behavior>().map_err(|()| {
                bad("endpoint-independent, address-dependent or address-and-port-dependent")
            })
        };
        match key {
            "mapping" => self.mapping = Some(behavior()?),
            "filtering" => self.filtering = Some(behavior()?),
            "ports" => {
                let ports = value.parse().map_err(|()| bad("preserved, parity or random"))?;
                self.ports = Some(ports);
            }
            "hairpin" => match value {
                "" | "on" => self.hairpin = Some(true),
                "off" => self.hairpin = Some(false),
                _ => return Err(bad("on or off")),
            },
            "timeout" => {
                let timeout = humantime::parse_duration(value).ok();
                let whole = timeout.filter(|time| time.subsec_nanos() == 0 && time.as_secs() > 0);
                self.timeout = Some(whole.ok_or_else(|| bad("whole seconds, as 30s or 5m"))?);
            }
            _ => return Err(unknown(text, word, SETTINGS.iter())),
        }
        Ok(())
    }

    fn is_empty(&self) -> bool {
        let Self { mapping, filtering, ports, hairpin, timeout } = self;
        mapping.is_none()
            && filtering.is_none()
            && ports.is_none()
            && hairpin.is_none()
            && timeout.is_none()
    }

    fn apply(self, text: &str, kind: &mut Kind) -> Result<(), KindError> {
        if self.is_empty() {
            return Ok(());
        }
        if !kind.has_nat() {
            return Err(KindError(format!(
                "kind `{text}`: `{}` has no NAT, so it takes no settings",
                kind.access.name()
            )));
        }
        let mapping = self.mapping.unwrap_or(kind.nat.mapping);
        let usual = Nat::new(mapping, self.filtering.unwrap_or(kind.nat.filtering));
        let ports = match self.ports {
            Some(ports) => ports,
            // A mapping for each endpoint cannot keep the port.
            None if kind.nat.ports == Ports::Preserved => usual.ports,
            None => kind.nat.ports,
        };
        if mapping != Behavior::EndpointIndependent && ports == Ports::Preserved {
            return Err(KindError(format!(
                "kind `{text}`: a NAT that preserves ports has one mapping for all endpoints; \
                 choose ports=parity or ports=random, or mapping=endpoint-independent"
            )));
        }
        kind.nat = Nat {
            ports,
            hairpin: self.hairpin.unwrap_or(kind.nat.hairpin),
            timeout: self.timeout.unwrap_or(kind.nat.timeout),
            ..usual
        };
        Ok(())
    }
}
