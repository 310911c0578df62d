//! What a sync file may say, and what is told where it says something else.

use super::*;
use crate::error::{Error, ErrorKind};

fn read(text: &str) -> Result<SyncSpec> {
    parse("nightly.toml", text, Path::new("/jobs"))
}

fn refused(text: &str) -> Error {
    let error = read(text).expect_err(text);
    assert!(error.message().starts_with("nightly.toml:"), "{error}");
    error
}

const ROUTE: &str = "[[sync]]\nfrom = \"oci:images\"\nto = \"docker://registry.example/docker-local/\"\n";

#[test]
fn a_whole_file_is_read() {
    let spec = read(
        r#"
[defaults]
platforms = ["linux/amd64", "arm64"]
skip-missing-platforms = true
exclude-tags = ["*-rc*"]

[registry."registry.example:5000"]
tls = "verify"
ca = "corporate.pem"
client-cert = "me.pem"
client-key = "/keys/me.pem"
api-prefix = "/artifactory/api/docker/docker-local/v2/"
upload = "chunked"
chunk-size = "8MiB"
transfers = 4
requests-per-second = 20
username = "ci"
password-env = "REGISTRY_PASSWORD"

[registry."other.example"]
tls = "plain"
token-file = "token"

[[sync]]
from = ["docker://registry.example:5000/team/", "oci-archive:images.tar"]
to = "docker://other.example/mirror/"
repositories = ["team/**"]
exclude-repositories = ["team/secret"]
tags = ["v*"]
tags-regex = 'v\d+.*'
semver = ">=1.4, <2"
newest = 10
referrers = true
prune = true
[sync.rename]
"team/hello" = "hello"
"team/**" = "all/**"
[sync.rename-tags]
"v*" = "*"

[[sync]]
from = "docker://other.example/team/hello:1.4.2"
to = "oci:images"
platforms = ["linux/s390x"]
skip-missing-platforms = false
exclude-tags = []
"#,
    )
    .expect("valid");
    let [first, second] = &spec.registries[..] else { panic!("two registries") };
    assert_eq!((first.host.as_str(), first.security, first.transfers.map(NonZeroUsize::get)), ("registry.example:5000", Some(Security::Verified), Some(4)));
    assert_eq!(
        (&first.authorities[0].value, first.api_prefix.as_deref()),
        (&PathBuf::from("/jobs/corporate.pem"), Some("/artifactory/api/docker/docker-local/v2"))
    );
    assert_eq!(first.upload, NonZeroUsize::new(8 << 20).map(Upload::Chunked));
    let Some(CredentialSpec::Password { user: UserSource::Named(user), password: SecretSource::Variable(variable) }) = &first.credential else {
        panic!("{:?}", first.credential)
    };
    assert_eq!((user.as_str(), variable.value.as_str()), ("ci", "REGISTRY_PASSWORD"));
    assert!(matches!(&second.credential, Some(CredentialSpec::Token(SecretSource::File(file))) if file.value == Path::new("/jobs/token")));
    let [first, second] = &spec.routes[..] else { panic!("two routes") };
    assert_eq!((first.from.len(), first.platforms.len(), first.attached, first.prune), (2, 2, Attached::Carried, Prune::Tags));
    assert_eq!((first.lacking, second.lacking), (Lacking::Skipped, Lacking::Fails));
    assert!(first.tags.matches("v1.4.2") && !first.tags.matches("v1.4.2-rc1") && !first.tags.matches("1.4.2"));
    assert_eq!(first.rename.apply("team/hello").as_deref(), Some("hello"));
    assert_eq!(first.rename_tags.apply("v1").as_deref(), Some("1"));
    assert_eq!((second.platforms[0].to_string().as_str(), second.attached, second.prune), ("linux/s390x", Attached::Left, Prune::Nothing));
    assert_eq!(second.to.value.to_string(), "oci:/jobs/images");
}

