//! What the library says to input that no program should send, and that it sends nothing of it.
#![cfg(feature = "local-edge")]

mod support;

use std::sync::{Arc, Mutex};
use std::time::Duration;

use adobe_target::local_edge::{Fault, LocalEdge};
use adobe_target::{ClientConfig, DecisioningMethod, LogLevel, ProxySetting, TargetClient, TargetError, set_logger};
use serde_json::{Value, json};
use support::*;

/// Options that have every member that is looked at, all of them valid.
fn full_options() -> Value {
    let details = json!({
        "name": "home", "index": 3, "parameters": {"a": "b"}, "profileParameters": {"c": "d"},
        "order": {"id": "o", "total": 1.5}, "product": {"id": "p"}, "address": {"url": "https://x.example/"},
    });
    let mut page_load = details.clone();
    page_load.as_object_mut().unwrap().retain(|name, _| name != "name" && name != "index");
    let mut view = page_load.clone();
    view["name"] = json!("checkout");
    view["key"] = json!("k");
    let mut notification = display("1");
    notification["impressionId"] = json!("i");
    notification["parameters"] = json!({"a": "b"});
    json!({
        "request": {
            "requestId": "r", "impressionId": "i", "environmentId": 1,
            "id": {
                "tntId": "d.35_0", "thirdPartyId": "t", "marketingCloudVisitorId": "m",
                "customerIds": [{"id": "c", "integrationCode": "crm", "authenticatedState": "unknown"}],
            },
            "property": {"token": "p"},
            "context": {
                "channel": "web", "timeOffsetInMinutes": 60, "application": {"id": "a"}, "screen": {"width": 1},
                "window": {"width": 1}, "browser": {"host": "h"}, "address": {"url": "https://x.example/"},
                "geo": {"city": "c"}, "clientHints": {"mobile": true},
                "mobilePlatform": {"deviceType": "phone", "platformType": "ios"},
            },
            "trace": {"authorizationToken": "t"},
            "telemetry": {"entries": []},
            "qaMode": {"token": "q", "previewIndexes": [{"activityIndex": 1}]},
            "preview": {"token": "v"},
            "experienceCloud": {
                "analytics": {
                    "supplementalDataId": "0123456789ABCDEF-0123456789ABCDEF", "logging": "server_side",
                    "trackingServer": "x", "trackingServerSecure": "y",
                },
                "audienceManager": {"locationHint": 9, "blob": "b"},
            },
            "execute": {"pageLoad": page_load, "mboxes": [{"name": "first"}, details]},
            "prefetch": {"pageLoad": page_load, "mboxes": [details], "views": [view]},
            "notifications": [notification],
        },
        "target_cookie": "session#s#1999999999",
        "target_location_hint": "35",
        "consumer_id": "c",
        "customer_ids": {"crm": {"id": "c", "authState": 1}},
        "session_id": "s",
        "visitor_cookie": "MCMID|1",
        "decisioning_method": "server-side",
        "timeout": 20_000,
        "retry_clicks": false,
    })
}

fn object() -> Value {
    json!({"odd": 1})
}

/// Every kind of value but the ones named, which fit.
fn all_but(fitting: &[&str]) -> Vec<Value> {
    [
        ("boolean", json!(true)),
        ("number", json!(-1.5)),
        ("string", json!("odd")),
        ("array", json!([[]])),
        ("object", object()),
    ]
    .into_iter()
    .filter(|(kind, _)| !fitting.contains(kind))
    .map(|(_, value)| value)
    .collect()
}

#[test]
fn the_full_options_are_valid() {
    let edge = edge();

    client(&edge).get_offers_json(&full_options().to_string()).unwrap();
}

