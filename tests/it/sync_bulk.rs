//! Jobs in bulk against the real registry: what is asked and sent, what is finished, what goes, and what a file may say.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use rustix::process::Signal;
use serde_json::{Value, json};

use crate::support::context::noise;
use crate::support::forge::{Forge, INDEX, LAYER, tar};
use crate::support::image::Ran;
use crate::support::process::{Companion, Runs as _, larder, output_within, temp};
use crate::support::registry::{Access, PASSWORD, Registry, USER};

/// No run of these takes as long.
const PATIENCE: Duration = Duration::from_secs(240);

/// A registry, a layout of many images, and a place for files.
struct Job {
    registry: Registry,
    images: Forge,
    home: tempfile::TempDir,
}

impl Job {
    /// So many images in a quarter as many repositories. `None` after saying that the test is skipped.
    #[track_caller]
    fn new(access: Access<'_>, count: usize) -> Option<Job> {
        let registry = Registry::start(access)?;
        let job = Job { registry, images: Forge::new(), home: temp() };
        (0..count).for_each(|number| job.add(&format!("team/app-{}", number / 4), &format!("1.{}", number % 4), number));
        Some(job)
    }

    /// Adds an image of one platform below an index, which shares a layer with all others.
    fn add(&self, repository: &str, tag: &str, seed: usize) {
        let base = self.images.put(LAYER, &tar(&[("base", &noise(40_000, 1))]));
        let own = self.images.put(LAYER, &tar(&[("own", &noise(3_000, 1000 + seed as u64))]));
        let diff_ids = [&base, &own].map(|layer| layer["digest"].as_str().expect("a digest").to_owned());
        let image = self.images.image_of(&[base, own], &[&diff_ids[0], &diff_ids[1]]);
        let mut child = image.manifest.clone();
        child["platform"] = json!({"os": "linux", "architecture": "amd64"});
        let index = self.images.document(INDEX, &json!({"schemaVersion": 2, "mediaType": INDEX, "manifests": [child], "annotations": {"n": seed.to_string()}}));
        self.images.enter_as(&format!("registry.example/{repository}:{tag}"), &index);
    }

    fn layout(&self) -> String {
        format!("oci:{}", self.images.path().display())
    }

    /// A place in the registry.
    fn at(&self, place: &str) -> String {
        format!("docker://{}/{place}", self.registry.host())
    }

    fn path(&self, name: &str) -> PathBuf {
        self.home.path().join(name)
    }

    /// Writes a sync file, in which REGISTRY and LAYOUT stand for these.
    fn write(&self, name: &str, content: &str) -> PathBuf {
        let content = content.replace("REGISTRY", &self.registry.host()).replace("LAYOUT", &self.layout());
        std::fs::write(self.path(name), content).expect("writable");
        self.path(name)
    }

    fn command(&self, arguments: &[&str]) -> Command {
        let mut command = larder();
        command.env("HOME", self.home.path()).current_dir(self.home.path()).arg("sync").args(arguments).args(["--format", "json", "--progress", "none"]);
        command
    }

    #[track_caller]
    fn ran(&self, arguments: &[&str]) -> Ran {
        Ran::from(output_within(PATIENCE, &mut self.command(arguments)))
    }

    /// What it reports, which must succeed.
    #[track_caller]
    fn sync(&self, arguments: &[&str]) -> Value {
        let ran = self.ran(arguments);
        assert_eq!(ran.code, Some(0), "{arguments:?}: {ran:?}");
        ran.json()
    }

    /// The requests for manifests since the log had so many bytes.
    fn asked_since(&self, start: usize) -> Vec<String> {
        let log = self.registry.log();
        log[start..].lines().filter_map(|line| line.split('"').nth(1)).filter(|line| line.contains("/v2/")).map(str::to_owned).collect()
    }

    fn tags(&self, repository: &str) -> Vec<String> {
        let report = self.sync(&["list", &self.at(repository)]);
        report["tags"].as_array().expect("a list").iter().map(|tag| tag.as_str().expect("text").to_owned()).collect()
    }
}

