//! Header fields that carry more than a word. RFC 9110, RFC 8288 and the distribution specification.

use std::time::Duration;

/// A media type without its parameters, in lower case.
pub(crate) fn media_type(value: &str) -> String {
    value.split(';').next().unwrap_or_default().trim().to_ascii_lowercase()
}

/// How long `Retry-After` asks to wait: seconds, or a date, of which `now` is subtracted. None where it is neither.
pub(crate) fn retry_after(value: &str, now: Duration) -> Option<Duration> {
    let value = value.trim();
    if !value.is_empty() && value.bytes().all(|byte| byte.is_ascii_digit()) {
        // More digits than a number has are for ever.
        return Some(Duration::from_secs(value.parse().unwrap_or(u64::MAX)));
    }
    let date = jiff::fmt::rfc2822::parse(value).ok()?.timestamp().as_second();
    Some(Duration::from_secs(date.try_into().unwrap_or(0)).saturating_sub(now))
}

/// Which bytes of how many a `Content-Range` announces.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct ContentRange {
    /// The first byte.
    pub(crate) first: u64,
    /// The last byte.
    pub(crate) last: u64,
    /// All of them, where that is said.
    pub(crate) total: Option<u64>,
}

/// Reads `bytes FIRST-LAST/TOTAL`.
pub(crate) fn content_range(value: &str) -> Option<ContentRange> {
    let (range, total) = value.trim().strip_prefix("bytes ")?.split_once('/')?;
    let (first, last) = range.trim().split_once('-')?;
    let total = match total.trim() {
        "*" => None,
        total => Some(number(total)?),
    };
    let range = ContentRange { first: number(first)?, last: number(last)?, total };
    (range.first <= range.last && total.is_none_or(|total| range.last < total)).then_some(range)
}

/// How many bytes of an upload have come, as its `Range` says. `0-0` may mean one byte or none, and is none here, so that it is never trusted.
pub(crate) fn upload_range(value: &str) -> Option<u64> {
    let value = value.trim();
    let (first, last) = value.strip_prefix("bytes=").unwrap_or(value).split_once('-')?;
    match (number(first)?, number(last)?) {
        (0, 0) => Some(0),
        (0, last) => last.checked_add(1),
        _ => None,
    }
}

/// Digits and nothing else.
fn number(text: &str) -> Option<u64> {
    (!text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit())).then(|| text.parse().ok())?
}

/// The target of the first `Link` with the relation `next`.
pub(crate) fn next_link<'a>(values: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    values.into_iter().flat_map(links).find(|(_, parameters)| is_next(parameters)).map(|(target, _)| target)
}

/// The links of one field: target and parameters.
fn links(value: &str) -> Vec<(&str, &str)> {
    let mut links = Vec::new();
    let mut rest = value;
    while let Some((_, behind)) = rest.split_once('<') {
        let Some((target, behind)) = behind.split_once('>') else { break };
        let end = end_of_parameters(behind);
        links.push((target.trim(), &behind[..end]));
        rest = &behind[end..];
    }
    links
}

/// Where the next link begins: at a comma outside of quotes.
fn end_of_parameters(text: &str) -> usize {
    let mut quoted = false;
    for (at, byte) in text.bytes().enumerate() {
        match byte {
            b'"' => quoted = !quoted,
            b',' if !quoted => return at,
            _ => {}
        }
    }
    text.len()
}

fn is_next(parameters: &str) -> bool {
    parameters.split(';').filter_map(|parameter| parameter.split_once('=')).any(|(name, value)| {
        name.trim().eq_ignore_ascii_case("rel") && value.trim().trim_matches('"').split_ascii_whitespace().any(|relation| relation.eq_ignore_ascii_case("next"))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reg_14_parameters_of_a_media_type_do_not_count() {
        assert_eq!(media_type("application/vnd.oci.image.index.v1+json; charset=utf-8"), "application/vnd.oci.image.index.v1+json");
        assert_eq!(media_type(" Application/JSON"), "application/json");
    }

    #[test]
    fn reg_25_retry_after_is_seconds_or_a_date() {
        let now = Duration::from_secs(1_445_412_420);
        for (value, seconds) in [
            ("0", Some(0)),
            (" 120 ", Some(120)),
            ("1000000000", Some(1_000_000_000)),
            ("99999999999999999999999", Some(u64::MAX)),
            ("Wed, 21 Oct 2015 07:28:00 GMT", Some(60)),
            ("Wed, 21 Oct 2009 07:28:00 GMT", Some(0)),
            ("-1", None),
            ("soon", None),
            ("", None),
        ] {
            assert_eq!(retry_after(value, now), seconds.map(Duration::from_secs), "{value:?}");
        }
    }

    #[test]
    fn reg_28_ranges_are_read_strictly() {
        let range = |first, last, total| Some(ContentRange { first, last, total });
        for (value, expected) in [
            ("bytes 0-9/10", range(0, 9, Some(10))),
            ("bytes 5-9/*", range(5, 9, None)),
            ("bytes 0-10/10", None),
            ("bytes 9-5/10", None),
            ("bytes -5-9/10", None),
            ("bytes +5-9/10", None),
            ("bytes */10", None),
            ("0-9/10", None),
            ("", None),
        ] {
            assert_eq!(content_range(value), expected, "{value:?}");
        }
        for (value, expected) in
            [("0-9", Some(10)), ("bytes=0-9", Some(10)), ("0-0", Some(0)), ("1-9", None), ("0-", None), ("x", None), ("0-18446744073709551615", None)]
        {
            assert_eq!(upload_range(value), expected, "{value:?}");
        }
    }

    #[test]
    fn reg_15_the_next_page_is_what_says_next() {
        for (values, next) in [
            (&[r#"</v2/a/tags/list?last=b&n=2>; rel="next""#][..], Some("/v2/a/tags/list?last=b&n=2")),
            (&[r#"<a>; rel=prev, <b>; title="x, <c>; rel=next"; rel=next"#][..], Some("b")),
            (&["<a>; rel=last", "<b>;rel=\"prefetch NEXT\""][..], Some("b")),
            (&["<a>"][..], None),
            (&["<a; rel=next"][..], None),
            (&["a; rel=next"][..], None),
            (&[][..], None),
        ] {
            assert_eq!(next_link(values.iter().copied()), next, "{values:?}");
        }
    }
}
