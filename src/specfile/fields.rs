//! Reading a TOML file field by field, so that every error points to a line and a column.
//!
//! A table is opened with the keys that may stand in it; any other key is an error at once, with the nearest known key as remedy.
//! So a misspelt key is reported as that, not as another one missing.

use std::num::NonZeroUsize;

use toml::Spanned;
use toml::de::{DeTable, DeValue};

use super::place::{At, Place};
use crate::error::{Error, Result};
use crate::spec::text;

/// A TOML file: its name for messages and its text.
pub struct File<'a> {
    name: &'a str,
    text: &'a str,
}

impl<'a> File<'a> {
    /// Parses the file and hands its top table to `read`.
    pub fn read<R>(name: &'a str, text: &'a str, known: &[&str], read: impl FnOnce(Fields<'_>) -> Result<R>) -> Result<R> {
        let file = File { name, text };
        let table = DeTable::parse(text).map_err(|error| {
            let place = file.place(error.span().map_or(0, |span| span.start));
            // The parser's text may have several lines; the first says what is wrong.
            place.usage(error.message().lines().next().unwrap_or("not TOML"))
        })?;
        read(Fields::open(&file, table.get_ref(), "at the top level", file.place(0), known)?)
    }

    fn place(&self, offset: usize) -> Place {
        let before = &self.text[..self.text.floor_char_boundary(offset)];
        let line = before.matches('\n').count() + 1;
        let column = before.chars().rev().take_while(|c| *c != '\n').count() + 1;
        Place::line(self.name, line, column)
    }
}

/// A table whose keys are all known.
pub struct Fields<'a> {
    file: &'a File<'a>,
    table: &'a DeTable<'a>,
    /// Where the table begins.
    pub place: Place,
}

impl<'a> Fields<'a> {
    fn open(file: &'a File<'a>, table: &'a DeTable<'a>, what: &str, place: Place, known: &[&str]) -> Result<Self> {
        for key in table.keys() {
            let name = key.get_ref().as_ref();
            if !known.contains(&name) {
                let error = file.place(key.span().start).usage(format!("unknown key `{}` {what}", text::shown(name)));
                return Err(error.hint(match text::nearest(name, known.iter().copied()) {
                    Some(near) => format!("did you mean `{near}`?"),
                    None => format!("the keys are {}", known.join(", ")),
                }));
            }
        }
        Ok(Fields { file, table, place })
    }

    fn get(&self, key: &str) -> Option<&'a Spanned<DeValue<'a>>> {
        self.table.iter().find(|(name, _)| name.get_ref() == key).map(|(_, value)| value)
    }

    fn at(&self, value: &Spanned<DeValue<'_>>) -> Place {
        self.file.place(value.span().start)
    }

    fn expected(&self, key: &str, what: &str, value: &Spanned<DeValue<'_>>) -> Error {
        self.at(value).usage(format!("`{key}` must be {what}, not {}", article(value.get_ref().type_str())))
    }

    /// Whether the key is there.
    pub fn has(&self, key: &str) -> bool {
        self.get(key).is_some()
    }

    /// Where the key's value stands, or the table where it is absent.
    pub fn place_of(&self, key: &str) -> Place {
        self.get(key).map_or_else(|| self.place.clone(), |value| self.at(value))
    }

