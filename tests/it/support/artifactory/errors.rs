//! The two forms in which Artifactory says what is wrong: the registry's with codes, its own with the status.

use serde_json::{Value, json};

use crate::support::http::Answer;

/// An error of the registry interface.
pub(super) fn registry(status: u16, code: &str, message: &str, detail: &Value) -> Answer {
    let body = json!({"errors": [{"code": code, "message": message, "detail": detail}]});
    Answer::new(status).header("Content-Type", "application/json;charset=ISO-8859-1").body(body.to_string())
}

/// An error of everything else.
pub(super) fn generic(status: u16, message: &str) -> Answer {
    Answer::json(status, &json!({"errors": [{"status": status, "message": message}]}))
}

pub(super) fn blob_unknown(digest: &str) -> Answer {
    registry(404, "BLOB_UNKNOWN", "The named blob is not known to the registry.", &json!({"blobSum": digest}))
}

pub(super) fn upload_unknown() -> Answer {
    registry(404, "BLOB_UPLOAD_UNKNOWN", "The upload is unknown to the registry.", &Value::Null)
}

pub(super) fn manifest_unknown(image: &str) -> Answer {
    registry(404, "MANIFEST_UNKNOWN", "The named manifest is not known to the registry.", &json!({"manifest": image}))
}

pub(super) fn manifest_invalid(message: &str) -> Answer {
    registry(400, "MANIFEST_INVALID", message, &Value::Null)
}

pub(super) fn digest_invalid() -> Answer {
    registry(400, "DIGEST_INVALID", "The provided digest did not match the uploaded content.", &Value::Null)
}

pub(super) fn method_not_allowed() -> Answer {
    generic(405, "Method Not Allowed")
}

pub(super) fn denied(action: &str, name: &str) -> Answer {
    registry(403, "DENIED", &format!("The requested access to the resource is denied: {action} on {name}"), &Value::Null)
}
