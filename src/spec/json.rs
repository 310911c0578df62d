//! JSON as documents have it: one strict reader, one canonical encoder.
//!
//! A document that two readers could understand differently has one digest and two meanings; so reading refuses every such form (the
//! list is that of the scanner: duplicate keys, inexact numbers, text after the end, bad Unicode, deep nesting) and names the place.
//! Writing has one form only: compact, keys in byte order at every level, no escapes but those that JSON demands. What is written is
//! always readable by [`parse`]. Relies on serde for the values. image-spec, considerations.md.

use std::convert::Infallible;

use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::{Map, Value};

use super::scan::{self, Fault, Outline};
use super::text;
use crate::error::{Error, Result};

/// Reads a strict JSON value of at most `limit` bytes. Fails with kind `corrupt`, naming line, column and place.
pub fn parse(bytes: &[u8], limit: usize) -> Result<Value> {
    decode(bytes, limit)
}

/// Reads a strict JSON document of at most `limit` bytes as a `T`. Fails with kind `corrupt`, naming line, column and place.
pub fn decode<T: DeserializeOwned>(bytes: &[u8], limit: usize) -> Result<T> {
    outline(bytes, limit)?;
    typed(bytes)
}

/// Checks that `bytes` are strict JSON of at most `limit` bytes and says what is at the top.
pub(super) fn outline(bytes: &[u8], limit: usize) -> Result<Outline> {
    if bytes.len() > limit {
        return Err(Error::corrupt(format!("the document has {} bytes, more than the limit of {limit} bytes", bytes.len())));
    }
    scan::scan(bytes).map_err(|fault| refused("invalid JSON", bytes, &fault))
}

/// Reads a `T` from bytes that [`outline`] has accepted.
pub(super) fn typed<T: DeserializeOwned>(bytes: &[u8]) -> Result<T> {
    serde_json::from_slice(bytes).map_err(|error| {
        let at = offset(bytes, error.line(), error.column());
        let message = error.to_string();
        let rule = message.rsplit_once(" at line ").map_or(message.as_str(), |(rule, _)| rule);
        let fault = Fault { at: at.saturating_sub(1), rule: text::shown(rule).into_owned(), path: scan::path_at(bytes, at) };
        refused("invalid document", bytes, &fault)
    })
}

/// Writes `value` in the one form that larder writes: compact, keys in byte order, integers only.
///
/// Fails with kind `usage` for values that [`parse`] would refuse.
pub fn canonical<T: Serialize>(value: &T) -> Result<Vec<u8>> {
    let refuse = |why: String| Error::usage(format!("cannot write a document: {why}"));
    let value = serde_json::to_value(value).map_err(|error| refuse(error.to_string()))?;
    let mut out = Vec::new();
    write(&value, &mut out);
    check(&out).map(|()| out)
}

/// Whether [`parse`] reads what was written.
fn check(out: &[u8]) -> Result<()> {
    let refuse = |why: String| Error::usage(format!("cannot write a document: {why}"));
    match scan::scan(out) {
        Ok(_) => Ok(()),
        Err(Fault { rule, path, .. }) if path.is_empty() => Err(refuse(rule)),
        Err(Fault { rule, path, .. }) => Err(refuse(format!("{path}: {rule}"))),
    }
}

/// The same as [`canonical`] for a document whose field `key` is the list of `items`, which `value` leaves out or empty: one item after the other, because all of them as values take
/// several times the memory of the document.
pub fn canonical_with_list<T: Serialize, I: Serialize>(value: &T, key: &str, items: &[I]) -> Result<Vec<u8>> {
    let refuse = |why: String| Error::usage(format!("cannot write a document: {why}"));
    let value = serde_json::to_value(value).map_err(|error| refuse(error.to_string()))?;
    let Value::Object(mut members) = value else { return Err(refuse("it is not an object".to_owned())) };
    members.insert(key.to_owned(), Value::Array(Vec::new()));
    let mut out = Vec::new();
    write_members(&members, &mut out, |name, value, out| {
        if name != key {
            write(value, out);
            return Ok::<(), Error>(());
        }
        out.push(b'[');
        for (position, item) in items.iter().enumerate() {
            if position > 0 {
                out.push(b',');
            }
            write(&serde_json::to_value(item).map_err(|error| refuse(error.to_string()))?, out);
        }
        out.push(b']');
        Ok(())
    })?;
    check(&out).map(|()| out)
}

fn write(value: &Value, out: &mut Vec<u8>) {
    match value {
        Value::Null => out.extend_from_slice(b"null"),
        Value::Bool(true) => out.extend_from_slice(b"true"),
        Value::Bool(false) => out.extend_from_slice(b"false"),
        Value::Number(number) => out.extend_from_slice(number.to_string().as_bytes()),
        Value::String(text) => write_text(text, out),
        Value::Array(items) => {
            out.push(b'[');
            for (position, item) in items.iter().enumerate() {
                if position > 0 {
                    out.push(b',');
                }
                write(item, out);
            }
            out.push(b']');
        }
        Value::Object(members) => {
            let written = write_members(members, out, |_, value, out| {
                write(value, out);
                Ok::<(), Infallible>(())
            });
            let Ok(()) = written;
        }
    }
}

