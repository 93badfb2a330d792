//! The parts of a drawing.

/// The number of letters before the `S` of the signaling server.
const LETTERS: usize = 18;

/// A vertical line of a drawing.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::trace) enum Place {
    /// A user, by the index in the list of users.
    User(usize),
    /// The signaling server.
    Signaling,
    /// The STUN server.
    Stun,
    /// The relay.
    Turn,
}

impl Place {
    /// Returns the short name: the caller is `A`, the callee `B`.
    pub(in crate::trace) fn id(self) -> String {
        match self {
            Self::User(index) => match u8::try_from(index) {
                Ok(index) if usize::from(index) < LETTERS => char::from(b'A' + index).to_string(),
                _ => format!("U{}", index + 1),
            },
            Self::Signaling => "S".to_owned(),
            Self::Stun => "STUN".to_owned(),
            Self::Turn => "TURN".to_owned(),
        }
    }
}

/// The line of an arrow.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::trace) enum Line {
    /// Something that the server has received or sent.
    Solid,
    /// Something that a client has told the server of.
    Dashed,
    /// Something that did not get through.
    Broken,
}

/// The words at an arrow.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(in crate::trace) struct Label {
    /// The name of the message.
    pub name: String,
    /// The form of its payload, in the words of the specification.
    pub form: &'static str,
    /// The facts of this one.
    pub details: Vec<String>,
}

/// A message from one place to another.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(in crate::trace) struct Arrow {
    /// The place where it begins.
    pub from: Place,
    /// The place where it ends.
    pub to: Place,
    /// Its line.
    pub line: Line,
    /// True for packets that the relay has forwarded.
    pub is_relayed: bool,
    /// Its words.
    pub label: Label,
}

/// A mark in a drawing.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(in crate::trace) enum Mark {
    /// A message.
    Arrow(Arrow),
    /// Something that happened at a place, or between the first of two and the last.
    Note(Place, Place, String),
    /// The name of a phase, which begins with the next mark: no step of its own.
    Heading(Place, Place, &'static str),
}

impl Mark {
    /// Returns true if the mark begins or ends at a place.
    pub(super) fn is_at(&self, place: Place) -> bool {
        match self {
            Self::Arrow(Arrow { from, to, .. })
            | Self::Note(from, to, _)
            | Self::Heading(from, to, _) => *from == place || *to == place,
        }
    }
}

/// A mark with its time.
#[derive(Debug, Clone, PartialEq)]
pub(in crate::trace) struct Item {
    /// The time since the first step, in milliseconds.
    pub at_ms: f64,
    /// The time of the last one, if there are several.
    pub until_ms: f64,
    /// The number of equal ones that are drawn as one.
    pub times: usize,
    /// The mark.
    pub mark: Mark,
}
