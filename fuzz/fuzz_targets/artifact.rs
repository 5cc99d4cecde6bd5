#![no_main]
//! An artifact of either form, read, compiled and asked for everything that it has rules of.

use std::sync::OnceLock;

use adobe_target::unversioned::replace_artifact;
use adobe_target::{ArtifactFormat, MboxQuery, TargetClient};
use adobe_target_fuzz::{ARTIFACT, ORGANIZATION, client, parsed, text, wait_until_sent};
use libfuzzer_sys::fuzz_target;
use serde_json::{Map, Value, json};

fuzz_target!(|data: &[u8]| {
    static DECIDERS: OnceLock<[TargetClient; 2]> = OnceLock::new();
    let all_of_home = json!({"all_matching_mboxes": ["home"]});
    let [decider, other] = DECIDERS.get_or_init(|| [(); 2].map(|()| client(ARTIFACT, all_of_home.clone())));
    let format = if data.starts_with(b"ATOD:") { ArtifactFormat::Bin } else { ArtifactFormat::Json };
    let read = replace_artifact(decider, data.to_vec(), format);
    if format == ArtifactFormat::Json {
        // The other form of the same is the same; of what is no JSON it says that the mask may be the wrong one.
        assert_eq!(replace_artifact(other, masked(data), ArtifactFormat::Bin).is_ok(), read.is_ok());
    }
    match read {
        Err(reason) => {
            let is_fit = !reason.is_empty() && reason.len() < 512 && !reason.chars().any(char::is_control);
            assert!(is_fit, "a message unfit for a log: {reason:?}");
        }
        Ok(()) => {
            let artifact = match format {
                ArtifactFormat::Json => serde_json::from_str(text(data).trim_start_matches('\u{FEFF}')).ok(),
                _ => None,
            };
            decide_all(decider, artifact.as_ref());
            if format == ArtifactFormat::Json {
                let request = &requests(artifact.as_ref())[0];
                assert_eq!(answer(decider, request, artifact.is_some()), answer(other, request, artifact.is_some()));
            }
        }
    }
});

fn masked(plain: &[u8]) -> Vec<u8> {
    let key = [b'k'; 32];
    let mask = ORGANIZATION.bytes().chain(key).cycle();
    let masked = plain.iter().zip(mask).map(|(byte, mask)| byte ^ mask);
    b"ATOD:001".iter().copied().chain(key).chain(masked).collect()
}

fn decide_all(client: &TargetClient, artifact: Option<&Value>) {
    // Texts with half a surrogate pair and numbers beyond a double are JSON to the grammar alone. They are copied.
    let is_plain = artifact.is_some();
    for request in requests(artifact) {
        let first = answer(client, &request, is_plain);
        let second = answer(client, &request, is_plain);
        // Impressions have ids of their own, which traces show.
        let is_repeatable = request["trace"].is_null() || request["execute"].is_null();
        if is_repeatable {
            assert_eq!(first, second, "{request}");
        }
        let names = json!(["home", "an mbox"]).to_string();
        let attributes = client.get_attributes_json(&names, &options(&request));
        match attributes {
            Ok(result) if is_plain => assert!(parsed(&result)["attributes"].is_object(), "{result}"),
            Ok(_) => {}
            Err(error) => panic!("{error}: {request}"),
        }
    }
    wait_until_sent(client);
    if is_plain {
        names(artifact, "mboxes").for_each(|mbox| decide_without_json(client, &mbox));
    }
}

