//! Files that are part of the binary. They change only with it, so a client that has one is
//! answered with 304.

use std::sync::OnceLock;

use axum::{
    http::{HeaderMap, HeaderValue, StatusCode, header},
    response::{IntoResponse, IntoResponseParts, Response},
};
use base64::{Engine, prelude::BASE64_URL_SAFE_NO_PAD};
use ring::digest::{SHA256, digest};

/// An embedded file.
pub(super) struct Embedded {
    content_type: HeaderValue,
    text: &'static str,
    /// Its entity tag (RFC 9110 §8.8.3), computed from the text on first use.
    tag: OnceLock<HeaderValue>,
}

impl Embedded {
    pub(super) const fn new(content_type: &'static str, text: &'static str) -> Self {
        let content_type = HeaderValue::from_static(content_type);
        Self { content_type, text, tag: OnceLock::new() }
    }

    /// Returns the file, or 304 for a client that has it; in both cases with these headers.
    pub(super) fn answer(&self, request: &HeaderMap, headers: impl IntoResponseParts) -> Response {
        let tag = self.tag.get_or_init(|| tag(self.text));
        let validator = [(header::ETAG, tag.clone())];
        match has(request, tag) {
            true => (StatusCode::NOT_MODIFIED, headers, validator).into_response(),
            false => {
                let content_type = [(header::CONTENT_TYPE, self.content_type.clone())];
                (headers, validator, content_type, self.text).into_response()
            }
        }
    }
}

fn tag(text: &str) -> HeaderValue {
    let hash = digest(&SHA256, text.as_bytes());
    let tag = format!("\"{}\"", BASE64_URL_SAFE_NO_PAD.encode(&hash.as_ref()[..16]));
    HeaderValue::try_from(tag).expect("base64 and quotes may stand in a header")
}

/// Returns true if `If-None-Match` contains this tag (RFC 9110 §13.1.2), possibly as a weak one
/// (§8.8.3.2). The tag has no comma, so it is whole where the list is split at each.
fn has(request: &HeaderMap, tag: &HeaderValue) -> bool {
    request.get_all(header::IF_NONE_MATCH).iter().any(|line| {
        let mut tags = line.as_bytes().split(|byte| *byte == b',').map(<[u8]>::trim_ascii);
        line.as_bytes().trim_ascii() == b"*"
            || tags.any(|known| known.strip_prefix(b"W/").unwrap_or(known) == tag.as_bytes())
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_client_that_has_a_file_is_recognized_by_its_tag() {
        let tag = tag("what is in it");
        let ours = tag.to_str().unwrap();
        for (lines, known) in [
            (&[][..], false),
            (&[ours], true),
            (&["*"], true),
            (&[" * "], true),
            (&[&format!("W/{ours}")], true),
            (&[&format!("\"a\", W/\"b\" ,{ours}, \"c\"")], true),
            (&[&format!("\"a\",,{ours}")], true),
            (&[&format!("\"a, b\", {ours}")], true),
            (&["\"a\"", ours], true),
            (&["\"a\", \"b\""], false),
            (&["\"a,*,b\""], false),
            (&[&format!("w/{ours}")], false),
            (&[ours.trim_matches('"')], false),
            (&[&format!("\"x{}", &ours[1..])], false),
            (&[""], false),
        ] {
            let mut request = HeaderMap::new();
            for line in lines {
                request.append(header::IF_NONE_MATCH, HeaderValue::from_str(line).unwrap());
            }
            assert_eq!(has(&request, &tag), known, "{lines:?}");
        }
    }

    #[test]
    fn a_tag_depends_on_the_content() {
        assert_eq!(tag("a"), tag("a"));
        assert_ne!(tag("a"), tag("b"));
    }
}
