//! Calls that are decided here: attributes, previews, all matches of an mbox, and what impressions report.

use adobe_target::TargetError;
use adobe_target::local_edge::{Fault, LocalEdge, Route};
use adobe_target::{LogLevel, set_logger};
use serde_json::{Value, json};

use crate::support::{LONG, ORGANIZATION, body, edge, parsed};
use crate::written::{artifact, contents, envelope, on_device, prefetch_for, rule, try_on_device};

/// A decision that took it for absent would send an impression that the edge refuses.
#[test]
fn a_context_of_the_wrong_type_is_refused_before_it_is_decided() {
    let client = on_device(&artifact([("home", vec![rule(1, json!(true), json!("x"))])]), json!({}));
    for (context, field) in [
        (json!({"address": {"url": 5}}), "request.context.address.url"),
        (json!({"userAgent": 7}), "request.context.userAgent"),
        (json!({"geo": {"city": ["Oslo"]}}), "request.context.geo.city"),
        (json!({"clientHints": {"mobile": "?1"}}), "request.context.clientHints.mobile"),
    ] {
        let request = json!({"context": context, "execute": {"mboxes": [{"name": "home"}]}});
        let error = client.get_offers_json(&json!({"request": request}).to_string()).unwrap_err();
        assert_eq!(error.details().field.as_deref(), Some(field), "{error}");
    }
    let mbox = json!({"name": "home", "address": {"referringUrl": false}});
    let request = json!({"request": {"execute": {"mboxes": [mbox]}}});
    let error = client.get_offers_json(&request.to_string()).unwrap_err();
    assert_eq!(error.details().field.as_deref(), Some("request.execute.mboxes[0].address.referringUrl"));
    assert_eq!(client.stats().decisions, 0);
}

