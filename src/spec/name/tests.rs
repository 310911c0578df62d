use super::*;
use crate::error::ErrorKind;
use crate::spec::MediaType;

/// An entry with this content and these annotations; empty ones are left out.
fn entry(content: &str, image: &str, ref_name: &str) -> Descriptor {
    let mut descriptor = Descriptor::new(MediaType::ImageIndex, Digest::sha256(content.as_bytes()), 1);
    for (key, value) in [(annotation::IMAGE_NAME, image), (annotation::REF_NAME, ref_name)] {
        if !value.is_empty() {
            descriptor.annotations.insert(key.into(), value.into());
        }
    }
    descriptor
}

/// The position of the entry that `wanted` names.
fn position(wanted: &str, entries: &[Descriptor]) -> Option<usize> {
    let index = ImageIndex::new(entries.to_vec());
    let found = Selector::parse(wanted).expect(wanted).select(&index).ok()?;
    index.manifests.iter().position(|entry| entry == found)
}

fn refusal(wanted: &str, entries: &[Descriptor]) -> Error {
    Selector::parse(wanted).expect(wanted).select(&ImageIndex::new(entries.to_vec())).expect_err("no entry").subject(wanted)
}

fn parts(name: &ImageName) -> (&str, &str) {
    (name.image().unwrap_or_default(), name.ref_name().unwrap_or_default())
}

#[test]
fn references_become_a_full_name_and_a_tag() {
    for (text, image, tag) in [
        ("hello:1", "docker.io/library/hello:1", "1"),
        ("hello", "docker.io/library/hello:latest", "latest"),
        ("localhost:5000/a/b:2", "localhost:5000/a/b:2", "2"),
    ] {
        assert_eq!(parts(&ImageName::parse_reference(text).expect(text)), (image, tag));
    }
    let name = ImageName::with_repository("registry.example/team/hello", "1.4.2").expect("a name");
    assert_eq!(parts(&name), ("registry.example/team/hello:1.4.2", "1.4.2"));
    assert_eq!(parts(&ImageName::tag_only("1.4.2").expect("a tag")), ("", "1.4.2"));
    let error = ImageName::parse_reference(&format!("hello@{}", Digest::sha256(b""))).expect_err("a digest");
    assert!(error.hint_text().is_some());
    assert!(ImageName::with_repository("registry.example/team/hello:1", "2").is_err());
}

#[test]
fn lay_64_hostile_names_are_refused_when_given_and_escaped_when_shown() {
    for text in ["../../etc/x", "", "a\nb", "a\u{1b}[31m", "\u{202e}a", "a//b", "/a", "a b", "a\0"] {
        for result in [ImageName::tag_only(text), ImageName::verbatim(text), ImageName::with_repository("x.y/z", text)] {
            assert_eq!(result.expect_err(text).kind(), ErrorKind::Usage, "{text:?}");
        }
    }
    assert!(ImageName::tag_only(&"a".repeat(129)).is_err());
    let hostile = entry("a", "", "a\u{1b}[31m\nb");
    assert_eq!(ImageName::of(&hostile).expect("a name").to_string(), "a\\u{1b}[31m\\nb");
    assert_eq!(position("a\u{1b}[31m\nb", std::slice::from_ref(&hostile)), Some(0), "it can still be selected, and so removed");
    assert!(!refusal("x", &[hostile]).message().contains('\u{1b}'));
}

#[test]
fn verbatim_names_are_full_only_with_host_and_tag() {
    for (text, image, ref_name) in [
        ("registry.example/team/hello:1", "registry.example/team/hello:1", "1"),
        ("docker.io/library/hello:1", "docker.io/library/hello:1", "1"),
        ("docker.io/hello:1", "docker.io/library/hello:1", "1"),
        ("registry.example/team/hello", "", "registry.example/team/hello"),
        ("hello:1", "", "hello:1"),
        ("team/hello:1", "", "team/hello:1"),
        ("1.4.2", "", "1.4.2"),
        ("a_", "", "a_"),
        ("app@1.2+x", "", "app@1.2+x"),
    ] {
        assert_eq!(parts(&ImageName::verbatim(text).expect(text)), (image, ref_name), "{text}");
    }
}

#[test]
fn a_name_replaces_the_one_that_is_there() {
    let mut descriptor = entry("a", "docker.io/library/old:1", "1");
    descriptor.annotations.insert("other".into(), "stays".into());
    ImageName::tag_only("2").expect("a tag").apply(&mut descriptor);
    assert_eq!(parts(&ImageName::of(&descriptor).expect("a name")), ("", "2"));
    assert_eq!(descriptor.annotation("other"), Some("stays"));
    ImageName::clear(&mut descriptor);
    assert_eq!(ImageName::of(&descriptor), None);
    let name = ImageName::parse_reference("hello:3").expect("a name");
    name.apply(&mut descriptor);
    assert_eq!(ImageName::of(&descriptor), Some(name));
}

