//! Platforms: what an image runs on, how people write it, which entry of an index serves a wanted one.
//!
//! The text form and its normalisation are those that containerd, Docker and BuildKit share: `os[(version[+feature]…)]/arch[/variant]`.
//! What a document says is stored as it says it; only comparing normalises. Nothing here looks at the machine it runs on: a host platform
//! comes in as an argument. image-spec, image-index.md "platform".

mod order;

use std::collections::BTreeMap;
use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::text;
use crate::error::{Error, Result};

pub use order::select;

const KNOWN_OS: [&str; 17] = [
    "aix",
    "android",
    "darwin",
    "dragonfly",
    "freebsd",
    "hurd",
    "illumos",
    "ios",
    "js",
    "linux",
    "nacl",
    "netbsd",
    "openbsd",
    "plan9",
    "solaris",
    "windows",
    "zos",
];

const KNOWN_ARCHITECTURES: [&str; 24] = [
    "386",
    "amd64",
    "amd64p32",
    "arm",
    "armbe",
    "arm64",
    "arm64be",
    "loong64",
    "mips",
    "mipsle",
    "mips64",
    "mips64le",
    "mips64p32",
    "mips64p32le",
    "ppc",
    "ppc64",
    "ppc64le",
    "riscv",
    "riscv64",
    "s390",
    "s390x",
    "sparc",
    "sparc64",
    "wasm",
];

/// What an image runs on.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Platform {
    /// GOARCH.
    pub architecture: String,
    /// GOOS.
    pub os: String,
    /// Version of the operating system.
    #[serde(rename = "os.version", default, skip_serializing_if = "Option::is_none")]
    pub os_version: Option<String>,
    /// Features of the operating system that the image needs.
    #[serde(rename = "os.features", default, skip_serializing_if = "Vec::is_empty")]
    pub os_features: Vec<String>,
    /// Variant of the architecture.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub variant: Option<String>,
    /// Fields that larder does not know; kept as they are.
    #[serde(flatten)]
    pub other: BTreeMap<String, Value>,
}

/// A word that names no operating system and no architecture that is known.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct UnknownWord {
    /// The word.
    pub word: String,
    /// The known one that is most like it.
    pub nearest: &'static str,
    /// How many characters have to be put in, taken out, changed or swapped to get there.
    pub slips: usize,
}

impl Platform {
    /// A platform of these three parts, as they are given. An empty variant is none.
    pub fn new(os: &str, architecture: &str, variant: &str) -> Self {
        Platform {
            architecture: architecture.into(),
            os: os.into(),
            os_version: None,
            os_features: Vec::new(),
            variant: Some(variant).filter(|variant| !variant.is_empty()).map(Into::into),
            other: BTreeMap::new(),
        }
    }

    /// The normalised platform that `text` names in full. Fails with kind `usage`, also for the forms that need a host: one word, and
    /// `local`.
    pub fn parse(text: &str) -> Result<Platform> {
        parse(text, None)
    }

    /// The normalised platform that `text` names; `host` fills in what a single word leaves open and is what `local` means. Fails with kind
    /// `usage`.
    pub fn parse_with(text: &str, host: &Platform) -> Result<Platform> {
        parse(text, Some(host))
    }

    /// The normalised platforms of a list separated by commas, in its order. Fails with kind `usage` also for empty items and for
    /// platforms that occur twice.
    pub fn parse_list(text: &str) -> Result<Vec<Platform>> {
        parse_list(text, None)
    }

    /// As [`Platform::parse_list`], with a host as in [`Platform::parse_with`].
    pub fn parse_list_with(text: &str, host: &Platform) -> Result<Vec<Platform>> {
        parse_list(text, Some(host))
    }

    /// The same platform as comparing sees it: lower case, one name for each architecture and variant, features sorted.
    #[must_use]
    pub fn normalized(&self) -> Platform {
        let (architecture, variant) = normalized_architecture(&self.architecture, self.variant());
        let mut os_features = self.os_features.clone();
        os_features.sort();
        os_features.dedup();
        Platform {
            os_version: self.os_version.clone().filter(|version| !version.is_empty()),
            os_features,
            other: self.other.clone(),
            ..Platform::new(&normalized_os(&self.os), &architecture, &variant)
        }
    }

