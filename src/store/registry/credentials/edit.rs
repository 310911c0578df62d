//! Writing credentials down and forgetting them: what `login` and `logout` do to a file, and to the helpers that it names.
//!
//! The file is replaced as a whole, readable by its owner only, while nobody else who asks changes it; what larder does not know in it stays as it is written.

use std::fs::{DirBuilder, File};
use std::os::unix::fs::DirBuilderExt as _;
use std::path::{Path, PathBuf};

use crate::error::{Error, ErrorKind, IoContext, Result};
use crate::exec::Cancel;
use crate::fsio::{Lock, Patience, Target};
use crate::spec::{base64, text};

use super::super::credential::Secret;
use super::config::{Entries, Keeper};
use super::file;
use super::helper::Helpers;
use super::keys::{self, Reach};
use super::members::{self, Members};

/// What credentials are for: a host, or what is below a path of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Scope {
    /// The host, with its port where it has one.
    pub host: String,
    /// The path; empty for the whole host.
    pub path: String,
}

impl Scope {
    /// The key that is written for it.
    fn key(&self) -> String {
        match self.path.as_str() {
            "" => keys::of_host(&self.host).to_owned(),
            path => format!("{}/{path}", self.host),
        }
    }

    /// Whether `key` of a file is for exactly this.
    fn is(&self, key: &str) -> bool {
        match self.path.as_str() {
            "" => keys::is_of_host(key, &self.host),
            path => keys::best([key], &self.host, path, Reach::Paths).is_some_and(|key| key.trim_end_matches('/').ends_with(&format!("/{path}"))),
        }
    }
}

impl std::fmt::Display for Scope {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self.path.as_str() {
            "" => f.write_str(&self.host),
            path => write!(f, "{}/{path}", self.host),
        }
    }
}

/// A file of credentials that is changed.
#[derive(Debug)]
pub struct Store {
    path: PathBuf,
    helpers: Helpers,
    patience: Patience,
    cancel: Cancel,
}

/// Something that was forgotten.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Forgotten {
    /// The key that it had.
    pub key: String,
    /// Who had kept it.
    pub keeper: Keeper,
}

impl Store {
    /// The file at `path`, which need not exist. `patience` is for others who change it.
    pub fn new(path: PathBuf, helpers: Helpers, patience: Patience, cancel: Cancel) -> Self {
        Store { path, helpers, patience, cancel }
    }

    /// The file.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Writes credentials down, or gives them to the helper that the file names. Says who keeps them.
    ///
    /// Kinds: `usage` for a malformed file, and for a path where a helper keeps what is for the host; those of the helper; `io`.
    pub fn save(&self, scope: &Scope, user: &str, password: &Secret) -> Result<Keeper> {
        let entries = self.entries()?;
        let named = entries.named_helper(&scope.host);
        if !scope.path.is_empty()
            && let Some(name) = named
        {
            return Err(Error::usage(format!(
                "{} gives all of {} to the helper `{}`, which knows no paths",
                text::path(&self.path),
                scope.host,
                text::shown(name)
            ))
            .hint("log in to the host as a whole, or give another file with --authfile"));
        }
        let helper = if scope.path.is_empty() { entries.helper_of(&scope.host) } else { None };
        if let Some(name) = helper {
            self.helpers.store(name, keys::of_host(&scope.host), user, password)?;
        }
        let mut entry = Members::default();
        if helper.is_none() {
            entry.set("auth", members::text(&base64::encode(format!("{user}:{}", password.reveal()).as_bytes())));
        }
        self.change(|auths| {
            auths.retain(|key| !scope.is(key) || key == scope.key());
            auths.set(&scope.key(), entry.written(3));
        })?;
        Ok(helper.map_or(Keeper::File, |name| Keeper::Helper(name.to_owned())))
    }

