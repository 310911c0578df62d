//! Manifests in and out, and the lists that they are in.

use serde_json::{Value, json};

use super::{Client, DOCKER_MANIFEST, OCI_INDEX, OCI_MANIFEST, error, view};
use crate::support::artifactory::{Artifactory, Class, Overwriting, Package, Repository, Setup, WRITER, WRITER_PASSWORD};
use crate::support::forge::sha256;
use crate::support::http::Reply;

fn get(client: &Client, reference: &str, accept: &str) -> Reply {
    client.ask("GET", &format!("app/manifests/{reference}")).header("Accept", accept).send()
}

#[test]
fn a_list_and_its_platforms_lie_where_people_look_for_them() {
    let artifactory = Artifactory::start(Setup::release());
    let client = Client::new(&artifactory, "docker-local");
    let (list, children) = client.list("app", "1.0", "content");
    let files = view(&artifactory, "docker-local/app");
    assert!(files.contains(&"1.0/list.manifest.json".to_owned()), "{files:?}");
    for (digest, layer) in children.iter().zip(["content amd64", "content arm64"]) {
        assert!(files.contains(&format!("{digest}/manifest.json")), "{files:?}");
        assert!(files.contains(&format!("{digest}/{}", sha256(layer.as_bytes()).replace(':', "__"))), "{files:?}");
        assert_eq!(files.iter().filter(|file| file.starts_with(digest)).count(), 3, "{files:?}");
    }
    let property = |path: &str, name: &str| artifactory.property(&format!("docker-local/app/{path}"), name).unwrap_or_default();
    assert_eq!(property("1.0/list.manifest.json", "docker.manifest.digest"), list);
    assert_eq!(property("1.0/list.manifest.json", "docker.manifest"), "1.0");
    assert_eq!(property("1.0/list.manifest.json", "artifactory.content-type"), OCI_INDEX);
    let child = format!("{}/manifest.json", children[0]);
    assert_eq!((property(&child, "docker.label.colour").as_str(), property(&child, "docker.repoName").as_str()), ("red", "app"));
    assert_eq!(property(&child, "oci.artifact.type"), "application/vnd.oci.image.config.v1+json");
    let bytes = std::fs::read(artifactory.storage().join("docker-local/app/1.0/list.manifest.json")).expect("readable");
    assert_eq!(get(&client, "1.0", OCI_INDEX).body, bytes);
    let head = client.ask("HEAD", &format!("app/manifests/{list}")).header("Accept", OCI_INDEX).send();
    assert_eq!((head.status, head.header("Content-Type"), head.header("X-Artifactory-Docker-Registry")), (200, OCI_INDEX, "docker-local"));
    assert_eq!((head.header("Content-Length"), head.header("X-Artifactory-Filename")), (bytes.len().to_string().as_str(), "list.manifest.json"));
}

#[test]
fn manifests_of_another_kind_or_without_what_they_need_are_refused() {
    let artifactory = Artifactory::start(Setup::release());
    let client = Client::new(&artifactory, "docker-local");
    let blob = client.blob("app", b"{}");
    let manifest = json!({"schemaVersion": 2, "mediaType": OCI_MANIFEST, "config": blob, "layers": [blob]});
    let absent = sha256(b"absent");
    let with_layer = |layer: Value| json!({"schemaVersion": 2, "config": blob, "layers": [layer]});
    let list = json!({"schemaVersion": 2, "manifests": [{"digest": absent, "mediaType": OCI_MANIFEST, "size": 1}]});
    for (reference, media_type, document, code, message) in [
        ("1", "application/json", &manifest, "UNAUTHORIZED", "Pushing Docker images with manifest v2 schema 1"),
        ("1", "application/vnd.docker.distribution.manifest.v1+json", &manifest, "UNAUTHORIZED", "schema 1"),
        ("1", DOCKER_MANIFEST, &manifest, "MANIFEST_INVALID", "mediaType"),
        (absent.as_str(), OCI_MANIFEST, &manifest, "DIGEST_INVALID", ""),
        (".1", OCI_MANIFEST, &manifest, "MANIFEST_INVALID", "not a tag"),
        ("1", OCI_MANIFEST, &with_layer(json!({"digest": absent})), "MANIFEST_INVALID", &format!("Failed to copy blob {absent}")),
        ("1", OCI_INDEX, &list, "MANIFEST_INVALID", &format!("Missing manifest digest {absent}")),
    ] {
        let (_, own_code, own_message) = error(&client.put("app", reference, media_type, document));
        assert!(own_code == code && own_message.contains(message), "{own_code} {own_message}");
    }
    // Parameters do not matter, nor do layers that lie elsewhere.
    assert_eq!(client.put("app", "1", "application/vnd.oci.image.manifest.v1+json; charset=utf-8", &manifest).status, 201);
    let foreign = with_layer(json!({"digest": absent, "urls": ["https://elsewhere.example/layer"]}));
    assert_eq!(client.put("app", "1", OCI_MANIFEST, &foreign).status, 201);
    // A platform of another image is not one of this image.
    let child = client.image("other", None, "content");
    let list = json!({"schemaVersion": 2, "manifests": [child]});
    assert_eq!(error(&client.put("app", "1", OCI_INDEX, &list)).1, "MANIFEST_INVALID");
    let remote = Client::new(&artifactory, "docker-remote").put("app", "1", OCI_MANIFEST, &manifest);
    assert_eq!(error(&remote).2, "Unable to upload a manifest to a remote repository.");
}

