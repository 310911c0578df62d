//! The arguments that are there without anybody giving them.

use std::collections::HashMap;

use crate::exec::Timestamps;
use crate::spec::Platform;

/// Arguments that programs look at and that need no declaration.
pub(super) const PROXIES: [&str; 5] = ["http_proxy", "https_proxy", "ftp_proxy", "no_proxy", "all_proxy"];

/// The argument with the time that the build writes down. One of the call decides that time.
pub(crate) const EPOCH: &str = "SOURCE_DATE_EPOCH";

/// The automatic arguments of a build on `host` for `target`, whose stage is called `stage`.
pub(super) fn arguments(host: &Platform, target: &Platform, stage: &str, timestamps: Timestamps) -> HashMap<String, String> {
    let mut arguments = HashMap::new();
    for (prefix, platform) in [("BUILD", host), ("TARGET", target)] {
        let version = platform.os_version.clone().unwrap_or_default();
        let fields = [
            ("PLATFORM", platform.to_string()),
            ("OS", platform.os.clone()),
            ("OSVERSION", version),
            ("ARCH", platform.architecture.clone()),
            ("VARIANT", platform.variant().to_owned()),
        ];
        arguments.extend(fields.map(|(field, value)| (format!("{prefix}{field}"), value)));
    }
    arguments.insert(EPOCH.to_owned(), timestamps.epoch().to_string());
    arguments.insert("TARGETSTAGE".to_owned(), if stage.is_empty() { "default" } else { stage }.to_owned());
    arguments
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn platforms_are_taken_apart() {
        let platform = |text: &str| Platform::parse(text).expect("valid");
        let arguments = arguments(&platform("linux/amd64"), &platform("linux/arm/v7"), "", Timestamps::at(7).expect("early"));
        for (name, value) in [
            ("BUILDPLATFORM", "linux/amd64"),
            ("BUILDVARIANT", ""),
            ("TARGETPLATFORM", "linux/arm/v7"),
            ("TARGETOS", "linux"),
            ("TARGETARCH", "arm"),
            ("TARGETVARIANT", "v7"),
            ("TARGETSTAGE", "default"),
            ("SOURCE_DATE_EPOCH", "7"),
        ] {
            assert_eq!(arguments[name], value, "{name}");
        }
    }
}
