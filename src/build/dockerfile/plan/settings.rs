//! The instructions that make no layer: what they change in the config, and what history says of them.

use serde_json::{Map, Value, json};

use super::port::ports;
use super::scope::{Given, Scope};
use super::signal::is_signal;
use super::{HistoryPlan, go};
use crate::build::dockerfile::bounds::{PORTS, VARIABLES};
use crate::build::dockerfile::instruction::{ArgSpec, Command, Healthcheck, Pair, Remark};
use crate::build::place::At;
use crate::error::{Error, Result};
use crate::exec::Timestamps;
use crate::spec::config::{History, ImageConfig};
use crate::spec::text;

/// What history entries in the form of Docker have as their comment: tools look for it.
const COMMENT: &str = "buildkit.dockerfile.v0";

/// The search path of images that say nothing of it.
const PATH: &str = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";

/// What a stage says of its image, as far as it is planned.
#[derive(Clone, Debug)]
pub(super) struct Settings {
    pub(super) config: ImageConfig,
    pub(super) scope: Scope,
    pub(super) history: Vec<HistoryPlan>,
    /// Bytes of what was planned so far.
    pub(super) spent: usize,
    timestamps: Timestamps,
    cmd: Cmd,
}

/// Whether a stage has a `CMD` of its own.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Cmd {
    OfBase,
    Own,
}

impl Settings {
    /// Those of a stage that begins with an image of this config, and with the arguments of the stage that this config is of.
    pub(super) fn begin(mut config: ImageConfig, mut scope: Scope, timestamps: Timestamps) -> Result<Self> {
        if !config.env().iter().any(|variable| variable.starts_with("PATH=")) {
            config.set_env("PATH", PATH)?;
        }
        let variables = config.env();
        if variables.len() > VARIABLES {
            return Err(Error::unsupported(format!("the image that it builds upon has more than {VARIABLES} variables")));
        }
        for variable in variables {
            let (name, value) = variable.split_once('=').unwrap_or((&variable, ""));
            scope.set(name, value);
        }
        Ok(Settings { config, scope, history: Vec::new(), spent: 0, timestamps, cmd: Cmd::OfBase })
    }

    /// The config that an image of nothing has.
    pub(super) fn scratch(mut config: ImageConfig) -> ImageConfig {
        config.set_working_dir("/");
        config
    }

    /// Adds what history says of a step.
    pub(super) fn note(&mut self, created_by: String, layer: Option<usize>) {
        self.spent += created_by.len();
        let entry = History { created: Some(self.timestamps.created()), created_by: Some(created_by), comment: Some(COMMENT.to_owned()), ..History::default() };
        self.history.push(HistoryPlan { entry, layer });
    }

    fn note_empty(&mut self, created_by: String) {
        self.note(created_by, None);
    }

    pub(super) fn arg(&mut self, given: &Given, args: &[ArgSpec], remarks: &mut Vec<Remark>) -> Result<()> {
        let mut said = Vec::new();
        for arg in args {
            let value = self.scope.declare(given, arg, remarks)?;
            self.check_variables(&arg.name)?;
            said.push(value.map_or_else(|| arg.name.value.clone(), |value| format!("{}={value}", arg.name.value)));
        }
        self.note_empty(format!("ARG {}", said.join(" ")));
        Ok(())
    }

    pub(super) fn env(&mut self, given: &Given, pairs: &[Pair], remarks: &mut Vec<Remark>) -> Result<()> {
        // One instruction sees the variables as they were before it.
        let pairs = self.expand_pairs(given, pairs, remarks)?;
        for (key, value) in &pairs {
            self.config.set_env(&key.value, value).map_err(|error| key.place.wrap(error, "cannot set this variable"))?;
            self.scope.set(&key.value, value);
            self.check_variables(key)?;
        }
        self.note_empty(format!("ENV {}", joined(&pairs)));
        Ok(())
    }

    pub(super) fn label(&mut self, given: &Given, pairs: &[Pair], remarks: &mut Vec<Remark>) -> Result<()> {
        let pairs = self.expand_pairs(given, pairs, remarks)?;
        for (key, value) in &pairs {
            if key.value.is_empty() {
                return Err(key.place.usage("the key of a label is empty"));
            }
            self.config.set_label(&key.value, value);
        }
        self.note_empty(format!("LABEL {}", joined(&pairs)));
        Ok(())
    }