    /// Forgets what is for `scope`, here and with the helper that the file names. Says what there was.
    pub fn forget(&self, scope: &Scope) -> Result<Vec<Forgotten>> {
        let entries = self.entries()?;
        let keys = entries.filled().filter(|key| scope.is(key));
        let mut forgotten: Vec<Forgotten> = keys.map(|key| Forgotten { key: key.to_owned(), keeper: Keeper::File }).collect();
        if scope.path.is_empty()
            && let Some(name) = entries.helper_of(&scope.host)
        {
            forgotten.extend(self.erase(name, keys::of_host(&scope.host))?);
        }
        if entries.keys().any(|key| scope.is(key)) {
            self.change(|auths| auths.retain(|key| !scope.is(key)))?;
        }
        Ok(forgotten)
    }

    /// Forgets everything that the file has, and what helpers have for the hosts in it. Says what there was.
    pub fn forget_all(&self) -> Result<Vec<Forgotten>> {
        let entries = self.entries()?;
        let mut forgotten: Vec<Forgotten> = entries.filled().map(|key| Forgotten { key: key.to_owned(), keeper: Keeper::File }).collect();
        for key in entries.keys().chain(entries.helped()) {
            let host = keys::host_of(key);
            if let Some(name) = entries.helper_of(host)
                && !forgotten.iter().any(|known| known.keeper != Keeper::File && keys::is_of_host(&known.key, host))
            {
                forgotten.extend(self.erase(name, keys::of_host(host))?);
            }
        }
        if entries.keys().next().is_some() {
            self.change(|auths| auths.retain(|_| false))?;
        }
        Ok(forgotten)
    }

    fn erase(&self, name: &str, server: &str) -> Result<Option<Forgotten>> {
        // Not every helper complains where it has nothing.
        let had = self.helpers.get(name, server)?.is_some();
        self.helpers.erase(name, server)?;
        Ok(had.then(|| Forgotten { key: server.to_owned(), keeper: Keeper::Helper(name.to_owned()) }))
    }

    fn entries(&self) -> Result<Entries> {
        match file::read(&self.path)? {
            Some(content) => file::decode_or_empty(&content.bytes, &self.path),
            None => Ok(Entries::default()),
        }
    }

    /// Replaces the file by one whose `auths` are changed.
    fn change(&self, change: impl FnOnce(&mut Members)) -> Result<()> {
        let directory = self.path.parent().filter(|parent| !parent.as_os_str().is_empty()).unwrap_or(Path::new("."));
        DirBuilder::new().recursive(true).mode(0o700).create(directory).at("create", directory)?;
        let _lock = self.lock(directory)?;
        let mut top: Members = match file::read(&self.path)? {
            Some(content) => file::decode_or_empty(&content.bytes, &self.path)?,
            None => Members::default(),
        };
        let mut auths: Members = match top.get("auths") {
            None | Some("null") => Members::default(),
            Some(auths) => serde_json::from_str(auths).map_err(|_| file::wrong(&self.path, "`auths` is not an object with a key for each host"))?,
        };
        change(&mut auths);
        top.set("auths", auths.written(2));
        let mut target = Target::prepare(&self.path)?;
        target.fill(top.written(1).as_bytes(), 0o600)?;
        target.show(&self.cancel)
    }

    /// Keeps others out who ask; none where the file system has no locks.
    fn lock(&self, directory: &Path) -> Result<Option<Lock>> {
        let file = File::open(directory).at("open", directory)?;
        match Lock::exclusive(file, directory, &mut self.patience.clone()) {
            Ok(lock) => Ok(Some(lock)),
            Err(error) if matches!(error.kind(), ErrorKind::Conflict | ErrorKind::Interrupted) => Err(error),
            Err(_) => Ok(None),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::{PermissionsExt as _, symlink};
    use std::time::Duration;

    use super::*;

    /// A helper `pass` that keeps what it is told in files beside it.
    const HELPER: &str = r#"cd "${0%/*}"; case "$1" in
        store) message=$(cat); server=${message#*'"ServerURL":"'}; server=${server%%'"'*}; printf '%s' "$message" > "kept-$(printf %s "$server" | tr / _)" ;;
        get) server=$(cat | tr / _); if [ -e "kept-$server" ]; then cat "kept-$server"; else echo credentials not found in native keychain; exit 1; fi ;;
        erase) rm -f "kept-$(cat | tr / _)" ;;
    esac"#;

