//! An API server in memory for tests of commands: it lists, gets, creates and patches plain values, and says who may do what.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};

use http::{Method, Request, Response, StatusCode};
use http_body_util::BodyExt;
use kube::Client;
use kube::client::Body;
use serde_json::{Value, json};

use crate::cli::session::Session;

/// A right: verb, resource with its subresource, name.
type Right = (String, String, String);

/// The state of the server, and what was asked of it.
pub(crate) struct Server {
    objects: Mutex<Vec<Value>>,
    user: String,
    may: Mutex<Vec<Right>>,
    /// Method, path and query, and body of each request that is not a read.
    pub writes: Mutex<Vec<(Method, String, Value)>>,
    /// Answers instead of the server's own: by the start of `METHOD path`.
    refusals: Mutex<BTreeMap<String, Value>>,
    /// The time in the header `Date`.
    date: Mutex<Option<String>>,
    /// Rights that other users lack, each as `user verb resource`. They have all others.
    lacks: Mutex<Vec<String>>,
    /// What else happens with a write.
    meanwhile: Mutex<Option<Meanwhile>>,
}

/// The end of a path, and what happens to the objects with each write to it.
type Meanwhile = (&'static str, Box<dyn Fn(&mut Vec<Value>) + Send>);

impl Server {
    /// A cluster after the demo, with a release that waits for an approval and one that waits for a Decision.
    pub fn after_the_demo(user: &str) -> Arc<Self> {
        let mut objects: Vec<Value> = Vec::new();
        for text in [
            include_str!("cluster/releases.json"),
            include_str!("cluster/environments.json"),
            include_str!("cluster/decisions.json"),
            include_str!("cluster/targets.json"),
        ] {
            objects.extend(serde_json::from_str::<Vec<Value>>(text).unwrap());
        }
        Self::with(user, objects)
    }

    /// A cluster with these objects.
    pub fn with(user: &str, objects: Vec<Value>) -> Arc<Self> {
        Arc::new(Self {
            objects: Mutex::new(objects),
            user: user.to_owned(),
            may: Mutex::new(Vec::new()),
            writes: Mutex::new(Vec::new()),
            refusals: Mutex::new(BTreeMap::new()),
            date: Mutex::new(None),
            lacks: Mutex::new(Vec::new()),
            meanwhile: Mutex::new(None),
        })
    }

    /// Gives the user a right, such as `approve`, `environments/release-board`, `production`.
    pub fn allow(&self, verb: &str, resource: &str, name: &str) {
        let right = (verb.to_owned(), resource.to_owned(), name.to_owned());
        self.may.lock().unwrap().push(right);
    }

    /// States this time in every answer, as in `Sat, 28 Nov 2026 13:05:00 GMT`.
    pub fn at(&self, date: &str) {
        *self.date.lock().unwrap() = Some(date.to_owned());
    }

    /// Takes a right from another user, such as `patch deployments`.
    pub fn deny(&self, user: &str, right: &str) {
        self.lacks.lock().unwrap().push(format!("{user} {right}"));
    }

    /// Answers requests whose method and path begin with `start` with this status.
    pub fn refuse(&self, start: &str, code: u16, message: &str) {
        let mut status = failure(code, message, "");
        if !start.starts_with("GET") {
            // As admission policies do.
            status["details"]["causes"] = json!([{ "message": message }]);
        }
        self.refusals.lock().unwrap().insert(start.to_owned(), status);
    }

    /// Changes the object of this name.
    pub fn change(&self, name: &str, change: impl Fn(&mut Value)) {
        let mut objects = self.objects.lock().unwrap();
        let named = objects.iter_mut().filter(|o| o["metadata"]["name"] == name);
        for object in named {
            change(object);
        }
    }

    /// Adds an object.
    pub fn add(&self, object: Value) {
        self.objects.lock().unwrap().push(object);
    }

    /// The object of this name.
    pub fn find(&self, name: &str) -> Value {
        let objects = self.objects.lock().unwrap();
        objects
            .iter()
            .find(|o| o["metadata"]["name"] == name)
            .cloned()
            .unwrap()
    }

    /// What happens to the objects with each write to a path that ends so.
    pub fn on_write(&self, path: &'static str, happens: impl Fn(&mut Vec<Value>) + Send + 'static) {
        *self.meanwhile.lock().unwrap() = Some((path, Box::new(happens)));
    }

    /// Removes the objects of this name.
    pub fn remove(&self, name: &str) {
        self.objects
            .lock()
            .unwrap()
            .retain(|o| o["metadata"]["name"] != name);
    }

    /// A session of the user.
    pub fn session(self: &Arc<Self>, namespace: &str) -> Session {
        let server = Arc::clone(self);
        let service = tower::service_fn(move |request: Request<Body>| {
            let server = Arc::clone(&server);
            async move { Ok::<_, std::convert::Infallible>(server.answer(request).await) }
        });
        Session {
            client: Client::new(service, namespace),
            namespace: namespace.to_owned(),
            server: "https://cluster.example.com:6443".to_owned(),
        }
    }

    async fn answer(&self, request: Request<Body>) -> Response<Body> {
        let method = request.method().clone();
        let path = request.uri().path().to_owned();
        let query: BTreeMap<String, String> = request
            .uri()
            .query()
            .unwrap_or_default()
            .split('&')
            .filter_map(|pair| pair.split_once('='))
            .map(|(key, value)| {
                (
                    key.to_owned(),
                    value
                        .replace("%3D", "=")
                        .replace("%2C", ",")
                        .replace("%2F", "/")
                        .replace('+', " "),
                )
            })
            .collect();
        let shown = request.uri().to_string();
        let body = request.into_body().collect().await.unwrap().to_bytes();
        let body: Value = serde_json::from_slice(&body).unwrap_or_default();
        let asked = format!("{method} {path}");
        let refused = self
            .refusals
            .lock()
            .unwrap()
            .iter()
            .find(|(start, _)| asked.starts_with(*start))
            .map(|(_, s)| s.clone());
        let answer = match (&method, refused) {
            (_, Some(status)) => status,
            (&Method::POST, None) if path.contains("/selfsubject") => self.review(&path, &body),
            (&Method::POST, None) if path.ends_with("/subjectaccessreviews") => self.others(&body),
            (&Method::GET, None) => self.read(&path, &query),
            _ => {
                self.writes
                    .lock()
                    .unwrap()
                    .push((method.clone(), shown, body.clone()));
                self.write(&method, &path, query.contains_key("dryRun"), body)
            }
        };
        let code = answer["code"]
            .as_u64()
            .filter(|_| answer["kind"] == "Status")
            .unwrap_or(200);
        let mut response = Response::builder();
        if let Some(date) = self.date.lock().unwrap().as_deref() {
            response = response.header(http::header::DATE, date);
        }
        response
            .status(StatusCode::from_u16(u16::try_from(code).unwrap()).unwrap())
            .body(Body::from(serde_json::to_vec(&answer).unwrap()))
            .unwrap()
    }

    fn review(&self, path: &str, body: &Value) -> Value {
        let mut answer = body.clone();
        if path.ends_with("selfsubjectreviews") {
            answer["status"] = json!({ "userInfo": { "username": self.user } });
        } else {
            let asked = &body["spec"]["resourceAttributes"];
            let text = |key: &str| asked[key].as_str().unwrap_or_default().to_owned();
            let mut resource = text("resource");
            if !text("subresource").is_empty() {
                resource = format!("{resource}/{}", text("subresource"));
            }
            let right = (text("verb"), resource, text("name"));
            answer["status"] = json!({ "allowed": self.may.lock().unwrap().contains(&right) });
        }
        answer
    }

    /// What another user may do.
    fn others(&self, body: &Value) -> Value {
        let text = |of: &Value| of.as_str().unwrap_or_default().to_owned();
        let asked = &body["spec"]["resourceAttributes"];
        let user = text(&body["spec"]["user"]);
        let right = format!("{user} {} {}", text(&asked["verb"]), text(&asked["resource"]));
        let mut answer = body.clone();
        answer["status"] = json!({ "allowed": !self.lacks.lock().unwrap().contains(&right) });
        answer
    }

    fn read(&self, path: &str, query: &BTreeMap<String, String>) -> Value {
        let Place {
            version,
            namespace,
            plural,
            name,
        } = Place::of(path);
        let objects = self.objects.lock().unwrap();
        let of_kind = objects.iter().filter(|o| {
            o["apiVersion"] == version
                && plural_of(o["kind"].as_str().unwrap_or_default()) == plural
                && namespace
                    .as_deref()
                    .is_none_or(|n| o["metadata"]["namespace"] == n)
        });
        let mut items: Vec<Value> = of_kind.cloned().collect();
        if let Some(name) = name {
            let found = items.into_iter().find(|o| o["metadata"]["name"] == name.as_str());
            return found.unwrap_or_else(|| failure(404, &format!("{plural} {name:?} not found"), &name));
        }
        for condition in query
            .get("fieldSelector")
            .into_iter()
            .flat_map(|s| s.split(','))
            .filter(|c| !c.is_empty())
        {
            let (path, wanted) = condition.split_once('=').unwrap();
            let pointer = format!("/{}", path.replace('.', "/"));
            items.retain(|o| o.pointer(&pointer).and_then(Value::as_str) == Some(wanted));
        }
        for condition in query
            .get("labelSelector")
            .into_iter()
            .flat_map(|s| s.split(','))
            .filter(|c| !c.is_empty())
        {
            let (key, wanted) = condition.split_once('=').unwrap();
            items.retain(|o| o["metadata"]["labels"][key] == wanted);
        }
        let from: usize = query.get("continue").map_or(0, |token| token.parse().unwrap());
        let limit: usize = query
            .get("limit")
            .map_or(usize::MAX, |limit| limit.parse().unwrap());
        let more = if items.len() - from > limit {
            (from + limit).to_string()
        } else {
            String::new()
        };
        let items: Vec<Value> = items.into_iter().skip(from).take(limit).collect();
        json!({ "kind": "List", "apiVersion": version, "metadata": { "resourceVersion": "1", "continue": more }, "items": items })
    }

    fn write(&self, method: &Method, path: &str, dry_run: bool, body: Value) -> Value {
        let name = Place::of(path).name;
        let mut objects = self.objects.lock().unwrap();
        if let Some((end, happens)) = &*self.meanwhile.lock().unwrap()
            && path.ends_with(end)
        {
            happens(&mut objects);
        }
        if *method == Method::POST {
            let mut created = body;
            let start = created["metadata"]["generateName"]
                .as_str()
                .unwrap_or_default()
                .to_owned();
            if created["metadata"]["name"].is_null() {
                created["metadata"]["name"] = json!(format!("{start}x7k2p"));
            }
            if !dry_run {
                objects.push(created.clone());
            }
            return created;
        }
        let name = name.unwrap_or_default();
        let Some(object) = objects
            .iter_mut()
            .find(|o| o["metadata"]["name"] == name.as_str())
        else {
            return failure(404, &format!("{name:?} not found"), &name);
        };
        let stated = &body["metadata"]["resourceVersion"];
        if !stated.is_null() && *stated != object["metadata"]["resourceVersion"] {
            return failure(409, "the object has been modified", &name);
        }
        let mut changed = object.clone();
        json_patch::merge(&mut changed, &body);
        if !dry_run {
            *object = changed.clone();
        }
        changed
    }
}

fn plural_of(kind: &str) -> String {
    let kind = kind.to_lowercase();
    match kind.strip_suffix('y') {
        Some(stem) => format!("{stem}ies"),
        None => format!("{kind}s"),
    }
}

/// What a path names.
struct Place {
    version: String,
    namespace: Option<String>,
    plural: String,
    name: Option<String>,
}

impl Place {
    fn of(path: &str) -> Self {
        let mut parts = path.trim_start_matches('/').split('/');
        let version = match parts.next() {
            Some("apis") => format!("{}/{}", parts.next().unwrap(), parts.next().unwrap()),
            _ => parts.next().unwrap_or_default().to_owned(),
        };
        let rest: Vec<&str> = parts.collect();
        let owned = |part: Option<&&str>| part.map(|part| (*part).to_owned());
        match rest.as_slice() {
            ["namespaces", namespace, plural, rest @ ..] => Self {
                version,
                namespace: Some((*namespace).to_owned()),
                plural: (*plural).to_owned(),
                name: owned(rest.first()),
            },
            [plural, rest @ ..] => Self {
                version,
                namespace: None,
                plural: (*plural).to_owned(),
                name: owned(rest.first()),
            },
            [] => Self {
                version,
                namespace: None,
                plural: String::new(),
                name: None,
            },
        }
    }
}

fn failure(code: u16, message: &str, name: &str) -> Value {
    json!({
        "kind": "Status", "apiVersion": "v1", "status": "Failure", "code": code, "message": message,
        "reason": if code == 404 { "NotFound" } else { "Forbidden" },
        "details": { "name": name },
    })
}
