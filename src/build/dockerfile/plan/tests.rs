use std::path::Path;

use serde_json::json;

use super::*;
use crate::build::dockerfile::bases::ContextSource;
use crate::build::dockerfile::ignore::Ignore;
use crate::build::dockerfile::parse::parse;
use crate::build::dockerfile::spec::{MachineSpec, NamedContext, Network};
use crate::build::place::At;
use crate::error::Error;
use crate::spec::name::ImageName;
use crate::spec::{Descriptor, ImageIndex, MediaType};
use crate::store::layout::Layout;

/// A Dockerfile, and what the call says besides.
struct Case {
    text: String,
    target: Option<&'static str>,
    args: Vec<(&'static str, &'static str)>,
    contexts: Vec<(&'static str, ContextSource)>,
    bases: Option<tempfile::TempDir>,
}

fn case(text: &str) -> Case {
    Case { text: text.to_owned(), target: None, args: Vec::new(), contexts: Vec::new(), bases: None }
}

fn at(value: &str) -> At<String> {
    At::new(value.to_owned(), Place::flag("--flag"))
}

impl Case {
    fn target(mut self, target: &'static str) -> Case {
        self.target = Some(target);
        self
    }

    fn arg(mut self, name: &'static str, value: &'static str) -> Case {
        self.args.push((name, value));
        self
    }

    fn context(mut self, name: &'static str, source: ContextSource) -> Case {
        self.contexts.push((name, source));
        self
    }

    /// Adds an image to the bases: its name, and what its config says for linux/amd64 and linux/arm64.
    fn base(mut self, name: &str, settings: serde_json::Value) -> Case {
        let temp = self.bases.take().unwrap_or_else(|| tempfile::tempdir().expect("temporary directory"));
        write_base(temp.path(), name, &settings);
        self.bases = Some(temp);
        self
    }

    fn try_plan(&self, platforms: &[&str]) -> Result<Plan> {
        let run = Run::new(std::num::NonZeroUsize::MIN).expect("threads start");
        let bases: Vec<At<String>> = self.bases.iter().map(|temp| at(&format!("oci:{}", temp.path().display()))).collect();
        let contexts = self.contexts.iter().map(|(name, source)| NamedContext { name: at(name), source: source.clone(), ignore: Ignore::default() });
        let spec = DockerfileSpec {
            name: "Dockerfile".into(),
            file: parse("Dockerfile", &self.text)?,
            text: self.text.clone(),
            context: ".".into(),
            ignore: Ignore::default(),
            target: self.target.map(at),
            build_args: self.args.iter().map(|(name, value)| (at(name), (*value).to_owned())).collect(),
            bases,
            contexts: contexts.collect(),
            host: platform("linux/amd64"),
            machine: MachineSpec::default(),
            cache_from: Vec::new(),
            cache_to: Vec::new(),
        };
        let platforms: Vec<Platform> = platforms.iter().map(|text| platform(text)).collect();
        plan(&run, &spec, &platforms, &Options::default())
    }

    #[track_caller]
    fn plan(&self) -> Plan {
        self.plan_for(&["linux/amd64"])
    }

    #[track_caller]
    fn plan_for(&self, platforms: &[&str]) -> Plan {
        self.try_plan(platforms).unwrap_or_else(|error| panic!("{error} {:?}", error.causes()))
    }