    struct Sample(tempfile::TempDir);

    impl Sample {
        fn new(text: &str) -> Self {
            let temp = tempfile::tempdir().expect("temporary directory");
            super::super::helper::tests::script(temp.path(), "pass", HELPER);
            if !text.is_empty() {
                std::fs::create_dir(temp.path().join("docker")).expect("created");
                std::fs::write(temp.path().join("docker/config.json"), text).expect("written");
            }
            Sample(temp)
        }

        fn path(&self) -> PathBuf {
            self.0.path().join("docker/config.json")
        }

        fn store(&self) -> Store {
            let helpers = Helpers::new([self.0.path().to_owned()], Cancel::default());
            Store::new(self.path(), helpers, Patience::new(Duration::from_secs(10), Cancel::default()), Cancel::default())
        }

        fn text(&self) -> String {
            std::fs::read_to_string(self.path()).expect("there")
        }

        fn save(&self, scope: &str) -> Keeper {
            self.store().save(&self::scope(scope), "me", &Secret::new("hunter2")).expect("saved")
        }

        fn forget(&self, scope: &str) -> Vec<String> {
            self.store().forget(&self::scope(scope)).expect("forgotten").into_iter().map(|forgotten| forgotten.key).collect()
        }

        fn kept(&self) -> Vec<String> {
            let names = std::fs::read_dir(self.0.path()).expect("there").map(|entry| entry.expect("an entry").file_name().into_string().expect("UTF-8"));
            names.filter(|name| name.starts_with("kept-")).collect()
        }
    }

    fn scope(text: &str) -> Scope {
        let (host, path) = text.split_once('/').unwrap_or((text, ""));
        Scope { host: host.into(), path: path.into() }
    }

    #[test]
    fn a_new_file_is_its_owners_only_and_as_docker_writes_it() {
        let sample = Sample::new("");
        assert_eq!(sample.save("r.example:5000"), Keeper::File);
        // printf me:hunter2 | base64
        assert_eq!(sample.text(), "{\n\t\"auths\": {\n\t\t\"r.example:5000\": {\n\t\t\t\"auth\": \"bWU6aHVudGVyMg==\"\n\t\t}\n\t}\n}");
        let mode = |path: &Path| std::fs::metadata(path).expect("there").permissions().mode() & 0o7777;
        assert_eq!((mode(&sample.path()), mode(sample.path().parent().expect("a parent"))), (0o600, 0o700));
        assert_eq!(sample.forget("r.example:5000"), ["r.example:5000"]);
        assert_eq!(sample.text(), "{\n\t\"auths\": {}\n}");
        assert!(sample.forget("r.example:5000").is_empty());
    }

    #[test]
    fn everything_else_in_the_file_stays_as_it_is_written() {
        let sample = Sample::new("{\"HttpHeaders\":{\"X\": \"1\"},\n\"auths\":{\"a.example\":{\"auth\":\"YTpi\",\"email\":\"x\"}}, \"unknown\":[1.50, 1e3]}\n");
        sample.save("r.example");
        let kept = ["\"HttpHeaders\": {\"X\": \"1\"}", "\"a.example\": {\"auth\":\"YTpi\",\"email\":\"x\"}", "\"unknown\": [1.50, 1e3]"];
        assert!(kept.iter().all(|part| sample.text().contains(part)), "{}", sample.text());
        assert_eq!(sample.forget("r.example"), ["r.example"]);
        assert!(kept.iter().all(|part| sample.text().contains(part)), "{}", sample.text());
        assert!(!sample.text().contains("r.example"));
    }

