//! `key=value,key=value`, as buildx has it: CSV, whose fields may stand between quotes and then hold commas.

/// The fields that nobody has asked for yet.
#[derive(Debug)]
pub(super) struct Fields(Vec<(String, String)>);

impl Fields {
    /// Reads them. Keys are in any case; the error is one clause.
    pub(super) fn parse(written: &str) -> Result<Fields, String> {
        let mut fields: Vec<(String, String)> = Vec::new();
        for field in split(written)? {
            let (key, value) = field.split_once('=').filter(|(key, value)| !key.is_empty() && !value.is_empty()).ok_or_else(|| {
                let shown = crate::spec::text::shown(&field).into_owned();
                format!("`{shown}` is not KEY=VALUE")
            })?;
            let key = key.trim().to_lowercase();
            if fields.iter().any(|(known, _)| *known == key) {
                return Err(format!("says `{}` twice", crate::spec::text::shown(&key)));
            }
            fields.push((key, value.to_owned()));
        }
        Ok(Fields(fields))
    }

    /// The value of a key, once.
    pub(super) fn take(&mut self, key: &str) -> Option<String> {
        let at = self.0.iter().position(|(known, _)| known == key)?;
        Some(self.0.remove(at).1)
    }

    /// The same for a key that is true or false. The error is one clause.
    pub(super) fn flag(&mut self, key: &str) -> Result<Option<bool>, String> {
        match self.take(key).as_deref() {
            None => Ok(None),
            Some("true" | "1") => Ok(Some(true)),
            Some("false" | "0") => Ok(Some(false)),
            Some(_) => Err(format!("`{key}` is true or false")),
        }
    }

    /// The first key that nobody has asked for.
    pub(super) fn first(&self) -> Option<&str> {
        self.0.first().map(|(key, _)| key.as_str())
    }
}

fn split(written: &str) -> Result<Vec<String>, String> {
    let mut fields = vec![String::new()];
    let mut chars = written.chars().peekable();
    let mut quoted = false;
    while let Some(c) = chars.next() {
        let Some(field) = fields.last_mut() else { break };
        match c {
            '"' if quoted && chars.next_if_eq(&'"').is_some() => field.push('"'),
            '"' if quoted || field.is_empty() => quoted = !quoted,
            ',' if !quoted => fields.push(String::new()),
            c => field.push(c),
        }
    }
    if quoted { Err("has a quote that is not closed".to_owned()) } else { Ok(fields) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_with_commas_stand_between_quotes() {
        let mut fields = Fields::parse("Type=oci,\"name=a:1,b:1\",dest=x=y").expect("valid");
        assert_eq!((fields.take("type").as_deref(), fields.take("name").as_deref()), (Some("oci"), Some("a:1,b:1")));
        assert_eq!(fields.first(), Some("dest"));
        assert_eq!(fields.take("dest").as_deref(), Some("x=y"));
        assert_eq!(fields.first(), None);
        for written in ["", "a", "a=", "=b", "a=1,a=2", "\"a=1", "a=1,,b=2"] {
            assert!(Fields::parse(written).is_err(), "{written}");
        }
        assert_eq!(Fields::parse("tar=false").expect("valid").flag("tar"), Ok(Some(false)));
        assert!(Fields::parse("tar=no").expect("valid").flag("tar").is_err());
    }
}
