//! The object store behind an instance in a cloud. It knows who may read by the signature in the URL, and takes offence at any other sign of it.

use std::sync::{Arc, Mutex};

use super::blobs::ranged;
use super::log::Listener;
use super::world::World;
use crate::support::http::{Answer, Request, Service, decoded};

pub(super) struct ObjectStore {
    world: Arc<Mutex<World>>,
}

impl ObjectStore {
    pub(super) fn new(world: Arc<Mutex<World>>) -> ObjectStore {
        ObjectStore { world }
    }
}

impl Service for ObjectStore {
    fn answer(&self, request: &Request) -> Answer {
        let mut world = self.world.lock().expect("no request killed it");
        let answer = fetch(&world, request);
        world.log.add(Listener::Store, request, &answer);
        answer
    }
}

fn fetch(world: &World, request: &Request) -> Answer {
    let error = |status, code: &str, message: &str| {
        let body = format!("<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n<Error><Code>{code}</Code><Message>{message}</Message></Error>");
        Answer::new(status).header("Content-Type", "application/xml").body(body)
    };
    if ["Authorization", "X-JFrog-Art-Api", "Cookie"].iter().any(|name| request.header(name).is_some()) {
        let message = "Only one auth mechanism allowed; only the X-Amz-Algorithm query parameter, Signature query string parameter or the Authorization header should be specified";
        return error(400, "InvalidArgument", message);
    }
    if request.parameter("X-Amz-Signature").as_ref() != Some(&world.secret) {
        return error(403, "AccessDenied", "Access Denied");
    }
    let path = decoded(request.path.trim_start_matches('/'));
    world.storage.read(&path).map_or_else(|| error(404, "NoSuchKey", "The specified key does not exist."), |bytes| ranged(request, bytes))
}
