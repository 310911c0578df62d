use proptest::prelude::*;

use super::*;
use crate::error::ErrorKind;

fn parsed(text: &str) -> Platform {
    Platform::parse(text).expect(text)
}

fn selected(wanted: &str, candidates: &[&str]) -> Option<usize> {
    // Candidates stand in an index as somebody wrote them, not normalised.
    let candidates: Vec<_> = candidates
        .iter()
        .map(|text| {
            let mut parts = text.split('/');
            let mut part = || parts.next().unwrap_or_default();
            Platform::new(part(), part(), part())
        })
        .collect();
    select(&parsed(wanted), candidates.iter())
}

#[test]
fn the_table_of_normalisation() {
    for (texts, printed) in [
        (&["linux/amd64", "linux/x86_64", "linux/x86-64", "Linux/AMD64/V1", "linux/amd64/v1"][..], "linux/amd64"),
        (&["linux/amd64/v2"], "linux/amd64/v2"),
        (&["linux/x86_64/v3"], "linux/amd64/v3"),
        (&["linux/i386", "linux/386"], "linux/386"),
        (&["linux/arm64", "linux/aarch64", "linux/arm64/v8", "linux/arm64/8", "linux/arm64/v8.0"], "linux/arm64"),
        (&["linux/arm64/9", "linux/arm64/9.0", "linux/aarch64/v9.0", "linux/arm64/v9"], "linux/arm64/v9"),
        (&["linux/arm", "linux/armhf", "linux/arm/7", "linux/arm/v7"], "linux/arm/v7"),
        (&["linux/armel", "linux/arm/6", "linux/arm/v6"], "linux/arm/v6"),
        (&["linux/arm/5"], "linux/arm/v5"),
        (&["linux/arm/8"], "linux/arm/v8"),
        (&["macos/arm64", "darwin/aarch64"], "darwin/arm64"),
        (&["windows(10.0.17763)/amd64"], "windows(10.0.17763)/amd64"),
        (&["windows(10.0.17763+win32k+a+a)/amd64"], "windows(10.0.17763+a+win32k)/amd64"),
        (&["linux(+f)/amd64"], "linux(+f)/amd64"),
        (&["linux()/amd64"], "linux/amd64"),
        (&["linux(1%2b0)/amd64"], "linux(1%2B0)/amd64"),
        (&["plan42/pdp11"], "plan42/pdp11"),
    ] {
        for text in texts {
            assert_eq!(parsed(text).to_string(), printed, "{text}");
        }
    }
}

#[test]
fn one_word_takes_the_rest_from_the_host() {
    let host = Platform::new("linux", "aarch64", "v8");
    for (text, printed) in [
        ("amd64", "linux/amd64"),
        ("x86_64", "linux/amd64"),
        ("armhf", "linux/arm/v7"),
        ("windows", "windows/arm64"),
        ("windows(10.0)", "windows(10.0)/arm64"),
        ("local", "linux/arm64"),
        ("linux/s390x", "linux/s390x"),
    ] {
        assert_eq!(Platform::parse_with(text, &host).expect(text).to_string(), printed, "{text}");
    }
    for text in ["amd64", "linux", "local"] {
        assert!(Platform::parse(text).expect_err("no host").message().contains("not complete"), "{text}");
    }
    assert!(Platform::parse_with("toaster", &host).expect_err("unknown").message().contains("neither"));
    assert!(Platform::parse_with("amd64(1)", &host).is_err());
}

#[test]
fn refuses_what_is_outside_the_grammar() {
    for text in [
        "",
        "/",
        "linux/",
        "/amd64",
        "linux//v7",
        "linux/*",
        "*",
        "linux/arm/v7/x",
        "linux/a b",
        "li.nux/amd64",
        "linux/amd64\n",
        "linux/..",
        "linux/arm/.",
        "linux(1/amd64",
        "linux(1)x/amd64",
        "linux)/amd64",
        "linux(1+)/amd64",
        "linux(%zz)/amd64",
        "linux(%ff)/amd64",
        "linux(a b)/amd64",
        "linux((1))/amd64",
    ] {
        assert_eq!(Platform::parse(text).expect_err(text).kind(), ErrorKind::Usage, "{text}");
    }
}

