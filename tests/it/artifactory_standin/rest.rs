//! Artifactory's own interface, and the log.

use serde_json::json;

use super::{Client, OCI_INDEX, error};
use crate::support::artifactory::{API_KEY, Artifactory, READER, READER_PASSWORD, Setup};
use crate::support::forge::sha256;
use crate::support::http::Ask;

fn ask(artifactory: &Artifactory, method: &str, path: &str) -> Ask {
    Ask::new(&artifactory.host(), method, &format!("/artifactory/{path}")).header("X-JFrog-Art-Api", API_KEY)
}

#[test]
fn the_server_and_its_repositories_are_described() {
    let artifactory = Artifactory::start(Setup::release());
    let get = |path: &str| ask(&artifactory, "GET", path).send();
    assert_eq!(get("api/system/version").json()["version"], "7.125.4");
    let local = json!({"key": "docker-local", "rclass": "local", "packageType": "docker"});
    assert_eq!(get("api/repositories/docker-local").json(), local);
    let union = get("api/repositories/docker-virtual").json();
    assert_eq!((&union["rclass"], &union["defaultDeploymentRepo"]), (&json!("virtual"), &json!("docker-local")));
    assert_eq!(get("api/repositories/docker-federated").json()["rclass"], "federated");
    assert_eq!(get("api/repositories/oci-local").json()["packageType"], "oci");
    assert_eq!(get("api/repositories/absent").status, 400);
    assert_eq!(artifactory.rest_url(), format!("http://{}/artifactory/", artifactory.host()));
    let anonymous = Ask::new(&artifactory.host(), "GET", "/artifactory/api/system/version").send();
    assert_eq!(error(&anonymous), (401, "401".into(), "Authentication is required".into()));
}

#[test]
fn the_storage_view_can_be_browsed_and_searched() {
    let artifactory = Artifactory::start(Setup::release());
    let client = Client::new(&artifactory, "docker-local");
    let (list, children) = client.list("app", "1", "content");
    let get = |path: &str| ask(&artifactory, "GET", &format!("api/storage/{path}")).send();
    let folder = get("docker-local/app").json();
    assert_eq!((&folder["repo"], &folder["path"]), (&json!("docker-local"), &json!("/app")));
    for name in ["1", "_uploads", &children[0]] {
        assert!(folder["children"].as_array().expect("a list").contains(&json!({"uri": format!("/{name}"), "folder": true})), "{folder}");
    }
    let file = get("docker-local/app/1/list.manifest.json").json();
    assert_eq!(file["checksums"]["sha256"].as_str().map(|hex| format!("sha256:{hex}")), Some(list.clone()));
    assert_eq!(file["downloadUri"], format!("{}docker-local/app/1/list.manifest.json", artifactory.rest_url()));
    let properties = get(&format!("docker-local/app/{}/manifest.json?properties", children[0].replace(':', "%3A"))).json();
    assert_eq!(properties["properties"]["docker.manifest.digest"], json!([children[0]]));
    assert_eq!(get("docker-local/app/1?properties").status, 404);
    assert_eq!(get("docker-local/absent").status, 404);
    let all = get("docker-local/app?list&deep=1&listFolders=0").json();
    assert!(
        all["files"].as_array().expect("a list").iter().any(|file| file["uri"] == "/1/list.manifest.json" && file["sha2"] == list["sha256:".len()..]),
        "{all}"
    );
    let aql = format!(
        r#"items.find({{"repo":"docker-local","name":{{"$match":"*manifest.json"}},"@docker.manifest.digest":"{list}"}}).include("path","name","sha256")"#
    );
    let found = ask(&artifactory, "POST", "api/search/aql").body(aql).send().json();
    assert_eq!(found["results"], json!([{"path": "app/1", "name": "list.manifest.json", "sha256": list["sha256:".len()..]}]));
    assert_eq!(ask(&artifactory, "POST", "api/search/aql").body("items.find({").send().status, 400);
}