/// The targets of the images in a state.
fn targets(report: &Value, state: &str) -> BTreeSet<String> {
    let images = report["images"].as_array().expect("a list").iter().filter(|image| image["state"] == state);
    images.map(|image| image["target"].as_str().expect("a target").to_owned()).collect()
}

#[test]
fn what_did_not_change_costs_one_request_for_each_tag_and_nothing_is_sent() {
    let Some(job) = Job::new(Access::Everybody, 24) else { return };
    let file = job.write("up.toml", "[[sync]]\nfrom = \"LAYOUT\"\nto = \"docker://REGISTRY/mirror/\"\n");
    let file = file.to_str().expect("UTF-8");
    let planned = job.sync(&["plan", file]);
    let report = job.sync(&["run", file]);
    assert_eq!(report["counts"]["copied"], 24);
    let target = &planned["targets"][0];
    let copied = report["content"]["copied"]["count"].as_u64().expect("a number");
    assert_eq!(target["blobs"]["count"].as_u64().expect("a number") + target["documents"]["count"].as_u64().expect("a number"), copied);
    assert_eq!(job.registry.requests("POST", "mount="), 5, "the base is sent to one of six repositories");
    assert!(!job.path("up.toml.journal").exists(), "the job is through");
    let start = job.registry.log().len();
    let report = job.sync(&["run", file]);
    assert_eq!((&report["counts"]["unchanged"], &report["traffic"]["requests"]), (&json!(24), &json!(24)));
    let asked = job.asked_since(start);
    assert!(asked.len() == 24 && asked.iter().all(|asked| asked.starts_with("HEAD ")), "{asked:#?}");
    // The other way round as well: one question for each tag and one list for each repository, which are listed too.
    let down = job.write("down.toml", "[[sync]]\nfrom = \"docker://REGISTRY/mirror/\"\nto = \"oci:down.oci\"\n");
    let down = down.to_str().expect("UTF-8");
    assert_eq!(job.sync(&["run", down])["counts"]["copied"], 24);
    larder().args(["verify", "--deep"]).arg(format!("oci:{}", job.path("down.oci").display())).succeeds();
    let start = job.registry.log().len();
    assert_eq!(job.sync(&["run", down])["counts"]["unchanged"], 24);
    assert_eq!(job.asked_since(start).len(), 1 + 6 + 24);
}

#[test]
fn reg_35_a_job_that_is_killed_asks_for_nothing_that_was_finished() {
    let Some(job) = Job::new(Access::Htpasswd, 80) else { return };
    let file = job.write(
        "up.toml",
        &format!(
            "[registry.\"REGISTRY\"]\nusername = \"{USER}\"\npassword-env = \"SYNC_PASSWORD\"\n[[sync]]\nfrom = \"LAYOUT\"\nto = \"docker://REGISTRY/\"\n"
        ),
    );
    let run = || {
        let mut command = job.command(&["run", file.to_str().expect("UTF-8")]);
        command.env("SYNC_PASSWORD", PASSWORD);
        command
    };
    let journal = job.path("up.toml.journal");
    let finished = |journal: &Path| std::fs::read_to_string(journal).unwrap_or_default().lines().filter(|line| line.starts_with("done ")).count();
    let mut killed = Companion::start(&mut run());
    while killed.try_wait().expect("it is ours").is_none() && finished(&journal) < 20 {
        std::thread::sleep(Duration::from_millis(1));
    }
    killed.signal(Signal::KILL);
    assert_eq!(killed.ends().0.code(), None, "it was faster than the kill");
    let before = finished(&journal);
    let content = std::fs::read_to_string(&journal).expect("UTF-8");
    assert!(!content.contains(PASSWORD) && !content.contains(USER), "no secret is in the journal");
    // Somebody else who does the job now would do everything twice.
    let held = std::fs::File::open(&journal).expect("there");
    rustix::fs::flock(&held, rustix::fs::FlockOperation::LockExclusive).expect("its holder was killed");
    let refused = Ran::from(output_within(PATIENCE, run().args(["--lock-timeout", "0"])));
    assert_eq!(refused.error()["code"], "conflict", "{refused:?}");
    drop(held);
    let start = job.registry.log().len();
    let ran = Ran::from(output_within(PATIENCE, &mut run()));
    assert_eq!(ran.code, Some(0), "{ran:?}");
    let report = ran.json();
    assert_eq!(report["counts"]["finished"], before, "{}", report["counts"]);
    assert!(report["counts"]["failed"] == 0 && targets(&report, "copied").len() + targets(&report, "unchanged").len() == 80 - before);
    let finished_targets = targets(&report, "finished");
    let asked = job.asked_since(start);
    let name = |target: &String| format!("/v2/{}", target.split_once('/').expect("a host").1.replace(':', "/manifests/"));
    assert!(finished_targets.iter().map(name).all(|path| !asked.iter().any(|asked| asked.contains(&format!("{path} ")))), "{asked:#?}");
    assert!(!journal.exists());
    for stream in [&ran.stdout, &ran.stderr] {
        assert!(!stream.contains(PASSWORD));
    }
}