    /// What stands in the file for a value, where that is one word in one line.
    fn word(&self, value: &Spanned<DeValue<'_>>) -> Option<&'a str> {
        let word = self.file.text.get(value.span())?.trim();
        (!word.is_empty() && !word.contains(['\n', '"', '\'', '[', '{'])).then_some(word)
    }

    /// A string is wanted and something else is there.
    fn no_string(&self, key: &str, value: &Spanned<DeValue<'_>>) -> Error {
        let error = self.expected(key, "a string", value);
        match (value.get_ref(), self.word(value)) {
            (DeValue::Array(_), _) => error.hint(format!("it takes one value: write {key} = \"…\" without brackets")),
            (_, Some(word)) => error.hint(format!("put it in quotes: {key} = \"{}\"", text::shown(word))),
            (_, None) => error,
        }
    }

    /// A list of strings is wanted and something else is there.
    fn no_strings(&self, key: &str, value: &Spanned<DeValue<'_>>) -> Error {
        let error = self.expected(key, "a list of strings such as [\"a\", \"b\"]", value);
        match value.get_ref().as_str() {
            Some(string) => error.hint(format!("put it in brackets: {key} = [\"{}\"]", text::shown(string).escape_default())),
            None => error,
        }
    }

    /// A string.
    pub fn string(&self, key: &str) -> Result<Option<At<String>>> {
        let Some(value) = self.get(key) else { return Ok(None) };
        let string = value.get_ref().as_str().ok_or_else(|| self.no_string(key, value))?;
        Ok(Some(At::new(string.to_owned(), self.at(value))))
    }

    /// `true` or `false`.
    pub fn boolean(&self, key: &str) -> Result<Option<bool>> {
        let Some(value) = self.get(key) else { return Ok(None) };
        value.get_ref().as_bool().map(Some).ok_or_else(|| self.expected(key, "true or false", value))
    }

    /// A whole number above zero.
    pub fn count(&self, key: &str) -> Result<Option<NonZeroUsize>> {
        let Some(value) = self.get(key) else { return Ok(None) };
        let number = value.get_ref().as_integer().ok_or_else(|| self.expected(key, "a number", value))?;
        let count = usize::from_str_radix(number.as_str(), number.radix()).ok().and_then(NonZeroUsize::new);
        count.map(Some).ok_or_else(|| self.at(value).usage(format!("`{key}` must be a whole number above zero")))
    }

    /// A string that must be there.
    pub fn required(&self, key: &str, what: &str) -> Result<At<String>> {
        self.string(key)?.ok_or_else(|| self.place.usage(format!("{what} needs `{key}`")))
    }

    /// A list of strings; empty where the key is absent.
    pub fn strings(&self, key: &str) -> Result<Vec<At<String>>> {
        Ok(self.optional_strings(key)?.unwrap_or_default())
    }

    /// A list of strings, or one string alone; empty where the key is absent.
    pub fn strings_or_one(&self, key: &str) -> Result<Vec<At<String>>> {
        match self.get(key) {
            Some(value) if value.get_ref().is_str() => Ok(self.string(key)?.into_iter().collect()),
            _ => self.strings(key),
        }
    }

    /// A list of strings, or none where the key is absent.
    pub fn optional_strings(&self, key: &str) -> Result<Option<Vec<At<String>>>> {
        let Some(value) = self.get(key) else { return Ok(None) };
        let list = value.get_ref().as_array().ok_or_else(|| self.no_strings(key, value))?;
        let strings = list.iter().map(|item| {
            let string = item.get_ref().as_str().ok_or_else(|| match self.word(item) {
                Some(word) => self.expected(key, "a list of strings", item).hint(format!("put it in quotes: \"{}\"", text::shown(word))),
                None => self.expected(key, "a list of strings", item),
            })?;
            Ok(At::new(string.to_owned(), self.at(item)))
        });
        strings.collect::<Result<Vec<_>>>().map(Some)
    }

    /// A table of strings, in key order; empty where the key is absent.
    pub fn map(&self, key: &str) -> Result<Vec<(String, At<String>)>> {
        let Some(value) = self.get(key) else { return Ok(Vec::new()) };
        let table = value.get_ref().as_table().ok_or_else(|| self.expected(key, "a table of strings such as { a = \"b\" }", value))?;
        let entries = table.iter().map(|(name, item)| {
            let string = item.get_ref().as_str().ok_or_else(|| self.no_string(name.get_ref(), item))?;
            Ok((name.get_ref().to_string(), At::new(string.to_owned(), self.at(item))))
        });
        let mut entries = entries.collect::<Result<Vec<_>>>()?;
        entries.sort_by(|(a, _), (b, _)| a.cmp(b));
        Ok(entries)
    }

    /// A table of strings, in the order of the file; empty where the key is absent.
    pub fn pairs(&self, key: &str) -> Result<Vec<(At<String>, At<String>)>> {
        let pairs = self.members(key, "a table of strings such as { a = \"b\" }")?.into_iter().map(|(name, item)| {
            let string = item.get_ref().as_str().ok_or_else(|| self.expected(&format!("{key}.{}", name.value), "a string", item))?;
            Ok((name, At::new(string.to_owned(), self.at(item))))
        });
        pairs.collect()
    }

    /// The keys of a table, in the order of the file; none where it is absent.
    pub fn names(&self, key: &str) -> Result<Vec<At<String>>> {
        Ok(self.members(key, "a table")?.into_iter().map(|(name, _)| name).collect())
    }

    /// What stands in a table, in the order of the file.
    fn members(&self, key: &str, what: &str) -> Result<Vec<(At<String>, &'a Spanned<DeValue<'a>>)>> {
        let Some(value) = self.get(key) else { return Ok(Vec::new()) };
        let table = value.get_ref().as_table().ok_or_else(|| self.expected(key, what, value))?;
        let mut members: Vec<_> = table.iter().collect();
        members.sort_by_key(|(name, _)| name.span().start);
        Ok(members.into_iter().map(|(name, value)| (At::new(name.get_ref().to_string(), self.file.place(name.span().start)), value)).collect())
    }

    /// A table with known keys.
    pub fn table(&self, key: &str, known: &[&str]) -> Result<Option<Fields<'a>>> {
        let Some(value) = self.get(key) else { return Ok(None) };
        let table = value.get_ref().as_table().ok_or_else(|| self.expected(key, "a table", value))?;
        Fields::open(self.file, table, &format!("in [{key}]"), self.at(value), known).map(Some)
    }