#[test]
fn set_ups_refuse_more() {
    let artifactory = Artifactory::start(Setup::release());
    let client = Client::new(&artifactory, "docker-local");
    client.image("app", Some("1"), "content");
    let blob = client.blob("app", b"{\"history\": [{\"empty_layer\": true}]}");
    let manifest = json!({"schemaVersion": 2, "config": blob, "layers": [blob]});
    artifactory.switch(|switches| switches.history_check = true);
    assert_eq!(error(&client.put("app", "2", OCI_MANIFEST, &manifest)), (400, "MANIFEST_INVALID".into(), "null".into()));
    artifactory.switch(|switches| (switches.history_check, switches.reject_oci) = (false, true));
    assert_eq!(client.put("app", "2", OCI_MANIFEST, &manifest).status, 400);
    assert_eq!(client.put("app", "2", DOCKER_MANIFEST, &manifest).status, 201);
    artifactory.switch(|switches| switches.reject_oci = false);
    let writer = Client::new(&artifactory, "docker-local").user(WRITER, WRITER_PASSWORD);
    for (overwriting, status) in [(Overwriting::BadRequest, 400), (Overwriting::Forbidden, 403), (Overwriting::Allowed, 201)] {
        artifactory.switch(|switches| switches.no_overwrite = overwriting);
        assert_eq!(writer.put("app", "1", OCI_MANIFEST, &manifest).status, status);
    }
    artifactory.switch(|switches| switches.strict_accept_406 = true);
    let accepting = |path: &str| client.ask("GET", path).header("Accept", OCI_MANIFEST).send().status;
    assert_eq!((accepting("app/manifests/1"), accepting("app/tags/list"), client.ask("GET", "app/tags/list").send().status), (200, 406, 200));
}

#[test]
fn what_is_given_depends_on_what_is_accepted() {
    let artifactory = Artifactory::start(Setup::release());
    let client = Client::new(&artifactory, "docker-local");
    let (list, children) = client.list("app", "1", "content");
    let single = client.image("app", Some("1"), "single")["digest"].as_str().expect("a digest").to_owned();
    let digest = |accept: &str| get(&client, "1", accept).header("Docker-Content-Digest").to_owned();
    // The list is not replaced by an image of one platform, and stays what most clients get.
    assert_eq!((digest(&format!("{OCI_MANIFEST}, {OCI_INDEX}")), digest(OCI_MANIFEST)), (list.clone(), single));
    assert_eq!(get(&client, "1", DOCKER_MANIFEST).status, 404);
    assert_eq!(get(&client, &children[1], &format!("{OCI_INDEX};q=0.1,{OCI_MANIFEST}")).status, 200);
    for accept in ["", "*/*", "application/json", "application/vnd.docker.distribution.manifest.v1+prettyjws"] {
        let old = get(&client, "1", accept);
        assert_eq!(old.header("Content-Type"), "application/vnd.docker.distribution.manifest.v1+prettyjws");
        assert_eq!((old.header("Docker-Content-Digest"), old.json()["schemaVersion"].as_u64()), (sha256(&old.body).as_str(), Some(1)));
    }
    artifactory.switch(|switches| (switches.no_accept_schema1, switches.keep_list_on_single_push) = (false, false));
    assert_eq!(digest("*/*"), list);
    let single = client.image("app", Some("1"), "another")["digest"].as_str().expect("a digest").to_owned();
    assert_eq!(digest(&format!("{OCI_MANIFEST}, {OCI_INDEX}")), single);
    // The layer of the image that was there before is not of this tag any more.
    assert_eq!(view(&artifactory, "docker-local/app/1").len(), 3);
}

#[test]
fn virtual_repositories_give_what_their_members_have() {
    let artifactory = Artifactory::start(Setup::release());
    let (local, union) = (Client::new(&artifactory, "docker-local"), Client::new(&artifactory, "docker-virtual"));
    let (list, _) = local.list("app", "1", "content");
    assert_eq!(union.digest("app", "1"), list);
    let head = union.ask("HEAD", "app/manifests/1").header("Accept", OCI_INDEX).send();
    assert_eq!(head.header("X-Artifactory-Docker-Registry"), "docker-local");
    let pushed = union.image("app", Some("2"), "through it")["digest"].as_str().expect("a digest").to_owned();
    assert_eq!(local.digest("app", "2"), pushed);
    assert_eq!(get(&union, "absent", OCI_INDEX).status, 404);
    artifactory.switch(|switches| switches.virtual_403 = true);
    assert_eq!((get(&union, "absent", OCI_INDEX).status, get(&local, "absent", OCI_INDEX).status), (403, 404));
}