    #[test]
    fn an_old_form_of_the_key_does_not_keep_an_old_password() {
        let sample = Sample::new(r#"{"auths":{"https://r.example/v1/":{"auth":"b2xkOm9sZA=="},"r.example/team":{"auth":"YTpi"}}}"#);
        sample.save("r.example");
        assert!(!sample.text().contains("b2xkOm9sZA==") && sample.text().contains("r.example/team"));
        sample.save("docker.io");
        assert!(sample.text().contains("\"https://index.docker.io/v1/\": {"));
        assert_eq!(sample.forget("docker.io"), ["https://index.docker.io/v1/"]);
    }

    #[test]
    fn a_path_has_a_key_of_its_own() {
        let sample = Sample::new(r#"{"auths":{"r.example":{"auth":"YTpi"}}}"#);
        sample.save("r.example/docker-local/team");
        assert_eq!(sample.forget("r.example/docker-local"), [""; 0]);
        assert_eq!(sample.forget("r.example"), ["r.example"]);
        assert_eq!(sample.forget("r.example/docker-local/team"), ["r.example/docker-local/team"]);
    }

    #[test]
    fn a_helper_keeps_what_the_file_says_that_it_keeps() {
        for text in [r#"{"credsStore":"pass"}"#, r#"{"credHelpers":{"r.example":"pass"},"auths":{"r.example":{"auth":"YTpi"}}}"#] {
            let sample = Sample::new(text);
            assert_eq!(sample.save("r.example"), Keeper::Helper("pass".into()));
            assert!(sample.text().contains("\"r.example\": {}") && !sample.text().contains("auth\":"), "{}", sample.text());
            assert_eq!(sample.kept(), ["kept-r.example"]);
            assert_eq!(sample.forget("r.example"), ["r.example"]);
            assert_eq!((sample.kept().len(), sample.forget("r.example").len()), (0, 0));
        }
        let sample = Sample::new(r#"{"credHelpers":{"r.example":"pass"}}"#);
        assert_eq!(sample.save("other.example"), Keeper::File);
        let error = sample.store().save(&scope("r.example/x"), "me", &Secret::new("hunter2")).expect_err("no paths");
        assert_eq!(error.kind(), ErrorKind::Usage);
    }

    #[test]
    fn everything_is_forgotten_and_settings_stay() {
        let sample = Sample::new(r#"{"auths":{"a.example":{"auth":"YTpi"}},"credHelpers":{"r.example":"pass"},"psFormat":"x"}"#);
        sample.save("r.example");
        let forgotten = sample.store().forget_all().expect("forgotten");
        assert_eq!(forgotten.iter().map(|forgotten| forgotten.key.as_str()).collect::<Vec<_>>(), ["a.example", "r.example"]);
        assert!(sample.kept().is_empty() && sample.text().contains("\"auths\": {}") && sample.text().contains("psFormat"), "{}", sample.text());
        assert!(sample.store().forget_all().expect("nothing left").is_empty());
    }

    #[test]
    fn a_file_that_cannot_be_understood_is_left_alone() {
        for text in ["{\"auths\":[]}", "{", "{\"auths\":{},\"auths\":{}}", "[]"] {
            let sample = Sample::new(text);
            let error = sample.store().save(&scope("r.example"), "me", &Secret::new("hunter2")).expect_err(text);
            assert_eq!((error.kind(), sample.text().as_str()), (ErrorKind::Usage, text));
        }
    }

    #[test]
    fn a_file_behind_a_link_is_changed_and_the_link_stays() {
        let sample = Sample::new("{}");
        let real = sample.0.path().join("dotfiles.json");
        std::fs::rename(sample.path(), &real).expect("moved");
        symlink(&real, sample.path()).expect("linked");
        sample.save("r.example");
        assert!(sample.path().is_symlink() && std::fs::read_to_string(&real).expect("there").contains("r.example"));
    }

    #[test]
    fn logins_at_the_same_time_are_all_kept() {
        let sample = Sample::new("{}");
        std::thread::scope(|threads| {
            for n in 0..8 {
                let sample = &sample;
                threads.spawn(move || sample.save(&format!("r{n}.example")));
            }
        });
        assert!((0..8).all(|n| sample.text().contains(&format!("r{n}.example"))), "{}", sample.text());
    }
}
