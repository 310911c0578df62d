//! What a peer was told and nobody else is to know. A peer may repeat it in whatever it answers, so what it says is shown without it.

use std::borrow::Cow;

use crate::spec::base64;
use crate::store::registry::credential::Secret;

/// What stands in the place of a secret.
const HIDDEN: &str = "***";

/// Secrets that were sent with a request.
#[derive(Clone, Debug, Default)]
pub(crate) struct Told(Vec<Secret>);

impl Told {
    /// What the value of a header tells: itself without its scheme, and the password that it was made of.
    pub(crate) fn in_header(value: &Secret) -> Told {
        let value = value.reveal();
        let word = value.split_once(' ').map_or(value, |(_, word)| word);
        let pair = base64::decode(word).and_then(|bytes| String::from_utf8(bytes).ok());
        let password = pair.as_deref().and_then(|pair| pair.split_once(':')).map(|(_, password)| password);
        let mut told = Told::default();
        [Some(word), password].into_iter().flatten().for_each(|text| told.add(&Secret::new(text)));
        told
    }

    /// One more secret.
    pub(crate) fn add(&mut self, secret: &Secret) {
        if !secret.reveal().is_empty() {
            self.0.push(secret.clone());
        }
    }

    /// A text without them.
    pub(crate) fn hide<'a>(&self, text: &'a str) -> Cow<'a, str> {
        self.0.iter().fold(Cow::Borrowed(text), |text, secret| match text.contains(secret.reveal()) {
            true => Cow::Owned(text.replace(secret.reveal(), HIDDEN)),
            false => text,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_told_is_hidden_in_every_form() {
        let basic = Told::in_header(&Secret::new(format!("Basic {}", base64::encode(b"me:hunter2"))));
        for (text, shown) in [
            ("bad password hunter2", "bad password ***"),
            ("you said Basic bWU6aHVudGVyMg==", "you said Basic ***"),
            ("hunter2, me:hunter2", "***, me:***"),
            ("nothing", "nothing"),
        ] {
            assert_eq!(basic.hide(text), shown);
        }
        let mut told = Told::in_header(&Secret::new("Bearer abc.def"));
        told.add(&Secret::new("refresh"));
        told.add(&Secret::new(""));
        assert_eq!(told.hide("abc.def abc refresh"), "*** abc ***");
        assert_eq!(Told::in_header(&Secret::new("AKCp8key")).hide("AKCp8key"), "***");
        assert_eq!(Told::default().hide("a"), "a");
    }
}
