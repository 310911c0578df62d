//! Platforms as a person asks for them.

use super::place::{At, Place};
use crate::error::Result;
use crate::spec::Platform;

/// A platform as a file names it. One word is an architecture of Linux, whatever machine reads the file. Fails with kind `usage`.
pub fn read(written: &At<String>) -> Result<Platform> {
    let linux = Platform::new("linux", "", "");
    let platform = Platform::parse_with(&written.value, &linux).map_err(|error| written.place.wrap(error, "`platforms` has one that cannot be read"))?;
    if platform.arch().is_empty() {
        let message = format!("`{}` means another platform on another machine", written.value);
        return Err(written.place.usage(message).hint("write it in full, such as linux/amd64; `--platform local` builds for the machine"));
    }
    check(&platform, &written.place)?;
    Ok(platform)
}

/// Fails with kind `usage` for a platform that is one slip of the keyboard away from a known one.
pub fn check(platform: &Platform, place: &Place) -> Result<()> {
    match platform.unknown_word() {
        Some(unknown) if unknown.slips == 1 => {
            Err(place.usage(format!("platform {platform} is not known: there is no `{}`", unknown.word)).hint(format!("did you mean `{}`?", unknown.nearest)))
        }
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn written(text: &str) -> At<String> {
        At::new(text.to_owned(), Place::line("larder.toml", 1, 14))
    }

    #[test]
    fn one_word_is_an_architecture_of_linux_on_every_machine() {
        assert_eq!(read(&written("amd64")).expect("valid").to_string(), "linux/amd64");
        assert_eq!(read(&written("armhf")).expect("valid").to_string(), "linux/arm/v7");
        for text in ["local", "linux", "windows"] {
            let error = read(&written(text)).expect_err(text);
            assert_eq!(error.message(), format!("larder.toml:1:14: `{text}` means another platform on another machine"));
        }
    }

    #[test]
    fn a_slip_is_an_error_and_a_stranger_is_not() {
        let error = read(&written("linux/amd46")).expect_err("a slip");
        assert_eq!(error.message(), "larder.toml:1:14: platform linux/amd46 is not known: there is no `amd46`");
        assert_eq!(error.hint_text(), Some("did you mean `amd64`?"));
        assert_eq!(read(&written("linus/amd64")).expect_err("a slip").hint_text(), Some("did you mean `linux`?"));
        assert!(read(&written("linux/e2k")).is_ok() && read(&written("linux/riscv32")).is_ok());
    }
}
