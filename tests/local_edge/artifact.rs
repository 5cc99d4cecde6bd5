//! The artifact as the edge serves it: forms, entity tags, encodings, swaps.

use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use adobe_target::local_edge::{LocalEdge, Route};
use serde_json::{Value, json};

use crate::{Answer, Client};

const PATH: &str = "/acme/production/v1/rules.json";

fn serving(artifact: &str) -> (LocalEdge, Client) {
    let edge = LocalEdge::builder().artifact(artifact).start().unwrap();
    let client = Client::of(&edge);
    (edge, client)
}

fn fetch(client: &mut Client, path: &str, headers: &str) -> Answer {
    client.send_request("GET", path, headers, b"").unwrap();
    client.receive().unwrap()
}

fn fetch_if_changed(client: &mut Client, tag: &str) -> Answer {
    fetch(client, PATH, &format!("If-None-Match: {tag}\r\n"))
}

#[test]
fn every_client_environment_and_property_gets_the_artifact() {
    let (edge, mut client) = serving(LocalEdge::default_artifact_json());
    for path in [
        PATH,
        "/other/my%20env/v1/rules.json",
        "/acme/production/v1/0a1b-2c/rules.json",
        "/base/path/acme/production/v1/rules.json?x=y",
    ] {
        let answer = fetch(&mut client, path, "");
        assert_eq!((answer.status, answer.header("content-encoding")), (200, None), "{path}");
        assert_eq!(answer.header("content-type"), Some("application/json;charset=UTF-8"));
        assert_eq!(answer.body, LocalEdge::default_artifact_json().as_bytes(), "byte for byte");
    }
    assert_eq!(edge.report().artifact_requests.requests, 4);
    for path in ["/rules.json", "/acme/rules.json", "/acme/production/v2/rules.json"] {
        assert_eq!(fetch(&mut client, path, "").status, 404, "{path}");
    }
    assert_eq!(edge.report().artifact_requests.requests, 4, "a wrong path is no request for the artifact");
}

#[test]
fn without_an_artifact_there_is_none() {
    let edge = LocalEdge::start().unwrap();
    let mut client = Client::of(&edge);
    let answer = fetch(&mut client, PATH, "");
    assert_eq!((answer.status, answer.message().as_str()), (404, "no artifact is loaded"));
    edge.set_artifact("{}").unwrap();
    assert_eq!(fetch(&mut client, PATH, "").status, 200);
    edge.remove_artifact();
    assert_eq!(fetch(&mut client, PATH, "").status, 404);
    let report = edge.report();
    assert_eq!((report.artifact_etag, report.artifact_requests.requests), (None, 3));
    assert_eq!((report.artifact_requests.status(404), report.artifact_requests.status(200)), (2, 1));
    assert_eq!((report.requests, report.errors.len()), (0, 0), "those are of delivery requests");
}

