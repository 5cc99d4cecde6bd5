//! Artifacts that are wrong: what can be used is used, and the rest is named.

use adobe_target::local_edge::{Fault, LocalEdge, Route};
use adobe_target::{TargetClient, TargetError};
use serde_json::{Value, json};

use crate::support::{ORGANIZATION, edge, field, parsed};
use crate::written::{
    artifact, contents, envelope, events, offered, on_device, prefetch_for, rule, served_by, try_on_device,
};

/// The CDN answers with exactly that text.
fn serving(text: &str) -> LocalEdge {
    let edge = edge();
    edge.set_default_reply_on(Route::Artifact, Some(Fault::respond(200, text)));
    edge
}

/// A client of an artifact of any text that has to be usable.
fn client_of(text: &str) -> TargetClient {
    let client = served_by(&serving(text), json!({}));
    assert!(client.is_ready(), "not accepted: {:?}: {:.300}", events(&client, "artifact_download_failed"), text);
    client
}

fn good() -> Value {
    rule(9, json!(true), json!("good"))
}

/// An mbox whose first rule is that one, and whose second fits everybody.
fn before_a_good_one(bad: Value) -> String {
    let mut artifact = artifact([("home", vec![good()]), ("other", vec![good()])]);
    artifact["rules"]["mboxes"]["home"].as_array_mut().unwrap().insert(0, bad);
    artifact.to_string()
}

/// Checks that a bad rule is left out, counted and named, and that all others work. Returns the reason that is told.
#[track_caller]
fn is_left_out(text: &str, key: &str) -> String {
    let client = client_of(text);
    assert_eq!(offered(&client, "visitor", "home"), "good", "{text:.2000}");
    assert_eq!(offered(&client, "visitor", "other"), "good", "{text:.2000}");
    let stats = client.stats().artifact.unwrap();
    assert_eq!((stats.skipped_rules, stats.rules), (1, 2), "{text:.2000}");
    let skipped = events(&client, "artifact_rule_skipped");
    assert_eq!(skipped.len(), 1, "{skipped:?}");
    assert_eq!(skipped[0]["rule_key"], key);
    skipped[0]["reason"].as_str().unwrap().to_owned()
}

#[test]
fn a_rule_with_members_that_are_missing_or_of_another_type_is_left_out() {
    let with = |path: &str, value: Value| {
        let mut bad = rule(1, json!(true), json!("bad"));
        *bad.pointer_mut(path).unwrap() = value;
        bad
    };
    let without = |key: &str| {
        let mut bad = rule(1, json!(true), json!("bad"));
        bad.as_object_mut().unwrap().remove(key);
        bad
    };
    for (bad, reason) in [
        (without("meta"), "`meta` is missing"),
        (with("/meta", Value::Null), "`meta` is null instead of an object"),
        (with("/meta", json!("text")), "`meta` is a string instead of an object"),
        (with("/meta", json!([])), "`meta` is an array instead of an object"),
        (without("consequence"), "`consequence` is missing"),
        (with("/consequence", Value::Null), "`consequence` is null instead of an object"),
        (with("/consequence", json!(5)), "`consequence` is a number instead of an object"),
        (with("/consequence", json!([{"options": []}])), "`consequence` is an array instead of an object"),
        (with("/consequence/options", json!("text")), "`consequence.options` is a string instead of a list"),
        (with("/consequence/options", json!({"0": {}})), "`consequence.options` is an object instead of a list"),
        (with("/consequence/options", json!([null])), "`consequence.options[0]` is null instead of an object"),
        (
            with("/consequence/options", json!([{"type": "html", "content": "x"}, 5])),
            "`consequence.options[1]` is a number instead of an object",
        ),
        (with("/consequence/metrics", json!("text")), "`consequence.metrics` is a string instead of a list"),
        (with("/consequence/metrics", json!([null])), "`consequence.metrics[0]` is null instead of an object"),
    ] {
        assert_eq!(is_left_out(&before_a_good_one(bad), "1"), reason);
    }
    for (bad, kind) in [
        (json!(null), "null"),
        (json!("rule"), "a string"),
        (json!(5), "a number"),
        (json!([]), "an array"),
        (json!(true), "a boolean"),
    ] {
        // One without a key is told by its place.
        let reason = is_left_out(&before_a_good_one(bad), "mboxes.home[0]");
        assert_eq!(reason, format!("the rule is {kind} instead of an object"));
    }
}

