//! Images run: what larder packed is what a runtime finds, for every platform of the sample.

use crate::support::bundle::{Bundle, oci, said};
use crate::support::foreign::{self, ARM, ARM64};
use crate::support::process::{Runs as _, checkout, larder, temp};
use crate::support::sound::assert_layout_is_sound;

/// The sample of this platform, built with all of them and unpacked alone.
#[track_caller]
fn sample(platform: &str, options: &[&str]) -> Option<Bundle> {
    let temp = temp();
    let layout = temp.path().join("out");
    larder().arg("build").arg(checkout("testdata/hello")).args(["--no-cache", "--quiet", "-o", &oci(&layout, "image")]).args(options).succeeds();
    assert_layout_is_sound(&layout);
    let bundle = Bundle::unpack_for(platform, &layout, "image")?;
    let process = bundle.process();
    assert_eq!((&process["args"], &process["cwd"]), (&serde_json::json!(["/usr/local/bin/hello"]), &"/".into()));
    assert!(process["env"].as_array().is_some_and(|variables| variables.contains(&"LANG=C.UTF-8".into())), "{process}");
    Some(bundle)
}

#[test]
#[cfg(target_arch = "x86_64")]
fn the_sample_runs_under_runc() {
    for options in [&[][..], &["--compression", "gzip:9"]] {
        let Some(output) = sample("linux/amd64", options).and_then(|bundle| bundle.run(&[])) else { return };
        assert_eq!(said(&output), "hello from larder: linux/amd64\n");
    }
}

#[test]
fn the_sample_runs_on_the_other_machines() {
    for (platform, machine) in [("linux/arm64", &ARM64), ("linux/arm/v7", &ARM)] {
        let Some(bundle) = sample(platform, &[]) else { return };
        let Some(output) = foreign::run(machine, &bundle.tree(), &["/usr/local/bin/hello"]) else { return };
        assert_eq!(said(&output), format!("hello from larder: {platform}\n"));
    }
}