#[test]
fn lists_keep_order_and_refuse_duplicates() {
    let list = Platform::parse_list(" linux/arm64, linux/amd64 ,linux/arm").expect("a list");
    assert_eq!(list.iter().map(ToString::to_string).collect::<Vec<_>>(), ["linux/arm64", "linux/amd64", "linux/arm/v7"]);
    assert!(Platform::parse_list("linux/arm64,linux/aarch64/v8").expect_err("the same").message().ends_with("linux/arm64 occurs twice"));
    for text in ["", " ", "linux/amd64,", ",linux/amd64"] {
        assert!(Platform::parse_list(text).expect_err("an empty item").message().contains("empty"), "{text:?}");
    }
    let host = Platform::new("linux", "amd64", "");
    assert!(Platform::parse_list_with("local,linux/amd64", &host).is_err());
    assert_eq!(Platform::parse_list_with("local,arm64", &host).expect("a list").len(), 2);
}

#[test]
fn slugs_are_file_names() {
    assert_eq!(parsed("linux/arm/v7").slug(), "linux-arm-v7");
    assert_eq!(parsed("linux/amd64").slug(), "linux-amd64");
    assert_eq!(parsed("windows(10.0.1)/amd64").slug(), "windows-amd64-10.0.1");
    assert_eq!(Platform::new("../é", "a/b", "\n").slug(), "_.__-a_b-_");
}

#[test]
fn foreign_platforms_are_shown_safely() {
    assert_eq!(Platform::new("li\x1bnux", "a\n", "").to_string(), "li\\u{1b}nux/a\\n");
    assert_eq!(Platform::new("", "amd64", "").to_string(), "unknown");
}

#[test]
fn strict_equality_normalises() {
    assert!(Platform::new("linux", "arm64", "v8").strict_eq(&Platform::new("Linux", "aarch64", "")));
    assert!(!parsed("linux/arm/v7").strict_eq(&parsed("linux/arm/v6")));
    assert!(!parsed("windows(1)/amd64").strict_eq(&parsed("windows(2)/amd64")));
}

#[test]
fn lay_70_the_same_platform_twice_selects_the_earlier() {
    assert_eq!(selected("linux/amd64", &["linux/arm64", "linux/amd64", "linux/amd64"]), Some(1));
    assert_eq!(selected("linux/arm64", &["linux/arm64/v8", "linux/arm64"]), Some(0));
}

#[test]
fn lay_70_attestations_are_never_selected() {
    assert_eq!(selected("linux/amd64", &["unknown/unknown"]), None);
    assert_eq!(selected("unknown/unknown", &["unknown/unknown"]), None);
    assert!(Platform::new("unknown", "unknown", "").is_attestation());
}

#[test]
fn lay_70_arm_variants_from_the_wanted_one_downwards() {
    let all = ["linux/arm/v5", "linux/arm/v6", "linux/arm", "linux/arm/v8"];
    assert_eq!(selected("linux/arm/v8", &all), Some(3));
    assert_eq!(selected("linux/arm/v7", &all), Some(2));
    assert_eq!(selected("linux/arm/v6", &all), Some(1));
    assert_eq!(selected("linux/arm/v6", &["linux/arm/v7", "linux/arm/v5"]), Some(1));
    assert_eq!(selected("linux/arm/v5", &all[1..]), None);
}

#[test]
fn other_architectures_that_run_too() {
    assert_eq!(selected("linux/amd64/v3", &["linux/386", "linux/amd64", "linux/amd64/v2", "linux/amd64/v4"]), Some(2));
    assert_eq!(selected("linux/amd64/v3", &["linux/386", "linux/amd64/v1"]), Some(1));
    assert_eq!(selected("linux/amd64", &["linux/amd64/v2", "linux/386"]), Some(1));
    assert_eq!(selected("linux/386", &["linux/amd64"]), None);
    assert_eq!(selected("linux/arm64", &["linux/arm/v7", "linux/arm/v8"]), Some(1));
    assert_eq!(selected("linux/arm64", &["linux/arm64/v9", "linux/arm64/v8.1", "linux/arm/v5"]), Some(2));
    assert_eq!(selected("linux/arm64/v9.2", &["linux/arm64", "linux/arm64/v8.8", "linux/arm64/v8.7", "linux/arm64/v9.3"]), Some(2));
    assert_eq!(selected("linux/arm64/v9.2", &["linux/arm64/v8.7", "linux/arm64/v9.0", "linux/arm64/v9.1"]), Some(2));
    assert_eq!(selected("linux/arm64/v9.9", &["linux/arm64/v8.9"]), Some(0));
    assert_eq!(selected("linux/arm64/v8.2", &["linux/arm64/v8", "linux/arm64/v8.1", "linux/arm64/v8.3"]), Some(1));
    assert_eq!(selected("linux/s390x", &["linux/s390", "linux/s390x"]), Some(1));
    assert_eq!(selected("linux/amd64", &["windows/amd64", "freebsd/amd64"]), None);
}

