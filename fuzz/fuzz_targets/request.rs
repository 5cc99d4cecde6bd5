#![no_main]
//! Options of the three calls as JSON, for an artifact that has something of everything.

use std::sync::OnceLock;

use adobe_target::delivery::model::DeliveryRequest;
use adobe_target::{CallOptions, DecisioningMethod, TargetClient};
use adobe_target_fuzz::{ARTIFACT, check_error, client, parsed, text, wait_until_sent};
use libfuzzer_sys::fuzz_target;
use serde::Deserialize;
use serde_json::{Value, json};

fuzz_target!(|data: &[u8]| {
    static CLIENT: OnceLock<TargetClient> = OnceLock::new();
    let client = CLIENT.get_or_init(|| client(ARTIFACT, json!({"all_matching_mboxes": ["all"]})));
    let options = text(data);
    match client.get_offers_json(options) {
        Ok(result) => {
            let result = parsed(&result);
            check(&result);
            keeps_what_is_given(options, &result);
            if result["meta"]["decisioning_method"] == "on-device" {
                again(client, &result);
                typed(client, &result);
            }
        }
        Err(error) => check_error(&error, options),
    }
    match client.get_attributes_json(r#"["json","all"]"#, options) {
        Ok(result) => {
            let result = parsed(&result);
            check(&result);
            assert!(result["attributes"].is_object(), "{result}");
        }
        Err(error) => check_error(&error, options),
    }
    match client.send_notifications_json(options) {
        Ok(result) => {
            let result = parsed(&result);
            check(&result);
            assert!(result["request"]["notifications"].is_array(), "{result}");
        }
        Err(error) => check_error(&error, options),
    }
    wait_until_sent(client);
});

fn check(result: &Value) {
    let is_whole = result["response"].is_object()
        && result["request"].is_object()
        && result["visitor_state"].is_object()
        && result["target_cookie"]["value"].as_str().is_some_and(|value| value.starts_with("session#"));
    assert!(is_whole, "{result}");
    assert_eq!(result["response"]["requestId"], result["request"]["requestId"], "{result}");
}

/// What the caller has chosen is no choice of the library.
fn keeps_what_is_given(options: &str, result: &Value) {
    let Ok(options) = serde_json::from_str::<Value>(options) else { return };
    let given = if options["request"].is_null() { &options["events"] } else { &options["request"] };
    for member in ["requestId", "impressionId"] {
        if given[member].as_str().is_some_and(|id| !id.is_empty()) {
            assert_eq!(result["request"][member], given[member], "{options}");
        }
    }
    if given["environmentId"].is_number() {
        assert_eq!(result["request"]["environmentId"].as_f64(), given["environmentId"].as_f64(), "{options}");
    }
    for (key, value) in given.as_object().into_iter().flatten().filter(|(key, _)| key.starts_with("new")) {
        if !value.to_string().contains("null") {
            assert_eq!(&result["request"][key], value, "{key} of {options}");
        }
    }
}

/// The request as it was decided says all that its decision depends on: asked again it is decided in the same way.
fn again(client: &TargetClient, result: &Value) {
    let (request, response) = (&result["request"], &result["response"]);
    let options = json!({"session_id": "s", "decisioning_method": "on-device", "request": request}).to_string();
    let second = match client.get_offers_json(&options) {
        Ok(second) => parsed(&second),
        Err(error) => panic!("{error}: {options}"),
    };
    // Impressions have ids of their own, which traces show, and so do sessions.
    if request["trace"].is_null() {
        assert_eq!(&second["response"], response, "{options}");
    }
    assert_eq!(&second["request"], request, "{options}");
}

/// Where the typed models take the request they lose nothing of it.
fn typed(client: &TargetClient, result: &Value) {
    let (request, response) = (&result["request"], &result["response"]);
    let Ok(model) = DeliveryRequest::deserialize(request) else { return };
    match client.get_offers(&CallOptions::new(model).session_id("s").decisioning_method(DecisioningMethod::OnDevice)) {
        Ok(offers) if request["trace"].is_null() => assert_eq!(&parsed(offers.response_json()), response, "{request}"),
        Ok(_) => {}
        Err(error) => panic!("{error}: {request}"),
    }
}