    /// Whether both are the same platform once normalised, with version and features.
    pub fn strict_eq(&self, other: &Platform) -> bool {
        let (a, b) = (self.normalized(), other.normalized());
        (a.os, a.architecture, a.variant, a.os_version, a.os_features) == (b.os, b.architecture, b.variant, b.os_version, b.os_features)
    }

    /// Whether this is the `unknown/unknown` by which BuildKit marks attestations in an index.
    pub fn is_attestation(&self) -> bool {
        self.os == "unknown" && self.architecture == "unknown"
    }

    /// GOARCH, as templates have it.
    pub fn arch(&self) -> &str {
        &self.architecture
    }

    /// The variant of the architecture; empty for none.
    pub fn variant(&self) -> &str {
        self.variant.as_deref().unwrap_or_default()
    }

    /// The operating system or the architecture, where it is none that larder has heard of. Such platforms are allowed: new ones begin like that.
    pub fn unknown_word(&self) -> Option<UnknownWord> {
        let parts = [(self.os.as_str(), KNOWN_OS.as_slice()), (self.arch(), KNOWN_ARCHITECTURES.as_slice())];
        let (word, known) = parts.into_iter().find(|(word, known)| !known.contains(word))?;
        let slips = |other: &str| strsim::damerau_levenshtein(word, other);
        let nearest = known.iter().copied().min_by_key(|other| slips(other))?;
        Some(UnknownWord { word: word.to_owned(), nearest, slips: slips(nearest) })
    }

    /// `linux-arm-v7`: a word for the names of files and reports, made of letters, digits, `_`, `.` and `-` only. A version of the operating
    /// system follows at the end.
    pub fn slug(&self) -> String {
        let parts = [self.os.as_str(), self.arch(), self.variant(), self.os_version.as_deref().unwrap_or_default()];
        let joined = parts.into_iter().filter(|part| !part.is_empty()).collect::<Vec<_>>().join("-");
        let slug: String = joined.chars().map(|c| if c.is_ascii() && is_word(c as u8) { c } else { '_' }).collect();
        // What begins with a dot is hidden, or another directory.
        if slug.starts_with('.') { slug.replacen('.', "_", 1) } else { slug }
    }
}

impl FromStr for Platform {
    type Err = Error;

    /// [`Platform::parse`].
    fn from_str(text: &str) -> Result<Self> {
        Platform::parse(text)
    }
}

impl fmt::Display for Platform {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.os.is_empty() {
            return f.pad("unknown");
        }
        let mut out = text::shown(&self.os).into_owned();
        let version = self.os_version.as_deref().unwrap_or_default();
        if !version.is_empty() || !self.os_features.is_empty() {
            out.push('(');
            push_encoded(&mut out, version);
            let mut features: Vec<_> = self.os_features.iter().collect();
            features.sort();
            for feature in features {
                out.push('+');
                push_encoded(&mut out, feature);
            }
            out.push(')');
        }
        for part in [self.arch(), self.variant()].into_iter().filter(|part| !part.is_empty()) {
            out.push('/');
            out.push_str(&text::shown(part));
        }
        f.pad(&out)
    }
}

fn parse(text: &str, host: Option<&Platform>) -> Result<Platform> {
    let bad = |why: &str| {
        Error::usage(format!("invalid platform `{}`: {why}", text::shown(text))).hint("write it as os/arch or os/arch/variant, such as linux/arm/v7")
    };
    let host = || host.map(Platform::normalized).ok_or_else(|| bad("it is not complete"));
    if text == "local" {
        return host();
    }
    if text.contains('*') {
        return Err(bad("wildcards are not supported"));
    }
    let mut parts = text.split('/');
    let (os, version, os_features) = parse_os(parts.next().unwrap_or_default()).map_err(bad)?;
    let rest: Vec<&str> = parts.collect();
    if rest.iter().any(|part| part.bytes().all(|byte| byte == b'.') || !part.bytes().all(is_word)) {
        return Err(bad("architecture and variant are made of letters, digits, `_`, `.` and `-`"));
    }
    let platform = match rest[..] {
        [] if KNOWN_OS.contains(&normalized_os(os).as_str()) => {
            let host = host()?;
            Platform::new(os, host.arch(), host.variant())
        }
        [] if KNOWN_ARCHITECTURES.contains(&normalized_architecture(os, "").0.as_str()) && version.is_none() && os_features.is_empty() => {
            Platform::new(&host()?.os, os, "")
        }
        [] => return Err(bad("it is neither an operating system nor an architecture that is known")),
        [architecture] => Platform::new(os, architecture, ""),
        [architecture, variant] => Platform::new(os, architecture, variant),
        _ => return Err(bad("it has more than three parts")),
    };
    Ok(Platform { os_version: version, os_features, ..platform }.normalized())
}

