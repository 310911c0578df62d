//! Configs and histories of images from Dockerfiles, field by field against what BuildKit writes for the same file.
//!
//! The expected documents are written by hand, by the rules of BuildKit's frontend. Where its versions put the same into different words, the meaning is compared:
//! the ports of `EXPOSE`, which older ones print as a map (`map[80/tcp:{}]`), and the fields of `HEALTHCHECK`, which newer ones print with their names.
//! Times are not compared but in one place: BuildKit writes those of its clock where nobody sets `SOURCE_DATE_EPOCH`.

use std::collections::BTreeSet;

use serde_json::{Value, json};

use crate::support::dockerfile::{Image, Kitchen};

/// The search path of images whose base has none.
const PATH: &str = "PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";

/// What an entry of a history says, in one form for all versions of BuildKit.
fn meaning(said: &str) -> Value {
    if let Some(ports) = said.strip_prefix("EXPOSE ") {
        let ports = ports.trim_start_matches("map").trim_matches(['[', ']']).split(' ');
        return json!({"EXPOSE": ports.map(|port| port.trim_end_matches(":{}")).collect::<BTreeSet<_>>()});
    }
    if let Some(check) = said.strip_prefix("HEALTHCHECK ") {
        let mut words = check.trim_start_matches('&').trim_matches(['{', '}']).replace(['"', '\'', '[', ']'], " ");
        for name in ["StartPeriod:", "StartInterval:", "Interval:", "Timeout:", "Test:", "Retries:"] {
            words = words.replace(name, " ");
        }
        // The number of retries is a character where everything is quoted.
        let number =
            |word: &str| word.strip_prefix("\\x").and_then(|digits| u32::from_str_radix(digits, 16).ok()).map_or_else(|| word.to_owned(), |n| n.to_string());
        return json!({"HEALTHCHECK": words.split_whitespace().map(number).collect::<Vec<_>>()});
    }
    json!(said)
}

/// Compares a config with the one that BuildKit would write, whose history begins behind that of the base.
#[track_caller]
fn assert_is_of_buildkit(image: &Image, base_history: usize, expected: &Value) {
    let config = &image.config;
    for (field, expected) in expected.as_object().expect("an object").iter().filter(|(field, _)| *field != "history") {
        assert_eq!(&config[field], expected, "{field}");
    }
    let known: BTreeSet<&str> = ["architecture", "os", "variant", "author", "created", "config", "rootfs", "history"].into();
    for field in config.as_object().expect("an object").keys() {
        assert!(known.contains(field.as_str()), "BuildKit writes no `{field}`");
        assert!(matches!(field.as_str(), "created" | "rootfs") || expected.get(field).is_some(), "`{field}` is not expected: {}", config[field]);
    }
    let history = &config["history"].as_array().expect("a history")[base_history..];
    let wanted = expected["history"].as_array().expect("a history");
    for (position, wanted) in wanted.iter().enumerate() {
        let (sign, said) = wanted.as_str().expect("text").split_at(2);
        let entry = history.get(position).unwrap_or_else(|| panic!("{wanted} in {history:?}"));
        assert_eq!(meaning(entry["created_by"].as_str().expect("text")), meaning(said));
        // Like Go's `omitempty`, nothing is said of what has a layer.
        assert_eq!(entry.get("empty_layer"), (sign == "- ").then_some(&json!(true)), "{said}");
        assert_eq!((&entry["comment"], &entry["created"]), (&json!("buildkit.dockerfile.v0"), &config["created"]), "{said}");
        assert_eq!(entry.as_object().map(serde_json::Map::len), Some(3 + usize::from(sign == "- ")), "{entry}");
    }
    assert_eq!(history.len(), wanted.len(), "{history:?}");
    let with_layer = config["history"].as_array().expect("a history").iter().filter(|entry| entry["empty_layer"] != true).count();
    assert_eq!(config["rootfs"]["type"], "layers");
    assert_eq!(config["rootfs"]["diff_ids"].as_array().map(Vec::len), Some(with_layer));
}