/// `members` in the order of their keys; `write` writes the value of each.
fn write_members<E>(members: &Map<String, Value>, out: &mut Vec<u8>, write: impl Fn(&str, &Value, &mut Vec<u8>) -> Result<(), E>) -> Result<(), E> {
    // Sorted here although serde_json's map is sorted by default: a feature that any dependency may switch on changes that.
    let mut members: Vec<_> = members.iter().collect();
    members.sort_by(|a, b| a.0.cmp(b.0));
    out.push(b'{');
    for (position, (key, value)) in members.into_iter().enumerate() {
        if position > 0 {
            out.push(b',');
        }
        write_text(key, out);
        out.push(b':');
        write(key, value, out)?;
    }
    out.push(b'}');
    Ok(())
}

/// `text` in quotes. Escaped are the quote, the backslash and the control characters below U+0020, the latter in their short form where
/// JSON has one.
fn write_text(text: &str, out: &mut Vec<u8>) {
    out.push(b'"');
    let bytes = text.as_bytes();
    let mut from = 0;
    for (position, byte) in bytes.iter().enumerate() {
        let short = match byte {
            b'"' => b'"',
            b'\\' => b'\\',
            0x08 => b'b',
            0x0c => b'f',
            b'\n' => b'n',
            b'\r' => b'r',
            b'\t' => b't',
            0..=0x1f => b'u',
            _ => continue,
        };
        out.extend_from_slice(&bytes[from..position]);
        out.extend_from_slice(&[b'\\', short]);
        if short == b'u' {
            out.extend_from_slice(format!("{byte:04x}").as_bytes());
        }
        from = position + 1;
    }
    out.extend_from_slice(&bytes[from..]);
    out.push(b'"');
}

fn refused(what: &str, bytes: &[u8], fault: &Fault) -> Error {
    let before = &bytes[..fault.at.min(bytes.len())];
    let line = before.iter().filter(|byte| **byte == b'\n').count() + 1;
    let start = before.iter().rposition(|byte| *byte == b'\n').map_or(0, |newline| newline + 1);
    let column = String::from_utf8_lossy(&before[start..]).chars().count() + 1;
    let place = if fault.path.is_empty() { String::new() } else { format!("{}: ", fault.path) };
    Error::corrupt(format!("{what}: {place}{} (line {line}, column {column})", fault.rule))
}

