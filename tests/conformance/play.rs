//! A case of on-device decisioning, played to the library: what came back, and what each host was asked.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use adobe_target::TargetClient;
use serde_json::{Value, json};

use crate::artifacts;
use crate::corpus;
use crate::hosts::{Answer, Hosts, Request};
use crate::library::{self, Failure, Setting};

/// Longer than anything takes that is not meant to go on for ever.
const LONG: Duration = Duration::from_secs(30);

/// What came of a case.
#[derive(Default)]
pub struct Played {
    /// Why there was no client.
    pub refused: Option<Failure>,
    pub results: Vec<Result<Value, Failure>>,
    /// All but those about the delivery of impressions.
    pub events: Vec<Value>,
    /// The client's own question for its location hint.
    pub startup: Vec<Request>,
    /// What calls sent to the edge.
    pub remote: Vec<Request>,
    pub impressions: Vec<Request>,
    pub geo: Vec<Request>,
    pub downloads: Vec<Request>,
    /// What the library logged, if the case asked for it.
    pub log: Vec<String>,
}

#[derive(Debug, Clone, Copy, PartialEq)]
enum Kind {
    Startup,
    Remote,
    Impressions,
    Geo,
    Download,
}

/// What tells a caller's own requests from the library's.
struct Callers {
    request_ids: Vec<String>,
    notification_ids: Vec<String>,
}

impl Callers {
    fn of(input: &Value) -> Self {
        let requests: Vec<&Value> = requests(input).collect();
        let text = |value: &Value| value.as_str().map(str::to_owned);
        let notifications = requests.iter().flat_map(|request| request["notifications"].as_array()).flatten();
        Callers {
            request_ids: requests.iter().filter_map(|request| text(&request["requestId"])).collect(),
            notification_ids: notifications.filter_map(|notification| text(&notification["id"])).collect(),
        }
    }

    fn kind(&self, request: &Request) -> Kind {
        if request.path != "/rest/v1/delivery" {
            return if request.path.ends_with("/v1/geo") { Kind::Geo } else { Kind::Download };
        }
        let body = &request.body;
        let is_callers = |list: &[String], id: &Value| id.as_str().is_some_and(|id| list.iter().any(|own| own == id));
        let asks = body.get("execute").is_some() || body.get("prefetch").is_some();
        let notified = body["notifications"].as_array();
        if asks || is_callers(&self.request_ids, &body["requestId"]) {
            Kind::Remote
        } else if let Some(notified) = notified {
            let is_own = notified.iter().any(|notification| is_callers(&self.notification_ids, &notification["id"]));
            if is_own { Kind::Remote } else { Kind::Impressions }
        } else {
            Kind::Startup
        }
    }
}

/// The Delivery API requests of a case's calls.
fn requests(input: &Value) -> impl Iterator<Item = &Value> {
    let arguments = input["calls"].as_array().into_iter().flatten().flat_map(|call| call["args"].as_array()).flatten();
    arguments.map(|argument| &argument["request"])
}

/// Whether calls are made before there is an artifact.
pub fn is_early(input: &Value) -> bool {
    input["callImmediately"] == true
}

/// Whether the client has an artifact when calls are made.
pub fn is_ready(input: &Value, artifact: Option<&Value>) -> bool {
    let downloaded = artifacts::downloaded(input);
    !is_early(input) && artifact.or(downloaded.as_ref().map(|(read, _)| read)).is_some_and(artifacts::is_usable)
}

