use super::*;
use crate::build::dockerfile::instruction::{Command, CopySpec, Healthcheck, Mode, MountKind, Paths, RunSpec, Text, Verb};
use crate::error::ErrorKind;
use proptest::prelude::*;
use std::time::Duration;

fn read(text: &str) -> Result<Dockerfile> {
    parse("Dockerfile", text)
}

/// The instructions of the only stage of a valid file.
#[track_caller]
fn instructions(text: &str) -> Vec<Kind> {
    let file = read(&format!("FROM scratch\n{text}")).unwrap_or_else(|error| panic!("{text}: {error}"));
    file.stages.into_iter().next_back().expect("a stage").instructions.into_iter().map(|instruction| instruction.kind).collect()
}

#[track_caller]
fn only(text: &str) -> Kind {
    let mut all = instructions(text);
    assert_eq!(all.len(), 1, "{text}");
    all.remove(0)
}

fn values(list: &[At<String>]) -> Vec<&str> {
    list.iter().map(|item| item.value.as_str()).collect()
}

#[track_caller]
fn copy(text: &str) -> CopySpec {
    match only(text) {
        Kind::Copy(copy) => *copy,
        other => panic!("{other:?}"),
    }
}

#[track_caller]
fn run(text: &str) -> RunSpec {
    match only(text) {
        Kind::Run(run) => *run,
        other => panic!("{other:?}"),
    }
}

const FULL: &str = r#"# syntax=docker/dockerfile:1
ARG BASE=debian ARCH=
FROM --platform=$BUILDPLATFORM ${ARCH}${BASE}:12 AS Build
ARG VERSION
ENV A=1 B="two words" C=three\ words
LABEL one="x" two=y
RUN --mount=type=cache,target=/var/cache,sharing=locked --network=none apt-get update \
 # not this
 && apt-get install -y curl
WORKDIR /src
COPY --from=0 --chown=app:app --chmod=u+x --link --exclude=*.o a b/ /dest/

FROM scratch
COPY --from=build /out /
ADD rootfs.tar.gz /
USER app:app
EXPOSE 80 443/tcp $PORT
VOLUME ["/data", "/more"]
VOLUME /a /b
STOPSIGNAL SIGINT
HEALTHCHECK --interval=1m30s --retries=3 CMD curl -f http://localhost/
SHELL ["/bin/bash", "-c"]
ONBUILD RUN echo "hi"
ENTRYPOINT ["/app", "--serve"]
CMD serve $PORT
MAINTAINER somebody
"#;

#[test]
fn every_instruction_is_read() {
    let file = read(FULL).expect("valid");
    assert_eq!(
        file.args.iter().map(|arg| (arg.name.value.as_str(), arg.default.as_ref().map(|value| value.value.as_str()))).collect::<Vec<_>>(),
        [("BASE", Some("debian")), ("ARCH", Some(""))]
    );
    let [build, last] = file.stages.as_slice() else { panic!("two stages") };
    assert_eq!((build.base.value.as_str(), build.name.as_ref().map(|name| name.value.as_str())), ("${ARCH}${BASE}:12", Some("build")));
    assert_eq!(build.platform.as_ref().map(|platform| platform.value.as_str()), Some("$BUILDPLATFORM"));
    assert_eq!((build.instructions.len(), last.instructions.len()), (6, 13));
    let Kind::Env(env) = &build.instructions[1].kind else { panic!("ENV") };
    assert_eq!(env.iter().map(|pair| pair.value.value.as_str()).collect::<Vec<_>>(), ["1", "\"two words\"", "three\\ words"]);
    let Kind::Run(run) = &build.instructions[3].kind else { panic!("RUN") };
    assert_eq!(run.command, Command::Shell("apt-get update  && apt-get install -y curl".into()));
    assert_eq!(build.instructions[3].lines, 7..10);
    assert_eq!((run.mounts[0].kind, run.network.as_ref().map(|network| network.value.as_str())), (MountKind::Cache, Some("none")));
    let Kind::Volume(volumes) = &last.instructions[4].kind else { panic!("VOLUME") };
    assert_eq!(values(volumes), ["/data", "/more"]);
    assert_eq!(file.remarks.iter().map(|remark| remark.rule).collect::<Vec<_>>(), ["MaintainerDeprecated"]);
}