#[test]
fn reg_37_failures_stop_nothing_and_are_told_and_the_next_run_is_for_them() {
    let Some(job) = Job::new(Access::Everybody, 16) else { return };
    let lost = job.images.document(INDEX, &json!({"schemaVersion": 2, "mediaType": INDEX, "manifests": []}));
    job.images.enter_as("registry.example/team/app-1:lost", &lost);
    let blob = job.images.path().join("blobs/sha256").join(&lost["digest"].as_str().expect("a digest")["sha256:".len()..]);
    std::fs::rename(&blob, job.path("blob")).expect("one file system");
    let ran = job.ran(&["push", &job.layout(), &job.at("mirror/")]);
    assert_eq!((ran.code, ran.error()["code"].as_str()), (Some(4), Some("not_found")), "{ran:?}");
    assert_eq!(ran.error()["message"], "1 of 17 images did not arrive");
    let report = ran.json();
    assert_eq!((&report["counts"]["copied"], &report["counts"]["failed"]), (&json!(16), &json!(1)));
    let failed = report["images"].as_array().expect("a list").iter().find(|image| image["state"] == "failed").expect("one");
    assert_eq!((&failed["failure"]["code"], &failed["failure"]["side"]), (&json!("not_found"), &json!("source")), "{failed}");
    std::fs::rename(job.path("blob"), &blob).expect("one file system");
    let report = job.sync(&["push", &job.layout(), &job.at("mirror/")]);
    assert_eq!(targets(&report, "copied").len() + targets(&report, "unchanged").len(), 17);
    assert_eq!(targets(&report, "copied"), BTreeSet::from([format!("{}/mirror/team/app-1:lost", job.registry.host())]));
    // Where nothing can be reached, trying again may help, and the exit code says so.
    let mut job = job;
    job.registry.stop();
    let ran = job.ran(&["push", &job.layout(), &job.at("mirror/"), "--attempts", "1"]);
    assert_eq!(ran.code, Some(8), "{ran:?}");
}

#[test]
fn a_wrong_password_is_sent_a_few_times_and_not_for_every_image() {
    let Some(job) = Job::new(Access::Htpasswd, 60) else { return };
    let file = job.write(
        "up.toml",
        &format!("[registry.\"REGISTRY\"]\nusername = \"{USER}\"\npassword-file = \"secret\"\n[[sync]]\nfrom = \"LAYOUT\"\nto = \"docker://REGISTRY/\"\n"),
    );
    std::fs::write(job.path("secret"), "wrong-password\n").expect("writable");
    let start = job.registry.log().len();
    let ran = job.ran(&["run", file.to_str().expect("UTF-8")]);
    assert_eq!(ran.code, Some(7), "{ran:?}");
    let report = ran.json();
    assert_eq!(report["counts"]["copied"], 0);
    assert!(report["counts"]["not_tried"].as_u64().expect("a number") > 40, "{}", report["counts"]);
    assert!(job.asked_since(start).len() <= 20, "{:#?}", job.asked_since(start));
    assert!(!ran.stdout.contains("wrong-password") && !ran.stderr.contains("wrong-password"));
}