    /// The error, with its causes and its hint on one line.
    #[track_caller]
    fn refused(&self) -> String {
        told(&self.try_plan(&["linux/amd64"]).expect_err("refused"))
    }
}

fn told(error: &Error) -> String {
    let mut told = vec![error.message().to_owned()];
    told.extend(error.causes());
    told.extend(error.hint_text().map(str::to_owned));
    told.join(" / ")
}

fn platform(text: &str) -> Platform {
    Platform::parse(text).expect("a platform")
}

fn write_base(directory: &Path, name: &str, settings: &serde_json::Value) {
    let layout = Layout::ensure(directory, Options::default()).expect("layout");
    let document = |media_type, value: &serde_json::Value| layout.put_document(media_type, &serde_json::to_vec(value).expect("JSON")).expect("written");
    let children = ["linux/amd64", "linux/arm64"].map(|text| {
        let platform = platform(text);
        let mut config = ImageConfig::new(&platform);
        for (key, value) in settings.as_object().expect("settings") {
            config.set_setting(key, value.clone());
        }
        let config = document(MediaType::ImageConfig, &json!(config));
        let manifest = json!({"schemaVersion": 2, "mediaType": MediaType::ImageManifest.to_string(), "config": config, "layers": []});
        Descriptor { platform: Some(platform), ..document(MediaType::ImageManifest, &manifest) }
    });
    let index = json!(ImageIndex::new(children.to_vec()));
    let mut entry = document(MediaType::ImageIndex, &index);
    ImageName::parse_reference(name).expect("a name").apply(&mut entry);
    layout
        .update_index(|index| {
            index.manifests.push(entry);
            Ok(())
        })
        .expect("written");
}

impl Plan {
    fn names(&self) -> Vec<&str> {
        self.stages.iter().map(|stage| stage.name.as_str()).collect()
    }

    fn last(&self) -> &StagePlan {
        &self.stages[self.targets[0]]
    }

    fn rules(&self) -> Vec<&str> {
        self.remarks.iter().map(|remark| remark.rule).collect()
    }
}

impl StagePlan {
    fn said(&self) -> Vec<&str> {
        self.history.iter().filter_map(|history| history.entry.created_by.as_deref()).collect()
    }

    fn setting(&self, key: &str) -> serde_json::Value {
        self.config.setting(key).cloned().unwrap_or_default()
    }