    /// The tables with known keys in a table, such as `[registry."registry.example"]`, by their names and in the order of the file; none where the key is absent.
    pub fn named_tables(&self, key: &str, known: &[&str]) -> Result<Vec<(At<String>, Fields<'a>)>> {
        let tables = self.members(key, "a table of tables")?.into_iter().map(|(name, value)| {
            let shown = text::shown(&name.value).into_owned();
            let table = value.get_ref().as_table().ok_or_else(|| self.expected(&format!("{key}.{shown}"), "a table", value))?;
            let fields = Fields::open(self.file, table, &format!("in [{key}.\"{shown}\"]"), self.at(value), known)?;
            Ok((name, fields))
        });
        tables.collect()
    }

    /// An array of tables with known keys, such as `[[layer]]`; empty where the key is absent.
    pub fn tables(&self, key: &str, shown: &str, known: &[&str]) -> Result<Vec<Fields<'a>>> {
        let Some(value) = self.get(key) else { return Ok(Vec::new()) };
        let list = value
            .get_ref()
            .as_array()
            .ok_or_else(|| self.expected(key, "an array of tables", value).hint(format!("write [[{shown}]] with two brackets on each side")))?;
        let tables = list.iter().map(|item| {
            let table = item.get_ref().as_table().ok_or_else(|| self.expected(key, "an array of tables", item))?;
            Fields::open(self.file, table, &format!("in [[{shown}]]"), self.at(item), known)
        });
        tables.collect()
    }
}