#[test]
fn what_is_not_meant_any_more_goes_where_that_is_wanted_and_agreed_to() {
    let Some(job) = Job::new(Access::Everybody, 8) else { return };
    job.add("team/app-0", "0.9", 100);
    job.sync(&["push", &job.layout(), &job.at("mirror/")]);
    job.sync(&["push", &format!("{}:registry.example/team/app-0:1.0", job.layout()), &job.at("mirror/team/app-0:stable")]);
    let file = job.write(
        "up.toml",
        "[[sync]]\nfrom = \"LAYOUT\"\nto = \"docker://REGISTRY/mirror/\"\ntags-regex = '\\d.*'\nexclude-tags = [\"2.*\"]\nnewest = 3\nprune = true\n",
    );
    let file = file.to_str().expect("UTF-8");
    let planned = job.sync(&["plan", file]);
    let candidates: BTreeSet<&str> = planned["prune"].as_array().expect("a list").iter().map(|name| name["name"].as_str().expect("text")).collect();
    let expected = ["mirror/team/app-0:0.9", "mirror/team/app-0:1.0", "mirror/team/app-1:1.0"].map(|name| format!("{}/{name}", job.registry.host()));
    assert_eq!(candidates, expected.iter().map(String::as_str).collect());
    // Nobody is there to be asked.
    let refused = job.ran(&["run", file]);
    assert_eq!((refused.code, refused.error()["code"].as_str()), (Some(2), Some("usage")), "{refused:?}");
    assert_eq!(job.tags("mirror/team/app-0"), ["0.9", "1.0", "1.1", "1.2", "1.3", "stable"]);
    // This registry removes images and no tags, and one of them has a tag that stays.
    let ran = job.ran(&["run", file, "--yes"]);
    assert_eq!(ran.code, Some(6), "{ran:?}");
    let report = ran.json();
    let kept: Vec<&Value> = report["pruned"].as_array().expect("a list").iter().filter(|name| name["state"] == "failed").collect();
    assert_eq!(kept.len(), 1, "{report}");
    assert!(kept[0]["failure"]["message"].as_str().expect("text").contains("its image is also `stable`"), "{report}");
    assert_eq!(job.tags("mirror/team/app-0"), ["1.0", "1.1", "1.2", "1.3", "stable"]);
    assert_eq!(job.tags("mirror/team/app-1"), ["1.1", "1.2", "1.3"]);
}

#[test]
fn shares_are_done_by_machines_that_do_not_know_of_each_other() {
    let Some(job) = Job::new(Access::Everybody, 40) else { return };
    let file = job.write("up.toml", "[[sync]]\nfrom = \"LAYOUT\"\nto = \"docker://REGISTRY/mirror/\"\n");
    let file = file.to_str().expect("UTF-8");
    let run = |index: usize| {
        let mut command = job.command(&["run", file, "--shard", "auto/3"]);
        command.env("JOB_COMPLETION_INDEX", index.to_string());
        Ran::from(output_within(PATIENCE, &mut command))
    };
    let reports: Vec<Value> = std::thread::scope(|scope| {
        let runs: Vec<_> = (0..3).map(|index| scope.spawn(move || run(index))).collect();
        let runs = runs.into_iter().map(|run| run.join().expect("no panic"));
        runs.map(|ran| {
            assert_eq!(ran.code, Some(0), "{ran:?}");
            ran.json()
        })
        .collect()
    });
    let all: Vec<String> = reports.iter().flat_map(|report| targets(report, "copied")).collect();
    assert_eq!((all.len(), all.iter().collect::<BTreeSet<_>>().len()), (40, 40));
    assert_eq!(job.sync(&["run", file])["counts"]["unchanged"], 40);
    assert_eq!(job.ran(&["run", file, "--shard", "auto/3"]).error()["code"], "usage");
    assert_eq!(job.ran(&["run", file, "--shard", "4/3"]).error()["code"], "usage");
}

