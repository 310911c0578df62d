//! Digests: the names of content.
//!
//! [`Digest`] names a blob, [`DiffId`] an uncompressed layer, [`ChainId`] a stack of layers. They look alike and must never be mixed,
//! so they are different types. image-spec, descriptor.md "Digests" and config.md "Layer DiffID", "Layer ChainID".

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Deserializer, Serialize, Serializer};
use sha2::Digest as _;

use super::sum::Sum;
use crate::error::{Error, Result};

/// A digest algorithm. Only the named ones can be computed; others are carried, never trusted.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Algorithm {
    /// SHA-256, the algorithm everybody reads.
    Sha256,
    /// SHA-512.
    Sha512,
    /// A registered or private algorithm that larder cannot compute.
    Other(Box<str>),
}

impl Algorithm {
    /// The name as it stands before the colon of a digest and as a folder below `blobs/`.
    pub fn as_str(&self) -> &str {
        match self {
            Algorithm::Sha256 => "sha256",
            Algorithm::Sha512 => "sha512",
            Algorithm::Other(name) => name,
        }
    }

    /// A hasher, or an error of kind `unsupported` where larder cannot compute this algorithm.
    pub fn hasher(&self) -> Result<Hasher> {
        match self {
            Algorithm::Sha256 => Ok(Hasher::Sha256(sha2::Sha256::new())),
            Algorithm::Sha512 => Ok(Hasher::Sha512(sha2::Sha512::new())),
            Algorithm::Other(name) => Err(Error::unsupported(format!("cannot compute digests of algorithm `{name}`"))),
        }
    }
}

/// A running digest.
#[derive(Clone)]
pub enum Hasher {
    /// SHA-256 so far.
    Sha256(sha2::Sha256),
    /// SHA-512 so far.
    Sha512(sha2::Sha512),
}

impl Hasher {
    /// A running SHA-256.
    pub fn sha256() -> Self {
        Hasher::Sha256(sha2::Sha256::new())
    }

    /// Takes in more bytes.
    pub fn update(&mut self, bytes: &[u8]) {
        match self {
            Hasher::Sha256(state) => state.update(bytes),
            Hasher::Sha512(state) => state.update(bytes),
        }
    }

    /// The digest of all bytes taken in.
    pub fn finish(self) -> Digest {
        match self {
            Hasher::Sha256(state) => Digest::from_hash(Algorithm::Sha256, &state.finalize()),
            Hasher::Sha512(state) => Digest::from_hash(Algorithm::Sha512, &state.finalize()),
        }
    }
}

/// `algorithm:encoded`, checked against the grammar; the encoded part of a known algorithm is lower-case hexadecimal of the right length.
#[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Digest {
    algorithm: Algorithm,
    text: Box<str>,
}

impl Digest {
    /// The SHA-256 of `bytes`.
    pub fn sha256(bytes: &[u8]) -> Self {
        let mut hasher = Hasher::sha256();
        hasher.update(bytes);
        hasher.finish()
    }

    fn from_hash(algorithm: Algorithm, hash: &[u8]) -> Self {
        const HEX: &[u8; 16] = b"0123456789abcdef";
        let mut text = String::with_capacity(algorithm.as_str().len() + 1 + hash.len() * 2);
        text.push_str(algorithm.as_str());
        text.push(':');
        for byte in hash {
            text.push(char::from(HEX[usize::from(byte >> 4)]));
            text.push(char::from(HEX[usize::from(byte & 15)]));
        }
        Digest { algorithm, text: text.into() }
    }

    /// The algorithm.
    pub fn algorithm(&self) -> &Algorithm {
        &self.algorithm
    }

    /// The part after the colon: a file name below `blobs/<algorithm>/`, free of separators by its grammar.
    pub fn encoded(&self) -> &str {
        &self.text[self.algorithm.as_str().len() + 1..]
    }

    /// `algorithm:encoded`.
    pub fn as_str(&self) -> &str {
        &self.text
    }

    /// The first twelve characters of the encoded part: enough to recognise, for people only.
    pub fn short(&self) -> &str {
        let encoded = self.encoded();
        &encoded[..encoded.len().min(12)]
    }
}

impl From<Sum> for Digest {
    fn from(sum: Sum) -> Self {
        Digest::from_hash(Algorithm::Sha256, &sum.0)
    }
}

impl FromStr for Digest {
    type Err = Error;

