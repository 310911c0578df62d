//! The directives at the top of a file: `# syntax=`, `# escape=` and `# check=`. They look like comments and end with the first line that is none of their form.

use std::collections::BTreeSet;

use super::line::{Lines, without_end};
use crate::build::place::{At, Place};
use crate::error::{ErrorKind, Result};
use crate::spec::text;

/// What the directives say.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Directives {
    /// What escapes characters and continues lines: a backslash or a backtick.
    pub escape: char,
    /// Which remarks are wanted.
    pub checks: Checks,
}

/// Which remarks on a file are wanted, by the names that BuildKit gives them.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Checks {
    skipped: BTreeSet<String>,
    all_skipped: bool,
    /// Whether a remark ends the build.
    pub severity: Severity,
}

/// What a remark does.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Severity {
    /// It is told, and the build goes on.
    #[default]
    Warning,
    /// It ends the build.
    Error,
}

impl Default for Directives {
    fn default() -> Self {
        Directives { escape: '\\', checks: Checks::default() }
    }
}

impl Checks {
    /// Whether remarks of this name are wanted.
    pub fn wants(&self, rule: &str) -> bool {
        !self.all_skipped && !self.skipped.contains(&rule.to_lowercase())
    }

    fn read(written: &At<String>) -> Result<Self> {
        let mut checks = Checks::default();
        for part in written.value.split(';').map(str::trim).filter(|part| !part.is_empty()) {
            let bad = |what: &str| written.place.usage(format!("`{}` {what}", text::shown(part))).hint("write skip=RULE,… or skip=all, and error=true");
            let (key, value) = part.split_once('=').ok_or_else(|| bad("is not KEY=VALUE"))?;
            match (key.trim(), value.trim()) {
                ("skip", rules) => {
                    checks.skipped = rules.split(',').map(|rule| rule.trim().to_lowercase()).collect();
                    checks.all_skipped = checks.skipped.contains("all");
                }
                ("error", value) if value.eq_ignore_ascii_case("true") => checks.severity = Severity::Error,
                ("error", value) if value.eq_ignore_ascii_case("false") => checks.severity = Severity::Warning,
                ("error", _) => return Err(bad("is neither true nor false")),
                ("experimental", _) => {}
                _ => return Err(bad("is not an option of checks")),
            }
        }
        Ok(checks)
    }
}

/// Reads the directives. The lines that have them are comments to whoever reads on.
pub(super) fn read(file: &str, lines: &mut Lines<'_>) -> Result<Directives> {
    let mut directives = Directives::default();
    let mut seen = BTreeSet::new();
    while let Some((name, value, column)) = lines.peek().and_then(split) {
        lines.raw();
        let place = Place::line(file, lines.number(), column);
        let name = name.to_lowercase();
        let value = At::new(value.to_owned(), place);
        let known = match name.as_str() {
            "escape" => {
                directives.escape = escape(&value)?;
                true
            }
            "syntax" => syntax(&value).map(|()| true)?,
            "check" => {
                directives.checks = Checks::read(&value)?;
                true
            }
            _ => false,
        };
        if known && !seen.insert(name.clone()) {
            return Err(value.place.usage(format!("the directive `{name}` stands here twice")));
        }
    }
    Ok(directives)
}

/// The name and the value of a directive, and the column where the value begins.
fn split(line: &str) -> Option<(&str, &str, usize)> {
    let line = without_end(line);
    let body = line.trim_start().strip_prefix('#')?;
    let (name, value) = body.split_once('=')?;
    let name = name.trim();
    let begins = name.chars().next()?.is_ascii_alphabetic();
    let value = value.trim();
    if !begins || value.is_empty() || !name.chars().all(|c| c.is_ascii_alphanumeric()) {
        return None;
    }
    let offset = line.len() - line.split_once('=')?.1.trim_start().len();
    Some((name, value, 1 + line[..offset].chars().count()))
}

fn escape(value: &At<String>) -> Result<char> {
    match value.value.as_str() {
        "\\" => Ok('\\'),
        "`" => Ok('`'),
        other => Err(value.place.usage(format!("`{}` cannot be the escape character", text::shown(other))).hint("it is a backslash or a backtick")),
    }
}

/// The name of a program that reads the file. larder is that program; it reads what Docker's own reads.
fn syntax(value: &At<String>) -> Result<()> {
    let repository = value.value.split(['@', ' ']).next().unwrap_or_default();
    let last = repository.rsplit('/').next().unwrap_or_default().split(':').next().unwrap_or_default();
    if matches!(last, "dockerfile" | "dockerfile-upstream") {
        return Ok(());
    }
    let message = format!("the syntax `{}` is not that of Dockerfiles, and larder runs no frontend to read it", text::shown(&value.value));
    Err(value.place.error(ErrorKind::Unsupported, message).hint("if the file is a Dockerfile all the same, write docker/dockerfile:1 or remove the line"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn directives(text: &str) -> Result<Directives> {
        read("Dockerfile", &mut Lines::of("Dockerfile", text))
    }

    #[test]
    fn directives_end_with_the_first_other_line() {
        assert_eq!(directives("# escape=`\nFROM x").expect("valid").escape, '`');
        assert_eq!(directives("#syntax = docker/dockerfile:1.7-labs\n  # Escape = ` \n").expect("valid").escape, '`');
        assert_eq!(directives("# other=x\n# escape=`\n").expect("valid").escape, '`');
        for text in ["# comment\n# escape=`\n", "\n# escape=`\n", "FROM x\n# escape=`\n", "# escape=\n", ""] {
            assert_eq!(directives(text).expect("valid").escape, '\\', "{text:?}");
        }
    }

    #[test]
    fn what_cannot_be_is_one_error_with_its_place() {
        for (text, message) in [
            ("# syntax=docker/dockerfile:1\n# escape=x\n", "Dockerfile:2:10: `x` cannot be the escape character"),
            ("# escape=`\n# escape=`\n", "Dockerfile:2:10: the directive `escape` stands here twice"),
            ("# check=skpi=all\n", "Dockerfile:1:9: `skpi=all` is not an option of checks"),
            ("# check=error=maybe\n", "Dockerfile:1:9: `error=maybe` is neither true nor false"),
        ] {
            assert_eq!(directives(text).expect_err(text).message(), message);
        }
        let error = directives("# syntax=ghcr.io/other/frontend:2\n").expect_err("another language");
        assert_eq!(error.kind(), ErrorKind::Unsupported);
        assert!(directives("# syntax=mirror.example:5000/docker/dockerfile:1@sha256:00\n").is_ok());
    }

    #[test]
    fn checks_are_skipped_by_name_or_all() {
        let checks = |text: &str| directives(text).expect("valid").checks;
        let some = checks("# check=skip=NoEmptyContinuation, UndefinedVar;error=true\n");
        assert!(!some.wants("UndefinedVar") && some.wants("JSONArgsRecommended") && some.severity == Severity::Error);
        assert!(!checks("# check=skip=all\n").wants("UndefinedVar"));
    }
}
