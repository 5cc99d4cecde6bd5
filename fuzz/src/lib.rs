//! What the fuzz targets have in common: a client that decides and has no network, and how its results are read.

use adobe_target::unversioned::client_without_network;
use adobe_target::{ClientConfig, TargetClient};
use serde_json::{Value, json};

/// What all clients see as now, in milliseconds since 1970.
pub const NOW: i64 = 1_700_000_000_000;

pub const CLIENT: &str = "acme";

pub const ORGANIZATION: &str = "0DD934B85278256B0A490D44@AdobeOrg";

/// An artifact that has something of everything.
pub const ARTIFACT: &str = include_str!("artifact.json");

/// The input up to the first byte that is no UTF-8: whatever is no text is refused before it comes here.
pub fn text(data: &[u8]) -> &str {
    match std::str::from_utf8(data) {
        Ok(text) => text,
        Err(error) => {
            let valid = data.get(..error.valid_up_to()).unwrap_or_default();
            std::str::from_utf8(valid).unwrap_or_default()
        }
    }
}

/// A few inputs, the same in every run: those that are worth more work.
pub fn is_chosen(text: &str) -> bool {
    let sum = text.bytes().fold(text.len(), |sum, byte| sum.wrapping_mul(31).wrapping_add(usize::from(byte)));
    !text.is_empty() && sum % 256 == 0
}

/// For a few inputs, a quarter of a mebibyte of the text. Work that grows with the square of the length takes a minute
/// then, and the fuzzer's limit of seconds tells.
pub fn lengthened(text: &str) -> Option<String> {
    is_chosen(text).then(|| text.repeat(262_144 / text.len()))
}

/// A client that decides from that artifact. What it sends is checked to be JSON and comes back as the answer, so that
/// members that nobody knows take the way of an answer too.
pub fn client(artifact: &str, more: Value) -> TargetClient {
    let mut config = json!({
        "client": CLIENT,
        "organization_id": ORGANIZATION,
        "decisioning_method": "on-device",
        "polling_interval": 0,
        "target_location_hint": "35",
        "secure": false,
        "proxy": "none",
        "fixed_clock_ms": NOW,
        "event_buffer": 16,
        // Sends at once, so that one input's impressions are gone before the next comes.
        "notifications": {"flush_interval": 0, "workers": 1},
    });
    for (key, value) in more.as_object().into_iter().flatten() {
        config[key] = value.clone();
    }
    let mut config = ClientConfig::from_json(&config.to_string()).expect("a valid configuration");
    config.artifact_payload = Some(artifact.to_owned());
    let answer = |url: &str, body: &str| {
        if url.contains("/v1/geo") {
            return r#"{"x-geo-latitude":"50.1","x-geo-longitude":8.7,"x-geo-country-code":"DE","x-geo-city":"F \"M\""}"#
                .to_owned();
        }
        assert!(parsed(body).is_object(), "a body that is no object: {body}");
        format!("{{\"status\":200,{}", body.get(1..).unwrap_or_default())
    };
    client_without_network(config, answer).expect("a client")
}

/// What a result says as JSON for serde_json, the strictest reader that programs have.
pub fn parsed(json: &str) -> Value {
    match serde_json::from_str(json) {
        Ok(value) => value,
        Err(error) => panic!("{error}: {json}"),
    }
}

/// Waits until the impressions of a decision are sent.
pub fn wait_until_sent(client: &TargetClient) {
    while client.stats().queue.pending > 0 {
        std::thread::yield_now();
    }
}

/// An error's JSON form is JSON, and it is no bug and no network that does not exist.
pub fn check_error(error: &adobe_target::TargetError, input: &str) {
    let json = parsed(&error.to_json());
    let code = json["code"].as_str().unwrap_or_default();
    let is_refusal = matches!(code, "TARGET_ERR_INVALID_JSON" | "TARGET_ERR_INVALID_OPTIONS");
    assert!(is_refusal, "{json}: {input}");
    let message = json["message"].as_str().unwrap_or_default();
    let is_fit = !message.is_empty() && !message.chars().any(char::is_control) && message.len() < 4096;
    assert!(is_fit, "a message unfit for a log: {json}");
}
