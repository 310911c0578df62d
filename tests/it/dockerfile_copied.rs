//! `larder build` from a Dockerfile with `RUN` where overlayfs cannot be had, so that root filesystems are copied: the image is the same, and why is told.

use std::fs;
use std::process::Command;

use crate::dockerfile_run::left;
use crate::support::context::oci;
use crate::support::dockerfile::{Image, Kitchen};
use crate::support::mount::{ON_OVERLAYFS, REFUSED};
use crate::support::sound::assert_layout_is_sound;
use crate::support::tools::{skip, tool};

/// Steps that hide files and whole directories, and later ones that look at what is left: above them, in a mount, and in what is copied.
const TEXT: &str = "\
FROM shell:1 AS made
RUN rm /data/gone /etc/group && rm -r /data/deep && mkdir /data/deep && echo new > /data/deep/new
RUN ls /data /data/deep > /seen && echo again > /data/gone && rm /data/deep/new
FROM shell:1
COPY --from=made /data /copied
RUN rm /copied/gone
RUN --mount=type=bind,from=made,target=/made ls -R /made/data /made/etc > /mounted; ls -R /copied > /left
";

/// A file system without extended attributes.
const ON_RAMFS: &str = r#"{ mount -t ramfs -o mode=755 ramfs "$0" || exit 99; }"#;

#[test]
fn root_filesystems_are_copied_where_overlayfs_is_refused() {
    let (Some(kitchen), Some(unshare)) = (Kitchen::with_shell(TEXT), tool("unshare")) else { return };
    let expected = kitchen.image(&["--base", &kitchen.bases()]);
    assert!(!expected.warnings.contains("is copied"), "{}", expected.warnings);
    assert_eq!(expected.read("mounted"), "/made/data:\ndeep\ngone\n\n/made/data/deep:\n\n/made/etc:\npasswd\n");
    assert_eq!(expected.read("left"), "/copied:\ndeep\n\n/copied/deep:\n");
    for (name, mount, why) in [("overlayfs", ON_OVERLAYFS, "on overlayfs itself"), ("ramfs", ON_RAMFS, "no extended attributes")] {
        let (cache, out) = (kitchen.path("cache"), kitchen.path(name));
        fs::remove_dir_all(&cache).and_then(|()| fs::create_dir(&cache)).expect("writable");
        let build = kitchen.command(&["--base", &kitchen.bases(), "--platform", "linux/amd64", "-t", "app:1", "-o", &oci(&out)]);
        let mut within = Command::new(&unshare);
        within.args(["--mount", "--propagation", "private", "sh", "-c", &format!("{mount} && \"$@\" && ls -A $0/v1")]).arg(&cache).arg(build.get_program());
        within.args(build.get_args()).env_clear().envs(build.get_envs().map(|(name, value)| (name, value.unwrap_or_default())));
        let output = within.output().expect("it runs");
        if output.status.code() == Some(REFUSED) {
            return skip(&format!("this machine does not let us mount {name}"));
        }
        let told = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "{name}: {told}");
        assert!(told.matches("the root filesystem is copied").count() == 1 && told.contains(why), "{name}: {told}");
        assert!(!String::from_utf8_lossy(&output.stdout).contains(".larder-run"), "{name}: nothing is left");
        assert_layout_is_sound(&out);
        assert_eq!(Image::of(&out, "1", "amd64").manifest, expected.manifest, "{name}");
        assert!(left(&kitchen).is_empty());
    }
}