/// Options of an mbox that are decided of texts are those that a request has.
fn decide_without_json(client: &TargetClient, mbox: &str) {
    let query = MboxQuery {
        parameters: &[("a", "1"), ("a.b", "Text"), ("user.name", "${mbox.a}")],
        page_url: Some("https://www.acme.com/Cart"),
        user_agent: Some("Mozilla/5.0 Firefox/121.0"),
        property_token: Some("property"),
        ..MboxQuery::new(mbox, "device")
    };
    let decision = client.decide_mbox(&query).unwrap_or_else(|error| panic!("{error}: {mbox:?}"));
    let parameters: Map<String, Value> =
        query.parameters.iter().map(|(name, value)| ((*name).to_owned(), Value::from(*value))).collect();
    let request = json!({
        "requestId": "request",
        "id": {"thirdPartyId": "visitor", "tntId": "device.35_0"},
        "context": {"channel": "web", "address": {"url": query.page_url}, "userAgent": query.user_agent},
        "property": {"token": query.property_token},
        "prefetch": {"mboxes": [{"name": mbox, "parameters": parameters}]},
    });
    let response = answer(client, &request, true).unwrap_or_default();
    let mboxes = response["prefetch"]["mboxes"].as_array();
    let options = mboxes.into_iter().flatten().flat_map(|mbox| mbox["options"].as_array().into_iter().flatten());
    let expected: Vec<_> = options.map(|option| (option.get("content").cloned(), option["type"].as_str())).collect();
    let content = |json: &Option<String>| json.as_deref().map(parsed);
    let decided: Vec<_> =
        decision.options.iter().map(|option| (content(&option.content_json), option.kind.as_deref())).collect();
    assert_eq!(decided, expected, "{mbox:?}");
}

/// The response, none if it is no JSON that serde_json reads.
fn answer(client: &TargetClient, request: &Value, is_plain: bool) -> Option<Value> {
    let result = client.get_offers_json(&options(request)).unwrap_or_else(|error| panic!("{error}: {request}"));
    if !is_plain {
        return serde_json::from_str::<Value>(&result).ok().map(|mut result| result["response"].take());
    }
    let mut result = parsed(&result);
    let response = result["response"].take();
    let is_right = [200, 206].contains(&response["status"].as_i64().unwrap_or_default())
        && response["requestId"] == request["requestId"]
        && response["id"]["thirdPartyId"] == "visitor"
        && response["execute"].is_object() == request["execute"].is_object()
        && response["prefetch"].is_object() == request["prefetch"].is_object();
    assert!(is_right, "{response}");
    Some(response)
}

fn options(request: &Value) -> String {
    json!({"session_id": "s", "request": request}).to_string()
}

/// Of mboxes and views that the artifact has, and of some that it may not have.
fn requests(artifact: Option<&Value>) -> [Value; 3] {
    let mboxes: Vec<Value> = names(artifact, "mboxes")
        .chain(["home", "target-global-mbox"].map(String::from))
        .enumerate()
        .map(|(index, name)| {
            json!({
                "name": name,
                "index": index,
                "parameters": {"a": "1", "a.b": "Text", "user.name": "${mbox.a}"},
                "profileParameters": {"a": "<b>"},
            })
        })
        .collect();
    let views: Vec<Value> = names(artifact, "views").map(|name| json!({"name": name})).chain([json!({})]).collect();
    let request = json!({
        "requestId": "request",
        "id": {"thirdPartyId": "visitor", "tntId": "device.35_0"},
        "context": {
            "channel": "web",
            "address": {"url": "https://www.acme.com/Cart?a=B#c", "referringUrl": "http://localhost"},
            "userAgent": "Mozilla/5.0 (iPhone; CPU iPhone OS 17_0 like Mac OS X) AppleWebKit/605.1.15 Version/17.0 Mobile/15E148 Safari/604.1",
            "geo": {"countryCode": "DE", "city": "\"", "latitude": -0.0},
        },
        "experienceCloud": {"analytics": {"supplementalDataId": "0-1"}},
        "property": {"token": "property"},
    });
    let with = |members: Value| {
        let mut request = request.clone();
        for (key, value) in members.as_object().into_iter().flatten() {
            request[key] = value.clone();
        }
        request
    };
    [
        with(json!({"prefetch": {"mboxes": mboxes, "views": views, "pageLoad": {}}})),
        with(json!({"execute": {"mboxes": mboxes, "pageLoad": {"parameters": {"a": "1"}}}})),
        with(json!({
            "trace": {"authorizationToken": "t"},
            "property": {"token": "other"},
            "execute": {"mboxes": mboxes, "pageLoad": {}},
            "prefetch": {"mboxes": mboxes, "views": views},
        })),
    ]
}

/// Those that a request may have.
fn names(artifact: Option<&Value>, group: &str) -> impl Iterator<Item = String> {
    let members = artifact.and_then(|artifact| artifact["rules"][group].as_object());
    let is_name = |name: &String| (1..=250).contains(&name.chars().count());
    members.into_iter().flatten().map(|(name, _)| name.clone()).filter(is_name).take(8)
}
