//! Settings of an image as flags: the same for every command that gives them.

use crate::build::place::Place;
use crate::build::spec::ConfigSpec;
use crate::error::Result;

/// The flags that say how a container runs.
#[derive(clap::Args, Debug)]
pub(crate) struct SettingFlags {
    /// Program to run: one word, or a JSON list; without --cmd the arguments of the old program go
    #[arg(long, value_name = "PROGRAM")]
    entrypoint: Option<String>,
    /// Default arguments: one word, or a JSON list
    #[arg(long, value_name = "ARGUMENT")]
    cmd: Option<String>,
    /// Variable for the program; may be repeated
    #[arg(long, short, value_name = "KEY=VALUE")]
    env: Vec<String>,
    /// Label of the image; may be repeated
    #[arg(long, value_name = "KEY=VALUE")]
    label: Vec<String>,
    /// User that the program runs as
    #[arg(long, short, value_name = "USER[:GROUP]")]
    user: Option<String>,
    /// Directory that the program starts in
    #[arg(long, short, value_name = "DIR")]
    workdir: Option<String>,
    /// Port that the program listens on; may be repeated
    #[arg(long, value_name = "PORT[/PROTOCOL]")]
    expose: Vec<String>,
    /// Directory that holds data of its own; may be repeated
    #[arg(long, value_name = "DIR")]
    volume: Vec<String>,
    /// Signal that stops the program
    #[arg(long, value_name = "SIGNAL")]
    stop_signal: Option<String>,
}

impl SettingFlags {
    /// Puts what was given over `config`. Fails with kind `usage`.
    pub(crate) fn apply(&self, config: &mut ConfigSpec) -> Result<()> {
        if let Some(entrypoint) = &self.entrypoint {
            config.entrypoint = Some(words("--entrypoint", entrypoint)?);
        }
        if let Some(cmd) = &self.cmd {
            config.cmd = Some(words("--cmd", cmd)?);
        }
        for pair in &self.env {
            config.env.push(key_value("--env", pair)?);
        }
        for pair in &self.label {
            config.labels.push(key_value("--label", pair)?);
        }
        config.ports.extend(self.expose.iter().cloned());
        config.volumes.extend(self.volume.iter().cloned());
        config.user = self.user.clone().or(config.user.take());
        config.workdir = self.workdir.clone().or(config.workdir.take());
        config.stop_signal = self.stop_signal.clone().or(config.stop_signal.take());
        Ok(())
    }
}

/// One word, or a JSON list of words. Shells are not guessed at.
fn words(flag: &str, written: &str) -> Result<Vec<String>> {
    if !written.starts_with('[') {
        return Ok(vec![written.to_owned()]);
    }
    serde_json::from_str(written)
        .map_err(|error| Place::flag(flag).usage("is not a JSON list of strings").because(error).hint(r#"for example '["/bin/sh", "-c"]'"#))
}

fn key_value(flag: &str, written: &str) -> Result<(String, String)> {
    match written.split_once('=') {
        Some((key, value)) if !key.is_empty() => Ok((key.to_owned(), value.to_owned())),
        _ => Err(Place::flag(format!("{flag} {written}")).usage("is not KEY=VALUE")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_are_a_word_or_a_list() {
        assert_eq!(words("--cmd", "a b").expect("valid"), ["a b"]);
        assert_eq!(words("--cmd", r#"["a", "b"]"#).expect("valid"), ["a", "b"]);
        assert!(words("--cmd", "[a]").is_err());
    }
}
