use proptest::prelude::*;
use serde_json::json;

use super::*;
use crate::error::ErrorKind;
use crate::spec::{Digest, Document, MediaType, limits};

fn parse(value: &Value) -> Result<ImageConfig> {
    ImageConfig::parse(&json::canonical(value).expect("JSON"), limits::CONFIG_BYTES)
}

fn diff_id(content: &str) -> DiffId {
    DiffId(Digest::sha256(content.as_bytes()))
}

fn arm() -> Platform {
    Platform { os_version: Some("1".into()), os_features: vec!["f".into()], ..Platform::new("linux", "arm", "v7") }
}

fn step(created_by: &str) -> History {
    History { created_by: Some(created_by.into()), ..History::default() }
}

#[test]
fn a_new_config_has_what_the_specification_requires() {
    let config = ImageConfig::new(&arm());
    assert!(config.platform().expect("a platform").strict_eq(&arm()));
    assert_eq!(config.diff_ids_for(0).expect("no layers"), []);
    let document = Document::create(MediaType::ImageConfig, config).expect("created");
    assert_eq!(
        String::from_utf8(document.bytes.clone()).expect("text"),
        r#"{"architecture":"arm","config":{},"history":[],"os":"linux","os.features":["f"],"os.version":"1","rootfs":{"diff_ids":[],"type":"layers"},"variant":"v7"}"#
    );
    let read = Document::<ImageConfig>::parse(document.descriptor.clone(), document.bytes.clone(), limits::CONFIG_BYTES).expect("readable");
    assert_eq!(read, document);
}

#[test]
fn what_larder_does_not_know_survives_every_edit() {
    let value = json!({
        "architecture": "amd64", "os": "linux", "docker_version": "20.10", "container_config": {"Cmd": null},
        "config": {"Healthcheck": {"Test": ["CMD", "true"]}, "OnBuild": ["RUN x"], "Shell": ["/bin/sh"], "ArgsEscaped": true, "Env": null, "Labels": null},
        "rootfs": {"type": "layers", "diff_ids": [diff_id("a")], "x": 1},
        "history": [{"created": "2020-01-01T00:00:00Z", "x": [1]}],
    });
    let mut config = parse(&value).expect("readable");
    assert_eq!(Value::from(config.0.clone()), value);
    config.set_env("A", "1").expect("a variable");
    config.set_label("l", "v");
    config.push_layer(&diff_id("b"), step("COPY"));
    config.push_empty(step("ENV"));
    let mut expected = value;
    expected["config"]["Env"] = json!(["A=1"]);
    expected["config"]["Labels"] = json!({"l": "v"});
    expected["rootfs"]["diff_ids"] = json!([diff_id("a"), diff_id("b")]);
    expected["history"] = json!([{"created": "2020-01-01T00:00:00Z", "x": [1]}, {"created_by": "COPY"}, {"created_by": "ENV", "empty_layer": true}]);
    assert_eq!(Value::from(config.0.clone()), expected);
    let history = config.history();
    assert_eq!((history.len(), history[0].other["x"].clone(), history[2].empty_layer), (3, json!([1]), true));
    config.set_layers(&[diff_id("c")], &history[..1]);
    assert_eq!(config.diff_ids().expect("layers"), [diff_id("c")]);
    assert_eq!(config.history(), history[..1]);
}

#[test]
fn lay_39_diff_ids_are_one_for_each_layer() {
    let mut config = ImageConfig::new(&arm());
    config.push_layer(&diff_id("a"), step("COPY"));
    assert_eq!(config.diff_ids_for(1).expect("one layer"), [diff_id("a")]);
    for layers in [0, 2] {
        let error = config.diff_ids_for(layers).expect_err("another number");
        assert_eq!(error.message(), format!("the manifest has {layers} layers, but the image config has 1 diff IDs"));
    }
    for rootfs in [
        json!(null),
        json!({}),
        json!({"type": "layers"}),
        json!({"type": "snapshots", "diff_ids": []}),
        json!({"diff_ids": []}),
        json!({"type": "layers", "diff_ids": ["sha256:0"]}),
        json!({"type": "layers", "diff_ids": [1]}),
        json!({"type": "layers", "diff_ids": {}}),
    ] {
        let config = parse(&json!({"architecture": "a", "os": "b", "rootfs": rootfs})).expect("the rest is readable");
        assert_eq!(config.diff_ids().expect_err("no diff IDs").kind(), ErrorKind::Corrupt);
    }
    assert!(parse(&json!({"architecture": "a", "os": "b"})).expect("readable").diff_ids().is_err());
    let none = parse(&json!({"rootfs": {"type": "layers", "diff_ids": null}})).expect("readable");
    assert_eq!(none.diff_ids_for(0).expect("none"), []);
}