#[test]
fn what_is_unknown_is_selected_by_equality() {
    assert_eq!(selected("linux/pdp11", &["linux/pdp10", "linux/pdp11"]), Some(1));
    assert_eq!(selected("linux/amd64/v255", &["linux/amd64/v254"]), Some(0));
    assert_eq!(selected("linux/arm/v255", &["linux/arm/v7"]), Some(0));
    assert_eq!(selected("linux/arm64/vx", &["linux/arm64", "linux/arm64/vx"]), Some(1));
    assert_eq!(selected("linux/riscv64/rva23", &["linux/riscv64", "linux/riscv64/rva23"]), Some(1));
}

#[test]
fn lay_70_versions_of_windows() {
    let select = |wanted: &str, candidates: &[&str]| super::select(&parsed(wanted), candidates.iter().map(|text| parsed(text)).collect::<Vec<_>>().iter());
    let candidates = ["windows(10.0.17763.1)/amd64", "windows(10.0.17763.99)/amd64", "windows(10.0.20348.7)/amd64", "windows(10.0.26100.1)/amd64"];
    assert_eq!(select("windows(10.0.17763.5)/amd64", &candidates), Some(1));
    assert_eq!(select("windows(10.0.25000.1)/amd64", &candidates), Some(2));
    assert_eq!(select("windows(10.0.26100.1)/amd64", &candidates), Some(3));
    assert_eq!(select("windows(10.0.14393)/amd64", &candidates), None);
    assert_eq!(select("windows/amd64", &candidates), Some(0));
    assert_eq!(select("windows(10.0.14393)/amd64", &["windows/amd64"]), Some(0));
    assert_eq!(select("linux(1)/amd64", &["linux(2)/amd64"]), Some(0));
}

#[test]
fn features_of_the_system_are_a_subset_and_more_of_them_win() {
    let select = |wanted: &str, candidates: &[&str]| super::select(&parsed(wanted), candidates.iter().map(|text| parsed(text)).collect::<Vec<_>>().iter());
    assert_eq!(select("linux/amd64", &["linux(+a)/amd64", "linux/amd64"]), Some(1));
    assert_eq!(select("linux(+a+b)/amd64", &["linux/amd64", "linux(+a)/amd64", "linux(+a+b)/amd64", "linux(+a+b+c)/amd64"]), Some(2));
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(256))]

    #[test]
    fn parse_is_the_inverse_of_display(
        os in "[a-zA-Z0-9_-]{1,6}|macos|windows",
        architecture in "[a-zA-Z0-9][a-zA-Z0-9_.-]{0,6}|arm|arm64|aarch64|armhf|amd64|x86_64|i386",
        variant in "|v?[0-9]|v[89]\\.[0-9]|[a-z0-9]{1,4}",
        version in proptest::option::of(".{0,8}"),
        features in proptest::collection::vec(".{1,6}", 0..3),
    ) {
        let platform = Platform { os_version: version, os_features: features, ..Platform::new(&os, &architecture, &variant) }.normalized();
        prop_assert_eq!(&Platform::parse(&platform.to_string()).expect("readable"), &platform);
        prop_assert_eq!(&platform.normalized(), &platform);
    }

    #[test]
    fn a_platform_serves_itself(os in "[a-z]{1,6}", architecture in "[a-z0-9]{1,6}|arm|arm64|amd64", variant in "|v\\+?[0-9]{1,3}|v[89]\\.[0-9]{1,3}|[a-z0-9.]{1,4}") {
        prop_assume!(os != "unknown");
        let platform = Platform::new(&os, &architecture, &variant);
        prop_assert_eq!(select(&platform, [&platform].into_iter()), Some(0));
    }
}
