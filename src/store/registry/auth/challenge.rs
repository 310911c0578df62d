//! What a host answers to those it does not know: `WWW-Authenticate`. RFC 9110, "Challenges"; distribution, token authentication.

/// One way to prove who one is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Challenge {
    /// A user and a password with every request.
    Basic,
    /// A token from somewhere.
    Bearer {
        /// Where tokens come from, as it is written.
        realm: String,
        /// For whom the token is; empty where that is not said.
        service: String,
        /// For what; empty where that is not said.
        scope: String,
    },
}

/// How many challenges of one answer are looked at.
const MOST: usize = 16;

/// Reads all challenges of an answer, in their order. What is no challenge, and schemes that larder does not know, are left out.
pub(crate) fn parse<'a>(fields: impl IntoIterator<Item = &'a str>) -> Vec<Challenge> {
    let mut challenges = Vec::new();
    for field in fields {
        let mut scanner = Scanner { rest: field };
        while let Some((scheme, parameters)) = scanner.challenge() {
            let get = |name: &str| parameters.iter().find(|(key, _)| key.eq_ignore_ascii_case(name)).map(|(_, value)| value.clone()).unwrap_or_default();
            match scheme.to_ascii_lowercase().as_str() {
                "basic" => challenges.push(Challenge::Basic),
                "bearer" => challenges.push(Challenge::Bearer { realm: get("realm"), service: get("service"), scope: get("scope") }),
                _ => {}
            }
            if challenges.len() == MOST {
                return challenges;
            }
        }
    }
    challenges
}

struct Scanner<'a> {
    rest: &'a str,
}

impl<'a> Scanner<'a> {
    /// A scheme and its parameters.
    fn challenge(&mut self) -> Option<(&'a str, Vec<(&'a str, String)>)> {
        let scheme = loop {
            self.skip(" \t,");
            let first = self.rest.chars().next()?;
            match self.token() {
                Some(scheme) => break scheme,
                // Nobody knows what this is.
                None => self.rest = &self.rest[first.len_utf8()..],
            }
        };
        let mut parameters = Vec::new();
        while let Some(parameter) = self.parameter() {
            parameters.push(parameter);
        }
        Some((scheme, parameters))
    }

    /// `name=value` or `name="value"`, where one follows; else nothing is taken.
    fn parameter(&mut self) -> Option<(&'a str, String)> {
        let before = self.rest;
        self.skip(" \t,");
        let parameter = self.token().and_then(|name| {
            self.skip(" \t");
            self.rest = self.rest.strip_prefix('=')?;
            self.skip(" \t");
            Some((name, self.value()?))
        });
        if parameter.is_none() {
            self.rest = before;
        }
        parameter
    }

    fn value(&mut self) -> Option<String> {
        let Some(quoted) = self.rest.strip_prefix('"') else { return self.token().map(str::to_owned) };
        let mut value = String::new();
        let mut characters = quoted.char_indices();
        while let Some((at, character)) = characters.next() {
            match character {
                '"' => {
                    self.rest = &quoted[at + 1..];
                    return Some(value);
                }
                '\\' => value.push(characters.next()?.1),
                character => value.push(character),
            }
        }
        None
    }

    fn token(&mut self) -> Option<&'a str> {
        let is_token = |c: char| c.is_ascii_alphanumeric() || "!#$%&'*+-.^_`|~/:".contains(c);
        let end = self.rest.find(|c| !is_token(c)).unwrap_or(self.rest.len());
        let (token, rest) = self.rest.split_at(end);
        self.rest = rest;
        (!token.is_empty()).then_some(token)
    }

    fn skip(&mut self, characters: &str) {
        self.rest = self.rest.trim_start_matches(|c| characters.contains(c));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn bearer(realm: &str, service: &str, scope: &str) -> Challenge {
        Challenge::Bearer { realm: realm.into(), service: service.into(), scope: scope.into() }
    }

    #[test]
    fn challenges_of_every_form_are_read() {
        for (fields, expected) in [
            (
                &[r#"Bearer realm="https://auth.example/token",service="registry.example",scope="repository:a/b:pull,push""#][..],
                vec![bearer("https://auth.example/token", "registry.example", "repository:a/b:pull,push")],
            ),
            (&[r#"Bearer realm="https://a/token", Basic realm="x""#][..], vec![bearer("https://a/token", "", ""), Challenge::Basic]),
            (&["Basic", r#"bearer service = s , REALM = "https://a/\"t" "#][..], vec![Challenge::Basic, bearer("https://a/\"t", "s", "")]),
            (&[r#"Negotiate, NTLM abc==, Basic realm="x, Bearer realm=y""#][..], vec![Challenge::Basic]),
            (&["Bearer"][..], vec![bearer("", "", "")]),
            (&["", ",,,", "\u{e9}"][..], vec![]),
            (&[r#"Bearer realm="https://a/",realm="https://b/""#][..], vec![bearer("https://a/", "", "")]),
        ] {
            assert_eq!(parse(fields.iter().copied()), expected, "{fields:?}");
        }
        assert_eq!(parse([r#"Bearer realm="unfinished"#])[0], bearer("", "", ""));
        assert_eq!(parse(std::iter::repeat_n("Basic", 1000)).len(), MOST);
    }
}
