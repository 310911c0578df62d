//! Proving a layout sound by other means than larder's own: see `sound.py` beside this file.

use std::path::Path;
use std::process::Command;

use super::process::checkout;

/// What a sound layout holds.
#[derive(Debug)]
pub(crate) struct Sound {
    /// The values of `org.opencontainers.image.ref.name`, in the order of `index.json`.
    pub(crate) names: Vec<String>,
    /// How many blobs there are.
    pub(crate) blobs: u64,
    /// How many of them `index.json` leads to.
    pub(crate) reachable: u64,
}

/// Everything that is wrong with a layout, or what it holds.
pub(crate) fn examine(layout: &Path) -> Result<Sound, String> {
    let output = Command::new("python3").arg("-B").arg(checkout("tests/it/support/sound.py")).arg(layout).output().expect("the judge of layouts needs python3");
    if !output.status.success() {
        return Err(String::from_utf8_lossy(&output.stderr).into_owned());
    }
    let told: serde_json::Value = serde_json::from_slice(&output.stdout).expect("sound.py prints JSON");
    let number = |key: &str| told[key].as_u64().expect("a number");
    let names = told["names"].as_array().expect("a list").iter().map(|name| name.as_str().expect("a name").to_owned()).collect();
    Ok(Sound { names, blobs: number("blobs"), reachable: number("reachable") })
}

/// Ends every test that writes a layout: the layout is whole, right in every digest, size and diff ID, and holds nothing else.
#[track_caller]
pub(crate) fn assert_layout_is_sound(layout: &Path) -> Sound {
    examine(layout).unwrap_or_else(|findings| panic!("{} is not sound:\n{findings}", layout.display()))
}