    fn check_variables(&self, last: &At<String>) -> Result<()> {
        match self.scope.environment.len().max(self.scope.args.len()) > VARIABLES {
            true => Err(last.place.usage(format!("a stage has {VARIABLES} variables at most"))),
            false => Ok(()),
        }
    }

    fn expand_pairs(&self, given: &Given, pairs: &[Pair], remarks: &mut Vec<Remark>) -> Result<Vec<(At<String>, String)>> {
        let expand = |pair: &Pair| {
            let key = self.scope.expand(given, &pair.key, remarks)?.text;
            Ok((At::new(key, pair.key.place.clone()), self.scope.expand(given, &pair.value, remarks)?.text))
        };
        pairs.iter().map(expand).collect()
    }

    pub(super) fn user(&mut self, given: &Given, written: &At<String>, remarks: &mut Vec<Remark>) -> Result<()> {
        let user = self.scope.expand(given, written, remarks)?.text;
        self.config.set_user(&user);
        self.note_empty(format!("USER {user}"));
        Ok(())
    }

    /// Returns the directory, which the caller is to make.
    pub(super) fn workdir(&mut self, given: &Given, written: &At<String>, remarks: &mut Vec<Remark>) -> Result<String> {
        let directory = self.scope.expand(given, written, remarks)?.text;
        if directory.is_empty() {
            return Err(written.place.usage(format!("`{}` comes to nothing", text::shown(&written.value))));
        }
        let directory = self.absolute(&directory);
        self.config.set_working_dir(&directory);
        Ok(directory)
    }

    /// A path as the working directory has it, without `.` and `..`.
    pub(super) fn absolute(&self, path: &str) -> String {
        let whole = if path.starts_with('/') { path.to_owned() } else { format!("{}/{path}", self.config.working_dir()) };
        let mut names: Vec<&str> = Vec::new();
        for name in whole.split('/') {
            match name {
                "" | "." => {}
                ".." => drop(names.pop()),
                name => names.push(name),
            }
        }
        format!("/{}", names.join("/"))
    }

    pub(super) fn expose(&mut self, given: &Given, written: &[At<String>], remarks: &mut Vec<Remark>) -> Result<()> {
        let mut all = Vec::new();
        for written in written {
            for word in self.scope.expand(given, written, remarks)?.words {
                all.extend(ports(&At::new(word, written.place.clone()), remarks)?);
                if all.len() > PORTS {
                    return Err(written.place.usage(format!("an instruction has {PORTS} ports at most")));
                }
            }
        }
        for port in &all {
            self.config.add_exposed_port(port)?;
        }
        self.note_empty(format!("EXPOSE {}", go::list(&all)));
        Ok(())
    }

    pub(super) fn volume(&mut self, given: &Given, written: &[At<String>], remarks: &mut Vec<Remark>) -> Result<()> {
        let mut all = Vec::new();
        for written in written {
            let volume = self.scope.expand(given, written, remarks)?.text;
            if volume.is_empty() {
                return Err(written.place.usage(format!("`{}` comes to nothing", text::shown(&written.value))));
            }
            self.config.add_volume(&volume);
            all.push(volume);
        }
        self.note_empty(format!("VOLUME {}", go::list(&all)));
        Ok(())
    }

    pub(super) fn stop_signal(&mut self, given: &Given, written: &At<String>, remarks: &mut Vec<Remark>) -> Result<()> {
        let signal = self.scope.expand(given, written, remarks)?.text;
        if !is_signal(&signal) {
            return Err(written.place.usage(format!("`{}` is not a signal", text::shown(&signal))).hint("write a name such as SIGTERM, or a number"));
        }
        self.config.set_stop_signal(&signal);
        self.note_empty(format!("STOPSIGNAL {signal}"));
        Ok(())
    }

    pub(super) fn entrypoint(&mut self, command: &Command) {
        let words = self.words(command);
        self.config.set_entrypoint(&words);
        // Arguments of the base were meant for the entry point of the base.
        if self.cmd == Cmd::OfBase {
            self.config.set_cmd::<&str>(&[]);
        }
        self.note_empty(format!("ENTRYPOINT {}", go::quoted_list(&words)));
    }