#[test]
fn files_are_put_by_content_or_by_checksum_and_removed() {
    let artifactory = Artifactory::start(Setup::release());
    let put = |path: &str| ask(&artifactory, "PUT", path);
    let created = put("generic-local/dir/file.tar").body("content").send();
    assert_eq!((created.status, created.header("Location")), (201, format!("{}generic-local/dir/file.tar", artifactory.rest_url()).as_str()));
    assert_eq!((&created.json()["size"], &created.json()["path"], &created.json()["createdBy"]), (&json!("7"), &json!("/dir/file.tar"), &json!("ci")));
    let by_checksum = |hex: &str| put("generic-local/copy.tar").header("X-Checksum-Deploy", "true").header("X-Checksum-Sha256", hex).send();
    assert_eq!(by_checksum(&sha256(b"content")["sha256:".len()..]).status, 201);
    let unknown = error(&by_checksum(&sha256(b"unknown")["sha256:".len()..]));
    assert!(unknown.0 == 404 && unknown.2.starts_with("Checksum deploy failed. No existing file with sha256: "), "{unknown:?}");
    assert_eq!(put("generic-local/x").header("X-Checksum-Sha1", "00").body("content").send().status, 409);
    assert_eq!(error(&put("absent/x").send()).2, "Could not find a local repository named absent to deploy to.");
    let refused = put("docker-union/x").send();
    assert_eq!((refused.status, refused.header("Allow")), (405, "GET"));
    assert_eq!(ask(&artifactory, "GET", "generic-local/copy.tar").send().text(), "content");
    let reader = |method: &str| ask(&artifactory, method, "generic-local/copy.tar").header("X-JFrog-Art-Api", "").send();
    assert_eq!(reader("DELETE").status, 401);
    assert_eq!(put("generic-local/a/../b").send().status, 400);
    assert_eq!(ask(&artifactory, "DELETE", "generic-local/dir").send().status, 204);
    assert_eq!(ask(&artifactory, "GET", "generic-local/dir/file.tar").send().status, 404);
    assert!(!artifactory.storage().join("generic-local/dir").exists());
    let client = Client::new(&artifactory, "generic-local").user(READER, READER_PASSWORD);
    let forbidden = Ask::new(&artifactory.host(), "DELETE", "/artifactory/generic-local/copy.tar").header("Authorization", &client.authorization).send();
    assert_eq!(error(&forbidden), (403, "403".into(), "Forbidden".into()));
}

#[test]
fn images_that_are_put_as_files_are_not_images() {
    let artifactory = Artifactory::start(Setup::release());
    let client = Client::new(&artifactory, "docker-local");
    client.list("app", "1", "content");
    assert_eq!(ask(&artifactory, "DELETE", "docker-local/app/1").send().status, 204);
    assert_eq!(client.digest("app", "1"), "");
    ask(&artifactory, "PUT", "docker-local/app/1/list.manifest.json").body("{}").send();
    let broken = client.ask("GET", "app/manifests/1").header("Accept", OCI_INDEX).send();
    assert_eq!(broken.header("Content-Type"), "application/vnd.docker.distribution.manifest.v1+prettyjws");
}

#[test]
fn everything_that_is_asked_is_logged() {
    let artifactory = Artifactory::start(Setup::release());
    let client = Client::new(&artifactory, "docker-local");
    client.blob("app", b"0123456789");
    let log = Ask::new(&artifactory.host(), "GET", "/__log").send().json();
    assert_eq!((log["count"].as_u64(), log["received"].as_u64()), (Some(2), Some(10)));
    let put = &log["requests"][1];
    assert_eq!((&put["method"], &put["status"], &put["headers"]["Authorization"]), (&json!("PUT"), &json!(201), &json!(client.authorization)));
    assert!(put["query"].as_str().is_some_and(|query| query.starts_with("digest=sha256:")), "{put}");
    let entries = artifactory.take_log();
    assert_eq!((entries.len(), entries[1].received, entries[0].header("authorization")), (2, 10, Some(client.authorization.as_str())));
    assert_eq!(artifactory.log().len(), 0);
}