#[test]
fn a_wrong_type_is_refused_by_its_place() {
    let edge = edge();
    let client = client(&edge);
    let mut tried = 0;
    for (pointer, fitting, expected) in [
        ("/request", "object", "request"),
        ("/target_cookie", "string", "target_cookie"),
        ("/target_location_hint", "string", "target_location_hint"),
        ("/consumer_id", "string", "consumer_id"),
        ("/customer_ids/crm/id", "string", "customer_ids.crm.id"),
        ("/customer_ids/crm/authState", "", "customer_ids.crm.authState"),
        ("/session_id", "string", "session_id"),
        ("/visitor_cookie", "string", "visitor_cookie"),
        ("/decisioning_method", "", "decisioning_method"),
        ("/timeout", "", "timeout"),
        ("/retry_clicks", "boolean", "retry_clicks"),
        ("/request/requestId", "string", "request.requestId"),
        ("/request/impressionId", "string", "request.impressionId"),
        ("/request/environmentId", "", "request.environmentId"),
        ("/request/id", "object", "request.id"),
        ("/request/id/tntId", "string", "request.id.tntId"),
        ("/request/id/thirdPartyId", "string", "request.id.thirdPartyId"),
        ("/request/id/marketingCloudVisitorId", "string", "request.id.marketingCloudVisitorId"),
        ("/request/id/customerIds", "array", "request.id.customerIds"),
        ("/request/id/customerIds/0", "object", "request.id.customerIds[0]"),
        ("/request/property", "object", "request.property"),
        ("/request/property/token", "string", "request.property.token"),
        ("/request/context", "object", "request.context"),
        ("/request/context/channel", "string", "request.context.channel"),
        ("/request/context/timeOffsetInMinutes", "number", "request.context.timeOffsetInMinutes"),
        ("/request/context/mobilePlatform", "object", "request.context.mobilePlatform"),
        ("/request/context/application", "object", "request.context.application"),
        ("/request/context/screen", "object", "request.context.screen"),
        ("/request/context/window", "object", "request.context.window"),
        ("/request/context/browser", "object", "request.context.browser"),
        ("/request/context/address", "object", "request.context.address"),
        ("/request/context/geo", "object", "request.context.geo"),
        ("/request/context/clientHints", "object", "request.context.clientHints"),
        ("/request/trace", "object", "request.trace"),
        ("/request/telemetry", "object", "request.telemetry"),
        ("/request/preview", "object", "request.preview"),
        ("/request/qaMode", "object", "request.qaMode"),
        ("/request/qaMode/previewIndexes", "array", "request.qaMode.previewIndexes"),
        ("/request/qaMode/previewIndexes/0", "object", "request.qaMode.previewIndexes[0]"),
        ("/request/experienceCloud", "object", "request.experienceCloud"),
        ("/request/experienceCloud/analytics", "object", "request.experienceCloud.analytics"),
        ("/request/experienceCloud/audienceManager", "object", "request.experienceCloud.audienceManager"),
        (
            "/request/experienceCloud/audienceManager/locationHint",
            "",
            "request.experienceCloud.audienceManager.locationHint",
        ),
        ("/request/experienceCloud/audienceManager/blob", "string", "request.experienceCloud.audienceManager.blob"),
        (
            "/request/experienceCloud/analytics/supplementalDataId",
            "string",
            "request.experienceCloud.analytics.supplementalDataId",
        ),
        ("/request/experienceCloud/analytics/logging", "string", "request.experienceCloud.analytics.logging"),
        (
            "/request/experienceCloud/analytics/trackingServer",
            "string",
            "request.experienceCloud.analytics.trackingServer",
        ),
        ("/request/execute", "object", "request.execute"),
        ("/request/execute/pageLoad", "object", "request.execute.pageLoad"),
        ("/request/execute/pageLoad/parameters", "object", "request.execute.pageLoad.parameters"),
        ("/request/execute/pageLoad/profileParameters", "object", "request.execute.pageLoad.profileParameters"),
        ("/request/execute/pageLoad/order", "object", "request.execute.pageLoad.order"),
        ("/request/execute/pageLoad/product", "object", "request.execute.pageLoad.product"),
        ("/request/execute/pageLoad/address", "object", "request.execute.pageLoad.address"),
        ("/request/execute/mboxes", "array", "request.execute.mboxes"),
        ("/request/execute/mboxes/0", "object", "request.execute.mboxes[0]"),
        ("/request/execute/mboxes/1/name", "string", "request.execute.mboxes[1].name"),
        ("/request/execute/mboxes/1/index", "", "request.execute.mboxes[1].index"),
        ("/request/execute/mboxes/1/parameters", "object", "request.execute.mboxes[1].parameters"),
        ("/request/execute/mboxes/1/profileParameters", "object", "request.execute.mboxes[1].profileParameters"),
        ("/request/execute/mboxes/1/order", "object", "request.execute.mboxes[1].order"),
        ("/request/execute/mboxes/1/product", "object", "request.execute.mboxes[1].product"),
        ("/request/execute/mboxes/1/address", "object", "request.execute.mboxes[1].address"),
        ("/request/prefetch", "object", "request.prefetch"),
        ("/request/prefetch/pageLoad", "object", "request.prefetch.pageLoad"),
        ("/request/prefetch/mboxes", "array", "request.prefetch.mboxes"),
        ("/request/prefetch/mboxes/0", "object", "request.prefetch.mboxes[0]"),
        ("/request/prefetch/mboxes/0/name", "string", "request.prefetch.mboxes[0].name"),
        ("/request/prefetch/views", "array", "request.prefetch.views"),
        ("/request/prefetch/views/0", "object", "request.prefetch.views[0]"),
        ("/request/prefetch/views/0/name", "string", "request.prefetch.views[0].name"),
        ("/request/prefetch/views/0/key", "string", "request.prefetch.views[0].key"),
        ("/request/prefetch/views/0/parameters", "object", "request.prefetch.views[0].parameters"),
        ("/request/notifications", "array", "request.notifications"),
        ("/request/notifications/0", "object", "request.notifications[0]"),
        ("/request/notifications/0/id", "string", "request.notifications[0].id"),
        ("/request/notifications/0/type", "", "request.notifications[0].type"),
        ("/request/notifications/0/timestamp", "", "request.notifications[0].timestamp"),
        ("/request/notifications/0/impressionId", "string", "request.notifications[0].impressionId"),
        ("/request/notifications/0/mbox", "object", "request.notifications[0].mbox"),
        ("/request/notifications/0/mbox/name", "string", "request.notifications[0].mbox.name"),
        ("/request/notifications/0/parameters", "object", "request.notifications[0].parameters"),
    ] {
        // An object without what it needs, and a list with something odd in it, are refused by what is in them.
        for bad in all_but(&[fitting]) {
            let mut options = full_options();
            *options.pointer_mut(pointer).unwrap_or_else(|| panic!("{pointer}")) = bad.clone();

            let error =
                client.get_offers_json(&options.to_string()).expect_err(&format!("{pointer} = {bad} is not refused"));

            assert!(matches!(error, TargetError::InvalidOptions(_)), "{pointer} = {bad}: {error:?}");
            assert_eq!(field(&error), expected, "{pointer} = {bad}: {error}");
            assert_eq!((error.details().phase.as_str(), error.details().attempts), ("validate", 0));
            tried += 1;
        }
    }
    assert!(tried > 300, "{tried}");
    assert_eq!(edge.report().requests, 0);
}

#[test]
fn values_outside_their_range_are_refused_by_their_place() {
    let edge = edge();
    let client = client(&edge);
    for (pointer, bad, expected) in [
        ("/timeout", json!(-1), "timeout"),
        ("/timeout", json!(u64::MAX), "timeout"),
        ("/timeout", json!(0.5), "timeout"),
        ("/session_id", json!("a b"), "session_id"),
        ("/session_id", json!("a/b"), "session_id"),
        ("/session_id", json!("a?b"), "session_id"),
        ("/session_id", json!("a\u{0}b"), "session_id"),
        ("/session_id", json!("a\r\nX-Evil: b"), "session_id"),
        ("/session_id", json!("\u{9f}"), "session_id"),
        ("/session_id", json!("s".repeat(1_000_000)), "session_id"),
        ("/decisioning_method", json!("Server-Side"), "decisioning_method"),
        ("/customer_ids", json!("crm=1"), "customer_ids"),
        ("/customer_ids", json!([1]), "customer_ids[0]"),
        ("/customer_ids", json!({"crm": 1}), "customer_ids.crm"),
        ("/customer_ids", json!({"crm": {"id": ""}}), "customer_ids.crm.id"),
        ("/customer_ids", json!({"crm": {"id": "c", "authState": 3}}), "customer_ids.crm.authState"),
        ("/customer_ids", json!({"crm": {"id": "c", "authState": -1}}), "customer_ids.crm.authState"),
        ("/customer_ids", json!({"crm": {"id": "c", "state": 1}}), "customer_ids.crm.state"),
        ("/customer_ids", json!({"": "c"}), "customer_ids"),
        ("/request/environmentId", json!(u64::MAX), "request.environmentId"),
        ("/request/execute/mboxes/1/index", json!(2_147_483_648_u32), "request.execute.mboxes[1].index"),
        ("/request/execute/mboxes/1/name", json!(""), "request.execute.mboxes[1].name"),
        ("/request/execute/mboxes/1/name", json!(null), "request.execute.mboxes[1].name"),
        ("/request/execute/mboxes/1", json!({}), "request.execute.mboxes[1].name"),
        ("/request/execute/mboxes/1", json!(null), "request.execute.mboxes[1]"),
        ("/request/execute", object(), "request.execute"),
        ("/request/execute", json!({"mboxes": []}), "request.execute"),
        ("/request/execute", json!({"pageLoad": null}), "request.execute"),
        ("/request/prefetch", object(), "request.prefetch"),
        ("/request/prefetch", json!({"views": []}), "request.prefetch"),
    ] {
        let mut options = full_options();
        *options.pointer_mut(pointer).unwrap() = bad.clone();

        let error = client.get_offers_json(&options.to_string()).expect_err(pointer);

        assert!(matches!(error, TargetError::InvalidOptions(_)), "{pointer}: {error:?}");
        assert_eq!(field(&error), expected, "{pointer}: {error}");
    }
    assert_eq!(edge.report().requests, 0);
}