/// `os[(version[+feature]…)]`.
fn parse_os(part: &str) -> std::result::Result<(&str, Option<String>, Vec<String>), &'static str> {
    let (os, options) = match part.split_once('(') {
        None => (part, ""),
        Some((os, options)) => (os, options.strip_suffix(')').ok_or("its parenthesis is not closed")?),
    };
    if os.is_empty() || !os.bytes().all(|byte| is_word(byte) && byte != b'.') {
        return Err("the operating system is made of letters, digits, `_` and `-`");
    }
    let mut options = options.split('+').map(|option| decoded(option).ok_or("version and features are made of letters, digits, `_`, `.`, `-` and %NN"));
    let version = options.next().transpose()?.filter(|version| !version.is_empty());
    let features = options.collect::<std::result::Result<Vec<_>, _>>()?;
    match features.iter().any(String::is_empty) {
        true => Err("a feature has no name"),
        false => Ok((os, version, features)),
    }
}

fn parse_list(text: &str, host: Option<&Platform>) -> Result<Vec<Platform>> {
    let mut platforms: Vec<Platform> = Vec::new();
    for item in text.split(',').map(str::trim) {
        if item.is_empty() {
            return Err(Error::usage(format!("invalid list of platforms `{}`: an item is empty", text::shown(text))));
        }
        let platform = parse(item, host)?;
        if platforms.contains(&platform) {
            return Err(Error::usage(format!("invalid list of platforms `{}`: {platform} occurs twice", text::shown(text))));
        }
        platforms.push(platform);
    }
    Ok(platforms)
}

fn is_word(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'.' | b'-')
}

fn push_encoded(out: &mut String, option: &str) {
    for byte in option.bytes() {
        match is_word(byte) {
            true => out.push(char::from(byte)),
            false => out.push_str(&format!("%{byte:02X}")),
        }
    }
}

/// The inverse of [`push_encoded`]; none for what it does not write.
fn decoded(option: &str) -> Option<String> {
    let mut bytes = option.bytes();
    let mut out = Vec::new();
    while let Some(byte) = bytes.next() {
        out.push(match byte {
            b'%' => {
                let mut digit = || char::from(bytes.next()?).to_digit(16);
                u8::try_from(digit()? * 16 + digit()?).ok()?
            }
            byte if is_word(byte) => byte,
            _ => return None,
        });
    }
    String::from_utf8(out).ok()
}

fn normalized_os(os: &str) -> String {
    match os.to_ascii_lowercase() {
        os if os == "macos" => "darwin".into(),
        os => os,
    }
}

fn normalized_architecture(architecture: &str, variant: &str) -> (String, String) {
    let (architecture, variant) = (architecture.to_ascii_lowercase(), variant.to_ascii_lowercase());
    let (architecture, variant) = match (architecture.as_str(), variant.as_str()) {
        ("i386", _) => ("386", ""),
        ("x86_64" | "x86-64" | "amd64", "v1") => ("amd64", ""),
        ("x86_64" | "x86-64", variant) => ("amd64", variant),
        ("aarch64" | "arm64", "8" | "v8" | "v8.0") => ("arm64", ""),
        ("aarch64" | "arm64", "9" | "9.0" | "v9.0") => ("arm64", "v9"),
        ("aarch64", variant) => ("arm64", variant),
        ("armhf", _) | ("arm", "" | "7") => ("arm", "v7"),
        ("armel", _) | ("arm", "6") => ("arm", "v6"),
        ("arm", "5") => ("arm", "v5"),
        ("arm", "8") => ("arm", "v8"),
        same => same,
    };
    (architecture.into(), variant.into())
}

#[cfg(test)]
mod tests;
