//! Which of several places counts.

use std::num::NonZeroUsize;
use std::os::unix::fs::PermissionsExt as _;
use std::sync::Arc;

use super::*;
use crate::exec::{Cancel, Event, Observer};

struct Warnings(Mutex<Vec<String>>);

impl Observer for Warnings {
    fn observe(&self, event: Event) {
        if let Event::Warning { message } = event {
            self.0.lock().expect("unpoisoned").push(message);
        }
    }
}

struct Sample {
    temp: tempfile::TempDir,
    warnings: Arc<Warnings>,
}

impl Sample {
    fn new() -> Self {
        Sample { temp: tempfile::tempdir().expect("temporary directory"), warnings: Arc::new(Warnings(Mutex::default())) }
    }

    fn file(&self, name: &str, text: &str) -> PathBuf {
        let path = self.temp.path().join(name);
        std::fs::write(&path, text).expect("written");
        std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o600)).expect("own file");
        path
    }

    fn sources(&self, places: Places) -> Sources {
        Sources::new(places, Helpers::new([self.temp.path().to_owned()], Cancel::default()), Events::to(self.warnings.clone()))
    }
}

fn entry(user: &str) -> String {
    format!(r#"{{"auths":{{"r.example":{{"username":"{user}","password":"hunter2"}}}}}}"#)
}

fn basic(user: &str) -> Credential {
    Credential::Basic { user: user.into(), password: Secret::new("hunter2") }
}

fn user(sources: &Sources, host: &str) -> Option<String> {
    match sources.find(host, "team/app").expect("readable")? {
        Credential::Basic { user, .. } => Some(user),
        other => panic!("{other:?}"),
    }
}

#[test]
fn the_first_place_that_has_something_counts() {
    let sample = Sample::new();
    let first = sample.file("first.json", &entry("first"));
    let second = sample.file("second.json", &entry("second"));
    let jfrog = sample.file("jfrog", r#"{"servers":[{"url":"https://r.example","user":"jfrog","password":"p","serverId":"s"}]}"#);
    let places = |given: bool, inline: bool, files: &[&PathBuf]| Places {
        given: if given { vec![("R.example:443".into(), basic("given"))] } else { Vec::new() },
        inline: inline.then(|| Secret::new(entry("inline"))),
        files: Files::Usual(files.iter().map(|file| (*file).clone()).collect()),
        jfrog: Some((jfrog.clone(), None)),
    };
    let absent = sample.temp.path().join("absent");
    for (places, expected, origin) in [
        (places(true, true, &[&first]), "given", "the call".to_owned()),
        (places(false, true, &[&first]), "inline", "DOCKER_AUTH_CONFIG".to_owned()),
        (places(false, false, &[&absent, &first, &second]), "first", first.display().to_string()),
        (places(false, false, &[&second, &first]), "second", second.display().to_string()),
        (places(false, false, &[&absent]), "jfrog", "server `s` of JFrog's CLI".to_owned()),
    ] {
        let sources = sample.sources(places);
        assert_eq!(user(&sources, "r.example").as_deref(), Some(expected));
        assert_eq!(sources.locate("r.example", "x").expect("readable").expect("there").1.to_string(), origin);
        assert_eq!(user(&sources, "other.example"), None);
        assert!(!format!("{sources:?}").contains("hunter2"));
    }
}

#[test]
fn a_named_file_is_the_only_one_and_must_be_there() {
    let sample = Sample::new();
    let named = |path: PathBuf| sample.sources(Places { files: Files::Named(path), ..Places::default() });
    assert_eq!(user(&named(sample.file("named.json", &entry("named"))), "r.example").as_deref(), Some("named"));
    assert_eq!(named(sample.temp.path().join("absent")).find("r.example", "x").expect_err("absent").kind(), ErrorKind::NotFound);
    assert_eq!(user(&named(sample.file("empty.json", "")), "r.example"), None);
}

#[test]
fn reg_38_what_is_wrong_names_the_file_and_no_secret() {
    let sample = Sample::new();
    for (text, expected) in [
        (r#"{"auths":{"r.example":{"auth":"hunter2"}}}"#, "not USER:PASSWORD"),
        (r#"{"auths":{"r.example":{"auth":hunter2}}}"#, "line 1, column"),
        (r#"{"credsStore":"hunter2 "}"#, "credential helper"),
    ] {
        let path = sample.file("config.json", text);
        for places in [Places { files: Files::Usual(vec![path.clone()]), ..Places::default() }, Places { inline: Some(Secret::new(text)), ..Places::default() }]
        {
            let place = if places.inline.is_some() { INLINE.to_owned() } else { path.display().to_string() };
            let error = sample.sources(places).find("r.example", "x").expect_err(text);
            let told = format!("{error} {}", error.causes().concat());
            assert!(told.contains(&place) && told.contains(expected), "{told}");
            assert!(expected == "credential helper" || !format!("{error:?}").contains("hunter2"), "{error:?}");
        }
    }
}

#[test]
fn a_helper_is_asked_once_for_each_host_and_by_many_threads_too() {
    let sample = Sample::new();
    helper::tests::script(sample.temp.path(), "once", r#"cd "${0%/*}"; cat >> asked; echo >> asked; echo '{"Username":"u","Secret":"p"}'"#);
    let config = sample.file("config.json", r#"{"credsStore":"once"}"#);
    let sources = sample.sources(Places { files: Files::Usual(vec![config]), ..Places::default() });
    let run = crate::exec::Run::new(NonZeroUsize::new(4).expect("not zero")).expect("threads");
    run.pool.try_map((0..8).collect(), |n| sources.find("r.example", &format!("app{n}"))).expect("found");
    sources.find("other.example", "x").expect("found");
    assert_eq!(std::fs::read_to_string(sample.temp.path().join("asked")).expect("asked"), "r.example\nother.example\n");
}

#[test]
fn a_file_that_everybody_can_read_is_complained_about_once_and_only_when_it_gives_a_secret() {
    let sample = Sample::new();
    let path = sample.file("config.json", &entry("me"));
    std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o644)).expect("own file");
    let sources = sample.sources(Places { files: Files::Usual(vec![path.clone()]), ..Places::default() });
    assert_eq!(user(&sources, "other.example"), None);
    assert!(sample.warnings.0.lock().expect("unpoisoned").is_empty());
    for _ in 0..2 {
        user(&sources, "r.example").expect("there");
    }
    let warnings = sample.warnings.0.lock().expect("unpoisoned");
    assert!(warnings.len() == 1 && warnings[0].contains("chmod 600"), "{warnings:?}");
}

#[test]
fn encrypted_servers_are_an_error_only_for_their_host() {
    let sample = Sample::new();
    let jfrog = sample.file("jfrog", r#"{"servers":[{"url":"https://r.example","user":"u","password":"c2VjcmV0"}],"enc":true}"#);
    let sources = sample.sources(Places { jfrog: Some((jfrog, None)), ..Places::default() });
    assert_eq!(sources.find("r.example", "x").expect_err("encrypted").kind(), ErrorKind::Usage);
    assert_eq!(sources.find("other.example", "x").expect("not asked"), None);
}
