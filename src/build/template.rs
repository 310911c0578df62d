//! Paths with fields of the target platform: `dist/{os}-{arch}{variant}/`.

use super::place::At;
use crate::error::Result;
use crate::spec::{Platform, text};

const FIELDS: [&str; 3] = ["os", "arch", "variant"];

/// A path with fields. `{{` and `}}` stand for the braces themselves.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Template {
    parts: Vec<Part>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum Part {
    Text(String),
    Os,
    Arch,
    Variant,
}

impl Template {
    /// Reads a template; an unknown field or a stray brace is a `usage` error.
    pub fn parse(source: &At<String>) -> Result<Self> {
        let bad = |message: String| source.place.usage(message).hint("the fields are {os}, {arch} and {variant}; write {{ and }} for braces");
        let mut parts = Vec::new();
        let mut plain = String::new();
        let mut rest = source.value.as_str();
        while let Some(at) = rest.find(['{', '}']) {
            plain.push_str(&rest[..at]);
            let tail = &rest[at..];
            if tail.starts_with("{{") || tail.starts_with("}}") {
                plain.push_str(&tail[..1]);
                rest = &tail[2..];
                continue;
            }
            let field = tail.strip_prefix('{').and_then(|field| field.split_once('}'));
            let Some((field, after)) = field else { return Err(bad(format!("a single brace in `{}`", text::shown(&source.value)))) };
            if !plain.is_empty() {
                parts.push(Part::Text(std::mem::take(&mut plain)));
            }
            parts.push(match field {
                "os" => Part::Os,
                "arch" => Part::Arch,
                "variant" => Part::Variant,
                other => {
                    let near = text::nearest(other, FIELDS).map(|near| format!(", did you mean {{{near}}}?")).unwrap_or_default();
                    return Err(bad(format!("unknown field `{{{}}}`{near}", text::shown(other))));
                }
            });
            rest = after;
        }
        plain.push_str(rest);
        if !plain.is_empty() || parts.is_empty() {
            parts.push(Part::Text(plain));
        }
        Ok(Template { parts })
    }

    /// Whether it is another path on another platform.
    pub fn varies(&self) -> bool {
        self.parts.iter().any(|part| !matches!(part, Part::Text(_)))
    }

    /// The path for a platform.
    pub fn expand(&self, platform: &Platform) -> String {
        let part = |part: &Part| match part {
            Part::Text(text) => text.clone(),
            Part::Os => platform.os.clone(),
            Part::Arch => platform.architecture.clone(),
            Part::Variant => platform.variant.clone().unwrap_or_default(),
        };
        self.parts.iter().map(part).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::super::place::Place;
    use super::*;

    fn parse(text: &str) -> Result<Template> {
        Template::parse(&At::new(text.to_owned(), Place::line("larder.toml", 1, 1)))
    }

    #[test]
    fn fields_are_those_of_the_platform() {
        let arm = Platform::parse("linux/arm/v7").expect("valid");
        let amd = Platform::parse("linux/amd64").expect("valid");
        let template = parse("dist/{os}-{arch}{variant}/").expect("valid");
        assert_eq!(template.expand(&arm), "dist/linux-armv7/");
        assert_eq!(template.expand(&amd), "dist/linux-amd64/");
        assert_eq!(parse("a{{b}}").expect("valid").expand(&amd), "a{b}");
        assert_eq!(parse("").expect("valid").expand(&amd), "");
    }

    #[test]
    fn unknown_fields_and_stray_braces_are_refused() {
        let error = parse("dist/{arhc}").expect_err("unknown");
        assert_eq!(error.message(), "larder.toml:1:1: unknown field `{arhc}`, did you mean {arch}?");
        assert!(parse("a}b").is_err() && parse("a{b").is_err());
    }
}