#[test]
fn a_program_upon_nothing() {
    let kitchen = Kitchen::new("FROM scratch\nCOPY --chmod=0755 hello /\nCMD [\"/hello\"]\n");
    kitchen.file("hello", "program");
    kitchen.image(&["--platform", "linux/amd64,linux/arm64,linux/arm/v7"]);
    for (architecture, variant) in [("amd64", None), ("arm64", None), ("arm", Some("v7"))] {
        let mut expected = json!({
            "architecture": architecture,
            "os": "linux",
            "config": {"Env": [PATH], "Cmd": ["/hello"], "WorkingDir": "/", "ArgsEscaped": true},
            "history": ["  COPY --chmod=0755 hello / # buildkit", "- CMD [\"/hello\"]"],
        });
        if let Some(variant) = variant {
            expected["variant"] = variant.into();
        }
        let image = kitchen.built(architecture);
        assert_is_of_buildkit(&image, 0, &expected);
        assert_eq!(image.config["created"], "1970-01-01T00:00:00Z");
    }
}

#[test]
fn every_setting_there_is() {
    let kitchen = Kitchen::new(
        r#"FROM scratch
MAINTAINER The Team <team@example.org>
LABEL one=1 "two words"="a \"quoted\" value" multi="over \
lines"
ENV A=1 B="two words" C=$A
ENV OLD of the old form
ARG PORT=8080
EXPOSE 53/udp $PORT 9000-9001/tcp
VOLUME /data /other
VOLUME ["/with space", "/data"]
STOPSIGNAL SIGRTMIN+3
HEALTHCHECK --interval=1m30s --timeout=2s --start-period=500ms --start-interval=250ms --retries=3 CMD curl -f http://localhost:$PORT/ || exit 1
WORKDIR /srv
WORKDIR app
USER app:staff
SHELL ["/bin/bash", "-o", "pipefail", "-c"]
ONBUILD COPY . /srv/app
ONBUILD RUN ["make", "all"]
ENTRYPOINT exec /srv/app/run
CMD list | cat
"#,
    );
    assert_is_of_buildkit(
        &kitchen.image(&[]),
        0,
        &json!({
            "architecture": "amd64",
            "os": "linux",
            "author": "The Team <team@example.org>",
            "config": {
                "ArgsEscaped": true,
                "Cmd": ["/bin/bash", "-o", "pipefail", "-c", "list | cat"],
                "Entrypoint": ["/bin/bash", "-o", "pipefail", "-c", "exec /srv/app/run"],
                "Env": [PATH, "A=1", "B=two words", "C=", "OLD=of the old form"],
                "ExposedPorts": {"53/udp": {}, "8080/tcp": {}, "9000/tcp": {}, "9001/tcp": {}},
                "Healthcheck": {
                    "Test": ["CMD-SHELL", "curl -f http://localhost:$PORT/ || exit 1"],
                    "Interval": 90_000_000_000_u64,
                    "Timeout": 2_000_000_000_u64,
                    "StartPeriod": 500_000_000,
                    "StartInterval": 250_000_000,
                    "Retries": 3,
                },
                "Labels": {"one": "1", "two words": "a \"quoted\" value", "multi": "over lines"},
                "OnBuild": ["COPY . /srv/app", "RUN [\"make\", \"all\"]"],
                "Shell": ["/bin/bash", "-o", "pipefail", "-c"],
                "StopSignal": "SIGRTMIN+3",
                "User": "app:staff",
                "Volumes": {"/data": {}, "/other": {}, "/with space": {}},
                "WorkingDir": "/srv/app",
            },
            "history": [
                "- MAINTAINER The Team <team@example.org>",
                "- LABEL one=1 two words=a \"quoted\" value multi=over lines",
                "- ENV A=1 B=two words C=",
                "- ENV OLD=of the old form",
                "- ARG PORT=8080",
                "- EXPOSE map[53/udp:{} 8080/tcp:{} 9000/tcp:{} 9001/tcp:{}]",
                "- VOLUME [/data /other]",
                "- VOLUME [/with space /data]",
                "- STOPSIGNAL SIGRTMIN+3",
                "- HEALTHCHECK {Test:[CMD-SHELL curl -f http://localhost:$PORT/ || exit 1] Interval:1m30s Timeout:2s StartPeriod:500ms StartInterval:250ms Retries:3}",
                "  WORKDIR /srv",
                "  WORKDIR /srv/app",
                "- USER app:staff",
                "- SHELL [/bin/bash -o pipefail -c]",
                "- ENTRYPOINT [\"/bin/bash\" \"-o\" \"pipefail\" \"-c\" \"exec /srv/app/run\"]",
                "- CMD [\"/bin/bash\" \"-o\" \"pipefail\" \"-c\" \"list | cat\"]",
            ],
        }),
    );
}

