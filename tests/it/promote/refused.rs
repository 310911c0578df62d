//! What cannot be promoted is refused before anything is asked for.

use super::Sample;
use crate::support::artifactory::Setup;
use crate::support::process::Runs as _;

#[test]
fn repositories_that_cannot_be_promoted_from_or_to_are_refused_beforehand() {
    // This server would say that it is done, and do nothing.
    let Some(sample) = Sample::new(Setup::release().switch(|switches| switches.promote_silent_virtual = true)) else { return };
    for (arguments, status, words) in [
        (&["--copy", "--source-tag", "1", "app", "docker-local", "docker-remote"][..], 2, "shows what another server has"),
        (&["--yes", "--source-tag", "1", "app", "docker-remote", "docker-target"], 2, "add --copy"),
        (&["--copy", "--source-tag", "1", "app", "docker-local", "docker-union"], 2, "none that takes images"),
        (&["--copy", "--yes", "app", "docker-virtual", "docker-target"], 2, "name the local repository"),
        (&["--copy", "--source-tag", "1", "app", "docker-local", "absent"], 4, "no repository `absent`"),
        (&["--copy", "--source-tag", "1", "app", "docker-local", "a/../b"], 2, "cannot be the key"),
        (&["--copy", "--source-tag", "absent", "app", "docker-local", "docker-target"], 4, "docker-local/app:absent"),
        (&["--copy", "--source-tag", "1", "docker-local/app", "docker-local", "docker-target"], 4, "leave `docker-local/` out of it"),
        (&["--copy", "--source-tag", "1", "app:1", "docker-local", "docker-target"], 2, "--source-tag"),
        (&["--copy", "--source-tag", "1", "app", "docker-local", "docker-local"], 2, "to itself"),
        (&["--copy", "--source-tag=-x", "app", "docker-local", "docker-target"], 2, "tag"),
        (&["--copy", "--target-tag", "2", "app", "docker-local", "docker-target"], 2, "--source-tag"),
        (&["--copy", "app", "docker-local"], 2, "docker://"),
    ] {
        let told = sample.promote(arguments).fails_with(status);
        assert!(told.contains(words), "{arguments:?}: {told}");
    }
    assert_eq!(sample.asked(), 0);
}

#[test]
fn a_virtual_repository_leads_to_the_one_that_has_the_image() {
    let Some(sample) = Sample::new(Setup::release()) else { return };
    let report = sample.report(&["--copy", "--source-tag", "1", "--target-tag", "2", "app", "docker-virtual", "docker-target"]);
    assert_eq!((&report["by"], &report["source"]), (&"artifactory".into(), &"docker-local/app".into()));
    let report = sample.report(&["--copy", "--source-tag", "1", "--target-tag", "3", "app", "docker-local", "docker-virtual"]);
    assert_eq!((&report["by"], &report["target"]), (&"artifactory".into(), &"docker-local/app".into()));
    assert_eq!(sample.digest("docker-local/app:3"), sample.digest("docker-local/app:1"));
}