#[test]
fn places_are_exact() {
    let file = read(FULL).expect("valid");
    let build = &file.stages[0];
    let at = |place: &Place| place.to_string();
    assert_eq!(at(&build.base.place), "Dockerfile:3:32");
    assert_eq!(at(&build.instructions[1].place), "Dockerfile:5:1");
    let Kind::Env(env) = &build.instructions[1].kind else { panic!("ENV") };
    assert_eq!((at(&env[1].key.place), at(&env[1].value.place)), ("Dockerfile:5:9".into(), "Dockerfile:5:11".into()));
    let Kind::Copy(copy) = &build.instructions[5].kind else { panic!("COPY") };
    assert_eq!(
        (at(&copy.exclude[0].place), at(&copy.sources[1].place), at(&copy.to.place)),
        ("Dockerfile:11:50".into(), "Dockerfile:11:66".into(), "Dockerfile:11:69".into())
    );
}

#[test]
fn forms_are_lists_or_text() {
    assert!(matches!(only("CMD [\"a\", \"b c\"]"), Kind::Cmd(Command::Exec(words)) if words == ["a", "b c"]));
    assert!(matches!(only("CMD []"), Kind::Cmd(Command::Exec(words)) if words.is_empty()));
    assert!(matches!(only("CMD"), Kind::Cmd(Command::Shell(text)) if text.is_empty()));
    assert!(matches!(only("ENTRYPOINT ['a']"), Kind::Entrypoint(Command::Shell(text)) if text == "['a']"));
    assert!(matches!(only("CMD [\"a\"] b"), Kind::Cmd(Command::Shell(_))));
    assert_eq!(read("FROM x\nCMD ['a', 'b']").expect("valid").remarks[0].rule, "JSONArgsRecommended");
    assert_eq!(read("FROM x\nRUN [ -f /x ]").expect("valid").remarks, []);
    assert!(matches!(only("COPY [\"a b\", \"/c d/\"]"), Kind::Copy(copy) if values(&copy.sources) == ["a b"] && copy.to.value == "/c d/"));
}

#[test]
fn pairs_have_two_forms() {
    let Kind::Env(env) = only("ENV KEY some  value ") else { panic!("ENV") };
    assert_eq!((env[0].key.value.as_str(), env[0].value.value.as_str()), ("KEY", "some  value"));
    let Kind::Label(labels) = only("LABEL a=b \\\n  \"c d\"=e") else { panic!("LABEL") };
    assert_eq!(labels.iter().map(|pair| pair.key.value.as_str()).collect::<Vec<_>>(), ["a", "\"c d\""]);
    assert_eq!(labels[1].key.place.to_string(), "Dockerfile:3:3");
}

#[test]
fn here_documents_follow_their_instruction() {
    let all = instructions("COPY <<one <<-\"two\" /dest/\n$A\none\n\t\tb\n\ttwo\nRUN <<EOF\necho a\n# kept\nEOF\nUSER x");
    let Kind::Copy(copy) = &all[0] else { panic!("COPY") };
    let document = |position: usize| (copy.documents[position].name.as_str(), copy.documents[position].text, copy.documents[position].content.value.as_str());
    assert_eq!((document(0), document(1)), (("one", Text::Expanded, "$A\n"), ("two", Text::Verbatim, "b\n")));
    assert!(copy.sources.is_empty() && copy.documents[0].content.place.to_string() == "Dockerfile:3:1");
    let Kind::Run(run) = &all[1] else { panic!("RUN") };
    assert_eq!((&run.command, run.documents[0].content.value.as_str()), (&Command::Shell("<<EOF".into()), "echo a\n# kept\n"));
    assert!(matches!(&all[2], Kind::User(user) if user.value == "x"));
    // Words of other instructions announce nothing.
    assert_eq!(instructions("ENV A=<<EOF\nUSER x").len(), 2);
    let Kind::Onbuild(trigger) = only("ONBUILD COPY <<EOF /a\nb\nEOF") else { panic!("ONBUILD") };
    assert_eq!(trigger, "COPY <<EOF /a\nb\nEOF");
    assert!(matches!(parse_trigger("trigger", &trigger).expect("valid").kind, Kind::Copy(copy) if copy.documents[0].content.value == "b\n"));
}

#[test]
fn copies_have_flags() {
    let spec = copy("COPY --chown=1:2 --chmod=755 --parents --exclude=a --exclude=b ./x/./y /z");
    assert_eq!((spec.verb, spec.mode, spec.paths, values(&spec.exclude)), (Verb::Copy, Mode::Onto, Paths::Parents, vec!["a", "b"]));
    assert_eq!((spec.chown.expect("given").value.as_str(), spec.chmod.expect("given").value.as_str()), ("1:2", "755"));
    assert_eq!(copy("COPY --link a /b").mode, Mode::Link);
    assert_eq!(copy("COPY --link=false a /b").mode, Mode::Onto);
    assert_eq!(copy("ADD --unpack=false a.tar /b").verb, Verb::AddAsIs);
    assert_eq!(copy("ADD a.tar /b").verb, Verb::Add);
}

