//! Images whose layers are written record by record.

use serde_json::Value;

use super::bundle::oci;
use super::forge::{Forge, LAYER, sha256};
use super::tape::{self, Record, device, dir, fifo, file, hardlink, symlink as link};

/// A layout with the image `image` of these layers.
pub(crate) fn image(layers: &[Vec<Record>]) -> Forge {
    let forge = Forge::new();
    let layers: Vec<Vec<u8>> = layers.iter().map(|layer| tape::tar(layer)).collect();
    let diff_ids: Vec<String> = layers.iter().map(|layer| sha256(layer)).collect();
    let diff_ids: Vec<&str> = diff_ids.iter().map(String::as_str).collect();
    let layers: Vec<Value> = layers.iter().map(|layer| forge.put(LAYER, layer)).collect();
    forge.enter("image", &forge.image_of(&layers, &diff_ids).manifest);
    forge
}

/// Where it is, for the command line.
pub(crate) fn location(forge: &Forge) -> String {
    oci(forge.path(), "image")
}

/// Layers that do everything to each other, and say of every directory what it is.
pub(crate) fn layers() -> [Vec<Record>; 4] {
    [
        vec![
            dir("./").mode(0o751).owner(3, 4),
            dir("bin"),
            file("bin/su", "setuid").mode(0o4755),
            file("bin/ping", "capable").mode(0o755).xattr("security.capability", &[1, 0, 0, 2, 0, 0x20, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0]),
            dir("etc").mode(0o700),
            file("etc/a", "a").owner(1000, 1001),
            file("etc/b", "b"),
            hardlink("etc/same", "etc/b"),
            dir("opt/").owner(5, 6),
            dir("opt/old"),
            file("opt/old/x", "x"),
            file("opt/y", "y"),
            dir("run"),
            fifo("run/pipe").mode(0o622),
            device("run/null", 1, 3).mode(0o666),
            dir("var"),
            link("var/run", "/run"),
            dir("locked").mode(0o555),
            file("locked/x", "x"),
            dir("sealed").mode(0),
            dir("sealed/in").mode(0o500),
            file("sealed/in/f", "x").mode(0o400).xattr("user.note", b"x"),
        ],
        vec![
            dir("etc").mode(0o711),
            file("etc/.wh.a", ""),
            file("etc/b", "new"),
            hardlink("etc/again", "etc/same"),
            dir("opt"),
            file("opt/new", "new"),
            file("opt/.wh..wh..opq", ""),
            dir("locked").mode(0o555),
            file("locked/y", "y"),
        ],
        vec![dir("var"), dir("var/run"), file("var/run/x", "in a directory"), file("run", "a file"), dir("bin"), link("bin/su", "ping")],
        vec![
            dir("etc"),
            file("etc/a", "back again").mode(0o440),
            dir("bin"),
            file("bin/.wh.su", ""),
            dir("run"),
            file("run/y", "y").xattr("user.note", b"1\n2"),
        ],
    ]
}

/// Thirty layers: [those](layers) and more above them, each of which adds, removes, links to what is below and changes a directory.
pub(crate) fn thirty() -> Vec<Vec<Record>> {
    let layer = |n: usize| {
        let mut records = vec![dir("many").mode(0o700 + u32::try_from(n).expect("small")), file(&format!("many/{n:02}"), &format!("content {n}"))];
        if n > 0 {
            records.push(hardlink(&format!("many/link-{n:02}"), &format!("many/{:02}", n - 1)));
        }
        if n > 2 {
            records.push(file(&format!("many/.wh.{:02}", n - 3), ""));
        }
        records
    };
    layers().into_iter().chain((0..26).map(layer)).collect()
}