#[test]
fn settings_of_the_base_that_are_taken_back() {
    let kitchen = Kitchen::new(
        r#"FROM base:1 AS first
ARG VERSION=1
ENV VERSION=${VERSION} PATH=/opt/bin:$PATH
CMD ["of", "first"]
FROM first
ENTRYPOINT ["/entry"]
HEALTHCHECK NONE
LABEL keep= of=other
EXPOSE 80
"#,
    );
    let settings = ["--env", "PATH=/bin", "--env", "LANG=C", "--cmd", "sh", "--label", "of=base", "--entrypoint", "/of-base", "--expose", "443", "--user", "9"];
    std::fs::create_dir(kitchen.path("rootfs")).expect("writable");
    kitchen.base("base:1", &[&["--rootfs", "rootfs"][..], &settings].concat());
    let base = Image::of(&kitchen.path("bases"), "1", "amd64").config["history"].as_array().map_or(0, Vec::len);
    let image = kitchen.image(&["--base", &kitchen.bases()]);
    assert_is_of_buildkit(
        &image,
        base,
        &json!({
            "architecture": "amd64",
            "os": "linux",
            "config": {
                "ArgsEscaped": true,
                "Entrypoint": ["/entry"],
                "Env": ["PATH=/opt/bin:/bin", "LANG=C", "VERSION=1"],
                "ExposedPorts": {"443/tcp": {}, "80/tcp": {}},
                "Healthcheck": {"Test": ["NONE"]},
                "Labels": {"of": "other", "keep": ""},
                "User": "9",
            },
            "history": [
                "- ARG VERSION=1",
                "- ENV VERSION=1 PATH=/opt/bin:/bin",
                "- CMD [\"of\" \"first\"]",
                "- ENTRYPOINT [\"/entry\"]",
                "- HEALTHCHECK &{[\"NONE\"] \"0s\" \"0s\" \"0s\" \"0s\" '\\x00'}",
                "- LABEL keep= of=other",
                "- EXPOSE [80/tcp]",
            ],
        }),
    );
}

/// Texts of commands keep the spaces of their lines, arguments stand before them, and here-documents are told whole.
#[test]
fn commands_and_copies() {
    let text = r#"FROM shell:1
ARG A=1
ARG B
RUN set -x \
    # a comment, which goes
    && echo "$A" >/a \
    && true
RUN ["/bin/sh", "-c", "exit 0"]
RUN <<EOF
echo one >/one
EOF
RUN cat <<EOF >/two
two
EOF
ENV A=2
RUN --mount=type=tmpfs,target=/t --network=none true
COPY --chown=1:2 a b* /to/
COPY --from=shell:1 /etc/passwd /p
COPY <<here <<-there /docs/
text
here
	more
	there
ADD --chmod=644 --chown=app https.tar ./
CMD run it
"#;
    let Some(kitchen) = Kitchen::with_shell(text) else { return };
    for name in ["a", "b1", "b2", "https.tar"] {
        kitchen.file(name, name);
    }
    let base = Image::of(&kitchen.path("bases"), "1", "amd64").config["history"].as_array().map_or(0, Vec::len);
    assert_is_of_buildkit(
        &kitchen.image(&["--base", &kitchen.bases(), "--build-arg", "B=given"]),
        base,
        &json!({
            "architecture": "amd64",
            "os": "linux",
            "config": {"ArgsEscaped": true, "Cmd": ["/bin/sh", "-c", "run it"], "Env": ["PATH=/bin", "A=2"]},
            "history": [
                "- ARG A=1",
                "- ARG B=given",
                "  RUN |2 A=1 B=given /bin/sh -c set -x     && echo \"$A\" >/a     && true # buildkit",
                "  RUN |2 A=1 B=given /bin/sh -c exit 0 # buildkit",
                "  RUN |2 A=1 B=given /bin/sh -c echo one >/one\n # buildkit",
                "  RUN |2 A=1 B=given /bin/sh -c cat <<EOF >/two\ntwo\nEOF # buildkit",
                "- ENV A=2",
                "  RUN |2 A=2 B=given /bin/sh -c true # buildkit",
                "  COPY --chown=1:2 a b* /to/ # buildkit",
                "  COPY /etc/passwd /p # buildkit",
                "  COPY <<here <<there /docs/ # buildkit",
                "  ADD --chown=app --chmod=644 https.tar ./ # buildkit",
                "- CMD [\"/bin/sh\" \"-c\" \"run it\"]",
            ],
        }),
    );
}