#[test]
fn mounts_have_kinds_and_keys() {
    let spec = run("RUN --mount=target=/a,ro --mount=type=secret,id=\"x\",required --mount='type=tmpfs,dst=/b,size=1m' true");
    let kinds: Vec<_> = spec.mounts.iter().map(|mount| mount.kind).collect();
    assert_eq!(kinds, [MountKind::Bind, MountKind::Secret, MountKind::Tmpfs]);
    assert_eq!(spec.mounts[0].fields, [("target".to_owned(), Some("/a".to_owned())), ("ro".to_owned(), None)]);
    assert_eq!(spec.command, Command::Shell("true".into()));
}

#[test]
fn health_checks_have_times() {
    let Kind::Healthcheck(Healthcheck::Test { command, interval, retries, timeout, .. }) = only("HEALTHCHECK --interval=1m30s --retries=3 CMD [\"a\"]") else {
        panic!("HEALTHCHECK")
    };
    assert_eq!((command, interval, retries, timeout), (Command::Exec(vec!["a".into()]), Duration::from_secs(90), 3, Duration::ZERO));
    assert!(matches!(only("healthcheck none"), Kind::Healthcheck(Healthcheck::None)));
}

#[test]
fn the_backtick_can_be_the_escape() {
    let file = read("# escape=`\nFROM x\nENV A=a` b\\\nCOPY a `\n  c:\\\n").expect("valid");
    let Kind::Env(env) = &file.stages[0].instructions[0].kind else { panic!("ENV") };
    assert_eq!(env[0].value.value, "a` b\\");
    let Kind::Copy(copy) = &file.stages[0].instructions[1].kind else { panic!("COPY") };
    assert_eq!(copy.to.value, "c:\\");
}