#[test]
fn every_convention_is_found() {
    let docker = entry("a", "docker.io/library/hello:1", "1");
    for wanted in ["docker.io/library/hello:1", "hello:1", "library/hello:1", "docker.io/hello:1", "1"] {
        assert_eq!(position(wanted, &[entry("z", "", "z"), docker.clone()]), Some(1), "{wanted}");
    }
    for wanted in ["hello:2", "other:1", "hello", "registry.example/hello:1", "h", ""] {
        assert_eq!(position(wanted, &[entry("z", "", "z"), docker.clone()]), None, "{wanted}");
    }
    let skopeo = entry("a", "", "registry.example/hello:1");
    for wanted in ["registry.example/hello:1", "1"] {
        assert_eq!(position(wanted, std::slice::from_ref(&skopeo)), Some(0), "{wanted}");
    }
    let tag = entry("a", "", "1");
    for wanted in ["1", "hello:1", "registry.example/team/hello:1"] {
        assert_eq!(position(wanted, std::slice::from_ref(&tag)), Some(0), "{wanted}");
    }
    assert_eq!(position("hello", &[entry("a", "hello", "")]), Some(0));
    assert_eq!(position("hello:latest", &[entry("a", "hello", "")]), Some(0));
    assert_eq!(position("hello", &[entry("a", "docker.io/library/hello:latest", "latest")]), Some(0));
    assert_eq!(position("hello:latest", &[entry("a", "", "hello")]), None, "a word alone is a tag");
}

#[test]
fn stronger_conventions_come_first() {
    let entries = [entry("a", "", "hello:1"), entry("b", "docker.io/library/hello:1", "1"), entry("c", "", "1")];
    assert_eq!(position("hello:1", &entries), Some(1), "the full reference");
    assert_eq!(position("1", &entries), Some(2), "an entry that has no other name");
    assert_eq!(position("hello:1", &entries[..1]), Some(0));
}

#[test]
fn lay_62_the_same_name_twice_is_listed_and_not_guessed() {
    let entries = [entry("a", "", "1"), entry("b", "", "1")];
    let error = refusal("1", &entries);
    assert_eq!(error.kind(), ErrorKind::Usage);
    assert!(error.message().contains(entries[0].digest.short()) && error.message().contains(entries[1].digest.short()), "{error}");
    assert!(error.hint_text().is_some());
    assert_eq!(position(&format!("@{}", entries[1].digest), &entries), Some(1));
    assert_eq!(position("1", &[entry("a", "", "1"), entry("a", "docker.io/library/x:1", "1")]), Some(0), "the same content is no conflict");
    let repositories = [entry("a", "x.y/a:1", "1"), entry("b", "x.y/b:1", "1")];
    assert_eq!(refusal("1", &repositories).kind(), ErrorKind::Usage);
    assert_eq!(position("x.y/b:1", &repositories), Some(1));
}

#[test]
fn lay_65_names_that_begin_alike_are_different() {
    let entries = [entry("a", "", "0.1.20"), entry("b", "", "0.1.2"), entry("c", "", "a-b"), entry("d", "", "a")];
    for (wanted, expected) in [("0.1.2", 1), ("0.1.20", 0), ("a", 3), ("a-b", 2)] {
        assert_eq!(position(wanted, &entries), Some(expected));
    }
}

#[test]
fn without_a_name_there_is_one_image_or_an_error() {
    assert_eq!(position("", &[entry("a", "", "")]), Some(0));
    assert_eq!(position("", &[entry("a", "", "1"), entry("a", "", "2")]), Some(0), "two names of one image");
    assert_eq!(refusal("", &[]).kind(), ErrorKind::NotFound);
    let error = refusal("", &[entry("a", "", "1"), entry("b", "", "")]);
    assert_eq!(error.kind(), ErrorKind::Usage);
    assert!(error.message().contains("`1`") && error.message().contains("without a name"), "{error}");
}

#[test]
fn an_error_lists_ten_names_at_most() {
    let entries: Vec<_> = (0..13).map(|n| entry(&n.to_string(), "", &format!("tag{n}"))).collect();
    let error = refusal("none", &entries);
    assert_eq!(error.kind(), ErrorKind::NotFound);
    assert!(error.message().contains("`tag9`") && !error.message().contains("tag10") && error.message().ends_with(" and 3 more"), "{error}");
    assert!(refusal("none", &[]).message().ends_with("no image at all"));
}

#[test]
fn a_digest_decides_alone() {
    let digest = Digest::sha256(b"a");
    assert_eq!(Selector::parse(&format!("@{digest}")).expect("a digest"), Selector::Digest(digest.clone()));
    assert_eq!(Selector::parse(&format!("hello:1@{digest}")).expect("a digest"), Selector::Digest(digest.clone()));
    assert_eq!(Selector::parse("app@1.2").expect("a name"), Selector::Name("app@1.2".into()));
    assert_eq!(Selector::parse("@1.2").expect_err("no digest").kind(), ErrorKind::Usage);
    assert_eq!(refusal(&format!("hello@{digest}"), &[entry("b", "", "hello")]).kind(), ErrorKind::NotFound);
}

#[test]
fn what_a_new_name_takes_over() {
    let name = |text| ImageName::parse_reference(text).expect(text);
    let tag = |text| ImageName::tag_only(text).expect(text);
    let hello = entry("a", "docker.io/library/hello:1", "1");
    assert!(same_name(&hello, &name("hello:1")));
    assert!(same_name(&entry("a", "hello:1", ""), &name("hello:1")), "as an older tool wrote it");
    assert!(!same_name(&hello, &name("hello:2")));
    assert!(!same_name(&hello, &name("x.y/hello:1")), "two repositories with one tag");
    assert!(!same_name(&hello, &tag("1")));
    assert!(!same_name(&entry("a", "", "1"), &name("hello:1")));
    assert!(same_name(&entry("a", "", "1"), &tag("1")));
    assert!(!same_name(&entry("a", "", "10"), &tag("1")));
    assert!(!same_name(&entry("a", "", ""), &tag("1")));
}