#[test]
fn lay_48_the_config_of_an_artifact_is_not_read() {
    let descriptor = Descriptor::new(MediaType::EmptyJSON, Digest::sha256(b"{}"), 2);
    let error = Document::<ImageConfig>::parse(descriptor, b"{}".to_vec(), limits::CONFIG_BYTES).expect_err("an artifact");
    assert_eq!(error.kind(), ErrorKind::Unsupported);
    assert!(error.hint_text().is_some());
}

#[test]
fn lay_09_to_16_go_through_the_strict_reader() {
    for text in ["\u{feff}{}", "{} {}", r#"{"os":"a","os":"b"}"#, r#"{"os":"a","OS":"b"}"#, r#"{"x":1.5}"#, "[]", "null", ""] {
        assert_eq!(ImageConfig::parse(text.as_bytes(), 1000).expect_err(text).kind(), ErrorKind::Corrupt, "{text}");
    }
    let error = parse(&json!({"Rootfs": {}})).expect_err("another spelling");
    assert!(error.message().contains("some readers take `Rootfs` for `rootfs`"), "{error}");
    assert!(parse(&json!({"rootfs": {"Diff_ids": []}})).is_err());
    assert!(ImageConfig::parse(b"{    }", 5).expect_err("too long").message().contains("limit of 5 bytes"));
}

#[test]
fn fields_of_another_type_are_refused() {
    for value in [
        json!({"os": 1}),
        json!({"created": {}}),
        json!({"os.features": "x"}),
        json!({"config": []}),
        json!({"rootfs": "x"}),
        json!({"history": {}}),
        json!({"history": [1]}),
        json!({"history": [{"empty_layer": "x"}]}),
        json!({"config": {"Env": "A=1"}}),
        json!({"config": {"Env": [1]}}),
        json!({"config": {"Cmd": [1]}}),
        json!({"config": {"User": 0}}),
        json!({"config": {"Labels": {"a": 1}}}),
        json!({"config": {"Labels": []}}),
        json!({"config": {"Volumes": []}}),
    ] {
        assert_eq!(parse(&value).expect_err("another type").kind(), ErrorKind::Corrupt, "{value}");
    }
    let nulls = json!({"os": null, "config": {"Env": null, "Cmd": null, "Labels": null, "User": null}, "history": null});
    let config = parse(&nulls).expect("Go programs write null");
    assert!(config.env().is_empty() && config.cmd().is_empty() && config.labels().is_empty() && config.user().is_empty() && config.history().is_empty());
    assert_eq!(config.platform().expect_err("no platform").message(), "the image config has no `os`");
}

#[test]
fn variables_are_replaced_in_place() {
    let mut config = parse(&json!({"config": {"Env": ["A=1", "B=2", "A=3", "AB=4"]}})).expect("readable");
    config.set_env("A", "x=y").expect("a variable");
    config.set_env("C", "").expect("a variable");
    assert_eq!(config.env(), ["A=x=y", "B=2", "AB=4", "C="]);
    config.remove_env("B");
    config.remove_env("none");
    assert_eq!(config.env(), ["A=x=y", "AB=4", "C="]);
    for name in ["", "a=b", "a\0"] {
        assert_eq!(config.set_env(name, "v").expect_err(name).kind(), ErrorKind::Usage);
    }
}