#[test]
fn attributes_have_their_types() {
    let first = json!({"on": true, "share": 0.25, "count": 3, "title": "Hi", "nothing": null, "list": [1, "a"]});
    let mut flags = rule(1, json!(true), first);
    let options = flags["consequence"]["options"].as_array_mut().unwrap();
    options.push(json!({"type": "json", "content": {"count": 4, "more": {"a": 1}}}));
    options.push(json!({"type": "html", "content": "<b>no attributes</b>"}));
    let rules = [("flags", vec![flags]), ("page", vec![rule(2, json!(true), json!("text"))]), ("none", vec![])];
    let client = on_device(&artifact(rules), json!({"server_domain": "127.0.0.1:1"}));

    let attributes = client.get_attributes(["flags", "page", "none"], &Default::default()).unwrap();
    let value = |key: &str| attributes.value("flags", key).unwrap().clone();
    assert_eq!(value("on").as_bool(), Some(true));
    assert_eq!(value("share").as_f64(), Some(0.25));
    assert_eq!(value("title").as_str(), Some("Hi"));
    assert_eq!(value("nothing"), Value::Null);
    assert_eq!(value("list"), json!([1, "a"]));
    // The offers of an mbox are merged in order.
    assert_eq!(value("count").as_u64(), Some(4));
    assert_eq!(attributes.as_object("flags").len(), 7);
    assert!(attributes.as_object("none").is_empty());
    let error = attributes.value("flags", "absent").unwrap_err();
    assert_eq!(error.to_string(), "Attribute 'absent' does not exist for mbox 'flags'");
    assert!(attributes.value("elsewhere", "on").is_err());

    assert_eq!(attributes.boolean("flags", "on"), Ok(true));
    assert_eq!(attributes.number("flags", "share"), Ok(0.25));
    assert_eq!(attributes.number("flags", "count"), Ok(4.0));
    assert_eq!(attributes.integer("flags", "count"), Ok(4));
    assert_eq!(attributes.string("flags", "title"), Ok("Hi"));
    assert_eq!(attributes.parse::<(u8, String)>("flags", "list"), Ok((1, "a".to_owned())));
    let refused = |error: TargetError| {
        assert_eq!(error.code(), adobe_target::ErrorCode::InvalidOptions);
        error.to_string()
    };
    assert_eq!(
        refused(attributes.integer("flags", "share").unwrap_err()),
        "Attribute 'share' of mbox 'flags' must be an integer, not a number"
    );
    assert_eq!(
        refused(attributes.string("flags", "nothing").unwrap_err()),
        "Attribute 'nothing' of mbox 'flags' must be a string, not null"
    );
    assert!(
        refused(attributes.parse::<Vec<bool>>("flags", "list").unwrap_err())
            .starts_with("Attribute 'list' of mbox 'flags' cannot be read: ")
    );
    assert_eq!(
        refused(attributes.boolean("flags", "absent").unwrap_err()),
        "Attribute 'absent' does not exist for mbox 'flags'"
    );

    let by_json = parsed(&client.get_attributes_json(r#"["flags"]"#, "{}").unwrap());
    assert_eq!(by_json["attributes"]["flags"], Value::Object(attributes.as_object("flags")));
    assert_eq!(by_json["meta"]["decisioning_method"], "on-device");
}

/// What will visitors see on Friday?
#[test]
fn a_fixed_clock_shows_a_coming_date() {
    const WEDNESDAY: i64 = 1_700_049_600_000;
    let day = 86_400_000;
    let friday = json!({"and": [
        {"<=": [WEDNESDAY + 2 * day, {"var": "current_timestamp"}]},
        {"<": [{"var": "current_timestamp"}, WEDNESDAY + 3 * day]},
    ]});
    let rules = vec![
        rule(1, friday, json!("sale")),
        rule(2, json!({"==": [{"var": "current_day"}, 7]}), json!("sunday")),
        rule(3, json!({"<": [{"var": "current_time"}, "0600"]}), json!("night")),
        rule(4, json!(true), json!("everyday")),
    ];
    let artifact = artifact([("home", rules)]);
    for (now, expected) in [
        (WEDNESDAY, "everyday"),
        (WEDNESDAY + 2 * day, "sale"),
        (WEDNESDAY + 3 * day, "everyday"),
        (WEDNESDAY + 4 * day, "sunday"),
        (WEDNESDAY + 5 * day - day / 2, "night"),
    ] {
        let client = on_device(&artifact, json!({"fixed_clock_ms": now}));
        let answer = envelope(&client, &prefetch_for("visitor", &["home"]));
        assert_eq!(contents(&answer), [expected], "{now}");
        // Cookies live by the same clock.
        let cookie = answer["target_cookie"]["value"].as_str().unwrap();
        assert_eq!(cookie.split('#').nth(2), Some(&*(now / 1000 + 1860).to_string()), "{cookie}");
    }
}

#[test]
fn every_match_of_the_mboxes_that_ask_for_it_counts() {
    let rules = || {
        vec![
            rule(1, json!(true), json!("first")),
            rule(2, json!({"==": [{"var": "mbox.plan"}, "gold"]}), json!("gold")),
            rule(3, json!(true), json!("third")),
            rule(3, json!(true), json!("third again")),
            rule(4, json!(false), json!("never")),
        ]
    };
    let artifact = artifact([("all", rules()), ("one", rules())]);
    let client = on_device(&artifact, json!({"all_matching_mboxes": ["all", "not there"]}));
    let answer = envelope(&client, &prefetch_for("visitor", &["one", "all"]));
    let of = |name: &str, answer: &Value| -> Vec<Value> {
        let mboxes = answer["response"]["prefetch"]["mboxes"].as_array().unwrap().iter();
        let options = mboxes.filter(|mbox| mbox["name"] == name).flat_map(|mbox| mbox["options"].as_array().unwrap());
        options.map(|option| option["content"].clone()).collect()
    };
    assert_eq!(of("one", &answer), ["first"]);
    assert_eq!(of("all", &answer), ["first", "third", "third again"]);

    let mut request = prefetch_for("visitor", &["all"]);
    request["prefetch"]["mboxes"][0]["parameters"] = json!({"plan": "gold"});
    assert_eq!(of("all", &envelope(&client, &request)), ["first", "gold", "third", "third again"]);
}

/// A client whose impressions an edge takes.
fn reporting_to(edge: &LocalEdge, artifact: &Value, more: Value) -> adobe_target::TargetClient {
    let from = json!({"artifact_payload": artifact, "server_domain": edge.host()});
    try_on_device(&from, more).unwrap_or_else(|error| panic!("{error}"))
}

#[test]
fn impressions_have_the_session_visitor_property_and_context_of_their_decision() {
    let edge = LocalEdge::builder().accept_any_token(true).start().unwrap();
    let artifact = artifact([("home", vec![rule(1, json!(true), json!("a"))])]);
    let client = reporting_to(&edge, &artifact, json!({"property_token": "configured", "environment_id": 7}));
    let options = json!({
        "session_id": "session-of-the-caller",
        "request": {
            "id": {"tntId": "device-1.28_0"},
            "property": {"token": "of-the-request"},
            "context": {"channel": "web", "address": {"url": "https://www.acme.com/"}},
            "execute": {"mboxes": [{"name": "home"}]},
        },
    });
    let answer = parsed(&client.get_offers_json(&options.to_string()).unwrap());
    assert_eq!(answer["response"]["execute"]["mboxes"][0]["options"][0].get("eventToken"), None);
    client.close(Some(LONG)).unwrap();

    let requests = edge.requests_on(Route::Delivery);
    let [request] = &requests[..] else { panic!("{} requests", requests.len()) };
    let query = |name: &str| request.query_pairs.iter().find(|(key, _)| key == name).map(|(_, value)| value.as_str());
    assert_eq!(query("sessionId"), Some("session-of-the-caller"));
    assert_eq!(query("imsOrgId"), Some(ORGANIZATION));
    let sent = body(request);
    assert_eq!(sent["id"], json!({"tntId": "device-1.28_0"}));
    assert_eq!(sent["property"], json!({"token": "of-the-request"}));
    assert_eq!(sent["environmentId"], 7);
    assert_eq!(sent["context"]["address"]["url"], "https://www.acme.com/");
    assert_eq!(sent.get("execute"), None);
    let notification = &sent["notifications"][0];
    assert_eq!(notification["type"], "display");
    assert_eq!(notification["tokens"], json!(["token-1"]));
    assert_eq!(notification["mbox"]["name"], "home");
    assert!(crate::support::is_uuid_v4(notification["impressionId"].as_str().unwrap()));
}

#[test]
fn impressions_of_a_session_go_one_after_the_other_and_none_is_lost_at_close() {
    let edge = LocalEdge::builder().accept_any_token(true).start().unwrap();
    let artifact = artifact([("home", vec![rule(1, json!(true), json!("a"))])]);
    let client = reporting_to(&edge, &artifact, json!({}));
    for visitor in 0..20 {
        for _ in 0..5 {
            let options = json!({
                "session_id": format!("session-{visitor}"),
                "request": {"id": {"thirdPartyId": visitor.to_string()}, "execute": {"mboxes": [{"name": "home"}]}},
            });
            client.get_offers_json(&options.to_string()).unwrap();
        }
    }
    client.close(Some(LONG)).unwrap();
    let report = edge.report();
    assert!(report.errors.is_empty(), "{:?}", report.errors);
    assert_eq!(report.impressions.total, 100);
    assert_eq!(report.sessions, 20);
    assert!(report.requests <= 100, "{} requests", report.requests);
    assert_eq!(report.session_concurrent_max, 1);
}

#[test]
fn prefetching_and_answers_without_offers_report_nothing() {
    let edge = edge();
    let artifact = artifact([("home", vec![rule(1, json!(true), json!("a"))]), ("none", vec![])]);
    let client = reporting_to(&edge, &artifact, json!({"telemetry_enabled": true}));
    envelope(&client, &prefetch_for("visitor", &["home"]));
    envelope(&client, &json!({"execute": {"mboxes": [{"name": "none"}]}}));
    client.close(Some(LONG)).unwrap();
    assert_eq!(edge.requests().len(), 0);
}

/// Those of a page load are unique by their token, of an mbox they are all there.
#[test]
fn an_mbox_has_all_its_click_metrics() {
    let click = |selector: &str| json!({"type": "click", "selector": selector, "eventToken": "T"});
    let mut of_page = rule(1, json!(true), json!("page"));
    of_page["consequence"]["metrics"] = json!([click("#a"), click("#b"), {"type": "display", "eventToken": "D"}]);
    let rules = [("target-global-mbox", vec![of_page.clone()]), ("home", vec![of_page])];
    let client = on_device(&artifact(rules), json!({"server_domain": "127.0.0.1:1"}));

    let request = json!({"execute": {"pageLoad": {}, "mboxes": [{"name": "home", "index": 1}]}});
    let answer = envelope(&client, &request);

    let execute = &answer["response"]["execute"];
    assert_eq!(execute["mboxes"][0]["metrics"], json!([click("#a"), click("#b")]));
    assert_eq!(execute["pageLoad"]["metrics"], json!([click("#b")]));
}

#[test]
fn a_view_that_was_asked_for_without_a_name_has_none_for_macros() {
    let mut of_view = rule(1, json!(true), json!("${name} ${key}"));
    of_view["consequence"]["options"][0]["type"] = json!("html");
    of_view["consequence"]["name"] = json!("v");
    let mut artifact = artifact([]);
    artifact["rules"]["views"] = json!({"v": [of_view]});
    artifact["localViews"] = json!(["v"]);
    let client = on_device(&artifact, json!({}));
    let content = |view: Value| {
        let answer = envelope(&client, &json!({"prefetch": {"views": [view]}}));
        answer["response"]["prefetch"]["views"][0]["options"][0]["content"].clone()
    };
    assert_eq!(content(json!({"name": "v", "key": "K"})), "v K");
    assert_eq!(content(json!({"key": "K"})), "${name} K");
    assert_eq!(content(json!({"parameters": {"name": "P"}})), "P ${key}");
}

/// An edge that is away costs impressions, not answers.
#[test]
fn a_decision_does_not_wait_for_the_edge() {
    let nobody = crate::support::Nobody::new();
    let artifact = artifact([("home", vec![rule(1, json!(true), json!("a"))])]);
    let from = json!({"artifact_payload": artifact, "server_domain": nobody.host()});
    let client = try_on_device(&from, json!({"close_timeout": 100})).unwrap();
    for _ in 0..50 {
        let answer = envelope(&client, &json!({"execute": {"mboxes": [{"name": "home"}]}}));
        assert_eq!(answer["response"]["execute"]["mboxes"][0]["options"][0]["content"], "a");
    }
    let _ = client.close(Some(std::time::Duration::from_millis(100)));
}

/// What is never shown must not be counted: a call that ends while it waits for the visitor's place reports nothing.
#[test]
fn a_call_that_ends_before_its_decision_counts_nothing() {
    let edge = edge();
    let mut artifact = artifact([("home", vec![rule(1, json!(true), json!("a"))])]);
    artifact["geoTargetingEnabled"] = json!(true);
    let client = reporting_to(&edge, &artifact, json!({"cdn_base_path": edge.host()}));
    edge.fault_on(Route::Geo, Fault::Delay(LONG));
    let request = json!({
        "context": {"channel": "web", "geo": {"ipAddress": "12.21.1.40"}},
        "execute": {"mboxes": [{"name": "home"}]},
    });
    let request = serde_json::from_value(request).unwrap();
    let pending = client.get_offers_async(&adobe_target::CallOptions::new(request)).unwrap();
    while edge.requests_on(Route::Geo).is_empty() {
        std::thread::yield_now();
    }
    pending.cancel();
    let error = pending.wait(Some(LONG)).unwrap_err();
    assert!(matches!(error, adobe_target::TargetError::Cancelled(_)), "{error}");
    assert_eq!(client.stats().decisions, 0);
    client.close(Some(LONG)).unwrap();
    assert!(edge.requests_on(Route::Delivery).is_empty());
}

/// An id such as `.35_0` names nobody; the visitor gets another, and one only.
#[test]
fn a_device_id_without_an_id_in_it_is_replaced() {
    let client = on_device(&artifact([("home", vec![rule(1, json!(true), json!("a"))])]), json!({}));
    let asked = json!({"prefetch": {"mboxes": [{"name": "home"}]}});
    let mut with_id = asked.clone();
    with_id["id"] = json!({"tntId": ".35_0"});
    for options in [json!({"request": with_id}), json!({"request": asked, "target_cookie": "PC#.35_0#9999999999"})] {
        let answer = client.get_offers_json(&options.to_string()).unwrap();
        assert_eq!(answer.matches("\"tntId\"").count(), 2, "in request and response: {answer}");
        let id = parsed(&answer)["response"]["id"]["tntId"].as_str().unwrap().to_owned();
        assert!(crate::support::is_uuid_v4(id.strip_suffix(".35_0").unwrap()), "{id}");
    }
}

/// JSON has no infinity, whatever version a user agent claims.
#[test]
fn a_trace_of_an_endless_version_is_json() {
    let client = on_device(&artifact([("home", vec![rule(1, json!(true), json!("a"))])]), json!({}));
    let mut request = prefetch_for("visitor", &["home"]);
    request["trace"] = json!({"authorizationToken": "token"});
    request["context"] =
        json!({"channel": "web", "userAgent": format!("Mozilla/5.0 Chrome/{} Safari/537.36", "9".repeat(400))});
    let answer = envelope(&client, &request);
    let seen = &answer["trace"][0];
    assert!(seen.is_object(), "{answer}");
    assert!(!answer.to_string().contains("Infinity"));
}

/// Adobe's CDN is asked every five minutes at the most; who wants more often is told.
#[test]
fn a_polling_interval_that_is_raised_is_told_once() {
    let lines = std::sync::Arc::new(std::sync::Mutex::new(Vec::new()));
    let kept = std::sync::Arc::clone(&lines);
    let keep = move |level: LogLevel, line: &str| {
        if line.contains("polling_interval") {
            kept.lock().unwrap().push((level, line.to_owned()));
        }
    };
    set_logger(Some((LogLevel::Warn, Box::new(keep))));
    for interval in [0, 1_000, 300_000] {
        on_device(&artifact([("home", vec![])]), json!({"polling_interval": interval}));
    }
    set_logger(None);
    let expected = "`polling_interval` of 1000 ms is raised to 300000, the least that Adobe's CDN is asked with";
    assert_eq!(*lines.lock().unwrap(), [(LogLevel::Warn, expected.to_owned())]);
}
