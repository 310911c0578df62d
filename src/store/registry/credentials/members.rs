//! A JSON object whose members are changed one by one: the others stay as they are written, in their order.

use std::fmt;

use serde::de::{Deserialize, Deserializer, Error as _, MapAccess, Visitor};
use serde_json::value::RawValue;

/// The members of an object, each value as it is written.
#[derive(Default)]
pub(super) struct Members(Vec<(String, Box<str>)>);

impl Members {
    /// The value of `key`, as it is written.
    pub(super) fn get(&self, key: &str) -> Option<&str> {
        self.0.iter().find(|(name, _)| name == key).map(|(_, value)| &**value)
    }

    /// Gives `key` a value: in its place where it has one, else at the end.
    pub(super) fn set(&mut self, key: &str, value: impl Into<Box<str>>) {
        let value = value.into();
        match self.0.iter_mut().find(|(name, _)| name == key) {
            Some((_, old)) => *old = value,
            None => self.0.push((key.to_owned(), value)),
        }
    }

    /// Keeps the members whose key is `wanted`.
    pub(super) fn retain(&mut self, wanted: impl Fn(&str) -> bool) {
        self.0.retain(|(key, _)| wanted(key));
    }

    /// The object, its members at this depth, one a line and indented with tabs, as Docker's tools write it.
    pub(super) fn written(&self, depth: usize) -> String {
        if self.0.is_empty() {
            return "{}".to_owned();
        }
        let lines: Vec<String> = self.0.iter().map(|(key, value)| format!("{}{}: {value}", "\t".repeat(depth), text(key))).collect();
        format!("{{\n{}\n{}}}", lines.join(",\n"), "\t".repeat(depth - 1))
    }
}

/// Text as JSON has it.
pub(super) fn text(text: &str) -> String {
    serde_json::Value::from(text).to_string()
}

impl<'de> Deserialize<'de> for Members {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Reader;
        impl<'de> Visitor<'de> for Reader {
            type Value = Members;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an object")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Members, A::Error> {
                let mut members = Members::default();
                while let Some((key, value)) = map.next_entry::<String, Box<RawValue>>()? {
                    if members.get(&key).is_some() {
                        return Err(A::Error::custom("a key occurs twice"));
                    }
                    members.0.push((key, value.get().into()));
                }
                Ok(members)
            }
        }
        deserializer.deserialize_map(Reader)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_not_changed_stays_as_it_is_written() {
        let text = "{ \"z\":1.10, \"auths\" : {\"b\": {} , \"a\":null},\"big\":123456789012345678901234567890, \"x\":[ 1,\n\t2 ] }";
        let mut members: Members = serde_json::from_str(text).expect("valid");
        members.set("auths", "{}");
        members.set("new", self::text("\"\n"));
        members.retain(|key| key != "z");
        assert_eq!(members.written(1), "{\n\t\"auths\": {},\n\t\"big\": 123456789012345678901234567890,\n\t\"x\": [ 1,\n\t2 ],\n\t\"new\": \"\\\"\\n\"\n}");
        assert_eq!(Members::default().written(3), "{}");
    }

    #[test]
    fn a_key_that_occurs_twice_is_refused() {
        for text in ["{\"a\":1,\"a\":2}", "{\"a\":1,\"\\u0061\":2}", "[]", "1"] {
            assert!(serde_json::from_str::<Members>(text).is_err(), "{text}");
        }
    }
}