#[test]
fn whatever_is_wrong_is_one_error_with_its_place_and_a_remedy() {
    for (text, message, hint) in [
        ("", "1:1: the file has no `FROM`", "write what to build upon, or `FROM scratch`"),
        ("# x\n\nARG a\n", "3:1: the file has no `FROM`", "write what to build upon, or `FROM scratch`"),
        ("RUN a\n", "1:1: `RUN` before the first `FROM`", "only ARG may stand there"),
        ("FROM x\nRNU a\n", "2:1: unknown instruction `RNU`", "did you mean `RUN`?"),
        ("FROM x\nRUN a &&\n  frobnicate b\n", "3:3: unknown instruction `frobnicate`", "a line that goes on with the next one ends with a backslash"),
        ("FROM\n", "1:1: `FROM` takes an image", "to begin with nothing, write `FROM scratch`"),
        ("FROM x y\n", "1:8: `FROM` takes an image, and `AS` with a name", ""),
        ("FROM x AS 1a\n", "1:11: `1a` cannot be the name of a stage", "it begins with a letter and has letters, digits, `-`, `_` and `.`"),
        ("FROM --platfrom=x y\n", "1:6: `FROM` has no flag `--platfrom`", "did you mean `--platform`?"),
        ("FROM x\nCOPY --form=a b c\n", "2:6: `COPY` has no flag `--form`", "did you mean `--from`?"),
        (
            "FROM x\nADD --from=a b c\n",
            "2:5: `ADD` has no flag `--from`",
            "its flags are --chown, --chmod, --link, --exclude, --unpack, --checksum, --keep-git-dir",
        ),
        ("FROM x\nENV --a b c\n", "2:5: `ENV` has no flag `--a`", "`ENV` takes no flags"),
        ("FROM x\nCOPY --chown b c\n", "2:6: `--chown` needs a value", "write --chown=VALUE"),
        ("FROM x\nCOPY --chown=a --chown=b b c\n", "2:16: `--chown` stands here twice", ""),
        ("FROM x\nCOPY --link=maybe b c\n", "2:6: `--link` is true or false", ""),
        ("FROM x\nCOPY a\n", "2:1: `COPY` takes a source and a destination", ""),
        ("FROM x\nCOPY --from=$a b c\n", "2:6: variables are not expanded in `--from`", "name a stage: FROM ${IMAGE} AS name, and then --from=name"),
        ("FROM x\nCOPY <<EOF /a\nb\n", "2:6: the here-document `EOF` does not end", "end it with a line that is `EOF` and nothing else"),
        ("FROM x\nCOPY a <<EOF\nEOF\n", "2:8: a here-document cannot be a destination", ""),
        ("FROM x\nENV A\n", "2:5: `A` of `ENV` has no value", "write KEY=VALUE"),
        ("FROM x\nENV A=b c\n", "2:9: `c` has no `=`", "write KEY=VALUE; a value with spaces needs quotes"),
        ("FROM x\nENV\n", "2:1: `ENV` takes at least one argument", ""),
        ("FROM x\nENV =b\n", "2:5: a name is empty in `ENV`", ""),
        ("FROM x\nCMD [\"a\", 1]\n", "2:5: a JSON list here has nothing but strings in it", "put every word into double quotes"),
        ("FROM x\nSHELL /bin/sh -c\n", "2:1: `SHELL` takes a JSON list of words", r#"for example SHELL ["/bin/bash", "-c"]"#),
        ("FROM x\nRUN\n", "2:1: `RUN` takes a command", ""),
        ("FROM x\nRUN --mount=type=chace,target=/a b\n", "2:5: `chace` is not a type of mount", "did you mean `cache`?"),
        ("FROM x\nRUN --mount=tagret=/a b\n", "2:5: a mount has no `tagret`", "did you mean `target`?"),
        ("FROM x\nRUN --mount=type=tmpfs,from=a b\n", "2:5: a mount of type `tmpfs` has no `from`", ""),
        ("FROM x\nWORKDIR\n", "2:1: `WORKDIR` takes an argument", ""),
        ("FROM x\nVOLUME [\" \"]\n", "2:8: a volume cannot be empty", ""),
        ("FROM x\nHEALTHCHECK\n", "2:1: `HEALTHCHECK` takes `CMD` with a command, or `NONE`", ""),
        ("FROM x\nHEALTHCHECK curl\n", "2:13: `curl` is neither `CMD` nor `NONE`", "write HEALTHCHECK CMD command"),
        ("FROM x\nHEALTHCHECK --interval=5 CMD a\n", "2:13: `5` is not a time", "write numbers with units: 500ms, 30s, 1m30s, 1h"),
        ("FROM x\nHEALTHCHECK --interval=5us CMD a\n", "2:13: `--interval` is shorter than a millisecond", ""),
        ("FROM x\nONBUILD FROM y\n", "2:9: `FROM` cannot be a trigger", ""),
        ("FROM x\nONBUILD COPY a\n", "2:9: `COPY` takes a source and a destination", ""),
        ("FROM x\nONBUILD\n", "2:1: `ONBUILD` takes an instruction", ""),
    ] {
        let error = read(text).expect_err(text);
        assert_eq!((error.message(), error.kind()), (format!("Dockerfile:{message}").as_str(), ErrorKind::Usage), "{text}");
        assert_eq!(error.hint_text().unwrap_or_default(), hint, "{text}");
    }
    let insecure = "FROM x\nRUN --security=insecure a\n";
    assert_eq!(read(insecure).expect_err(insecure).kind(), ErrorKind::Unsupported);
}

#[test]
fn names_of_stages_that_hide_others_are_remarked() {
    let remarks = read("FROM a AS x\nFROM b AS X\nFROM c AS scratch").expect("valid").remarks;
    assert_eq!(
        remarks.iter().map(|remark| (remark.rule, remark.place.to_string())).collect::<Vec<_>>(),
        [("DuplicateStageName", "Dockerfile:2:11".to_owned()), ("ReservedStageName", "Dockerfile:3:11".to_owned())]
    );
}

proptest! {
    #[test]
    fn no_text_makes_it_panic(text in ".*") {
        let _ = read(&text);
    }

    #[test]
    fn no_bytes_make_it_panic(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
        let _ = read(&String::from_utf8_lossy(&bytes));
    }

    #[test]
    fn nothing_like_a_file_makes_it_panic(parts in prop::collection::vec(prop::sample::select(vec![
        "FROM", "scratch", "AS", "RUN", "COPY", "ADD", "ENV", "ONBUILD", "HEALTHCHECK", "CMD", "LABEL", "--from=", "--mount=", "--chown=a", "<<EOF", "<<-'E'",
        "EOF", "E", "\n", "\n", "\n", "\\", "\\\n", "#", "# escape=`\n", "`", "\"", "'", "[", "]", ",", "=", "$", "{", "}", " ", "\t", "ä", "\u{feff}", "\r\n", "a",
    ]), 0..60)) {
        let _ = read(&parts.concat());
        let _ = read(&format!("FROM x\n{}", parts.concat()));
        let _ = parse_trigger("x", &parts.concat());
    }
}