fn article(kind: &str) -> String {
    let article = if kind.starts_with(['a', 'e', 'i', 'o', 'u']) { "an" } else { "a" };
    format!("{article} {kind}")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read<R>(text: &str, known: &[&str], read: impl FnOnce(Fields<'_>) -> Result<R>) -> Result<R> {
        File::read("larder.toml", text, known, read)
    }

    #[test]
    fn an_unknown_key_names_place_and_nearest_key() {
        let error = read("name = \"a\"\nplatfroms = []\n", &["name", "platforms"], |_| Ok(())).expect_err("unknown");
        assert_eq!(error.message(), "larder.toml:2:1: unknown key `platfroms` at the top level");
        assert_eq!(error.hint_text(), Some("did you mean `platforms`?"));
        let error = read("zzz = 1", &["name"], |_| Ok(())).expect_err("unknown");
        assert_eq!(error.hint_text(), Some("the keys are name"));
    }

    #[test]
    fn a_wrong_type_names_place_key_and_type() {
        let error = read("name = 3", &["name"], |fields| fields.string("name")).expect_err("not a string");
        assert_eq!(error.message(), "larder.toml:1:8: `name` must be a string, not an integer");
        let error = read("tags = \"a\"", &["tags"], |fields| fields.strings("tags")).expect_err("not a list");
        assert!(error.message().contains("must be a list of strings"), "{error}");
        assert_eq!(error.hint_text(), Some("put it in brackets: tags = [\"a\"]"));
        for (text, hint) in [
            ("name = 0755", None),
            ("name = 755", Some("put it in quotes: name = \"755\"")),
            ("name = true", Some("put it in quotes: name = \"true\"")),
            ("name = [\"a\"]", Some("it takes one value: write name = \"…\" without brackets")),
            ("name = { a = 1 }", None),
        ] {
            assert_eq!(read(text, &["name"], |fields| fields.string("name")).expect_err(text).hint_text(), hint, "{text}");
        }
        let error = read("tags = [8080]", &["tags"], |fields| fields.strings("tags")).expect_err("not a string");
        assert_eq!(
            (error.message(), error.hint_text()),
            ("larder.toml:1:9: `tags` must be a list of strings, not an integer", Some("put it in quotes: \"8080\""))
        );
        let error = read("env = { A = 1 }", &["env"], |fields| fields.map("env")).expect_err("not a string");
        assert_eq!(error.hint_text(), Some("put it in quotes: A = \"1\""));
        let error = read("[layer]\n", &["layer"], |fields| fields.tables("layer", "layer", &[]).map(|_| ())).expect_err("not an array");
        assert_eq!(error.hint_text(), Some("write [[layer]] with two brackets on each side"));
    }

    #[test]
    fn numbers_and_choices_are_what_they_must_be() {
        let count = |text: &str| read(text, &["n"], |fields| fields.count("n"));
        assert_eq!(count("n = 0x10").expect("a number").map(NonZeroUsize::get), Some(16));
        assert_eq!(count("").expect("absent"), None);
        for (text, wrong) in
            [("n = 0", "x:1:5: `n` must be a whole number above zero"), ("n = -1", "above zero"), ("n = \"1\"", "must be a number, not a string")]
        {
            let error = count(text).expect_err("no count");
            assert!(error.message().replace("larder.toml", "x").contains(wrong), "{error}");
        }
        assert_eq!(read("b = true", &["b"], |fields| fields.boolean("b")).expect("a choice"), Some(true));
        assert!(read("b = 1", &["b"], |fields| fields.boolean("b")).expect_err("a number").message().ends_with("`b` must be true or false, not an integer"));
    }

    #[test]
    fn tables_by_name_come_in_the_order_of_the_file() {
        let names = |text: &str| {
            read(text, &["host"], |fields| {
                let tables = fields.named_tables("host", &["ca"])?;
                tables.iter().map(|(name, table)| Ok((name.value.clone(), table.string("ca")?.map(|ca| ca.value)))).collect::<Result<Vec<_>>>()
            })
        };
        let tables = names("[host.\"b.example:5000\"]\nca = \"x\"\n[host.a]\n").expect("two");
        assert_eq!(tables, [("b.example:5000".to_owned(), Some("x".to_owned())), ("a".to_owned(), None)]);
        let error = names("[host.\"b.c\"]\ncb = 1\n").expect_err("unknown");
        assert_eq!(error.message(), "larder.toml:2:1: unknown key `cb` in [host.\"b.c\"]");
        assert!(names("host = { a = 1 }").expect_err("no table").message().contains("`host.a` must be a table"));
    }

    #[test]
    fn a_syntax_error_names_line_and_column() {
        let error = read("name = \"a\"\nb = = 1\n", &["name"], |_| Ok(())).expect_err("no TOML");
        assert!(error.message().starts_with("larder.toml:2:"), "{error}");
        let error = read("a = 1\na = 2\n", &["a"], |_| Ok(())).expect_err("twice");
        assert!(error.message().starts_with("larder.toml:2:1: "), "{error}");
    }
}