#[test]
fn every_mistake_is_told_where_it_stands() {
    for (line, place, what) in [
        ("tag = [\"a\"]", "4:1", "unknown key `tag` in [[sync]]"),
        ("tags = \"a\"", "4:8", "`tags` must be a list of strings"),
        ("tags = [\"a\", \"[b\"]", "4:14", "`[b` is not a pattern"),
        ("tags-regex = \"(\"", "4:14", "is not a regular expression"),
        ("semver = \"new\"", "4:10", "is not a range of versions"),
        ("newest = 0", "4:10", "above zero"),
        ("platforms = [\"linux/amd46\"]", "4:14", "`amd46`"),
        ("platforms = [\"amd64\", \"linux/amd64\"]", "4:23", "twice"),
        ("referrers = 1", "4:13", "true or false"),
        ("[sync.rename]\n\"a/*\" = \"b\"", "5:9", "the same stars"),
        ("[sync.rename]\n\"a/*\" = 1", "5:9", "`rename.a/*` must be a string"),
    ] {
        let error = refused(&format!("{ROUTE}{line}\n"));
        assert_eq!(error.kind(), ErrorKind::Usage);
        assert!(error.message().starts_with(&format!("nightly.toml:{place}: ")) && error.message().contains(what), "{line}: {error}");
    }
}

#[test]
fn routes_that_contradict_themselves_are_refused() {
    for (from, to, more, what) in [
        ("oci:images:1", "docker://r.example/a", "tags = [\"2\"]", "is one image"),
        ("oci:images", "docker://r.example/a", "[sync.rename]\n\"a\" = \"b\"", "is one repository"),
        ("oci:images", "docker://r.example/a:1", "[sync.rename-tags]\n\"a\" = \"b\"", "has a tag"),
        ("docker://r.example/a:1", "docker://r.example/b", "prune = true", "pruning would take away"),
        ("docker://r.example/a", "docker://r.example/a", "", "to itself"),
        ("docker://r.example/a", "oci-archive:a.tar", "prune = true", "nothing can be pruned"),
        ("oci-archive:-", "docker://r.example/a", "", "stdin and stdout"),
        ("docker://r.example/a", "nowhere", "", "cannot tell"),
        ("dir:x", "docker://r.example/a", "", "cannot use `dir:x`"),
        ("docker://r.example/A", "oci:x", "", "cannot use"),
    ] {
        let error = refused(&format!("[[sync]]\nfrom = \"{from}\"\nto = \"{to}\"\n{more}\n"));
        assert!(error.message().contains(what), "{from} {to}: {error}");
    }
    let digest = crate::spec::Digest::sha256(b"");
    for to in [format!("docker://r.example/a@{digest}"), format!("oci:x@{digest}")] {
        assert!(refused(&format!("[[sync]]\nfrom = \"oci:y\"\nto = \"{to}\"\n")).message().contains("has a digest"));
    }
    assert!(refused("").message().contains("nothing to do"));
    assert!(refused("[[sync]]\nto = \"oci:x\"\n").message().contains("needs `from`"));
}

#[test]
fn a_registry_has_one_credential_and_never_a_secret() {
    for (lines, what) in [
        ("password = \"hunter2\"", "unknown key `password`"),
        ("username = \"ci\"", "needs `password-env`"),
        ("password-env = \"P\"", "needs `username`"),
        ("username = \"ci\"\nusername-env = \"U\"\npassword-env = \"P\"", "twice"),
        ("token-env = \"T\"\nidentity-token-env = \"I\"", "more than one way"),
        ("token-env = \"T\"\ntoken-file = \"t\"", "two places"),
        ("token-env = \"a=b\"", "not the name of an environment variable"),
        ("client-cert = \"c\"", "go together"),
        ("tls = \"off\"", "`tls` cannot be `off`"),
        ("chunk-size = \"1M\"", "is for `upload"),
        ("upload = \"chunked\"\nchunk-size = \"big\"", "number of bytes"),
        ("api-prefix = \"artifactory\"", "a path of the host"),
    ] {
        let error = refused(&format!("[registry.\"r.example\"]\n{lines}\n{ROUTE}"));
        assert!(error.message().contains(what), "{lines}: {error}");
        assert!(!error.message().contains("hunter2"), "{error}");
    }
    for host in ["r.example/a", "https://r.example", "team", "R_"] {
        assert!(refused(&format!("[registry.\"{host}\"]\n{ROUTE}")).message().contains("not the host"), "{host}");
    }
    let error = refused(&format!("[registry.\"r.example\"]\npassword = \"hunter2\"\n{ROUTE}"));
    assert_eq!(error.hint_text(), Some("did you mean `password-env`?"));
}