/// The offset behind the byte in `line` and `column`, both counted from 1.
fn offset(bytes: &[u8], line: usize, column: usize) -> usize {
    let start = bytes.split_inclusive(|byte| *byte == b'\n').take(line.saturating_sub(1)).map(<[u8]>::len).sum::<usize>();
    (start + column).min(bytes.len())
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::error::ErrorKind;
    use crate::spec::limits;

    const LIMIT: usize = 1 << 20;

    fn refusal(text: impl AsRef<[u8]>) -> String {
        let error = parse(text.as_ref(), LIMIT).expect_err("must be refused");
        assert_eq!(error.kind(), ErrorKind::Corrupt);
        error.message().to_owned()
    }

    #[test]
    fn accepts_what_the_grammar_has() {
        let text = "\r\n\t{ \"a\" : [ true , false , null , -1 , 0, 18446744073709551615, -9223372036854775808 ], \"\" : {}, \"b\":[], \
                    \"s\":\"\\\"\\\\\\/\\b\\f\\n\\r\\t\\u00e9\\ud83d\\ude00\\u0000 é\u{7f}\" } \n";
        let value = parse(text.as_bytes(), LIMIT).expect("valid");
        assert_eq!(value["a"][5], u64::MAX);
        assert_eq!(value["s"], "\"\\/\u{8}\u{c}\n\r\té😀\0 é\u{7f}");
    }

    #[test]
    fn refuses_what_the_grammar_lacks() {
        for text in [
            "",
            " ",
            "{",
            "[",
            "[1",
            "[1,",
            "[1,]",
            "{\"a\"",
            "{\"a\":",
            "{\"a\":1",
            "{\"a\":1,",
            "{\"a\":1,}",
            "{a:1}",
            "{'a':1}",
            "{\"a\" 1}",
            "]",
            "}",
            "[1 2]",
            "[}",
            "{]",
            "nul",
            "True",
            "tru",
            "NaN",
            "+1",
            "01",
            "-",
            "-a",
            "1-",
            "--1",
            ".5",
            "1.",
            "\"",
            "\"\\\"",
            "\"\\x\"",
            "\"\\u12\"",
            "\"\\u12g4\"",
            "\"\n\"",
            "\"\t\"",
            "// c\n1",
            "[1]/**/",
            "\u{a0}1",
            "1\0",
        ] {
            assert!(parse(text.as_bytes(), LIMIT).is_err(), "{text:?} must be refused");
        }
    }

    #[test]
    fn lay_09_byte_order_mark() {
        assert!(refusal("\u{feff}{}").contains("byte order mark"));
    }

    #[test]
    fn lay_10_text_after_the_end() {
        for text in ["{} x", "{}{}", "{}]", "1 2"] {
            assert!(refusal(text).contains("after the end"), "{text}");
        }
    }

    #[test]
    fn lay_11_duplicate_keys_at_any_level() {
        assert_eq!(refusal("{\"a\":1,\"b\":2,\n \"a\":3}"), "invalid JSON: ambiguous: key `a` occurs twice (line 2, column 2)");
        assert!(refusal(r#"{"manifests":[{},{"digest":1,"digest":1}]}"#).contains("manifests[1]: ambiguous: key `digest` occurs twice"));
        assert!(refusal(r#"{"a":1,"\u0061":1}"#).contains("occurs twice"), "an escaped key is the same key");
        assert!(refusal(r#"{"annotations":{"k":"v","k":"v"}}"#).contains("annotations: ambiguous"));
        parse(br#"[{"a":{"a":[{"a":1}]}},{"a":1}]"#, LIMIT).expect("the same key in different objects");
    }

    #[test]
    fn lay_12_keys_that_differ_only_in_case() {
        assert!(refusal(r#"{"manifests":[],"Manifests":[]}"#).contains("`Manifests` and `manifests` differ only in case"));
        // U+017F and U+212A fold to `s` and `k`.
        assert!(refusal("{\"layers\":[],\"layer\u{17f}\":[]}").contains("differ only in case"));
        assert!(refusal("{\"k\":[],\"\u{212a}\":[]}").contains("differ only in case"));
        parse(r#"{"config":{"Labels":{"Name":"1","name":"2"}},"annotations":{"k":"","K":""}}"#.as_bytes(), LIMIT).expect("free keys may differ in case");
    }

    #[test]
    fn lay_13_bytes_that_are_not_utf_8() {
        assert_eq!(refusal(b"{\"a\":\"x\xff\"}"), "invalid JSON: a: it is not UTF-8 (line 1, column 8)");
        assert!(refusal(b"{\"a\":\"\xed\xa0\x80\"}").contains("not UTF-8"));
    }

    #[test]
    fn lay_14_lone_surrogates() {
        for text in [r#""\ud800""#, r#""\udc00""#, r#""\ud800\u0041""#, r#""\ud800x""#, r#""\udc00\ud800""#, r#"{"\ud800":1}"#] {
            assert!(refusal(text).contains("half of a surrogate pair"), "{text}");
        }
    }

    #[test]
    fn lay_15_deep_nesting_needs_no_stack() {
        let arrays = format!("{{\"x\":{}", "[".repeat(100_000));
        assert!(refusal(&arrays).contains("limit of 64 levels"));
        assert!(refusal("{\"a\":".repeat(1000)).contains("limit of 64 levels"));
        let deepest = format!("{}{}", "[".repeat(limits::JSON_DEPTH), "]".repeat(limits::JSON_DEPTH));
        parse(deepest.as_bytes(), LIMIT).expect("64 levels");
        refusal(format!("[{deepest}]"));
    }

    #[test]
    fn lay_16_numbers_are_plain_integers() {
        for text in ["418.0", "4.18e2", "1e400", "-0", "1E0", "00", "18446744073709551616", "-9223372036854775809"] {
            assert!(refusal(format!("{{\"size\":{text}}}")).starts_with(&format!("invalid JSON: size: number `{text}`")), "{text}");
        }
        assert!(decode::<u64>(b"\"418\"", LIMIT).is_err());
        assert_eq!(decode::<u64>(b"9007199254740993", LIMIT).expect("2^53 + 1 is exact"), 9_007_199_254_740_993);
    }

    #[test]
    fn lay_76_a_document_over_the_limit_names_it() {
        parse(b"[1]", 3).expect("at the limit");
        let error = parse(b"[12]", 3).expect_err("over the limit");
        assert_eq!(error.message(), "the document has 4 bytes, more than the limit of 3 bytes");
    }

    #[test]
    fn an_object_has_a_bounded_number_of_members() {
        let members = |count: usize| format!("{{{}}}", (0..count).map(|n| format!("\"{n}\":0")).collect::<Vec<_>>().join(","));
        parse(members(limits::JSON_MEMBERS).as_bytes(), LIMIT).expect("at the limit");
        assert!(refusal(members(limits::JSON_MEMBERS + 1)).contains("limit of 65536 members"));
    }

    #[test]
    fn errors_of_types_name_line_column_and_path() {
        let text = "{\"schemaVersion\":2,\n \"manifests\":[\n  {\"mediaType\":\"a/b\",\"digest\":\"sha256:0\",\"size\":1}]}";
        let error = decode::<crate::spec::ImageIndex>(text.as_bytes(), LIMIT).expect_err("bad digest");
        assert!(error.message().starts_with("invalid document: manifests[0].digest: invalid digest `sha256:0`"), "{}", error.message());
        assert!(error.message().contains("(line 3, column "), "{}", error.message());
    }

    #[test]
    fn foreign_text_in_errors_is_escaped_and_short() {
        let message = refusal(format!("{{\"\\u001b[31m\":1,\"\\u001b[31m\":2,\"{}\":x}}", "k".repeat(5000)));
        assert!(!message.contains('\x1b') && message.len() < 300, "{message}");
        let message = refusal("{\"\\u001b[31m\":1,\"\\u001b[31m\":2}");
        assert!(message.contains("\\u{1b}[31m"), "{message}");
    }

    #[test]
    fn canonical_form_is_compact_and_sorted() {
        let value = serde_json::json!({"b": [1, -2, u64::MAX], "a": {"z": null, "B": "<&>é\u{2028}\u{7f}", "\"": "\u{1}\n\\/"}, "": true});
        let text = String::from_utf8(canonical(&value).expect("writable")).expect("text");
        assert_eq!(text, "{\"\":true,\"a\":{\"\\\"\":\"\\u0001\\n\\\\/\",\"B\":\"<&>é\u{2028}\u{7f}\",\"z\":null},\"b\":[1,-2,18446744073709551615]}");
    }

    #[test]
    fn a_document_with_a_list_is_written_as_one_without_it_would_be() {
        let whole = serde_json::json!({"b": [{"z": 1, "a": [1]}, {}], "a": 1, "c": {"b": [2]}});
        let rest = serde_json::json!({"a": 1, "c": {"b": [2]}});
        let items = whole["b"].as_array().expect("a list");
        let expected = canonical(&whole).expect("writable");
        assert_eq!(canonical_with_list(&rest, "b", items).expect("writable"), expected);
        let empty = serde_json::json!({"a": 1, "b": [], "c": {"b": [2]}});
        assert_eq!(canonical_with_list(&empty, "b", items).expect("writable"), expected);
        assert!(canonical_with_list(&rest, "b", &[1.5]).is_err() && canonical_with_list(&1, "b", items).is_err());
        assert_eq!(canonical_with_list(&rest, "b", &[0; 0]).expect("writable"), canonical(&empty).expect("writable"));
    }

    #[test]
    fn canonical_refuses_what_parse_refuses() {
        let deep = (0..70).fold(serde_json::json!(1), |inner, _| serde_json::json!([inner]));
        for value in [serde_json::json!({"a": 1.5}), serde_json::json!({"a": 1, "A": 1}), deep] {
            assert_eq!(canonical(&value).expect_err("not readable").kind(), ErrorKind::Usage);
        }
    }

    fn any_value() -> impl Strategy<Value = Value> {
        let leaf = prop_oneof![
            Just(Value::Null),
            any::<bool>().prop_map(Value::from),
            any::<i64>().prop_map(Value::from),
            any::<u64>().prop_map(Value::from),
            any::<String>().prop_map(Value::from),
        ];
        // Keys that never fold to the same.
        let key = "[a-jé\"\\\\\u{0}-\u{1f}/ ]{0,4}";
        leaf.prop_recursive(4, 48, 6, move |inner| {
            prop_oneof![
                prop::collection::vec(inner.clone(), 0..6).prop_map(Value::from),
                prop::collection::btree_map(key, inner, 0..6).prop_map(Value::from_iter),
            ]
        })
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(128))]

        #[test]
        fn parse_is_the_inverse_of_canonical(value in any_value()) {
            let bytes = canonical(&value).expect("writable");
            let back = parse(&bytes, LIMIT).expect("readable");
            prop_assert_eq!(&back, &value);
            prop_assert_eq!(canonical(&back).expect("writable"), bytes);
        }

        #[test]
        fn parse_accepts_what_is_pretty_printed(value in any_value()) {
            let pretty = serde_json::to_vec_pretty(&value).expect("printable");
            prop_assert_eq!(parse(&pretty, LIMIT).expect("readable"), value);
        }

        #[test]
        fn the_scanner_accepts_nothing_that_is_not_json(text in "[\\[\\]{}\",:0-9a-fu.\\\\trnsl \n-]{0,24}") {
            if scan::scan(text.as_bytes()).is_ok() {
                prop_assert!(serde_json::from_str::<Value>(&text).is_ok(), "{}", text);
            }
        }
    }
}