#[test]
fn an_unchanged_artifact_is_not_sent_again() {
    let (edge, mut client) = serving(r#"{"version":"1.0.0"}"#);
    let first = fetch(&mut client, PATH, "");
    let tag = first.header("etag").unwrap().to_owned();
    assert!(tag.starts_with('"') && tag.ends_with('"'), "{tag} is strong");
    assert_eq!(edge.report().artifact_etag.as_deref(), Some(tag.trim_matches('"')));
    for given in [tag.clone(), format!("\"x\", {tag}"), format!("W/{tag}"), "*".to_owned()] {
        let again = fetch_if_changed(&mut client, &given);
        assert_eq!((again.status, again.body.len(), again.header("content-length")), (304, 0, None), "{given}");
        assert_eq!(again.header("etag"), Some(tag.as_str()));
    }
    assert_eq!(fetch_if_changed(&mut client, "\"x\"").status, 200);

    edge.set_artifact(r#"{"version":"1.0.1"}"#).unwrap();
    let other = fetch_if_changed(&mut client, &tag);
    assert_eq!((other.status, other.json()["version"].as_str()), (200, Some("1.0.1")));
    assert_ne!(other.header("etag"), Some(tag.as_str()));
    edge.set_artifact(r#"{"version":"1.0.0"}"#).unwrap();
    assert_eq!(fetch_if_changed(&mut client, &tag).status, 304, "the tag belongs to the content");
    let counts = edge.report().artifact_requests;
    assert_eq!((counts.requests, counts.status(200), counts.status(304)), (8, 3, 5));
}

#[test]
fn gzip_comes_when_it_is_accepted_with_a_tag_of_its_own() {
    let (edge, mut client) = serving(LocalEdge::default_artifact_json());
    let plain = fetch(&mut client, PATH, "Accept-Encoding: identity\r\n");
    let gzipped = fetch(&mut client, PATH, "Accept-Encoding: deflate, gzip\r\n");
    assert_eq!(gzipped.header("content-encoding"), Some("gzip"));
    assert!(gzipped.body.starts_with(&[0x1f, 0x8b]));
    assert_eq!((plain.header("vary"), gzipped.header("vary")), (Some("Accept-Encoding"), Some("Accept-Encoding")));
    assert_ne!(plain.header("etag"), gzipped.header("etag"));
    let tag = gzipped.header("etag").unwrap();
    let again = fetch(&mut client, PATH, &format!("Accept-Encoding: gzip\r\nIf-None-Match: {tag}\r\n"));
    assert_eq!(again.status, 304);
    assert_eq!(fetch_if_changed(&mut client, tag).status, 200, "that is the tag of other bytes");
    let text = ureq::get(edge.url(PATH)).call().unwrap().body_mut().read_to_string().unwrap();
    assert_eq!(text, LocalEdge::default_artifact_json());
}

#[test]
fn the_bin_form_is_masked_for_the_organization() {
    let artifact = json!({"version": "1.0.0", "name": "Zürich"}).to_string();
    let edge = LocalEdge::builder().artifact(artifact.as_str()).organization_id("1@AdobeOrg").start().unwrap();
    let answer = fetch(&mut Client::of(&edge), "/acme/production/v1/rules.bin", "");
    assert_eq!(answer.header("content-type"), Some("application/octet-stream"));
    let (header, masked) = answer.body.split_at(40);
    assert!(header.starts_with(b"ATOD:001"));
    let mask = [b"1@AdobeOrg", &header[8..]].concat();
    let text: Vec<u8> = masked.iter().zip(mask.iter().cycle()).map(|(byte, mask)| byte ^ mask).collect();
    assert_eq!(text, artifact.as_bytes());
}

#[test]
fn a_head_has_the_headers_alone_and_other_methods_are_refused() {
    let (edge, mut client) = serving("{}");
    for path in [PATH, "/v1/geo"] {
        client.send_request("POST", path, "", b"{}").unwrap();
        assert_eq!(client.receive().unwrap().status, 405, "{path}");
    }
    client.send_request("HEAD", PATH, "Connection: close\r\n", b"").unwrap();
    let mut all = String::new();
    std::io::Read::read_to_string(&mut client.stream, &mut all).unwrap();
    assert!(all.contains("\r\nETag: ") && all.contains("\r\nContent-Length: 2\r\n"), "{all}");
    assert!(all.ends_with("\r\n\r\n"), "{all}");
    assert_eq!(edge.report().artifact_requests.status(405), 1);
}

#[test]
fn requests_are_recorded_by_route() {
    let (edge, mut client) = serving("{}");
    fetch_if_changed(&mut client, "\"x\"");
    client.send_request("GET", "/v1/geo", "X-Forwarded-For: 192.0.2.1\r\n", b"").unwrap();
    client.receive().unwrap();
    client.delivered(&crate::execute(&["home"]));
    let artifact = edge.requests_on(Route::Artifact);
    assert_eq!((artifact.len(), artifact[0].header("if-none-match")), (1, Some("\"x\"")));
    let geo = edge.requests_on(Route::Geo);
    assert_eq!((geo.len(), geo[0].header("x-forwarded-for")), (1, Some("192.0.2.1")));
    assert_eq!(edge.requests_on(Route::Delivery).len(), 1);
    assert_eq!(edge.requests().len(), 3);
}

#[test]
fn what_is_no_object_is_no_artifact() {
    let (edge, mut client) = serving(r#"{"good":true}"#);
    for text in ["", "<html>", "[]", "null", "{"] {
        assert!(edge.set_artifact(text).is_err(), "{text}");
    }
    assert_eq!(fetch(&mut client, PATH, "").json(), json!({"good": true}), "the good one stays");
    let error = LocalEdge::builder().artifact("[]").start().unwrap_err();
    assert_eq!(error.to_string(), "artifact must be an object");
}

#[test]
fn any_bytes_can_stand_in_the_artifacts_place() {
    let (edge, mut client) = serving("{}");
    let deep = format!("{}1{}", "[".repeat(100_000), "]".repeat(100_000));
    for bytes in [&b"<html>"[..], b"{\"version\":", b"\xff\xfe", b"", deep.as_bytes()] {
        edge.set_artifact_bytes(bytes);
        let answer = fetch(&mut client, PATH, "");
        assert_eq!((answer.status, answer.body.as_slice()), (200, bytes));
        assert_eq!(fetch_if_changed(&mut client, answer.header("etag").unwrap()).status, 304);
        assert_eq!(client.delivered(&crate::execute(&["hero"]))["status"], 200);
    }
}

#[test]
fn an_artifact_is_set_over_http() {
    let edge = LocalEdge::start().unwrap();
    let mut client = Client::of(&edge);
    assert_eq!(client.get("/control/artifact", "*/*").json(), Value::Null);
    let artifact: Value = serde_json::from_str(LocalEdge::default_artifact_json()).unwrap();
    let set = client.post("/control/artifact", &artifact).unwrap().json();
    assert_eq!(set["mboxes"], json!(["cart", "home", "product1", "target-global-mbox"]));
    assert_eq!((&set["views"], &set["version"]), (&json!(["checkout"]), &json!("1.0.0")));
    assert_eq!(set["etag"].as_str(), edge.report().artifact_etag.as_deref());
    assert_eq!(client.get("/control/artifact", "*/*").json(), set);
    let bad = client.post("/control/artifact", &json!([])).unwrap();
    assert_eq!((bad.status, bad.message().as_str()), (400, "artifact must be an object"));
    assert_eq!(fetch(&mut client, PATH, "").status, 200);
    client.send_request("DELETE", "/control/artifact", "", b"").unwrap();
    assert_eq!(client.receive().unwrap().status, 200);
    assert_eq!(fetch(&mut client, PATH, "").status, 404);
    assert_eq!(edge.requests().len(), 2, "controls are not recorded");
}

#[test]
fn every_answer_is_wholly_of_one_artifact_while_they_are_swapped() {
    let texts: Vec<String> = (0..3).map(|n| json!({"n": n, "pad": n.to_string().repeat(20_000)}).to_string()).collect();
    let (edge, mut client) = serving(&texts[0]);
    let tags: Vec<String> = texts
        .iter()
        .map(|text| {
            edge.set_artifact(text.as_str()).unwrap();
            fetch(&mut client, PATH, "").header("etag").unwrap().to_owned()
        })
        .collect();
    let done = AtomicBool::new(false);
    std::thread::scope(|scope| {
        scope.spawn(|| {
            for text in texts.iter().cycle() {
                edge.set_artifact(text.as_str()).unwrap();
                std::thread::sleep(Duration::from_millis(1));
                if done.load(Ordering::Relaxed) {
                    break;
                }
            }
        });
        let readers: Vec<_> = (0..16)
            .map(|_| {
                scope.spawn(|| {
                    let mut client = Client::of(&edge);
                    for _ in 0..25 {
                        let answer = fetch(&mut client, PATH, "");
                        let n = answer.json()["n"].as_u64().unwrap() as usize;
                        assert_eq!(
                            (answer.body.as_slice(), answer.header("etag")),
                            (texts[n].as_bytes(), Some(tags[n].as_str()))
                        );
                    }
                })
            })
            .collect();
        let outcomes: Vec<_> = readers.into_iter().map(std::thread::ScopedJoinHandle::join).collect();
        done.store(true, Ordering::Relaxed);
        assert!(outcomes.iter().all(Result::is_ok));
    });
}