#[test]
fn settings_read_back_and_empty_ones_disappear() {
    let mut config = ImageConfig::new(&arm());
    config.set_entrypoint(&["/a", "b"]);
    config.set_cmd(&["c"]);
    config.set_user("1:2");
    config.set_working_dir("/w");
    config.set_stop_signal("SIGINT");
    config.set_label("k", "v");
    config.add_exposed_port("8080").expect("a port");
    config.add_exposed_port("53/UDP").expect("a port");
    config.add_volume("/data");
    config.set_created("1970-01-01T00:00:00Z");
    config.set_author("me");
    config.set_setting("Shell", json!(["/bin/sh"]));
    assert_eq!((config.entrypoint(), config.cmd()), (vec!["/a".to_owned(), "b".to_owned()], vec!["c".to_owned()]));
    assert_eq!((config.user(), config.working_dir(), config.stop_signal()), ("1:2", "/w", "SIGINT"));
    assert_eq!((config.exposed_ports(), config.volumes()), (vec!["53/udp".to_owned(), "8080/tcp".to_owned()], vec!["/data".to_owned()]));
    assert_eq!((config.created(), config.author()), (Some("1970-01-01T00:00:00Z"), Some("me")));
    assert_eq!(config.field("config").and_then(|section| section.get("ExposedPorts")), Some(&json!({"53/udp": {}, "8080/tcp": {}})));
    for port in ["", "0", "65536", "80/icmp", "80-90", "-1", "80/tcp/x"] {
        assert_eq!(config.add_exposed_port(port).expect_err(port).kind(), ErrorKind::Usage);
    }
    config.set_entrypoint::<&str>(&[]);
    config.set_cmd::<&str>(&[]);
    for set in [ImageConfig::set_user, ImageConfig::set_working_dir, ImageConfig::set_stop_signal] {
        set(&mut config, "");
    }
    config.remove_label("k");
    config.set_setting("Shell", Value::Null);
    assert_eq!(config.field("config"), Some(&json!({"ExposedPorts": {"53/udp": {}, "8080/tcp": {}}, "Volumes": {"/data": {}}})));
    assert_eq!(parse(&json!({"config": {"Cmd": "/bin/sh"}})).expect("an old form").cmd(), ["/bin/sh"]);
}

#[test]
fn what_says_the_same_is_the_same_whoever_wrote_it() {
    let base = json!({"architecture": "a", "os": "b", "config": {"Cmd": ["x"], "Env": ["A=1", "B=2"], "X": 0}});
    let config = parse(&base).expect("readable");
    for (same, patch) in [
        (true, json!({"Cmd": ["x"], "Env": ["A=1", "B=2"], "X": 0, "Entrypoint": null, "User": "", "Labels": {}, "OnBuild": []})),
        (false, json!({"Cmd": ["x"], "Env": ["B=2", "A=1"], "X": 0})),
        (false, json!({"Cmd": ["x"], "Env": ["A=1", "B=2"], "X": false})),
        (false, json!({"Cmd": ["x"], "Env": ["A=1", "B=2"]})),
    ] {
        let mut other = base.clone();
        other["config"] = patch;
        other["history"] = json!(null);
        assert_eq!(config.says_the_same_as(&parse(&other).expect("readable")), same, "{other}");
    }
    let mut other = parse(&base).expect("readable");
    other.set_author("me");
    assert!(!config.says_the_same_as(&other));
    // Taking away what is not there does not even make a section.
    let mut bare = parse(&json!({"os": "b"})).expect("readable");
    bare.remove_env("A");
    bare.remove_label("l");
    assert_eq!(bare.field("config"), None);
}

#[test]
fn changed_settings_are_named_without_their_values() {
    let before = parse(&json!({"config": {"Env": ["A=1", "B=2"], "Labels": {"l": "1"}, "User": "x", "Healthcheck": {"Test": ["NONE"]}}})).expect("readable");
    let mut after = before.clone();
    assert_eq!(after.changed_settings(&before), [""; 0]);
    after.set_env("B", "secret").expect("a variable");
    after.set_env("C", "3").expect("a variable");
    after.remove_env("A");
    after.set_label("m", "2");
    after.set_user("y");
    after.add_exposed_port("80").expect("a port");
    after.set_setting("Healthcheck", Value::Null);
    assert_eq!(after.changed_settings(&before), ["env A", "env B", "env C", "port 80/tcp", "healthcheck", "label m", "user"]);
    let twice = parse(&json!({"config": {"Env": ["A=1", "A=1"]}})).expect("readable");
    assert_eq!(parse(&json!({"config": {"Env": ["A=1"]}})).expect("readable").changed_settings(&twice), ["env"]);
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn variables_have_one_value_and_keep_their_order(edits in proptest::collection::vec(("[A-C]{1,2}", "[a-z=]{0,2}"), 0..12)) {
        let mut config = ImageConfig::new(&arm());
        let mut expected: Vec<(String, String)> = Vec::new();
        for (name, value) in edits {
            config.set_env(&name, &value).expect("a variable");
            match expected.iter_mut().find(|(known, _)| *known == name) {
                Some(known) => known.1 = value,
                None => expected.push((name, value)),
            }
        }
        prop_assert_eq!(config.env(), expected.into_iter().map(|(name, value)| format!("{name}={value}")).collect::<Vec<_>>());
    }
}