    /// Fails with kind `corrupt` when `text` is outside the grammar.
    fn from_str(text: &str) -> Result<Self> {
        let bad = |why: &str| Error::corrupt(format!("invalid digest `{}`: {why}", super::text::shown(text)));
        let (name, encoded) = text.split_once(':').ok_or_else(|| bad("it has no colon"))?;
        let component = |part: &str| !part.is_empty() && part.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit());
        if !name.split(['+', '.', '_', '-']).all(component) {
            return Err(bad("the algorithm is not made of lower-case letters and digits"));
        }
        if encoded.is_empty() || !encoded.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'=' | b'_' | b'-')) {
            return Err(bad("the encoded part has a character outside [a-zA-Z0-9=_-]"));
        }
        let (algorithm, length) = match name {
            "sha256" => (Algorithm::Sha256, Some(64)),
            "sha512" => (Algorithm::Sha512, Some(128)),
            other => (Algorithm::Other(other.into()), None),
        };
        if let Some(length) = length {
            if encoded.len() != length {
                return Err(bad(&format!("{name} has {length} hexadecimal digits, not {}", encoded.len())));
            }
            if !encoded.bytes().all(|b| matches!(b, b'0'..=b'9' | b'a'..=b'f')) {
                return Err(bad("hexadecimal digits must be lower case"));
            }
        }
        Ok(Digest { algorithm, text: text.into() })
    }
}

impl fmt::Display for Digest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&self.text)
    }
}

impl fmt::Debug for Digest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

impl Serialize for Digest {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&self.text)
    }
}

impl<'de> Deserialize<'de> for Digest {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = std::borrow::Cow::<str>::deserialize(deserializer)?;
        text.parse().map_err(serde::de::Error::custom)
    }
}

/// The digest of a layer's uncompressed tar.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(transparent)]
pub struct DiffId(pub Digest);

impl fmt::Display for DiffId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// The digest of a stack of layers, from the bottom up to one of them.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(transparent)]
pub struct ChainId(pub Digest);

impl ChainId {
    /// The chain of `layers`, bottom first; none for no layer.
    pub fn of(layers: &[DiffId]) -> Option<ChainId> {
        let (first, rest) = layers.split_first()?;
        let chain = rest.iter().fold(first.0.clone(), |below, layer| Digest::sha256(format!("{below} {layer}").as_bytes()));
        Some(ChainId(chain))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const EMPTY: &str = "sha256:e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855";

    #[test]
    fn known_answer_and_round_trip() {
        let digest = Digest::sha256(b"");
        assert_eq!(digest.as_str(), EMPTY);
        assert_eq!(digest, EMPTY.parse().expect("valid"));
        assert_eq!(digest.encoded(), &EMPTY[7..]);
        assert_eq!(digest.algorithm(), &Algorithm::Sha256);
    }

    #[test]
    fn lay_23_to_28_refuses_what_is_outside_the_grammar() {
        let upper = EMPTY.to_uppercase();
        let hex = &EMPTY[7..];
        for text in [
            upper.as_str(),
            &format!("SHA256:{hex}"),
            &format!("sha256:{}", hex.to_uppercase()),
            "sha256:../../../secret",
            &format!("../sha256:{hex}"),
            &format!("sha256/..:{hex}"),
            ".:x",
            "a//b:x",
            "sha256:",
            "",
            hex,
            &format!("sha256:{hex}0"),
            &format!("sha256:{}", &hex[1..]),
            &format!("sha256:{hex}:0"),
            &format!("sha256:{hex}\n"),
            "sha256:%2f",
            "foo:\u{e9}",
            "sha256+:x",
        ] {
            assert!(text.parse::<Digest>().is_err(), "{text:?} must be refused");
        }
    }

    #[test]
    fn lay_31_unknown_algorithms_parse_but_cannot_be_computed() {
        let digest: Digest = "multihash+base58:QmRZxt2b1FVZPNqd8hsiykDL3TdBDeTSPX9Kv46HmX4Gx8".parse().expect("valid");
        let error = digest.algorithm().hasher().err().expect("not computable");
        assert_eq!(error.kind(), crate::error::ErrorKind::Unsupported);
    }

    #[test]
    fn chain_id_of_one_layer_is_its_diff_id() {
        let layer = DiffId(Digest::sha256(b"a"));
        assert_eq!(ChainId::of(std::slice::from_ref(&layer)).map(|c| c.0), Some(layer.0.clone()));
        assert_eq!(ChainId::of(&[]), None);
        let two = ChainId::of(&[layer.clone(), layer.clone()]).expect("two layers");
        assert_eq!(two.0, Digest::sha256(format!("{layer} {layer}").as_bytes()));
    }
}