#[test]
fn fixed_messages_are_those_that_the_field_knows() {
    let edge = edge();
    let client = client(&edge);
    let message = |options: &str| client.get_offers_json(options).unwrap_err().to_string();

    for options in ["[]", "5", "null", "\"request\"", "true"] {
        assert_eq!(message(options), "Options map is required");
    }
    for options in [
        "{}",
        r#"{"request":{}}"#,
        r#"{"request":null}"#,
        r#"{"request":[]}"#,
        r#"{"request":"{}"}"#,
        r#"{"events":{}}"#,
        r#"{"session_id":"s"}"#,
    ] {
        assert_eq!(message(options), "Request object is required", "{options}");
    }
    assert_eq!(message(r#"{"request":{"execute":{"new":1}}}"#), "Either pageLoad or mboxes is required in execute");
    assert_eq!(
        message(r#"{"request":{"prefetch":{"mboxes":[]}}}"#),
        "Either views, pageLoad or mboxes is required in prefetch"
    );
    assert_eq!(client.get_offers(&Default::default()).unwrap_err().to_string(), "Request object is required");
    assert_eq!(
        client.get_attributes_json("[]", "{}").unwrap_err().to_string(),
        "Either pageLoad or mboxes is required in execute"
    );
    assert_eq!(edge.report().requests, 0);
}

#[test]
fn unknown_and_doubled_keys_are_named() {
    let edge = edge();
    let client = client(&edge);
    let request = r#""request":{"execute":{"pageLoad":{}}}"#;
    for (members, expected) in [
        (format!(r#"{request},"visitor":{{}}"#), "visitor"),
        (format!(r#"{request},"Request":{{}}"#), "Request"),
        (format!(r#"{request},"":1"#), ""),
        (format!(r#"{request},{request}"#), "request"),
        (format!(r#"{request},"events":{{"execute":{{"pageLoad":{{}}}}}}"#), "events"),
        (format!(r#"{request},"session_id":"a","session_id":"b""#), "session_id"),
        (format!(r#"{request},"session_id":"a","sessionId":"b""#), "sessionId"),
        (format!(r#"{request},"session_id":null,"sessionId":null"#), "sessionId"),
        (
            format!(r#"{request},"customer_ids":{{"a":{{"id":"x","authState":1,"auth_state":1}}}}"#),
            "customer_ids.a.auth_state",
        ),
        (r#""request":{"execute":{"pageLoad":{}},"execute":{"pageLoad":{}}}"#.to_owned(), "request.execute"),
        (r#""request":{"id":null,"\u0069d":null,"execute":{"pageLoad":{}}}"#.to_owned(), "request.id"),
    ] {
        let error = client.get_offers_json(&format!("{{{members}}}")).expect_err(&members);

        assert!(matches!(error, TargetError::InvalidOptions(_)), "{members}: {error:?}");
        assert_eq!(field(&error), expected, "{members}");
    }
    assert_eq!(edge.report().requests, 0);
}

#[test]
fn every_truncation_of_a_text_is_refused() {
    let edge = edge();
    let client = client(&edge);
    let text = full_options().to_string();
    for (end, _) in text.char_indices() {
        let error = client.get_offers_json(&text[..end]).unwrap_err();

        assert!(matches!(error, TargetError::InvalidJson(_)), "{end}: {error:?}");
    }
    assert_eq!(edge.report().requests, 0);
}

#[test]
fn texts_that_are_no_json_are_refused_by_their_place() {
    let edge = edge();
    let client = client(&edge);
    for (text, expected) in [
        ("", "options"),
        (" ", "options"),
        ("\u{FEFF}{}", "options"),
        ("{'request':{}}", "options"),
        ("{\"request\":{}} x", "options"),
        (r#"{"request":{"execute":{"pageLoad":{}},}}"#, "request"),
        (r#"{"request":{"environmentId":NaN}}"#, "request.environmentId"),
        (r#"{"request":{"environmentId":-Infinity}}"#, "request.environmentId"),
        (r#"{"request":{"environmentId":01}}"#, "request.environmentId"),
        (r#"{"request":{"environmentId":+1}}"#, "request.environmentId"),
        (r#"{"request":{"environmentId":0x1}}"#, "request"),
        (r#"{"request":{"environmentId":1.}}"#, "request.environmentId"),
        (r#"{"request":{"notifications":[{"id":"1"},{"timestamp":NaN}]}}"#, "request.notifications[1].timestamp"),
        (r#"{"session_id":"\ud800"}"#, "session_id"),
        (r#"{"session_id":"\udc00\ud800"}"#, "session_id"),
        (r#"{"request":{"requestId":"a\ud83dx"}}"#, "request.requestId"),
        (r#"{"session_id":"\x41"}"#, "session_id"),
        (r#"{"session_id":"\u12"}"#, "session_id"),
        ("{\"session_id\":\"a\nb\"}", "session_id"),
        ("{\"session_id\":\"a\u{0}b\"}", "session_id"),
        ("{\"session_id\":tRue}", "session_id"),
        ("{\"request\":{}/* no */}", "options"),
    ] {
        let error = client.get_offers_json(text).unwrap_err();

        assert!(matches!(error, TargetError::InvalidJson(_)), "{text:?}: {error:?}");
        assert_eq!(field(&error), expected, "{text:?}: {error}");
    }
    assert_eq!(edge.report().requests, 0);
}

#[test]
fn nesting_is_bounded() {
    let edge = edge();
    let client = client(&edge);
    let nested = |levels: usize| {
        format!(r#"{{"request":{{"execute":{{"pageLoad":{{}}}},"new":{}{}}}}}"#, "[".repeat(levels), "]".repeat(levels))
    };

    let error = client.get_offers_json(&nested(127)).unwrap_err();
    assert!(matches!(error, TargetError::InvalidJson(_)), "{error:?}");
    assert!(error.to_string().contains("nested deeper than"), "{error}");
    for endless in ["[".repeat(2_000_000), r#"{"a":"#.repeat(500_000), nested(1_000_000)] {
        let error = client.get_offers_json(&endless).unwrap_err();
        assert!(matches!(error, TargetError::InvalidJson(_)), "{}", error.code());
        assert!(error.to_json().len() < 10_000, "an error is for people");
    }
    assert_eq!(edge.report().requests, 0);
    client.get_offers_json(&nested(100)).unwrap();
}

#[test]
fn a_million_mboxes_are_refused_by_their_number() {
    let edge = edge();
    let client = client(&edge);
    let mboxes = vec![r#"{"name":"x"}"#; 1_000_000].join(",");
    for part in ["execute", "prefetch"] {
        let error =
            client.get_offers_json(&format!(r#"{{"request":{{"{part}":{{"mboxes":[{mboxes}]}}}}}}"#)).unwrap_err();

        assert!(matches!(error, TargetError::InvalidOptions(_)), "{error:?}");
        assert_eq!(field(&error), format!("request.{part}.mboxes"));
    }
    assert_eq!(edge.report().requests, 0);
}

#[test]
fn a_million_attributes_are_refused_by_their_number() {
    let edge = edge();
    let client = client(&edge);
    for count in [51, 1_000_000] {
        let names: Vec<String> = (0..count).map(|n| format!("m{n}")).collect();

        let error = client.get_attributes(&names, &Default::default()).unwrap_err();

        assert!(matches!(error, TargetError::InvalidOptions(_)), "{error:?}");
        assert_eq!(field(&error), "mbox_names");
    }
    assert_eq!(edge.report().requests, 0);
}

#[test]
fn mbox_names_are_a_list_of_names() {
    let edge = edge();
    let client = client(&edge);
    for (names, expected) in [
        (r#""home""#, "mbox_names"),
        (r#"{"0":"home"}"#, "mbox_names"),
        ("null", "mbox_names"),
        (r#"["home",5]"#, "mbox_names[1]"),
        (r#"[null]"#, "mbox_names[0]"),
        (r#"["home",""]"#, "mbox_names[1]"),
    ] {
        let error = client.get_attributes_json(names, "{}").expect_err(names);

        assert!(matches!(error, TargetError::InvalidOptions(_)), "{names}: {error:?}");
        assert_eq!(field(&error), expected, "{names}");
    }
    for names in ["", "[\"home\"", "[\"\\ud800\"]", "[home]"] {
        assert!(matches!(client.get_attributes_json(names, "{}"), Err(TargetError::InvalidJson(_))), "{names}");
    }
    let long = client.get_attributes(["x".repeat(251)], &Default::default()).unwrap_err();
    assert_eq!(field(&long), "mbox_names[0]");
    assert_eq!(edge.report().requests, 0);
}

#[test]
fn huge_texts_pass_where_nothing_bounds_them() {
    let edge = edge();
    let client = client(&edge);
    let huge = "é".repeat(2_000_000);
    for (key, text) in [
        ("target_cookie", huge.clone()),
        ("target_cookie", "session#".repeat(500_000)),
        ("target_cookie", "|".repeat(2_000_000)),
        ("target_cookie", "%".repeat(2_000_000)),
        ("visitor_cookie", huge.clone()),
        ("visitor_cookie", "MCMID|".repeat(500_000)),
        ("consumer_id", huge.clone()),
    ] {
        let mut options = json!({"request": execute(&["home"])});
        options[key] = json!(text);

        client.get_offers_json(&options.to_string()).unwrap_or_else(|error| panic!("{key}: {error}"));
    }
    let mut request = execute(&["home"]);
    request["new"] = json!(huge);
    client.get_offers_json(&json_options(request)).unwrap();
    assert_eq!(edge.report().impressions.total, 8);
}

#[test]
fn control_characters_are_data_like_any_other() {
    let edge = edge();
    let client = client(&edge);
    let odd: String = (0..0x20u8).map(char::from).chain("\u{7f}\u{80}\u{2028}\u{FFFF}😀\"\\/".chars()).collect();
    let request = json!({
        "requestId": "r", "execute": {"mboxes": [{"name": odd, "parameters": {odd.clone(): odd}}]}, "new": {odd.clone(): odd},
    });

    let result = client
        .get_offers_json(
            &json!({"request": request, "consumer_id": odd, "customer_ids": {odd.clone(): odd}}).to_string(),
        )
        .unwrap();

    let sent = only_body(&edge);
    assert_eq!(sent["execute"]["mboxes"][0]["name"], odd);
    assert_eq!(sent["execute"]["mboxes"][0]["parameters"][&odd], odd);
    assert_eq!(sent["new"][&odd], odd);
    assert_eq!(
        sent["id"]["customerIds"][0],
        json!({"id": odd, "integrationCode": odd, "authenticatedState": "unknown"})
    );
    let state = &parsed(&result)["visitor_state"][ORGANIZATION];
    assert_eq!(state["sdid"]["supplementalDataIDCurrentConsumed"][format!("payload:{odd}")], true);
}

#[test]
fn hostile_names_make_no_hostile_messages() {
    let edge = edge();
    let client = client(&edge);
    let hostile = format!("\u{1b}[2J\r\nInjected: line\u{0}{}", "x".repeat(100_000));
    let short_and_hostile = "\u{1b}[2J\r\nInjected: line\u{0}";
    let mut doubled = full_options().to_string();
    doubled.truncate(doubled.len() - 1);
    doubled.push_str(&format!(",{}:1}}", json!(hostile)));
    let in_request = |members: &str| format!(r#"{{"request":{{{members}}}}}"#);
    let key = json!(hostile);
    for options in [
        doubled,
        format!("{{{key}:1}}"),
        in_request(&format!(r#"{key}:1,{key}:2"#)),
        in_request(&format!(r#"{key}:NaN"#)),
        in_request(&format!(r#""execute":{{"pageLoad":{{"parameters":{{{key}:"v"}}}}}}"#)),
        json!({"request": {"execute": {"pageLoad": {"parameters": {short_and_hostile: "v".repeat(5001)}}}}})
            .to_string(),
        json!({"request": execute(&["home"]), "customer_ids": {hostile.clone(): 5}}).to_string(),
        json!({"request": execute(&["home"]), "customer_ids": {hostile.clone(): {"id": ""}}}).to_string(),
        json!({"request": execute(&["home"]), "customer_ids": {"crm": {hostile.clone(): ""}}}).to_string(),
    ] {
        let error = client.get_offers_json(&options).unwrap_err();

        let shown = options.chars().take(60).collect::<String>();
        for text in [error.to_string(), field(&error).to_owned()] {
            assert!(!text.chars().any(char::is_control), "{shown:?}: {:?}", text.chars().take(200).collect::<String>());
            assert!(text.len() < 2000, "{shown:?}: {} bytes", text.len());
        }
    }
    assert_eq!(edge.report().requests, 0);
}

#[test]
fn a_hostile_location_hint_never_becomes_part_of_a_host_name() {
    let edge = edge();
    let hints = [
        "35.evil.example/",
        "@evil.example",
        "35#",
        "35/",
        "35:80",
        "35 ",
        " ",
        "a_b",
        "35\r\n",
        "é",
        "..",
        "35-",
        "%2e",
        "x".repeat(56).leak(),
    ];
    let affine = builder(&edge).edge_affinity(true).build().unwrap();
    for hint in hints {
        let error = affine.get_offers(&options(execute(&["home"])).target_location_hint(hint)).unwrap_err();
        assert!(matches!(error, TargetError::InvalidOptions(_)), "{hint:?}: {error:?}");
        assert_eq!(field(&error), "target_location_hint");

        let error = builder(&edge).target_location_hint(hint).build().unwrap_err();
        assert_eq!(field(&error), "target_location_hint", "{hint:?}");
    }
    assert_eq!(edge.report().requests, 0);
    for hint in hints {
        // In a cookie or an id it is ignored, so the request goes to the configured domain.
        let cookie = format!("PC#d.{}_0#1999999999", hint.bytes().map(|b| format!("%{b:02x}")).collect::<String>());
        edge.reply_with(200, r#"{"edgeHost":"mboxedge35.tt.omtrdc.net"}"#);
        let offers = affine.get_offers(&options(execute(&["home"])).target_cookie(cookie)).unwrap();
        assert_eq!(offers.target_location_hint_cookie.unwrap().value, "35", "{hint:?}: that of the answer");
    }
    assert_eq!(edge.report().requests, hints.len() as u64);
    edge.reply_with(200, r#"{"edgeHost":"mboxedge35/.tt.omtrdc.net"}"#);
    assert_eq!(affine.get_offers(&options(execute(&["home"]))).unwrap().target_location_hint_cookie, None);
}

#[test]
fn a_number_that_json_cannot_hold_is_refused_not_left_out() {
    let edge = edge();
    let client = client(&edge);
    let mut options = options(execute(&["home"]));
    let context = options.request.as_mut().unwrap().context.get_or_insert_default();
    context.geo = Some(adobe_target::delivery::model::Geo { latitude: Some(f64::NAN), ..Default::default() });

    let error = client.get_offers(&options).unwrap_err();

    assert!(matches!(error, TargetError::InvalidOptions(_)), "{error:?}");
    assert_eq!(edge.report().requests, 0);
}

mod configuration {
    use super::*;

    fn config() -> Value {
        json!({
            "client": "acme", "organization_id": ORGANIZATION, "server_domain": "127.0.0.1:9", "secure": false,
            "proxy": "none", "tls": {"roots": "bundled"}, "retry": {"max_attempts": 1}, "headers": {"x-a": "b"},
            "notifications": {"max_queued": 1},
        })
    }

    fn refusal(key: &str, value: Value) -> TargetError {
        let mut config = config();
        match key.split_once('.') {
            Some((parent, key)) => config[parent][key] = value.clone(),
            None => config[key] = value.clone(),
        }
        ClientConfig::from_json(&config.to_string())
            .and_then(TargetClient::new)
            .map(|_| ())
            .expect_err(&format!("{key} = {value} is not refused"))
    }

    #[test]
    fn a_wrong_type_is_refused_by_its_key() {
        for (key, fitting) in [
            ("client", "string"),
            ("organization_id", "string"),
            ("decisioning_method", ""),
            ("server_domain", "string"),
            ("secure", "boolean"),
            ("edge_affinity", "boolean"),
            ("timeout", ""),
            ("connect_timeout", ""),
            ("target_location_hint", "string"),
            ("environment_id", ""),
            ("property_token", "string"),
            ("version", "string"),
            ("environment", "string"),
            ("cdn_environment", ""),
            ("cdn_base_path", "string"),
            ("artifact_location", "string"),
            ("artifact_format", ""),
            ("artifact_payload", "object"),
            ("artifact_cache_dir", "string"),
            ("polling_interval", ""),
            ("maximum_wait_ready", ""),
            ("telemetry_enabled", "boolean"),
            ("proxy", "string"),
            ("tls.roots", ""),
            ("tls.ca_file", "string"),
            ("max_idle_connections", ""),
            ("max_idle_age", ""),
            ("retry.max_attempts", ""),
            ("retry.base_delay", ""),
            ("retry.max_delay", ""),
            ("retry_clicks", "boolean"),
            ("notifications.max_queued", ""),
            ("notifications.max_batch", ""),
            ("notifications.flush_interval", ""),
            ("notifications.workers", ""),
            ("notifications.time_to_live", ""),
            ("notifications.spool_dir", "string"),
            ("notifications.spool_max_bytes", ""),
            ("notifications.spool_sync", ""),
            ("event_buffer", ""),
            ("close_timeout", ""),
            ("fixed_clock_ms", ""),
            ("headers.x-a", "string"),
        ] {
            for bad in all_but(&[fitting]) {
                let error = refusal(key, bad.clone());

                assert!(matches!(error, TargetError::InvalidOptions(_)), "{key} = {bad}: {error:?}");
                assert_eq!(field(&error), key, "{key} = {bad}: {error}");
            }
        }
        for (key, expected) in [
            ("tls", "tls.odd"),
            ("retry", "retry.odd"),
            ("notifications", "notifications.odd"),
            ("headers", "headers.odd"),
        ] {
            assert_eq!(field(&refusal(key, object())), expected, "an object with something odd in it");
            for bad in all_but(&["object"]) {
                assert_eq!(field(&refusal(key, bad.clone())), key, "{key} = {bad}");
            }
        }
        assert_eq!(field(&refusal("all_matching_mboxes", json!(["a", 5]))), "all_matching_mboxes[1]");
    }

    #[test]
    fn values_outside_their_range_are_refused_by_their_key() {
        for (key, bad) in [
            ("client", json!("a/b")),
            ("client", json!("evil.example#")),
            ("client", json!("a b")),
            ("client", json!("é")),
            ("server_domain", json!("http://x")),
            ("server_domain", json!("x/y")),
            ("server_domain", json!("x:0")),
            ("server_domain", json!("x:65536")),
            ("server_domain", json!("user:secret@x")),
            ("server_domain", json!("x\r\ny")),
            ("server_domain", json!("[::1")),
            ("server_domain", json!("::1")),
            ("timeout", json!(-1)),
            ("connect_timeout", json!(0)),
            ("fixed_clock_ms", json!(1e300)),
            ("fixed_clock_ms", json!(u64::MAX)),
            ("retry.max_attempts", json!(0)),
            ("event_buffer", json!(0)),
            ("headers.Content-Type", json!("x")),
            ("headers.X-EXC-SDK", json!("x")),
            ("headers.Transfer-Encoding", json!("chunked")),
            ("headers.a", json!("b\r\nc: d")),
            ("headers.a", json!("b\u{0}")),
            ("headers.a b", json!("c")),
            ("headers.a:", json!("c")),
            ("headers.X-A", json!("given twice, in another case")),
        ] {
            let error = refusal(key, bad.clone());

            assert!(matches!(error, TargetError::InvalidOptions(_)), "{key} = {bad}: {error:?}");
            assert_eq!(field(&error), key, "{bad}");
        }
    }

    #[test]
    fn texts_that_are_no_configuration_are_refused() {
        let refusal = |text: &str| ClientConfig::from_json(text).unwrap_err();
        for text in ["", "{", "{\"client\":\"acme\",}", "{\"client\":\"\\ud800\"}", "\u{FEFF}{}", "nope"] {
            assert!(matches!(refusal(text), TargetError::InvalidJson(_)), "{text:?}");
        }
        assert!(matches!(refusal(&"[".repeat(1_000_000)), TargetError::InvalidJson(_)));
        for (text, message) in [
            ("[]", "Options map is required"),
            ("null", "Options map is required"),
            ("{}", "Client is required"),
            (r#"{"client":null,"organization_id":"x"}"#, "Client is required"),
            (r#"{"client":"acme"}"#, "Organization Id is required"),
        ] {
            let error = refusal(text);
            assert!(matches!(error, TargetError::InvalidOptions(_)), "{error:?}");
            assert_eq!(error.to_string(), message);
        }
        assert_eq!(field(&refusal(r#"{"client":"a","Client":"b"}"#)), "Client");
        assert_eq!(field(&refusal(r#"{"client":"a","client":"b"}"#)), "client");
        assert_eq!(field(&refusal(r#"{"organization_id":"a","organizationId":"b"}"#)), "organizationId");
    }

    #[test]
    fn extremes_that_are_allowed_work() {
        let edge = edge();
        for fixed_clock in [i64::MIN, -1, 0, i64::MAX] {
            let config = json!({
                "client": "acme", "organization_id": ORGANIZATION, "server_domain": edge.host(), "secure": false,
                "proxy": "none", "timeout": i64::MAX, "connect_timeout": i64::MAX, "close_timeout": i64::MAX,
                "max_idle_connections": i64::MAX, "max_idle_age": i64::MAX, "event_buffer": i64::MAX,
                "retry": {"max_attempts": i64::MAX, "base_delay": 0, "max_delay": i64::MAX},
                "polling_interval": i64::MAX, "maximum_wait_ready": i64::MAX, "environment_id": i64::MIN,
                "fixed_clock_ms": fixed_clock,
            });
            let client = TargetClient::new(ClientConfig::from_json(&config.to_string()).unwrap()).unwrap();
            edge.fault(Fault::status(503));

            let offers = client.get_offers(&options(execute(&["home"])).timeout(Duration::MAX)).unwrap();

            assert!(offers.target_cookie.max_age > 0 || fixed_clock == i64::MAX, "{:?}", offers.target_cookie);
            client.get_offers(&options(execute(&["home"])).target_cookie(&offers.target_cookie.value)).unwrap();
        }
        let mut least = builder(&edge).max_idle_connections(0).max_idle_age(Duration::ZERO).timeout(Duration::ZERO);
        least.config_mut().event_buffer = 1;
        let client = least.build().unwrap();
        client.get_offers(&options(execute(&["home"]))).unwrap();
        client.get_offers(&options(execute(&["home"]))).unwrap();
        assert_eq!(client.stats().connections_opened, 2);
    }
}

mod unsupported {
    use super::*;

    #[test]
    fn a_server_side_client_has_nothing_to_decide_from() {
        let edge = edge();
        let client = client(&edge);
        let options = options(execute(&["home"])).decisioning_method(DecisioningMethod::OnDevice);

        for error in [
            client.get_offers(&options).unwrap_err(),
            client.get_attributes(["home"], &options).unwrap_err(),
            client.get_offers_async(&options).unwrap_err(),
        ] {
            assert!(matches!(error, TargetError::NotReady(_)), "{error:?}");
        }
        assert_eq!(edge.report().requests, 0);
    }

    #[cfg(not(feature = "spool"))]
    #[test]
    fn a_build_without_the_spool_says_so() {
        let config = json!({"client": "acme", "organization_id": ORGANIZATION, "notifications": {"spool_dir": "/tmp"}});

        let error = TargetClient::new(ClientConfig::from_json(&config.to_string()).unwrap()).unwrap_err();

        assert!(matches!(error, TargetError::Unsupported(_)), "{error:?}");
        assert_eq!(field(&error), "notifications.spool_dir");
    }

    #[cfg(feature = "spool")]
    #[test]
    fn a_spool_that_cannot_be_opened_is_an_error_of_create() {
        let config =
            json!({"client": "acme", "organization_id": ORGANIZATION, "notifications": {"spoolDir": "/dev/null/x"}});

        let error = TargetClient::new(ClientConfig::from_json(&config.to_string()).unwrap()).unwrap_err();

        assert!(matches!(error, TargetError::Storage(_)), "{error:?}");
        assert_eq!(field(&error), "notifications.spool_dir");
        assert!(error.to_string().contains("/dev/null/x"), "{error}");
    }
}

mod answers {
    use super::*;

    /// What a call makes of this answer.
    fn outcome(fault: Fault) -> Result<String, TargetError> {
        let edge = edge();
        edge.fault(fault);
        client(&edge).get_offers_json(&json_options(execute(&["home"])))
    }

    #[track_caller]
    fn assert_unreadable(fault: Fault) {
        let shown = format!("{fault:?}").chars().take(100).collect::<String>();

        let error = outcome(fault).expect_err(&shown);

        assert!(matches!(error, TargetError::InvalidResponse(_)), "{shown}: {}", error.code());
        assert_eq!((error.details().phase.as_str(), error.details().attempts), ("response", 1), "{shown}");
        assert!(error.to_json().len() < 2000, "an error is for people: {shown}");
    }

    #[test]
    fn only_an_object_is_an_answer() {
        for body in ["[]", "null", "5", "\"text\"", "{", "{}{}", "{\"a\":}", "<html>", "{\"a\":\"\u{0}\"}"] {
            assert_unreadable(Fault::respond(200, body));
        }
        assert_unreadable(Fault::respond(200, *b"{\"a\":\"\xff\"}"));
        assert_unreadable(Fault::GarbageBody);
    }

    #[test]
    fn nesting_is_bounded() {
        assert_unreadable(Fault::respond(200, "[".repeat(1_000_000)));
        assert_unreadable(Fault::respond(200, format!(r#"{{"new":{}{}}}"#, "[".repeat(500_000), "]".repeat(500_000))));
    }

    #[test]
    fn size_is_bounded() {
        let padded = |bytes: usize| format!(r#"{{"pad":"{}"}}"#, " ".repeat(bytes - 10));
        assert_unreadable(Fault::respond(200, padded(16 * 1024 * 1024 + 1)));
        assert_unreadable(Fault::GzipBomb { megabytes: 200 });

        let largest = outcome(Fault::respond(200, padded(16 * 1024 * 1024))).unwrap();
        assert!(largest.len() > 16 * 1024 * 1024);
    }

    #[test]
    fn one_that_never_ends_is_left_at_the_deadline() {
        let edge = edge();
        edge.fault(Fault::SlowBody { chunk_delay: Duration::from_millis(5) });

        let error =
            client(&edge).get_offers(&options(execute(&["home"])).timeout(Duration::from_millis(100))).unwrap_err();

        assert!(matches!(error, TargetError::Timeout(_)), "{error:?}");
        assert!(edge.wait_until(LONG, |_| edge.open_connections() == 0));
    }

    #[test]
    fn a_redirect_is_not_followed() {
        let elsewhere = edge();
        let fault = Fault::Respond {
            status: 307,
            reason: None,
            headers: vec![("Location".to_owned(), elsewhere.url("/rest/v1/delivery?imsOrgId=1&sessionId=1"))],
            body: Vec::new(),
            delay: Duration::ZERO,
        };

        let error = outcome(fault).unwrap_err();

        assert!(matches!(error, TargetError::Http(_)), "{error:?}");
        assert_eq!((error.details().http_status, error.is_retryable()), (Some(307), false));
        assert_eq!(elsewhere.connections(), 0);
    }

    #[test]
    fn the_message_of_a_refusal_is_one_line() {
        let message = json!({"status": 400, "message": format!("a\r\nb\u{1b}\u{0}{}", "é".repeat(100_000))});

        let error = outcome(Fault::respond(400, message.to_string())).unwrap_err();

        let shown = error.details().api_message.as_deref().unwrap();
        assert!(shown.starts_with("a  b  é") && shown.chars().count() <= 500, "{shown}");
        for odd in ["", "x", "[]", r#"{"message":5}"#, r#"{"message":""}"#, r#"{"message":"\n"}"#] {
            let error = outcome(Fault::respond(400, odd)).unwrap_err();
            assert_eq!((error.to_string().as_str(), &error.details().api_message), ("the edge answered 400", &None));
        }
    }

    #[test]
    fn a_text_that_only_json_can_hold_costs_the_typed_answer_nothing_else() {
        let edge = edge();
        for odd in [r#""\ud800""#, "1e400"] {
            edge.reply_with(200, format!(r#"{{"new":{odd},"notifications":[{{"id":"1"}}]}}"#));

            let offers = client(&edge).send_notifications(&options(notify([display("1")]))).unwrap();

            assert_eq!(offers.meta.notifications.unwrap().acknowledged, ["1"]);
        }
    }
}

mod secrets {
    use super::*;

    const SECRET: &str = "s3cr3t";

    fn secret(of: &str) -> String {
        format!("{SECRET}-{of}")
    }

    /// A call in which everything that may be a secret is one.
    fn confidential() -> Value {
        let mut notification = display("1");
        notification["tokens"] = json!([secret("token")]);
        notification["mbox"]["state"] = json!(secret("state"));
        notification["parameters"] = json!({"p": secret("parameter")});
        json!({
            "request": {
                "id": {
                    "tntId": format!("{}.35_0", secret("tnt-id")), "thirdPartyId": secret("third-party"),
                    "customerIds": [{"id": secret("own-customer"), "integrationCode": "c", "authenticatedState": "unknown"}],
                },
                "property": {"token": secret("property")},
                "trace": {"authorizationToken": secret("trace")},
                "execute": {"mboxes": [{"name": "home", "profileParameters": {"p": secret("profile")}}]},
                "notifications": [notification],
            },
            "target_cookie": format!("session#{}#1999999999|PC#{}.35_0#1999999999", secret("session"), secret("device")),
            "session_id": secret("session-id"),
            "visitor_cookie": format!("MCMID|{}|MCAAMB|{}", secret("mcmid"), secret("blob")),
            "customer_ids": {"crm": {"id": secret("customer"), "authState": 1}},
            "timeout": 20_000,
        })
    }

    fn changed(pointer: &str, value: Value) -> String {
        let mut options = confidential();
        *options.pointer_mut(pointer).unwrap() = value;
        options.to_string()
    }

    #[track_caller]
    fn assert_discreet(error: &TargetError) {
        let texts = all_texts(error);
        assert!(!texts.contains(SECRET), "{texts}");
    }

    fn confidant(server_domain: String) -> TargetClient {
        builder_for(server_domain).header("Authorization", secret("header")).build().unwrap()
    }

    #[test]
    fn a_refused_value_is_not_repeated() {
        let edge = edge();
        let client = confidant(edge.host());
        let mut refused = vec![
            changed("/target_cookie", json!([secret("cookie")])),
            changed("/session_id", json!(format!("{} with a space", secret("session")))),
            changed("/session_id", json!({"id": secret("session")})),
            changed("/visitor_cookie", json!({"cookie": secret("visitor")})),
            changed("/customer_ids", json!({"crm": [secret("customer")]})),
            changed("/customer_ids", json!([secret("customer")])),
            changed("/customer_ids/crm/authState", json!(secret("state"))),
            changed("/timeout", json!(secret("timeout"))),
            changed("/request/id/tntId", json!([secret("id")])),
            changed("/request/id/customerIds", json!(secret("ids"))),
            changed("/request/property", json!(secret("property"))),
            changed("/request/property/token", json!([secret("property")])),
            changed("/request/notifications/0/tokens", json!(secret("token"))),
            changed("/request/notifications/0/tokens", json!([secret("token"), 5])),
            changed("/request/notifications/0/type", json!(secret("type"))),
            changed("/request/notifications/0/timestamp", json!(secret("time"))),
            changed("/request/notifications/0/mbox", json!(secret("mbox"))),
            changed("/request/notifications/0/mbox/name", json!([secret("mbox")])),
            changed("/request/notifications/0/parameters/p", json!(secret("x").repeat(1000))),
            changed("/request/execute/mboxes/0/name", json!({"name": secret("mbox")})),
            changed("/target_cookie", json!(null)).replace("null", "nul"),
        ];
        let whole = confidential().to_string();
        refused.extend((1..whole.len()).map(|end| whole[..end].to_owned()));
        refused.push(whole.replacen("\"timeout\"", &format!("\"{}\":{{\"a\":1}},\"timeout\"", "unknown"), 1));
        refused.push(format!("{} {}", whole, secret("rest")));
        for options in refused {
            assert_discreet(&client.send_notifications_json(&options).unwrap_err());
        }
        assert_eq!(edge.report().requests, 0);
    }

    #[test]
    fn failures_on_the_way_say_nothing_of_what_was_sent() {
        let lines = Arc::new(Mutex::new(String::new()));
        let log = Arc::clone(&lines);
        set_logger(Some((
            LogLevel::Trace,
            Box::new(move |_, line| {
                let mut lines = log.lock().unwrap();
                lines.push_str(line);
                lines.push('\n');
            }),
        )));
        let edge = edge();
        let client = confidant(edge.host());
        for fault in [
            Fault::status(400),
            Fault::status(401),
            Fault::status(503),
            Fault::status(599),
            Fault::status(302),
            Fault::Garbage,
            Fault::GarbageBody,
            Fault::HalfAnswer { counted: false },
            Fault::ResetBeforeReading,
            Fault::ResetAfterReading { counted: false },
            Fault::respond(200, format!("[\"{}\"]", secret("answer"))),
            Fault::respond(200, format!("{{\"id\":{{\"tntId\":\"{}", secret("answer"))),
            Fault::respond(200, format!("{{\"id\":{{\"tntId\":{}}}}}", secret("answer"))),
            Fault::respond(500, secret("answer")),
            Fault::respond(400, format!("{{\"error\":\"{}\"}}", secret("answer"))),
        ] {
            edge.clear_faults();
            edge.set_default_reply(Some(fault.clone()));

            let error = client.send_notifications_json(&confidential().to_string()).expect_err(&format!("{fault:?}"));

            assert_discreet(&error);
        }
        edge.set_default_reply(Some(Fault::Silence));
        let mut impatient = confidential();
        impatient["timeout"] = json!(50);
        assert_discreet(&client.send_notifications_json(&impatient.to_string()).unwrap_err());
        let nobody = Nobody::new();
        assert_discreet(&confidant(nobody.host()).send_notifications_json(&confidential().to_string()).unwrap_err());
        let mut events = Vec::new();
        while let Ok(event) = client.next_event(AT_ONCE) {
            events.push(event);
        }
        assert!(events.len() > 10 && !events.concat().contains(SECRET), "{events:?}");
        client.close(Some(LONG)).unwrap();
        assert_discreet(&client.send_notifications_json(&confidential().to_string()).unwrap_err());
        set_logger(None);
        let lines = lines.lock().unwrap();
        assert!(!lines.contains(SECRET), "{lines}");
    }

    #[test]
    fn a_configuration_that_is_refused_is_not_repeated() {
        let nobody = Nobody::new();
        for proxy in [
            format!("http://user:{SECRET}@{}", nobody.host()),
            format!("http://user:{SECRET}@host:99999999"),
            format!("socks9://user:{SECRET}@host"),
            format!("user:{SECRET}@"),
            format!("http://{SECRET}:{SECRET}@[::1"),
        ] {
            let built = builder_for("target.example.com".to_owned()).proxy(ProxySetting::Url(proxy)).build();
            let error = match built {
                Ok(client) => client.get_offers(&options(execute(&["home"]))).unwrap_err(),
                Err(error) => error,
            };

            assert_discreet(&error);
        }
        for (key, value) in [("Authorization", format!("{SECRET}\r\n")), ("Content-Type", SECRET.to_owned())] {
            assert_discreet(&builder_for(nobody.host()).header(key, value).build().unwrap_err());
        }
        for domain in [format!("user:{SECRET}@host"), format!("https://user:{SECRET}@host/")] {
            assert_discreet(&builder_for(domain).build().unwrap_err());
        }
    }

    #[test]
    fn an_edge_that_is_a_proxy_refuses_without_credentials_in_the_error() {
        let edge = LocalEdge::start().unwrap();
        edge.set_default_reply(Some(Fault::status(407)));
        let proxy = format!("http://user:{SECRET}@{}", edge.host());
        let client = builder_for("target.example.com".to_owned()).proxy(ProxySetting::Url(proxy)).build().unwrap();

        assert_discreet(&client.get_offers(&options(execute(&["home"]))).unwrap_err());
    }
}