#[test]
fn tags_and_images_are_listed_in_pages() {
    let artifactory = Artifactory::start(Setup::release());
    let client = Client::new(&artifactory, "docker-local");
    assert_eq!(error(&client.ask("GET", "app/tags/list").send()).1, "NAME_UNKNOWN");
    for tag in ["3", "1", "2"] {
        client.list("app", tag, tag);
    }
    client.image("team/other", Some("x"), "content");
    let list = |query: &str| client.ask("GET", &format!("app/tags/list{query}")).send();
    assert_eq!((list("").json(), list("").header("Link")), (json!({"name": "docker-local/app", "tags": ["1", "2", "3"]}), ""));
    let page = list("?n=2");
    assert_eq!((page.json()["tags"].clone(), page.header("Link")), (json!(["1", "2"]), "</v2/docker-local/app/tags/list?last=2&n=2>; rel=\"next\""));
    assert_eq!((list("?last=2&n=2").json()["tags"].clone(), list("?last=2&n=2").header("Link")), (json!(["3"]), ""));
    artifactory.switch(|switches| switches.tags_with_digests = true);
    assert!(list("").json()["tags"].as_array().is_some_and(|tags| tags.iter().any(|tag| tag.as_str().is_some_and(|tag| tag.starts_with("sha256:")))));
    assert_eq!(client.ask("GET", "_catalog").send().json(), json!({"repositories": ["app", "team/other"]}));
    let union = Client::new(&artifactory, "docker-virtual").ask("GET", "_catalog?n=1").send();
    assert_eq!((union.json()["repositories"].clone(), union.header("Link")), (json!(["app"]), "</v2/_catalog?last=app&n=1>; rel=\"next\""));
}

#[test]
fn tags_and_digests_are_removed() {
    let artifactory = Artifactory::start(Setup::release());
    let client = Client::new(&artifactory, "docker-local");
    let (list, children) = client.list("app", "1", "content");
    client.list("app", "2", "content");
    let delete = |reference: &str| client.ask("DELETE", &format!("app/manifests/{reference}")).send().status;
    assert_eq!((delete("1"), delete("1"), client.digest("app", "2")), (202, 404, list.clone()));
    assert_eq!((delete(&list), client.digest("app", "2")), (202, String::new()));
    assert_eq!((delete(&children[0]), client.digest("app", &children[1])), (202, children[1].clone()));
}

#[test]
fn repositories_keep_old_tags_or_drop_them() {
    let repository = |change: fn(&mut Repository)| {
        let mut local = Repository::new("docker-local", Class::Local, Package::Docker);
        change(&mut local);
        Artifactory::start(Setup::release().repository(local))
    };
    let artifactory = repository(|local| local.tag_retention = 2);
    let client = Client::new(&artifactory, "docker-local");
    let old = client.image("app", Some("1"), "old")["digest"].as_str().expect("a digest").to_owned();
    client.image("app", Some("1"), "new");
    assert_eq!(client.ask("GET", "app/tags/list").send().json()["tags"], json!(["1", old.replace(':', "__")]));
    assert_eq!(client.digest("app", &old), old);
    let artifactory = repository(|local| local.max_unique_tags = 2);
    let client = Client::new(&artifactory, "docker-local");
    for tag in ["b", "a", "b", "c"] {
        client.image("app", Some(tag), &format!("content {tag}"));
    }
    assert_eq!(client.ask("GET", "app/tags/list").send().json()["tags"], json!(["b", "c"]));
}

#[test]
fn what_is_attached_is_listed_where_that_is_known() {
    let artifactory = Artifactory::start(Setup::release());
    let client = Client::new(&artifactory, "docker-local");
    let subject = client.image("app", Some("1"), "content");
    let empty = client.blob("app", b"{}");
    let attached = |kind: &str| {
        let manifest = json!({"schemaVersion": 2, "mediaType": OCI_MANIFEST, "artifactType": kind, "config": empty, "layers": [empty], "subject": subject});
        client.put("app", &sha256(manifest.to_string().as_bytes()), OCI_MANIFEST, &manifest)
    };
    let put = attached("application/x-one");
    assert_eq!((put.status, put.header("OCI-Subject")), (201, subject["digest"].as_str().expect("a digest")));
    attached("application/x-two");
    let list = |query: &str| client.ask("GET", &format!("app/referrers/{}{query}", subject["digest"].as_str().expect("a digest"))).send();
    assert_eq!((list("").header("Content-Type"), list("").json()["manifests"].as_array().map(Vec::len)), (OCI_INDEX, Some(2)));
    let one = list("?artifactType=application/x-one");
    assert_eq!((one.header("OCI-Filters-Applied"), one.json()["manifests"].as_array().map(Vec::len)), ("artifactType", Some(1)));
    assert_eq!(one.json()["manifests"][0]["digest"], put.header("Docker-Content-Digest"));
    artifactory.switch(|switches| switches.referrers = false);
    assert_eq!((list("").status, attached("application/x-three").header("OCI-Subject")), (404, ""));
}