#[test]
fn a_mirror_renames_and_chooses_and_an_archive_takes_it_across() {
    let Some(job) = Job::new(Access::Everybody, 12) else { return };
    job.sync(&["push", &job.layout(), &job.at("src/")]);
    let file = job.write(
        "mirror.toml",
        r#"
[[sync]]
from = "docker://REGISTRY/src/team/"
to = "docker://REGISTRY/dst/"
repositories = ["app-*"]
exclude-repositories = ["app-2"]
semver = ">=1.2"
[sync.rename]
"app-0" = "zero"
"*" = "other/*"
[sync.rename-tags]
"1.*" = "v1.*"

[[sync]]
from = "docker://REGISTRY/src/team/app-2:1.0"
to = "oci-archive:gap.tar"
"#,
    );
    let report = job.sync(&["run", file.to_str().expect("UTF-8"), "--metadata-file", "metadata.json"]);
    let host = job.registry.host();
    let mut expected: BTreeSet<String> =
        ["dst/zero:v1.2", "dst/zero:v1.3", "dst/other/app-1:v1.2", "dst/other/app-1:v1.3"].map(|name| format!("{host}/{name}")).into();
    let archive = format!("oci-archive:{}:{host}/src/team/app-2:1.0", job.path("gap.tar").display());
    expected.insert(archive.clone());
    assert_eq!(targets(&report, "copied"), expected);
    let metadata: Value = serde_json::from_slice(&std::fs::read(job.path("metadata.json")).expect("written")).expect("JSON");
    assert_eq!(metadata.as_object().map(serde_json::Map::len), Some(5));
    assert!(metadata[&archive]["containerimage.digest"].as_str().is_some_and(|digest| digest.starts_with("sha256:")), "{metadata}");
    // The other side of the gap.
    let report = job.sync(&["push", &format!("oci-archive:{}", job.path("gap.tar").display()), &job.at("across:1"), "--metadata-file", "one.json"]);
    let metadata: Value = serde_json::from_slice(&std::fs::read(job.path("one.json")).expect("written")).expect("JSON");
    assert_eq!(metadata, json!({"containerimage.digest": report["images"][0]["digest"], "image.name": format!("{host}/across:1")}));
}

#[test]
fn mistakes_are_told_before_anything_is_asked() {
    let Some(job) = Job::new(Access::Everybody, 4) else { return };
    let (layout, start) = (job.layout(), job.registry.log().len());
    for (arguments, told) in [
        (&["push", &layout, "oci:other"][..], "no registry to push to"),
        (&["push", &job.at("a"), &job.at("b")], "is not on this machine"),
        (&["pull", &job.at("a"), &job.at("b")], "no layout and no archive"),
        (&["pull", &layout, "oci:other"], "no place in a registry"),
        (&["push", &layout, &job.at("a/"), "--semver", "new"], "--semver new: `new` is not a range of versions"),
        (&["push", &layout, &job.at("a/"), "--rename", "a"], "--rename a: is not OLD=NEW"),
        (&["push", &layout, &job.at("a"), "--rename", "a=b"], "is one repository"),
        (&["run", "missing.toml"], "missing.toml"),
    ] {
        let ran = job.ran(arguments);
        assert!(matches!(ran.code, Some(2 | 4)), "{arguments:?}: {ran:?}");
        assert!(ran.error().to_string().contains(told), "{arguments:?}: {}", ran.error());
    }
    let file = job.write("bad.toml", "[[sync]]\nfrom = \"LAYOUT\"\nto = \"docker://REGISTRY/\"\ntag = [\"1\"]\n");
    let error = job.ran(&["run", file.to_str().expect("UTF-8")]).error();
    assert!(error["message"].as_str().expect("text").ends_with("bad.toml:4:1: unknown key `tag` in [[sync]]"), "{error}");
    assert_eq!(error["hint"], "did you mean `tags`?");
    assert_eq!(job.asked_since(start), [""; 0]);
}

#[test]
fn the_file_of_the_readme_is_a_job() {
    let readme = crate::support::readme::text();
    let example = readme.split("```toml\n").skip(1).find_map(|block| block.split("```").next().filter(|block| block.contains("[[sync]]")));
    let home = temp();
    std::fs::write(home.path().join("nightly.toml"), example.expect("an example")).expect("writable");
    std::fs::write(home.path().join("corporate.pem"), "").expect("writable");
    let mut command = larder();
    // Everything is read and understood, and then somebody's secret is missing.
    let ran = Ran::from(output_within(PATIENCE, command.current_dir(home.path()).args(["sync", "plan", "nightly.toml", "--format", "json"])));
    assert_eq!(ran.error()["message"], "nightly.toml:4:16: the environment variable `ACME_TOKEN` is not set", "{ran:?}");
}
