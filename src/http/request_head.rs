//! The head of a request, bounded and copied out of the buffers that it was read into.

use axum::http::{HeaderMap, HeaderName, HeaderValue, Request, Uri};

/// The largest number of fields of a head. Over HTTP/2 one takes a byte on the wire, and a hundred
/// in memory.
pub(super) const MAX_FIELDS: usize = 100;

/// The memory that a field takes besides its name and value.
const FIELD_WEIGHT: usize = 104;

/// The error for a head with too many fields.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct TooManyFields;

/// Copies a head into memory of its own: a field that is a slice of the read buffer keeps all of it
/// alive.
///
/// # Errors
/// [`TooManyFields`]; nothing is left of the request then.
pub(super) fn compact<B>(request: Request<B>) -> Result<Request<B>, TooManyFields> {
    let (mut parts, body) = request.into_parts();
    if parts.headers.len() > MAX_FIELDS {
        return Err(TooManyFields);
    }
    let mut headers = HeaderMap::with_capacity(parts.headers.len());
    for (name, value) in &parts.headers {
        headers.append(own_name(name), own_value(value));
    }
    parts.headers = headers;
    if let Ok(uri) = parts.uri.to_string().parse::<Uri>() {
        parts.uri = uri;
    }
    Ok(Request::from_parts(parts, body))
}

/// Returns the approximate size of a head in memory.
pub(super) fn weight<B>(request: &Request<B>) -> usize {
    let fields = request.headers().iter();
    let fields = fields.map(|(name, value)| FIELD_WEIGHT + name.as_str().len() + value.len());
    let uri = request.uri();
    let path = uri.path_and_query().map_or(0, |path| path.as_str().len());
    fields.sum::<usize>() + path + uri.authority().map_or(0, |authority| authority.as_str().len())
}

fn own_name(name: &HeaderName) -> HeaderName {
    HeaderName::from_bytes(name.as_str().as_bytes()).unwrap_or_else(|_| name.clone())
}

fn own_value(value: &HeaderValue) -> HeaderValue {
    let Ok(mut own) = HeaderValue::from_bytes(value.as_bytes()) else { return value.clone() };
    own.set_sensitive(value.is_sensitive());
    own
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;

    use super::*;

    #[test]
    fn no_slice_of_the_buffer_is_kept() {
        let buffer = Bytes::from(b"/path?query=1|x-own|value".to_vec());
        let uri = Uri::from_maybe_shared(buffer.slice(0..13)).unwrap();
        let value = HeaderValue::from_maybe_shared(buffer.slice(20..25)).unwrap();
        let mut request = Request::builder().uri(uri).body(()).unwrap();
        request.headers_mut().append("x-own", value.clone());
        request.headers_mut().append("x-own", value);
        let copy = compact(request).unwrap();
        assert!(buffer.is_unique(), "all slices of it are gone");
        assert_eq!(copy.uri(), "/path?query=1");
        let values: Vec<_> = copy.headers().get_all("x-own").iter().collect();
        assert_eq!(values, ["value", "value"]);
        assert_eq!(weight(&copy), 2 * (FIELD_WEIGHT + 10) + 13);
    }

    #[test]
    fn a_head_of_too_many_fields_is_refused() {
        let with = |fields: usize| {
            let mut request = Request::new(());
            for _ in 0..fields {
                request.headers_mut().append("age", HeaderValue::from_static(""));
            }
            compact(request).map(|request| request.headers().len())
        };
        assert_eq!(with(MAX_FIELDS), Ok(MAX_FIELDS));
        assert_eq!(with(MAX_FIELDS + 1), Err(TooManyFields));
    }
}