/// Plays a case with that artifact as payload.
pub fn play(input: &Value, artifact: Option<&Value>, keeps_log: bool) -> Played {
    let is_ready = is_ready(input, artifact);
    let artifact = artifact.filter(|_| !is_early(input));
    let hosts = hosts(input);
    let config = config(input, &hosts.host(), artifact);
    let client = match library::create(&config) {
        Ok(client) => client,
        Err(failure) => return Played { refused: Some(failure), ..Played::default() },
    };
    let mut played = Played::default();
    if is_ready {
        client.wait_ready(Some(LONG)).unwrap_or_else(|error| panic!("not ready: {error}"));
    } else if input.get("cdn").is_some() {
        // The first download has failed when its event is there.
        while !played.events.iter().any(|event| event["type"] == "artifact_download_failed") {
            let event = client.next_event(Some(LONG)).unwrap_or_else(|error| panic!("no failed download: {error}"));
            played.events.extend(corpus::parse_lossy(&event));
        }
    }
    let calls = input["calls"].as_array().map_or(&[][..], Vec::as_slice);
    let make = || calls.iter().map(|call| made(&client, call)).collect();
    (played.results, played.log) = if keeps_log { library::logged(make) } else { (make(), Vec::new()) };
    let _ = client.close(Some(LONG));
    while let Ok(event) = client.next_event(Some(Duration::ZERO)) {
        played.events.extend(corpus::parse_lossy(&event));
    }
    played.events.retain(|event| !event["type"].as_str().is_some_and(|kind| kind.contains("notification")));
    let callers = Callers::of(input);
    for request in hosts.seen() {
        let list = match callers.kind(&request) {
            Kind::Startup => &mut played.startup,
            Kind::Remote => &mut played.remote,
            Kind::Impressions => &mut played.impressions,
            Kind::Geo => &mut played.geo,
            Kind::Download => &mut played.downloads,
        };
        list.push(request);
    }
    played
}

fn made(client: &TargetClient, call: &Value) -> Result<Value, Failure> {
    let args = call["args"].as_array().map_or(&[][..], Vec::as_slice);
    library::call(client, call["method"].as_str().unwrap_or_default(), args)
}

fn config(input: &Value, host: &str, artifact: Option<&Value>) -> Value {
    let now = input["now"].as_i64().unwrap_or_default();
    let mut config = library::config(&input["config"], Setting { host, now, through_proxy: true });
    if let Some(artifact) = artifact {
        config["artifact_payload"] = artifact.clone();
    } else if !is_ready(input, artifact) {
        config["maximum_wait_ready"] = Value::from(1);
    }
    // No host here speaks TLS.
    for key in ["artifactLocation", "cdnBasePath"] {
        if let Some(address) = config.get_mut(key)
            && let Some(plain) = address.as_str().and_then(|url| url.strip_prefix("https://"))
        {
            *address = Value::from(format!("http://{plain}"));
        }
    }
    config
}

/// All hosts, answering as recorded.
fn hosts(input: &Value) -> Hosts {
    let callers = Callers::of(input);
    let answers = input["remoteResponses"].as_array().cloned().unwrap_or_default();
    let given = AtomicUsize::new(0);
    let geo = input.get("geoService").map_or(Answer::json(404, "{}"), geo_answer);
    let cdn = input.get("cdn").map_or(Answer::json(503, "{}"), download_answer);
    Hosts::start(move |request| match callers.kind(request) {
        Kind::Geo => geo.clone(),
        Kind::Download => cdn.clone(),
        Kind::Impressions => Answer::json(200, r#"{"status":200}"#),
        Kind::Startup | Kind::Remote => {
            let answer = answers.get(given.fetch_add(1, Ordering::SeqCst)).cloned();
            Answer::json(200, corpus::to_text(&answer.unwrap_or_else(|| json!({"status": 200}))))
        }
    })
}

fn geo_answer(service: &Value) -> Answer {
    if service["fail"] == true {
        return Answer::default();
    }
    Answer::json(service["status"].as_u64().unwrap_or(200), corpus::to_text(&service["body"]))
}

fn download_answer(cdn: &Value) -> Answer {
    let headers = cdn["headers"].as_object().into_iter().flatten();
    let headers = headers.filter_map(|(name, value)| Some((name.clone(), value.as_str()?.to_owned())));
    Answer {
        status: cdn["status"].as_u64().unwrap_or(200),
        reason: cdn["statusText"].as_str().unwrap_or_default().to_owned(),
        headers: headers.collect(),
        body: artifacts::body(cdn),
    }
}