    fn copy(&self, step: usize) -> &CopyPlan {
        match &self.steps[step].action {
            Action::Copy(plan) => plan,
            other => panic!("{other:?}"),
        }
    }
}

const STAGES: &str = "FROM scratch AS one\nCOPY a /a\nFROM scratch AS unused\nCOPY u /u\nFROM one AS two\nCOPY b /b\nFROM scratch AS last\nCOPY --from=two /b /\nCOPY --from=0 /a /\n";

#[test]
fn only_what_the_target_needs_is_planned() {
    let plan = case(STAGES).plan();
    assert_eq!(plan.names(), ["one", "two", "last"]);
    assert_eq!(plan.stages[1].base, StageBase::Stage(0));
    assert_eq!((&plan.last().copy(0).from, &plan.last().copy(1).from), (&SourceId::Stage(1), &SourceId::Stage(0)));
    assert_eq!(case(STAGES).target("ONE").plan().names(), ["one"]);
    assert_eq!(case(STAGES).target("2").plan().names(), ["one", "two"]);
    assert_eq!(case(STAGES).target("tow").refused(), "--flag: there is no stage `tow` / did you mean `two`?");
    assert_eq!(case(STAGES).target("9").refused(), "--flag: there is no stage `9` / the stages are one, unused, two, last");
    assert!(case("FROM scratch").target("x").refused().ends_with("no stage of the file has a name; a stage gets one with FROM image AS name"));
    // What is wrong in a stage that nobody needs does not matter.
    assert_eq!(case("FROM nowhere AS one\nFROM scratch\nCOPY a /").plan().names(), ["stage-1"]);
}

#[test]
fn what_is_the_same_for_several_platforms_is_planned_once() {
    let text = "FROM --platform=$BUILDPLATFORM scratch AS tools\nCOPY t /t\nFROM scratch\nARG TARGETARCH\nCOPY --from=tools /t /t-$TARGETARCH\n";
    let plan = case(text).plan_for(&["linux/amd64", "linux/arm64"]);
    assert_eq!(plan.names(), ["tools", "stage-1", "stage-1"]);
    assert_eq!(plan.targets, [1, 2]);
    assert_eq!(plan.stages.iter().map(|stage| stage.platform.to_string()).collect::<Vec<_>>(), ["linux/amd64", "linux/amd64", "linux/arm64"]);
    assert_eq!(plan.targets.iter().map(|target| plan.stages[*target].copy(0).to.value.clone()).collect::<Vec<_>>(), ["/t-amd64", "/t-arm64"]);
    assert_eq!(plan.label(2, 0), "[linux/arm64 stage-1 1/1] COPY --from=tools /t /t-$TARGETARCH");
}

#[test]
fn arguments_have_the_scope_that_docker_gives_them() {
    let text = "ARG NAME=one OTHER=${NAME}2\nFROM scratch AS stage-$NAME\nARG NAME\nARG OTHER=own\nARG PLAIN\nENV SEEN=$NAME:$OTHER:$PLAIN:$TARGETPLATFORM\n";
    let text = text.replace("stage-$NAME", "first");
    let plan = case(&text).plan();
    assert_eq!(plan.last().setting("Env"), json!(["PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin", "SEEN=one:own::"]));
    assert_eq!(plan.rules(), ["UndefinedVar"]);
    assert_eq!(plan.last().said(), ["ARG NAME=one", "ARG OTHER=own", "ARG PLAIN", "ENV SEEN=one:own::"]);
    let plan = case(&text).arg("NAME", "given").arg("PLAIN", "").arg("OTHRE", "x").plan();
    assert_eq!(plan.last().said().last(), Some(&"ENV SEEN=given:own::"));
    let unused = plan.remarks.iter().find(|remark| remark.rule == "UnusedBuildArg").expect("told");
    assert_eq!(unused.message, "no ARG takes `OTHRE`; did you mean `OTHER`?");
    // The environment is stronger than arguments, and what came later than what came before.
    let plan = case("FROM scratch\nENV A=env\nARG A=arg\nENV B=$A\nENV A=x C=$A").arg("A", "call").plan();
    assert_eq!(plan.last().said()[2..], ["ENV B=call", "ENV A=x C=call"]);
    // Arguments go on into stages that are built upon this one.
    let plan = case("FROM scratch AS a\nARG A=arg\nFROM a\nENV B=$A").plan();
    assert_eq!(plan.last().said(), ["ENV B=arg"]);
    let plan = case("FROM scratch AS a\nARG A=arg\nFROM scratch\nENV B=$A").plan();
    assert_eq!((plan.last().said(), plan.rules()), (vec!["ENV B="], vec!["UndefinedVar"]));
}

#[test]
fn automatic_arguments_describe_the_platforms() {
    let text = "FROM --platform=$TARGETPLATFORM scratch AS end\nARG TARGETPLATFORM TARGETOS TARGETARCH TARGETVARIANT BUILDPLATFORM BUILDARCH TARGETSTAGE\n\
                ENV ALL=$TARGETPLATFORM:$TARGETOS:$TARGETARCH:$TARGETVARIANT:$BUILDPLATFORM:$BUILDARCH:$TARGETSTAGE\n";
    let plan = case(text).plan_for(&["linux/arm/v7"]);
    assert_eq!(plan.last().said()[1], "ENV ALL=linux/arm/v7:linux:arm:v7:linux/amd64:amd64:end");
    assert_eq!(case(text).arg("TARGETARCH", "mine").plan().last().said()[1], "ENV ALL=linux/amd64:linux:mine::linux/amd64:amd64:end");
    let plan = case("FROM --platform=linux/s390x scratch\nCOPY a /").plan();
    assert_eq!((plan.last().platform.to_string(), plan.last().config.platform().expect("known").to_string()), ("linux/s390x".into(), "linux/s390x".into()));
    let refused = case("FROM --platform=linux/ scratch\nCOPY a /").refused();
    assert!(refused.starts_with("Dockerfile:1:6: cannot read the platform of this stage / "), "{refused}");
}

#[test]
fn bases_come_from_layouts() {
    let debian = json!({"Env": ["PATH=/bin", "A=base"], "Cmd": ["bash"], "User": "app", "WorkingDir": "/srv"});
    let case = |text: &str| case(text).base("docker.io/library/debian:12", debian.clone()).base("example.org/tools:1", json!({}));
    for name in ["debian:12", "docker.io/library/debian:12", "library/debian:12"] {
        let plan = case(&format!("FROM {name}\nCOPY a b/")).plan();
        assert_eq!((plan.last().setting("Cmd"), plan.last().copy(0).to.value.as_str()), (json!(["bash"]), "/srv/b/"), "{name}");
    }
    let plan = case("ARG TAG=11\nFROM debian:$TAG\nENV B=$A").arg("TAG", "12").plan_for(&["linux/arm64"]);
    assert_eq!((plan.last().setting("Env"), plan.last().platform.to_string()), (json!(["PATH=/bin", "A=base", "B=base"]), "linux/arm64".into()));
    let plan = case("FROM scratch\nCOPY --from=example.org/tools:1 /t /").plan();
    assert!(matches!(&plan.stages[0].base, StageBase::Image(image) if image.name.as_deref() == Some("example.org/tools:1")));
    let refused = case("FROM alpine").refused();
    assert!(refused.contains("there is no image `alpine`; oci:") && refused.contains(" has `docker.io/library/debian:12`, `example.org/tools:1`"), "{refused}");
    assert!(case("FROM debian").refused().contains("there is no image `debian`"), "the tag is not latest");
    assert!(case("FROM tools:1").refused().contains("there is no image `tools:1`"), "the repository is another");
    let refused = case("FROM --platform=linux/riscv64 debian:12").refused();
    assert!(refused.contains("cannot use the image `debian:12` of oci:") && refused.contains("for platform linux/riscv64"), "{refused}");
    let refused = super::tests::case("FROM debian:12").refused();
    assert!(refused.starts_with("Dockerfile:1:6: there is no image `debian:12`: no layout with bases is given, and nothing is downloaded / "), "{refused}");
    let empty = case("ARG NOTHING\nFROM $NOTHING");
    assert!(empty.refused().starts_with("Dockerfile:2:6: the name of the base is empty / "));
    assert_eq!(case("FROM debian:12\nCMD a").plan().last().setting("Cmd"), json!(["/bin/sh", "-c", "a"]));
}

#[test]
fn triggers_run_in_the_image_that_is_built_upon_them() {
    let built = json!({"OnBuild": ["COPY . /app", "ENV TRIGGERED=$A"], "WorkingDir": "/"});
    let text = "FROM base:1 AS mid\nARG A=x\nONBUILD COPY late /late\nFROM mid\nENV A=$TRIGGERED\n";
    let plan = case(text).base("base:1", built).plan();
    let [mid, last] = plan.stages.as_slice() else { panic!("{:?}", plan.names()) };
    assert_eq!(mid.said(), ["COPY . /app # buildkit", "ENV TRIGGERED=", "ARG A=x"]);
    assert_eq!(mid.steps[0].place.to_string(), "ONBUILD of base:1:1:1");
    assert_eq!(mid.setting("OnBuild"), json!(["COPY late /late"]));
    assert_eq!((last.said(), last.setting("OnBuild")), (vec!["COPY late /late # buildkit", "ENV A="], json!(null)));
    let refused = case("FROM base:1").base("base:1", json!({"OnBuild": ["FROM x"]})).refused();
    assert!(refused.starts_with("Dockerfile:1:6: the base has a trigger that cannot be read / "), "{refused}");
}

#[test]
fn contexts_stand_for_stages_and_images() {
    let directory = || ContextSource::Directory("elsewhere".into());
    let plan = case(STAGES).context("two", directory()).plan();
    assert_eq!((plan.names(), &plan.last().copy(0).from), (vec!["one", "last"], &SourceId::Named(0)));
    let plan = case(STAGES).context("one", directory()).target("two").plan();
    assert_eq!((plan.names(), &plan.stages[0].copy(0).from), (vec!["two"], &SourceId::Named(0)));
    let plan = case("FROM scratch\nCOPY --from=files a /").context("files", directory()).plan();
    assert_eq!((plan.stages.len(), &plan.last().copy(0).from), (1, &SourceId::Named(0)));
    let plan = case("FROM alpine:3\nCOPY a /").context("docker.io/library/alpine:3", directory()).plan();
    assert_eq!(plan.last().steps.len(), 2);
    let text = "FROM alpine:3\nCOPY a /";
    let plan = case(text).base("mine:1", json!({"Cmd": ["mine"]})).context("alpine:3", ContextSource::Base(at("mine:1"))).plan();
    assert_eq!(plan.last().setting("Cmd"), json!(["mine"]));
}

#[test]
fn what_is_not_there_yet_cannot_be_copied() {
    assert_eq!(
        case("FROM scratch\nCOPY --from=b /a /\nFROM scratch AS b").target("0").refused(),
        "Dockerfile:2:6: the stage `b` is not there yet / move it before the stage that copies from it"
    );
    assert_eq!(case("FROM scratch\nCOPY --from=0 /a /").refused(), "Dockerfile:2:6: there is no stage 0 before this one / the first stage is 0");
    assert!(case("FROM scratch\nCOPY --from=nowhere /a /").refused().starts_with("Dockerfile:2:6: there is no image `nowhere`"));
}

#[test]
fn configs_and_history_say_what_docker_says() {
    let text = r#"FROM scratch
LABEL a=b "c d"="e f"
USER app:app
WORKDIR /srv
WORKDIR deeper/../x
EXPOSE 80 53/udp 7000-7001
VOLUME ["/data", "/with space"]
STOPSIGNAL SIGINT
HEALTHCHECK --interval=1m30s --retries=3 CMD curl -f http://localhost/
SHELL ["/bin/bash", "-c"]
CMD serve
ENTRYPOINT ["/app", "a b"]
ONBUILD RUN x
MAINTAINER me
COPY --chown=1:2 --chmod=755 a b c/
ADD <<EOF /f
x
EOF
"#;
    let plan = case(text).plan();
    let stage = plan.last();
    assert_eq!(
        stage.said(),
        [
            "LABEL a=b c d=e f",
            "USER app:app",
            "WORKDIR /srv",
            "WORKDIR /srv/x",
            "EXPOSE [80/tcp 53/udp 7000/tcp 7001/tcp]",
            "VOLUME [/data /with space]",
            "STOPSIGNAL SIGINT",
            "HEALTHCHECK &{[\"CMD-SHELL\" \"curl -f http://localhost/\"] \"1m30s\" \"0s\" \"0s\" \"0s\" '\\x03'}",
            "SHELL [/bin/bash -c]",
            "CMD [\"/bin/bash\" \"-c\" \"serve\"]",
            "ENTRYPOINT [\"/app\" \"a b\"]",
            "MAINTAINER me",
            "COPY --chown=1:2 --chmod=755 a b c/ # buildkit",
            "ADD <<EOF /f # buildkit",
        ]
    );
    let layers: Vec<_> = stage.history.iter().enumerate().filter_map(|(position, history)| history.layer.map(|layer| (position, layer))).collect();
    assert_eq!(layers, [(2, 0), (3, 1), (12, 2), (13, 3)]);
    for (key, value) in [
        ("Labels", json!({"a": "b", "c d": "e f"})),
        ("User", json!("app:app")),
        ("WorkingDir", json!("/srv/x")),
        ("ExposedPorts", json!({"53/udp": {}, "7000/tcp": {}, "7001/tcp": {}, "80/tcp": {}})),
        ("Volumes", json!({"/data": {}, "/with space": {}})),
        ("StopSignal", json!("SIGINT")),
        ("Healthcheck", json!({"Test": ["CMD-SHELL", "curl -f http://localhost/"], "Interval": 90_000_000_000_u64, "Retries": 3})),
        ("Shell", json!(["/bin/bash", "-c"])),
        ("Cmd", json!(["/bin/bash", "-c", "serve"])),
        ("ArgsEscaped", json!(true)),
        ("Entrypoint", json!(["/app", "a b"])),
        ("OnBuild", json!(["RUN x"])),
    ] {
        assert_eq!(stage.setting(key), value, "{key}");
    }
    assert_eq!(stage.steps[0].action, Action::Directory { path: "/srv".into(), user: "app:app".into() });
    assert_eq!(stage.copy(2).to.value, "/srv/x/c/");
    assert!(stage.history.iter().all(|history| history.entry.comment.as_deref() == Some("buildkit.dockerfile.v0")));
}

impl StagePlan {
    fn run(&self, step: usize) -> &RunPlan {
        match &self.steps[step].action {
            Action::Run(plan) => plan,
            other => panic!("{other:?}"),
        }
    }
}

#[test]
fn commands_have_their_environment_and_history_tells_their_arguments() {
    let text = "FROM scratch\nARG A=1 B\nENV C=$A\nUSER app\nWORKDIR /w\nRUN x $A\nSHELL [\"/bin/bash\", \"-c\"]\nRUN [\"x\", \"$A\"]\nRUN <<EOF\none $A\ntwo\nEOF\n\
                RUN <<-EOF\n\t#!/bin/x\n\tthree\n\tEOF\nRUN cat <<A - <<B\na\nA\nb\nB\n";
    let plan = case(text).arg("HTTP_PROXY", "http://proxy").arg("A", "2").plan();
    let stage = plan.last();
    assert_eq!(
        stage.said()[4..],
        [
            "RUN |2 A=2 B= /bin/sh -c x $A # buildkit",
            "SHELL [/bin/bash -c]",
            "RUN |2 A=2 B= x $A # buildkit",
            "RUN |2 A=2 B= /bin/bash -c one $A\ntwo\n # buildkit",
            "RUN |2 A=2 B= /bin/bash -c /dev/pipes/EOF # buildkit",
            "RUN |2 A=2 B= /bin/bash -c cat <<A - <<B\na\nA\nb\nB # buildkit",
        ]
    );
    let first = stage.run(1);
    assert_eq!((first.words.join(" "), first.directory.as_str(), first.user.as_str(), first.network), ("/bin/sh -c x $A".into(), "/w", "app", Network::None));
    let environment: Vec<String> = first.environment.iter().map(|(name, value)| format!("{name}={value}")).collect();
    assert_eq!(environment[1..], ["A=2", "C=2", "HTTP_PROXY=http://proxy"]);
    assert_eq!(stage.run(2).words, ["x", "$A"]);
    assert_eq!(stage.run(4).script, Some(DocumentPlan { name: "EOF".into(), content: "#!/bin/x\nthree\n".into() }));
}

#[test]
fn mounts_say_what_buildkit_takes_them_for() {
    let text = "FROM scratch AS one\nFROM scratch\nARG D=x\nWORKDIR /w\nRUN --mount=target=a --mount=type=bind,from=one,source=/s,dst=/b,rw \\\n\
                --mount=type=cache,target=/c/$D,sharing=locked,mode=0700,uid=7 --mount=type=cache,id=k,target=/d,from=one,ro --mount=type=tmpfs,target=/t,size=2m \\\n\
                --mount=type=secret,id=s --mount=type=secret,id=s,env=S --mount=type=secret,target=/x/y,required=true --mount=type=ssh go\n";
    let plan = case(text).plan();
    let mounts: Vec<&MountedPlan> = plan.last().run(1).mounts.iter().map(|mount| &mount.what).collect();
    let at = |value: &str| At::new(value.to_owned(), plan.last().run(1).mounts[0].place.clone());
    let whole = BindPlan { target: "/w/a".into(), from: SourceId::Context, source: at("/"), writable: Writable::No };
    assert_eq!(mounts[0], &MountedPlan::Bind(whole));
    assert!(matches!(mounts[1], MountedPlan::Bind(bind) if bind.from == SourceId::Stage(0) && bind.source.value == "/s" && bind.writable == Writable::Yes));
    let MountedPlan::Cache(cache) = mounts[2] else { panic!("{:?}", mounts[2]) };
    assert_eq!((cache.target.as_str(), cache.id.as_str(), cache.shared, cache.attributes), ("/c/x", "/c/x", SharedBy::Turns, (0o700, 7, 0)));
    assert!(matches!(mounts[3], MountedPlan::Cache(cache) if cache.id == "k" && cache.begin.is_some() && cache.writable == Writable::No));
    assert_eq!(mounts[4], &MountedPlan::Memory { target: "/t".into(), size: Some(2 << 20) });
    let secret = |target: Option<&str>, variable: Option<&str>, id: &str, required| {
        let (target, variable) = (target.map(str::to_owned), variable.map(str::to_owned));
        MountedPlan::Secret(SecretPlan { id: id.into(), target, variable, required, attributes: (0o400, 0, 0) })
    };
    assert_eq!(mounts[5], &secret(Some("/run/secrets/s"), None, "s", false));
    assert_eq!(mounts[6], &secret(None, Some("S"), "s", false));
    assert_eq!(mounts[7], &secret(Some("/x/y"), None, "y", true));
    assert_eq!(
        mounts[8],
        &MountedPlan::Socket(SocketPlan { id: "default".into(), target: "/run/buildkit/ssh_agent.0".into(), required: false, attributes: (0o600, 0, 0) })
    );
}

#[test]
fn an_entry_point_takes_the_arguments_of_the_base_away() {
    let base = json!({"Cmd": ["of base"], "Entrypoint": ["of base"]});
    let setting = |text: &str, key: &str| case(text).base("b:1", base.clone()).plan().last().setting(key);
    assert_eq!(setting("FROM b:1\nENTRYPOINT [\"x\"]", "Cmd"), json!(null));
    assert_eq!(setting("FROM b:1\nCMD [\"own\"]\nENTRYPOINT [\"x\"]", "Cmd"), json!(["own"]));
    assert_eq!(setting("FROM b:1\nENTRYPOINT [\"x\"]\nCMD [\"own\"]", "Cmd"), json!(["own"]));
    assert_eq!(setting("FROM b:1\nCMD [\"own\"]", "Entrypoint"), json!(["of base"]));
    assert_eq!(setting("FROM b:1\nHEALTHCHECK NONE", "Healthcheck"), json!({"Test": ["NONE"]}));
}

#[test]
fn what_cannot_be_is_one_error_at_its_place() {
    for (text, error) in [
        ("FROM scratch\nADD https://example.org/x /", "Dockerfile:2:5: `https://example.org/x` would have to be downloaded, and a build downloads nothing"),
        ("FROM scratch\nADD git@example.org:x.git /", "Dockerfile:2:5: `git@example.org:x.git` would have to be downloaded, and a build downloads nothing"),
        ("FROM scratch\nADD --checksum=sha256:00 a /", "Dockerfile:2:5: this flag is for what is downloaded, and a build downloads nothing"),
        ("FROM scratch\nADD --keep-git-dir a /", "Dockerfile:2:5: this flag is for what is downloaded, and a build downloads nothing"),
        ("FROM scratch\nENV A=\"${B:?must be given}\"", "Dockerfile:2:7: "),
        ("FROM scratch\nSTOPSIGNAL SIGX", "Dockerfile:2:12: `SIGX` is not a signal"),
        ("FROM scratch\nEXPOSE 99999", "Dockerfile:2:8: "),
        ("FROM scratch\nCOPY --chmod=999 a /", "Dockerfile:2:6: `999` is not a mode"),
        ("FROM scratch\nWORKDIR $X", "Dockerfile:2:9: `$X` comes to nothing"),
        ("FROM scratch\nRUN --network=host x", "Dockerfile:2:5: this step asks for the network of the machine"),
        ("FROM scratch\nRUN --network=other x", "Dockerfile:2:5: `other` is not a network of a step"),
        ("FROM scratch\nRUN --mount=type=cache x", "Dockerfile:2:5: the mount has no target"),
        ("FROM scratch\nRUN --mount=type=tmpfs,target=/x,size=1q x", "Dockerfile:2:5: `1q` is no size"),
        ("FROM scratch\nRUN --mount=type=cache,target=/x,sharing=all x", "Dockerfile:2:5: `all` is no way to share a cache"),
        ("FROM scratch\nRUN --mount=type=cache,target=/x,mode=999 x", "Dockerfile:2:5: `999` is no mode of a mount"),
        ("FROM scratch\nRUN --mount=type=secret x", "Dockerfile:2:5: the mount says of no secret"),
        ("FROM scratch\nRUN --mount=from=nowhere,target=/x x", "Dockerfile:2:5: there is no image `nowhere`"),
    ] {
        let refused = case(text).try_plan(&["linux/amd64"]).expect_err(text);
        assert!(refused.to_string().starts_with(error), "{text}: {refused}");
        let is_download = error.contains("downloads nothing");
        assert_eq!(refused.hint_text().is_some_and(|hint| hint.contains("put it into the context and ADD it from there")), is_download, "{text}: {refused:?}");
    }
    for text in [
        "FROM scratch AS other\nADD --checksum=sha256:00 https://example.org/x /\nADD --keep-git-dir a /\nFROM scratch\nCOPY a /",
        "FROM scratch\nADD --keep-git-dir=false a /",
    ] {
        case(text).try_plan(&["linux/amd64"]).expect(text);
    }
}
