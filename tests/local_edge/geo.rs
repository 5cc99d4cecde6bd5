//! The geo service, and the headers that tell the same with an artifact.

use adobe_target::local_edge::{LocalEdge, Scenario};
use serde_json::{Value, json};

use crate::Client;

const NAMES: [&str; 5] = ["x-geo-latitude", "x-geo-longitude", "x-geo-country-code", "x-geo-region-code", "x-geo-city"];

fn ask(client: &mut Client, forwarded: &str) -> Value {
    let header = if forwarded.is_empty() { String::new() } else { format!("x-forwarded-for: {forwarded}\r\n") };
    client.send_request("GET", "/v1/geo", &header, b"").unwrap();
    let answer = client.receive().unwrap();
    assert_eq!((answer.status, answer.header("content-type")), (200, Some("application/json;charset=UTF-8")));
    answer.json()
}

#[test]
fn addresses_are_known_and_others_are_at_the_default() {
    let edge = LocalEdge::start().unwrap();
    let mut client = Client::of(&edge);
    let paris = json!({"x-geo-latitude": "48.85", "x-geo-longitude": "2.35", "x-geo-country-code": "FR",
        "x-geo-region-code": "75", "x-geo-city": "PARIS", "x-forwarded-for": "192.0.2.1"});
    assert_eq!(ask(&mut client, "192.0.2.1"), paris);
    assert_eq!(ask(&mut client, "192.0.2.1, 10.0.0.1"), paris);
    assert_eq!(ask(&mut client, "2001:DB8::1")["x-geo-city"], "BERLIN");
    let other = ask(&mut client, "10.0.0.1");
    assert_eq!((&other["x-geo-country-code"], &other["x-forwarded-for"]), (&json!("US"), &json!("10.0.0.1")));
    let own = ask(&mut client, "");
    assert_eq!((&own["x-geo-city"], &own["x-forwarded-for"]), (&json!("SAN FRANCISCO"), &json!("127.0.0.1")));
    let counts = edge.report().geo_requests;
    assert_eq!((counts.requests, counts.status(200)), (5, 5));
}

#[test]
fn the_table_comes_from_the_scenario() {
    let scenario = json!({"geo": {"default": {}, "addresses": {"10.0.0.1": {"city": "Oslo", "latitude": 59.9}}}});
    let edge = LocalEdge::builder().scenario(Scenario::from_json(&scenario.to_string()).unwrap()).start().unwrap();
    let mut client = Client::of(&edge);
    assert_eq!(
        ask(&mut client, "10.0.0.1"),
        json!({"x-geo-latitude": "59.9", "x-geo-city": "Oslo", "x-forwarded-for": "10.0.0.1"})
    );
    assert_eq!(ask(&mut client, "10.0.0.2"), json!({"x-forwarded-for": "10.0.0.2"}));
    let wrong = json!({"geo": {"addresses": {"10.0.0": {}}}}).to_string();
    assert_eq!(
        Scenario::from_json(&wrong).unwrap_err().to_string(),
        "scenario member geo.addresses.10.0.0 must be named by an address"
    );
}

#[test]
fn the_artifact_comes_with_the_place_of_the_machine() {
    let edge = LocalEdge::builder().default_artifact().start().unwrap();
    let mut client = Client::of(&edge);
    let mut seen = Vec::new();
    for headers in ["", "If-None-Match: *\r\n", "X-Forwarded-For: 203.0.113.1\r\n"] {
        client.send_request("GET", "/acme/production/v1/rules.json", headers, b"").unwrap();
        let answer = client.receive().unwrap();
        seen.push((answer.status, NAMES.map(|name| answer.header(name).unwrap().to_owned())));
    }
    let here = ["37.77", "-122.42", "US", "CA", "SAN FRANCISCO"].map(str::to_owned);
    let tokyo = ["35.68", "139.69", "JP", "13", "TOKYO"].map(str::to_owned);
    assert_eq!(seen, [(200, here.clone()), (304, here), (200, tokyo)]);
    assert_eq!(edge.report().geo_requests.requests, 0);
}