    pub(super) fn cmd(&mut self, command: &Command) {
        let words = self.words(command);
        self.config.set_cmd(&words);
        self.config.set_setting("ArgsEscaped", true.into());
        self.cmd = Cmd::Own;
        self.note_empty(format!("CMD {}", go::quoted_list(&words)));
    }

    pub(super) fn shell(&mut self, words: &[String]) {
        self.config.set_setting("Shell", words.into());
        self.note_empty(format!("SHELL {}", go::list(words)));
    }

    pub(super) fn healthcheck(&mut self, check: &Healthcheck) {
        let mut setting = Map::new();
        let (test, times, retries) = match check {
            Healthcheck::None => (vec!["NONE".to_owned()], [std::time::Duration::ZERO; 4], 0),
            Healthcheck::Test { command, interval, timeout, start_period, start_interval, retries } => {
                let test = match command {
                    Command::Shell(text) => vec!["CMD-SHELL".to_owned(), text.clone()],
                    Command::Exec(words) => std::iter::once("CMD".to_owned()).chain(words.iter().cloned()).collect(),
                };
                (test, [*interval, *timeout, *start_period, *start_interval], *retries)
            }
        };
        setting.insert("Test".into(), json!(test));
        for (key, time) in ["Interval", "Timeout", "StartPeriod", "StartInterval"].into_iter().zip(times).filter(|(_, time)| !time.is_zero()) {
            // Times are read in 64 bits.
            setting.insert(key.into(), json!(u64::try_from(time.as_nanos()).unwrap_or(u64::MAX)));
        }
        if retries > 0 {
            setting.insert("Retries".into(), json!(retries));
        }
        self.config.set_setting("Healthcheck", Value::Object(setting));
        let times: Vec<String> = times.iter().map(|time| go::quoted(&go::duration(*time))).collect();
        self.note_empty(format!("HEALTHCHECK &{{{} {} {}}}", go::quoted_list(&test), times.join(" "), go::quoted_number(retries)));
    }

    pub(super) fn maintainer(&mut self, name: &str) {
        self.config.set_author(name);
        self.note_empty(format!("MAINTAINER {name}"));
    }

    /// Adds a trigger for whoever builds upon the image.
    pub(super) fn onbuild(&mut self, trigger: &str) {
        let mut triggers = self.triggers();
        triggers.push(trigger.to_owned());
        self.config.set_setting("OnBuild", triggers.into());
    }

    /// The triggers that the config has.
    pub(super) fn triggers(&self) -> Vec<String> {
        let list = self.config.setting("OnBuild").and_then(Value::as_array).into_iter().flatten();
        list.filter_map(Value::as_str).map(str::to_owned).collect()
    }

    /// Takes the triggers out of the config, because they are done now.
    pub(super) fn take_triggers(&mut self) -> Vec<String> {
        let triggers = self.triggers();
        self.config.set_setting("OnBuild", Value::Null);
        triggers
    }

    /// The words that run a command.
    pub(super) fn words(&self, command: &Command) -> Vec<String> {
        match command {
            Command::Exec(words) => words.clone(),
            Command::Shell(text) => {
                let mut words = self.shell_words();
                words.push(text.clone());
                words
            }
        }
    }

    /// The shell that text is for.
    fn shell_words(&self) -> Vec<String> {
        let list = self.config.setting("Shell").and_then(Value::as_array).into_iter().flatten();
        let words: Vec<String> = list.filter_map(Value::as_str).map(str::to_owned).collect();
        let is_windows = self.config.platform().is_ok_and(|platform| platform.os == "windows");
        match words.is_empty() {
            false => words,
            true if is_windows => ["cmd", "/S", "/C"].map(str::to_owned).to_vec(),
            true => ["/bin/sh", "-c"].map(str::to_owned).to_vec(),
        }
    }
}

fn joined(pairs: &[(At<String>, String)]) -> String {
    pairs.iter().map(|(key, value)| format!("{}={value}", key.value)).collect::<Vec<_>>().join(" ")
}