#[test]
fn conditions_of_absurd_depth_cost_their_rule_and_nothing_else() {
    let nested =
        |levels: usize, open: &str, close: &str| format!("{}true{}", open.repeat(levels), close.repeat(levels));
    for (open, close) in [(r#"{"!":["#, "]}"), (r#"{"!":"#, "}"), ("[", "]"), (r#"{"and":[true,"#, "]}")] {
        let text = before_a_good_one(rule(1, json!("CONDITION"), json!("bad")));
        let text = text.replace("\"CONDITION\"", &nested(10_000, open, close));
        assert_eq!(is_left_out(&text, "1"), "nested deeper than 127 levels of the artifact");
    }
}

#[test]
fn absurd_depth_outside_of_rules_is_not_looked_at() {
    let deep = format!("{}1{}", "[".repeat(10_000), "]".repeat(10_000));
    let config = format!(
        r#"{{"client":"acme","organization_id":"1@AdobeOrg","decisioning_method":"on-device","artifact_payload":{{"version":"1.0.0","x":{deep}}}}}"#
    );
    let error = adobe_target::ClientConfig::from_json(&config).and_then(TargetClient::new).unwrap_err();
    assert!(matches!(error, TargetError::InvalidOptions(_)), "{error:?}");
    assert_eq!(field(&error), "artifact_payload");
    assert!(error.to_string().contains("the artifact has no `rules`"), "what is too deep is not looked at: {error}");
}

#[test]
fn wide_conditions_are_no_trouble() {
    let wide: Vec<Value> = (0..10_000).map(|n| json!({"==": [{"var": "mbox.n"}, n]})).collect();
    let rules = vec![rule(1, json!({"or": wide}), json!("wide")), good()];
    let client = client_of(&artifact([("home", rules)]).to_string());
    let mut request = prefetch_for("visitor", &["home"]);
    assert_eq!(contents(&envelope(&client, &request)), ["good"]);
    request["prefetch"]["mboxes"][0]["parameters"] = json!({"n": "9999"});
    assert_eq!(contents(&envelope(&client, &request)), ["wide"]);
}

/// An operator that nobody knows fails its rule when evaluation reaches it, not before.
#[test]
fn unknown_operators_fail_their_rule_when_they_are_reached() {
    let unknown = json!({"future": [1]});
    let rules = vec![
        rule(1, json!({"or": [{"==": [{"var": "mbox.plan"}, "gold"]}, unknown]}), json!("gold")),
        rule(2, json!({"and": [{"==": [{"var": "mbox.plan"}, "gold"]}, unknown]}), json!("never")),
        good(),
    ];
    let client = on_device(&artifact([("home", rules)]), json!({}));
    let mut request = prefetch_for("visitor", &["home"]);
    request["prefetch"]["mboxes"][0]["parameters"] = json!({"plan": "gold"});
    assert_eq!(contents(&envelope(&client, &request)), ["gold"]);
    assert_eq!(client.stats().rule_errors, 0);

    request["prefetch"]["mboxes"][0]["parameters"] = json!({"plan": "silver"});
    assert_eq!(contents(&envelope(&client, &request)), ["good"]);
    assert_eq!(client.stats().rule_errors, 1);
    let skipped = events(&client, "artifact_rule_skipped");
    assert_eq!(skipped.len(), 1, "{skipped:?}");
    assert_eq!(skipped[0]["rule_key"], "1");
    assert_eq!(skipped[0]["reason"], "unknown operator `future`");
}

#[test]
fn lists_and_switches_of_another_type_leave_the_rules_as_they_are() {
    for (key, value) in [
        ("responseTokens", json!("text")),
        ("responseTokens", json!([1, null, {"a": 1}])),
        ("responseTokens", Value::Null),
        ("geoTargetingEnabled", json!("yes")),
        ("remoteMboxes", json!({"home": 1})),
        ("remoteMboxes", Value::Null),
        ("remoteViews", json!(5)),
        ("localViews", json!(5)),
        ("globalMbox", json!(5)),
        ("globalMbox", Value::Null),
        ("meta", json!("text")),
        ("meta", Value::Null),
        ("unknown", json!({"deep": [[[[]]]]})),
    ] {
        let mut artifact = artifact([("home", vec![good()])]);
        artifact[key] = value.clone();
        let client = client_of(&artifact.to_string());
        assert_eq!(offered(&client, "visitor", "home"), "good", "{key}: {value}");
    }
}

#[test]
fn lists_of_rules_that_are_none_are_as_empty_ones() {
    for (path, value) in [
        ("/rules/views", json!(5)),
        ("/rules/views", Value::Null),
        ("/rules/views", json!({"v": 5})),
        ("/rules/mboxes/other", json!("text")),
        ("/rules/mboxes/other", Value::Null),
        ("/rules/mboxes/other", json!({"0": 5})),
        ("/rules/mboxes/other", json!([])),
    ] {
        let mut artifact = artifact([("home", vec![good()]), ("other", vec![])]);
        *artifact.pointer_mut(path).unwrap() = value.clone();
        let client = client_of(&artifact.to_string());
        let mut request = prefetch_for("visitor", &["home", "other"]);
        request["prefetch"]["views"] = json!([{}]);
        assert_eq!(contents(&envelope(&client, &request)), [json!("good"), Value::Null], "{path}: {value}");
    }
}

#[test]
fn an_artifact_with_nothing_in_it_decides_nothing_and_says_what_it_lacks() {
    let edge = serving(r#"{"version":"1.0.0"}"#);
    let client = served_by(&edge, json!({"maximum_wait_ready": 0}));
    let error = client.refresh().unwrap_err().to_string();
    assert!(error.ends_with("is no artifact: the artifact has no `rules`"), "{error}");
    for text in [
        r#"{"version":"1.0.0","rules":{}}"#,
        r#"{"version":"1.0.0","rules":{"mboxes":{},"views":{}},"localMboxes":[],"remoteMboxes":[]}"#,
    ] {
        let client = client_of(text);
        let answer = envelope(&client, &prefetch_for("visitor", &["home"]));
        assert_eq!(answer["response"]["status"], 206, "{text}");
        assert_eq!(answer["meta"]["remote_mboxes"], json!(["home"]), "{text}");
    }
}

#[test]
fn what_is_no_artifact_is_refused_as_payload_and_as_download() {
    let of_version = |version: Value| {
        let mut artifact = artifact([("home", vec![good()])]);
        artifact["version"] = version;
        artifact
    };
    let mut without = artifact([("home", vec![good()])]);
    without.as_object_mut().unwrap().remove("version");
    for (payload, says) in [
        (json!({}), "the artifact has no `version`"),
        (without, "the artifact has no `version`"),
        (of_version(Value::Null), "`version` of the artifact is null instead of a text"),
        (of_version(json!({"major": 1})), "`version` of the artifact is an object instead of a text"),
        (of_version(json!("")), "version () is not supported"),
        (of_version(json!("2.0.0")), "version (2.0.0) is not supported"),
        (of_version(json!("11.0.0")), "version (11.0.0) is not supported"),
    ] {
        let error = try_on_device(&json!({"artifact_payload": payload}), json!({})).unwrap_err();
        assert!(matches!(error, TargetError::InvalidOptions(_)), "{error:?}");
        assert_eq!(field(&error), "artifact_payload");
        assert!(error.to_string().contains(says), "{error}");

        let edge = serving(&payload.to_string());
        let client = served_by(&edge, json!({"maximum_wait_ready": 0}));
        let error = client.refresh().unwrap_err();
        assert!(matches!(error, TargetError::InvalidResponse(_)), "{error:?}");
        assert!(error.to_string().contains(says), "{error}");
        let told = events(&client, "artifact_download_failed").remove(0);
        assert_eq!(told["error"]["message"], error.to_string());
        assert!(!client.is_ready(), "{payload}");
        let options = json!({"request": prefetch_for("visitor", &["home"])}).to_string();
        let error = client.get_offers_json(&options).unwrap_err();
        assert!(matches!(error, TargetError::NotReady(_)), "{error:?}");
        // Of another version the call itself says what has to be done.
        let of_call = if says.contains("not supported") {
            says
        } else {
            "Unable to fulfill request; decisioning engine not ready."
        };
        assert!(error.to_string().contains(of_call), "{error}");
    }
    let whole = artifact([("home", vec![good()])]).to_string();
    let half = &whole[..whole.len() / 2];
    let doubled = format!("{whole}{whole}");
    let cut = format!("at byte {}", half.len());
    let after = format!("text after the value at byte {}", whole.len());
    for (text, says) in [
        ("", "the answer is empty"),
        ("null", "the artifact is null instead of an object"),
        ("5", "the artifact is a number instead of an object"),
        ("[]", "the artifact is an array instead of an object"),
        ("\"text\"", "the artifact is a string instead of an object"),
        ("<html>Not here</html>", "expected a JSON value at byte 0"),
        ("{", "at byte 1"),
        (half, &cut),
        (&doubled, &after),
        ("\u{0}", "expected a JSON value at byte 0"),
        ("ATOD:001", "expected a JSON value at byte 0"),
    ] {
        let edge = serving(text);
        let client = served_by(&edge, json!({"maximum_wait_ready": 0}));
        let error = client.refresh().unwrap_err();
        assert!(matches!(error, TargetError::InvalidResponse(_)), "{text:.100}: {error:?}");
        assert!(error.to_string().contains(says), "{text:.100}: {error}");
        assert_eq!(events(&client, "artifact_download_failed")[0]["error"]["message"], error.to_string());
        assert!(!client.is_ready(), "{text:.100}");
    }
}

/// The mask of the binary form is made of the organization.
#[test]
fn a_masked_artifact_of_another_organization_is_told_from_one_that_broke_off() {
    let edge = LocalEdge::builder().artifact(artifact([("home", vec![good()])]).to_string()).start().unwrap();
    let failure = |organization: &str| {
        let bin = json!({"artifact_format": "bin", "organization_id": organization, "maximum_wait_ready": 0});
        served_by(&edge, bin).refresh().err().map(|error| error.to_string())
    };
    let hint =
        "the artifact could not be unmasked, which usually means that `organization_id` is not that of the artifact";
    assert_eq!(failure(ORGANIZATION), None);
    for other in ["1@AdobeOrg", "0DD934B85278256B0A490D45@AdobeOrg", "1DD934B85278256B0A490D44@AdobeOrg"] {
        let message = failure(other).unwrap();
        assert!(message.contains(hint), "{other}: {message}");
    }
    let head = b"ATOD:001key of thirty-two bytes, no more";
    let mask = ORGANIZATION.bytes().chain(head[8..].iter().copied()).collect::<Vec<u8>>();
    let half = br#"{"version":"1.0.0","rules":"#.iter().zip(mask.iter().cycle()).map(|(byte, mask)| byte ^ mask);
    let cut = head.iter().copied().chain(half).collect::<Vec<u8>>();
    edge.set_default_reply_on(Route::Artifact, Some(Fault::respond(200, cut)));
    let message = failure(ORGANIZATION).unwrap();
    assert!(message.contains("the artifact is not JSON") && !message.contains("organization_id"), "{message}");
}

/// A name given twice: the last counts, as every common parser has it.
#[test]
fn names_given_twice_are_no_trouble() {
    let good = artifact([("home", vec![good()])]).to_string();
    let (head, tail) = good.split_once("\"home\":[").unwrap();
    for twice in [
        format!("{head}\"home\":[{{}}],\"home\":[{tail}"),
        format!("{head}\"home\":5,\"home\":[{tail}"),
        good.replacen("\"version\"", "\"version\":\"2.0.0\",\"version\"", 1),
        good.replace("\"condition\":true", "\"condition\":false,\"condition\":true"),
        good.replace("\"meta\":{\"activity.id\":9", "\"meta\":{\"activity.id\":1,\"activity.id\":9"),
    ] {
        assert_ne!(twice, good);
        let client = client_of(&twice);
        assert_eq!(offered(&client, "visitor", "home"), "good", "{twice}");
    }
}

/// A condition compares with numbers of any size. In what is answered, one beyond a double would make an answer that
/// few can read.
#[test]
fn huge_numbers_can_be_compared_with_but_not_answered() {
    let digits = "9".repeat(400);
    let below = rule(1, json!({"<": [{"var": "mbox.n"}, "HUGE"]}), json!("below"));
    let text = artifact([("home", vec![below, good()])]).to_string();
    for huge in ["1e999", &digits, "1e308", "123456789012345678901234567890.5e10"] {
        let client = client_of(&text.replace("\"HUGE\"", huge));
        let mut request = prefetch_for("visitor", &["home"]);
        request["prefetch"]["mboxes"][0]["parameters"] = json!({"n": 5});
        assert_eq!(contents(&envelope(&client, &request)), ["below"], "{huge:.40}");
    }
    let mut of_huge_activity = rule(1, json!(true), json!("activity"));
    of_huge_activity["activityId"] = json!("HUGE");
    of_huge_activity["meta"]["activity.id"] = json!("HUGE");
    let of_huge_offer = rule(2, json!(true), json!({"price": "HUGE"}));
    let text = artifact([("home", vec![of_huge_activity, of_huge_offer, good()])]).to_string();
    let client = client_of(&text.replace("\"HUGE\"", &digits));
    assert_eq!(offered(&client, "visitor", "home"), "good");
    assert_eq!(client.stats().artifact.unwrap().skipped_rules, 2);
}

/// A list of what can be no token names no property; a rule for somewhere is not for everywhere.
#[test]
fn tokens_of_another_type_are_of_no_property() {
    for tokens in [json!([5]), json!([null, {}])] {
        let mut elsewhere = rule(1, json!(true), json!("elsewhere"));
        elsewhere["propertyTokens"] = tokens.clone();
        let client = client_of(&artifact([("home", vec![elsewhere, good()])]).to_string());
        assert_eq!(offered(&client, "visitor", "home"), "good", "{tokens}");
    }
}

#[test]
fn a_response_token_listed_twice_is_told_once() {
    let mut artifact = artifact([("home", vec![rule(1, json!(true), json!("a"))])]);
    artifact["responseTokens"] = json!(["activity.id", "activity.id", "geo.city", "geo.city"]);
    artifact["rules"]["mboxes"]["home"][0]["meta"]["activity.id"] = json!(7);
    let client = client_of(&artifact.to_string());
    let mut request = prefetch_for("visitor", &["home"]);
    request["context"] = json!({"channel": "web", "geo": {"city": "Paris"}});
    let text = client.get_offers_json(&json!({"request": request}).to_string()).unwrap();
    let option = text.split("\"options\":[").nth(1).and_then(|rest| rest.split(']').next()).unwrap();
    for token in ["\"activity.id\"", "\"geo.city\""] {
        assert_eq!(option.matches(token).count(), 1, "{option}");
    }
}

#[test]
fn a_trace_leaves_out_an_environment_that_is_no_json_number() {
    let mut artifact = artifact([("home", vec![good()])]);
    artifact["meta"]["environment"] = json!("HUGE");
    let client = client_of(&artifact.to_string().replace("\"HUGE\"", "1e999"));
    let mut request = prefetch_for("visitor", &["home"]);
    request["trace"] = json!({"authorizationToken": "token"});
    assert_eq!(contents(&envelope(&client, &request)), ["good"]);
}

/// Escapes of half a surrogate pair have no UTF-8 form: the rule is used or left out, and the others work.
#[test]
fn half_surrogate_pairs_harm_nobody() {
    for place in ["HALF", "\"HALF\":1,\"x\"", "condition"] {
        let mut odd = rule(1, json!(true), json!({"text": "HALF"}));
        if place == "condition" {
            odd["condition"] = json!({"==": [{"var": "mbox.HALF"}, "HALF"]});
        }
        let mut whole = artifact([("home", vec![odd]), ("other", vec![good()])]);
        whole["responseTokens"] = json!(["HALF"]);
        let text = whole.to_string().replace("HALF", "a\\ud800");
        let client = client_of(&text);
        assert_eq!(offered(&client, "visitor", "other"), "good");
        let options = json!({"request": prefetch_for("visitor", &["home"])}).to_string();
        let answer = client.get_offers_json(&options).unwrap();
        let shows =
            answer.contains(r#""content":{"text":"a\ud800"}"#) || answer.contains(r#""content":{"text":"a\ud800":1"#);
        assert_eq!(shows, place != "condition", "{place}: {answer}");
    }
}

/// An artifact from the caller is read as one from the CDN; the rest of a configuration is strict.
#[test]
fn a_payload_is_read_as_a_download_is() {
    let mut odd = rule(1, json!(true), json!("odd"));
    odd["consequence"]["options"][0]["eventToken"] = json!("HALF");
    let payload = before_a_good_one(odd).replace("HALF", "\\ud800");
    let deep = format!("{}true{}", "[".repeat(10_000), "]".repeat(10_000));
    let of_absurd_depth = before_a_good_one(rule(1, json!("DEEP"), json!("odd"))).replace("\"DEEP\"", &deep);
    let config = |key: &str, payload: &str, more: &str| {
        let text = format!(
            r#"{{"client":"acme","organization_id":"1@AdobeOrg","decisioning_method":"on-device","polling_interval":0,
                "target_location_hint":"35","{key}":{payload}{more}}}"#
        );
        adobe_target::ClientConfig::from_json(&text)
    };
    for key in ["artifact_payload", "artifactPayload"] {
        for payload in [&payload, &of_absurd_depth] {
            let client = TargetClient::new(config(key, payload, "").unwrap()).unwrap();
            assert_eq!(offered(&client, "visitor", "home"), "good");
            assert_eq!(events(&client, "artifact_rule_skipped").len(), 1);
        }
    }
    for more in [r#","version":"\ud800""#, r#","headers":{"artifact_payload":"\ud800"}"#] {
        let error = config("artifact_payload", &payload, more).unwrap_err();
        assert!(matches!(error, TargetError::InvalidJson(_)), "{error:?}");
    }
}

/// The edge refuses a request with such a text, and other rules' impressions are in it too.
#[test]
fn half_surrogate_pairs_in_what_is_sent_leave_their_rule_out() {
    let mut odd = rule(1, json!(true), json!("odd"));
    odd["consequence"]["options"][0]["eventToken"] = json!("HALF");
    for half in ["\\ud800", "a\\udc00b", "\\ud83d\\ud83d\\ude00"] {
        let reason = is_left_out(&before_a_good_one(odd.clone()).replace("HALF", half), "1");
        assert_eq!(reason, "`consequence.options[0]` has an event token with half a surrogate pair");
    }
    let text = before_a_good_one(odd).replace("HALF", "\\ud83d\\ude00");
    assert_eq!(offered(&client_of(&text), "visitor", "home"), "odd");
}

/// Names that other languages give a meaning.
#[test]
fn names_of_object_members_are_names_like_any_other() {
    for name in ["__proto__", "constructor", "toString", "hasOwnProperty", "", "a.b", "var", "length", "\u{0}"] {
        let rules = vec![rule(1, json!({"==": [{"var": "mbox.x"}, "1"]}), json!("x")), good()];
        let client = on_device(&artifact([("home", rules)]), json!({}));
        let mut request = prefetch_for("visitor", &["home"]);
        request["prefetch"]["mboxes"][0]["parameters"] = json!({name: "1", format!("{name}.x"): "1", "x": "1"});
        assert_eq!(contents(&envelope(&client, &request)), ["x"], "{name:?}");

        // No rules of that name, however it is called.
        if !name.is_empty() {
            let answer = envelope(&client, &prefetch_for("visitor", &[name]));
            assert_eq!(answer["response"]["prefetch"]["mboxes"], json!([{"index": 0, "name": name}]), "{name:?}");
        }
    }
}

/// Operators inside operators' names, paths that lead to themselves, and the like.
#[test]
fn cyclic_looking_conditions_end() {
    for condition in [
        json!({"var": {"var": {"var": {"var": "mbox"}}}}),
        json!({"var": [{"var": "var"}, {"var": ["var", {"var": "var"}]}]}),
        json!({"map": [{"map": [{"var": "mbox"}, {"var": ""}]}, {"var": ""}]}),
        json!({"reduce": [[1, 2, 3], {"reduce": [[1], {"var": "accumulator"}, {"var": "current"}]}, {"var": ""}]}),
        json!({"missing": {"missing": {"missing": ["a"]}}}),
        json!({"missing_some": [{"missing_some": [1, ["a"]]}, ["a", {"var": "b"}]]}),
        json!({"and": {"or": {"if": {"and": []}}}}),
    ] {
        let rules = vec![rule(1, condition.clone(), json!("odd")), good()];
        let client = on_device(&artifact([("home", rules)]), json!({}));
        let mut request = prefetch_for("visitor", &["home"]);
        request["prefetch"]["mboxes"][0]["parameters"] = json!({"a.a.a.a": "1", "var": "var", "mbox": "mbox"});
        let answer = contents(&envelope(&client, &request)).remove(0);
        assert!(answer == "odd" || answer == "good", "{condition}: {answer}");
    }
}

#[test]
fn the_last_good_artifact_stays_in_force() {
    let good = artifact([("home", vec![good()])]).to_string();
    let edge = serving(&good);
    let client = served_by(&edge, json!({}));
    // Of the downloads below none shall have begun before.
    client.refresh().unwrap();
    events(&client, "");
    let page = "<html>".to_owned();
    for (fault, code) in [
        (Fault::respond(200, page), "TARGET_ERR_INVALID_RESPONSE"),
        (Fault::respond(200, good[..good.len() - 1].to_owned()), "TARGET_ERR_INVALID_RESPONSE"),
        (Fault::respond(200, good.replace("1.0.0", "2.0.0")), "TARGET_ERR_INVALID_RESPONSE"),
        (Fault::respond(403, "{}"), "TARGET_ERR_HTTP"),
        (Fault::respond(404, "{}"), "TARGET_ERR_HTTP"),
    ] {
        edge.set_default_reply_on(Route::Artifact, Some(fault));
        let error = parsed(&client.refresh().unwrap_err().to_json());
        assert_eq!(error["code"], code, "{error}");
        assert_eq!(events(&client, "artifact_download_failed").len(), 1, "{error}");
        assert_eq!(offered(&client, "visitor", "home"), "good");
    }
    let stats = client.stats().artifact.unwrap();
    assert_eq!((stats.failures, stats.version.as_deref()), (5, Some("1.0.0")));
}

/// A few bytes of macro can be many of text.
#[test]
fn rules_whose_macros_expand_without_measure_are_left_out() {
    let of = |content: String, offer: &str| {
        let mut bad = rule(1, json!(true), json!("bad"));
        bad["meta"]["offer.name"] = json!(offer);
        bad["consequence"]["options"] = json!([{"type": "html", "content": content}]);
        before_a_good_one(bad)
    };
    let reason = |text: &str| is_left_out(text, "1");
    let long = "x".repeat(100_000);
    let expands = "macros and response tokens add more than 4194304 bytes to it";
    assert_eq!(reason(&of("${offer.name}".repeat(42), &long)), expands);
    assert_eq!(reason(&of("${offer.name}".repeat(1001), "x")), "it has more than 1000 macros");
    assert_eq!(reason(&of("${mbox.plan}".repeat(1001), "x")), "it has more than 1000 macros");

    let mut tokens = artifact([("home", vec![rule(1, json!(true), json!("bad")), good()]), ("other", vec![good()])]);
    tokens["responseTokens"] = json!(["offer.name"]);
    tokens["rules"]["mboxes"]["home"][0]["meta"]["offer.name"] = json!(long);
    tokens["rules"]["mboxes"]["home"][0]["consequence"]["options"] = (0..42).map(|_| json!({"type": "html"})).collect();
    assert_eq!(reason(&tokens.to_string()), expands);

    let client = client_of(&of("${offer.name}".repeat(41), &long));
    assert_eq!(offered(&client, "visitor", "home"), long.repeat(41));
}

/// Each entry of the global mbox has a trace of all activities.
#[test]
fn traces_without_measure_are_cut_and_say_so() {
    let rules: Vec<Value> = (0..300).map(|activity| rule(activity, json!(true), json!(activity))).collect();
    let client = on_device(&artifact([("target-global-mbox", rules)]), json!({}));
    let mut request = prefetch_for("visitor", &["target-global-mbox"]);
    request["trace"] = json!({});
    let parameters: serde_json::Map<_, _> = (0..10).map(|at| (format!("p{at}"), json!("x".repeat(1000)))).collect();
    request["prefetch"]["mboxes"][0]["parameters"] = parameters.into();
    let text = client.get_offers_json(&json!({"request": request}).to_string()).unwrap();
    // They are in the response and, gathered, beside it.
    assert!(text.len() < 2 * 17 * 1024 * 1024, "{}", text.len());
    let traces = parsed(&text)["trace"].take();
    let traces = traces.as_array().unwrap();
    assert_eq!(traces.len(), 300);
    assert_eq!(traces[0].get("truncated"), None);
    assert_eq!(traces[0]["evaluatedCampaignTargets"].as_array().map(Vec::len), Some(300));
    let cut = traces.iter().position(|trace| trace.get("truncated").is_some()).unwrap();
    assert_eq!(traces[cut]["truncated"], true);
    assert!(traces[cut]["evaluatedCampaignTargets"].as_array().unwrap().len() < 300);
    assert_eq!(traces[cut + 1], json!({"truncated": true}));
    assert_eq!(traces[299], json!({"truncated": true}));
}

/// A trace has what a request has, further in. What it showed is counted, so it must be read.
#[test]
fn traces_of_deep_requests_can_be_read_by_typed_calls() {
    let client = on_device(&artifact([("home", vec![good()])]), json!({"server_domain": "127.0.0.1:1"}));
    let nested = |levels: usize| (0..levels).fold(json!(1), |inner, _| json!([inner]));
    for (name, levels) in [("deep", 120), (&"a.".repeat(64), 100)] {
        let mut request = json!({"trace": {}, "execute": {"mboxes": [{"name": "home"}]}});
        request["execute"]["mboxes"][0]["parameters"] = json!({name: nested(levels)});
        let offers = client.get_offers(&crate::support::options(request)).unwrap();
        assert_eq!(offers.response.execute_mbox("home").unwrap().options.as_ref().map(Vec::len), Some(1));
        assert_eq!(offers.trace.len(), 1);
        assert_eq!(offers.trace[0]["truncated"], true);
        assert_eq!(offers.trace[0]["evaluatedCampaignTargets"][0]["campaignId"], 9);
    }
    let mut request = json!({"execute": {"mboxes": [{"name": "home"}]}});
    request["execute"]["mboxes"][0]["parameters"] = json!({"deep": nested(130)});
    let before = client.stats().queue.accepted;
    let error = client.get_offers(&crate::support::options(request)).unwrap_err();
    assert!(matches!(error, TargetError::InvalidJson(_)), "{error:?}");
    assert_eq!(client.stats().queue.accepted, before);
}
