//! Delivery requests that the edge decides from an artifact, and that its answers are those of an on-device client.

use std::collections::{BTreeMap, HashSet};
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use adobe_target::delivery::model::{DeliveryRequest, ExecuteRequest, VisitorId};
use adobe_target::local_edge::{LocalEdge, Scenario};
use adobe_target::{CallOptions, DecisioningMethod, TargetClient};
use serde_json::{Value, json};

use crate::{Client, display, execute, notify, numbered, prefetch, request};

const ORGANIZATION: &str = "0DD934B85278256B0A490D44@AdobeOrg";

fn edge_and_client() -> (LocalEdge, Client) {
    let edge = LocalEdge::builder().default_artifact().start().unwrap();
    let client = Client::of(&edge);
    (edge, client)
}

fn serving(rules: &Value) -> (LocalEdge, Client) {
    let artifact = json!({"version": "1.0.0", "globalMbox": "target-global-mbox", "rules": rules});
    let edge = LocalEdge::builder().artifact(artifact.to_string()).start().unwrap();
    let client = Client::of(&edge);
    (edge, client)
}

fn rule(activity: u64, condition: &Value, content: &Value) -> Value {
    json!({
        "ruleKey": activity.to_string(), "activityId": activity, "condition": condition,
        "meta": {"activity.id": activity, "experience.name": content},
        "consequence": {"options": [{"type": "html", "content": content, "eventToken": format!("show-{activity}-{content}")}],
            "metrics": [{"type": "click", "eventToken": format!("click-{activity}")}]},
    })
}

fn with(mut body: Value, members: Value) -> Value {
    for (name, value) in members.as_object().unwrap() {
        body[name] = value.clone();
    }
    body
}

fn counted(edge: &LocalEdge, experience: &str) -> u64 {
    edge.report().activities.iter().filter(|one| one.experience == experience).map(|one| one.impressions).sum()
}

#[test]
fn what_was_executed_counts_at_once() {
    let (edge, mut client) = edge_and_client();
    let body = with(execute(&["cart", "hero", "nothing-there"]), json!({"impressionId": "page-1"}));
    let answer = client.delivered(&body);
    assert_eq!((&answer["status"], &answer["edgeHost"]), (&json!(200), &json!("mboxedge35.tt.omtrdc.net")));
    let mboxes = answer["execute"]["mboxes"].as_array().unwrap();
    let names: Vec<_> =
        mboxes.iter().map(|mbox| (mbox["name"].as_str().unwrap(), mbox["index"].as_i64().unwrap())).collect();
    assert_eq!(names, [("cart", 0), ("hero", 1), ("nothing-there", 2)], "in the order of the request");
    let option = &mboxes[0]["options"][0];
    assert_eq!(option["content"], json!({"discount": 15, "free_shipping": true}));
    assert_eq!(option["responseTokens"]["activity.decisioningMethod"], "server-side", "for the edge has decided");
    assert_eq!((option.get("eventToken"), mboxes[0].get("state")), (None, None));
    assert_eq!(mboxes[0]["metrics"][0]["eventToken"], "on-device-cart-2-click");
    assert_eq!(mboxes[1]["options"][0]["content"]["title"], "Summer is here", "the scenario's");
    let report = edge.report();
    assert_eq!(report.counts("1003", "15 percent", "cart").impressions, 1);
    assert_eq!(report.counts("1004", "Summer", "hero").impressions, 1);
    assert_eq!((report.impressions.total, report.notifications.processed), (2, 0));
    client.delivered(&body);
    assert_eq!((edge.report().impressions.total, edge.report().duplicate_impressions), (2, 2));
}

#[test]
fn what_was_prefetched_counts_when_it_is_shown() {
    let (edge, mut client) = edge_and_client();
    let answer = client.delivered(&request(json!({"prefetch": {
        "mboxes": numbered(&["cart", "hero"]), "views": [{"name": "checkout"}], "pageLoad": {},
    }})));
    assert_eq!(edge.report().impressions.total, 0);
    let prefetch = &answer["prefetch"];
    let cart = &prefetch["mboxes"][0];
    assert_eq!(cart["options"][0]["eventToken"], "on-device-cart-2");
    assert_eq!(prefetch["views"][0]["metrics"][0]["eventToken"], "on-device-checkout-0-click");
    let shown = |id: &str, name: &str, place: &Value| {
        json!({"id": id, "type": "display", "timestamp": 1, name: {"state": place["state"]},
            "tokens": [place["options"][0]["eventToken"]]})
    };
    client.delivered(&notify(json!([
        shown("1", "mbox", cart),
        shown("2", "mbox", &prefetch["mboxes"][1]),
        shown("3", "view", &prefetch["views"][0]),
        shown("4", "pageLoad", &prefetch["pageLoad"]),
    ])));
    for experience in ["15 percent", "Summer", "One page", "Free shipping"] {
        assert_eq!(counted(&edge, experience), 1, "{experience}");
    }
}

#[test]
fn every_view_is_there_once_when_none_is_named() {
    let artifact = json!({"version": "1.0.0", "rules": {"views": {
        "a": [rule(1, &json!(true), &json!("A"))], "b": [rule(2, &json!(false), &json!("B"))],
    }}});
    let scenario = r#"{"views": {"a": {"options": [{"type": "html"}]}, "c": {"options": [{"type": "html"}]}}}"#;
    let edge = LocalEdge::builder()
        .scenario(Scenario::from_json(scenario).unwrap())
        .artifact(artifact.to_string())
        .start()
        .unwrap();
    let names = |views: Value| -> Vec<String> {
        let answer = Client::of(&edge).delivered(&request(json!({"prefetch": {"views": views}})));
        let views = answer["prefetch"]["views"].as_array().unwrap();
        views.iter().map(|view| view["name"].as_str().unwrap().to_owned()).collect()
    };
    assert_eq!(names(json!([{}])), ["a", "c"]);
    assert_eq!(names(json!([{"name": "c"}])), ["c"]);
    assert_eq!(names(json!([{"name": "b"}])), [""; 0]);
}

#[test]
fn the_global_mbox_has_an_entry_for_each_activity() {
    let (edge, mut client) = serving(&json!({"mboxes": {
        "target-global-mbox": [rule(1, &json!(true), &json!("one")), rule(2, &json!(true), &json!("two"))],
        "m": [rule(3, &json!(true), &json!("three")), rule(4, &json!(true), &json!("four"))],
    }}));
    let answer = client.delivered(&execute(&["m", "target-global-mbox", "m", "cart"]));
    let content =
        |mbox: &Value| (mbox["index"].as_i64().unwrap(), mbox["options"][0]["content"].as_str().map(str::to_owned));
    let seen: Vec<_> = answer["execute"]["mboxes"].as_array().unwrap().iter().map(content).collect();
    let text = |text: &str| Some(text.to_owned());
    assert_eq!(seen, [(0, text("three")), (1, text("one")), (1, text("two")), (2, text("three")), (3, None)]);
    // A token is notified once per mbox and request; the scenario's cart counts too.
    assert_eq!(edge.report().impressions.total, 4);
    let answer = client.delivered(&request(json!({"execute": {"pageLoad": {}}})));
    assert_eq!(answer["execute"]["pageLoad"]["options"].as_array().unwrap().len(), 2);
    assert_eq!((counted(&edge, "one"), counted(&edge, "two"), counted(&edge, "three")), (2, 2, 1));
}

#[test]
fn properties_parameters_and_places_decide() {
    let mut of_property = rule(1, &json!(true), &json!("property"));
    of_property["propertyTokens"] = json!(["p-1"]);
    let (_edge, mut client) = serving(&json!({"mboxes": {"m": [
        of_property,
        rule(2, &json!({"==": [{"var": "mbox.plan"}, "gold"]}), &json!("gold")),
        rule(3, &json!({"==": [{"var": "geo.city"}, "TOKYO"]}), &json!("Tokyo")),
        rule(4, &json!(true), &json!("rest")),
    ]}}));
    let mut shown = |members: Value| {
        let answer = client.delivered(&with(execute(&["m"]), members));
        answer["execute"]["mboxes"][0]["options"][0]["content"].as_str().unwrap().to_owned()
    };
    assert_eq!(shown(json!({})), "rest");
    assert_eq!(shown(json!({"property": {"token": "p-1"}})), "property");
    assert_eq!(shown(json!({"property": {"token": "p-2"}})), "rest");
    let gold = json!({"execute": {"mboxes": [{"index": 0, "name": "m", "parameters": {"plan": "gold"}}]}});
    assert_eq!(shown(gold), "gold");
    for (geo, content) in [
        (json!({"ipAddress": "203.0.113.1"}), "Tokyo"),
        (json!({"ipAddress": "192.0.2.1"}), "rest"),
        (json!({"ipAddress": "192.0.2.1", "city": "TOKYO"}), "Tokyo"),
    ] {
        assert_eq!(shown(json!({"context": {"channel": "web", "geo": geo}})), content, "{geo}");
    }
}

#[test]
fn an_artifact_that_the_core_refuses_decides_nothing() {
    let (edge, mut client) = edge_and_client();
    let other = LocalEdge::default_artifact_json().replace("\"version\": \"1.0.0\"", "\"version\": \"2.0.0\"");
    edge.set_artifact(other).unwrap();
    let answer = client.delivered(&execute(&["home"]));
    assert_eq!(answer["execute"]["mboxes"][0]["options"][0]["content"], "<h1>Welcome back</h1>");
    assert_eq!(edge.report().counts("1001", "Returning visitor", "home").impressions, 1, "the scenario's");
    edge.set_artifact_bytes("<html>");
    client.delivered(&execute(&["home"]));
    assert_eq!(edge.report().counts("1001", "Returning visitor", "home").impressions, 2);
}

#[test]
fn offers_come_digit_for_digit_and_requests_are_refused_as_ever() {
    let artifact = r#"{"version":"1.0.0","rules":{"mboxes":{"m":[{"activityId":1,"condition":true,"meta":{},"consequence":{
        "options":[{"type":"json","content":{"n":12345678901234567890123,"s":"\ud800"},"eventToken":"t"}]}}]}}}"#;
    let edge = LocalEdge::start().unwrap();
    edge.set_artifact(artifact).expect_err("half a surrogate pair is no text");
    edge.set_artifact(artifact.replace(r"\ud800", "x")).unwrap();
    let mut client = Client::of(&edge);
    let answer = client.deliver(&execute(&["m"])).unwrap();
    let text = String::from_utf8(answer.body).unwrap();
    assert!(text.contains(r#""n":12345678901234567890123,"#), "{text}");
    let bad = client.deliver(&json!({"execute": {"mboxes": [{"index": 0, "name": "m"}]}})).unwrap();
    assert_eq!((bad.status, bad.message().as_str()), (400, "context is required"));
    assert_eq!(edge.report().impressions.total, 1);
}

#[test]
fn a_trace_says_which_rules_were_looked_at() {
    let (_edge, mut client) = edge_and_client();
    let answer = client.delivered(&with(prefetch(&["cart"]), json!({"trace": {"authorizationToken": "t"}})));
    let trace = &answer["prefetch"]["mboxes"][0]["trace"];
    assert_eq!(trace["campaigns"][0]["id"], 1003, "{trace}");
    assert_eq!(trace["evaluatedCampaignTargets"][0]["campaignId"], 1003);
}

#[test]
fn a_new_visitor_is_the_one_that_was_decided_for() {
    let (edge, mut client) = edge_and_client();
    for _ in 0..20 {
        let first = client.delivered(&execute(&["home"]));
        let id = first["id"]["tntId"].clone();
        let again = client.delivered(&with(execute(&["home"]), json!({"id": {"tntId": id}})));
        let content = |answer: &Value| answer["execute"]["mboxes"][0]["options"][0]["content"].clone();
        assert_eq!(content(&first), content(&again));
    }
    let halves = (counted(&edge, "Welcome back"), counted(&edge, "New collection"));
    assert_eq!(halves.0 + halves.1, 40);
    assert!(halves.0 > 0 && halves.1 > 0, "{halves:?}");
}

/// The experiences that visitors get from a client of this library.
fn experiences(edge: &LocalEdge, method: DecisioningMethod) -> BTreeMap<String, Value> {
    let mut builder = TargetClient::builder("acme", ORGANIZATION).server_domain(edge.host()).secure(false);
    let config = builder.config_mut();
    config.decisioning_method = method;
    config.cdn_base_path = edge.host();
    config.target_location_hint = Some("35".to_owned());
    let client = builder.build().unwrap();
    (0..40)
        .map(|number| {
            let visitor = format!("visitor-{number}");
            let request = DeliveryRequest {
                id: Some(VisitorId { tnt_id: Some(visitor.clone()), ..Default::default() }),
                execute: Some(ExecuteRequest::mboxes(["home", "cart"])),
                ..Default::default()
            };
            let offers = client.get_offers(&CallOptions::new(request)).unwrap();
            assert_eq!(offers.meta.decisioning_method == "on-device", method == DecisioningMethod::OnDevice);
            let mboxes = serde_json::to_value(&offers.response).unwrap()["execute"]["mboxes"].clone();
            let contents = ["/0/options/0/content", "/1/options/0/content"].map(|path| mboxes.pointer(path).cloned());
            (visitor, json!(contents))
        })
        .collect()
}

#[test]
fn the_edge_decides_as_an_on_device_client_does() {
    let edge = LocalEdge::builder().default_artifact().start().unwrap();
    let on_device = experiences(&edge, DecisioningMethod::OnDevice);
    let server_side = experiences(&edge, DecisioningMethod::ServerSide);
    assert_eq!(on_device, server_side);
    let different: HashSet<String> = on_device.values().map(Value::to_string).collect();
    assert_eq!(different.len(), 2, "both experiences were met");
}

#[test]
fn impressions_of_on_device_clients_are_counted_as_those_of_the_edge() {
    let on_device = LocalEdge::builder().default_artifact().start().unwrap();
    experiences(&on_device, DecisioningMethod::OnDevice);
    let server_side = LocalEdge::builder().default_artifact().start().unwrap();
    Client::of(&server_side).get("/acme/production/v1/rules.json", "*/*");
    experiences(&server_side, DecisioningMethod::ServerSide);
    let counts = |edge: &LocalEdge| -> Vec<(String, String, u64)> {
        edge.report().activities.into_iter().map(|one| (one.mbox, one.experience, one.impressions)).collect()
    };
    assert_eq!(server_side.report().impressions.total, 80);
    assert!(on_device.wait_until(Duration::from_secs(10), |report| report.impressions.total == 80));
    assert_eq!(counts(&on_device), counts(&server_side));
    assert_eq!(on_device.report().notifications.distinct, 80);
}

#[test]
fn a_display_of_the_scenario_is_none_of_the_artifact() {
    let (edge, mut client) = edge_and_client();
    client.delivered(&notify(json!([display("visit")])));
    assert_eq!((edge.report().visits.total, edge.report().impressions.total), (1, 0));
}

#[test]
fn every_answer_is_wholly_of_one_artifact_while_they_are_swapped() {
    let artifact = |content: &str| {
        let rules = json!([rule(1, &json!(true), &json!(content))]);
        json!({"version": "1.0.0", "rules": {"mboxes": {"a": rules, "b": rules}}}).to_string()
    };
    let artifacts = [artifact("first"), artifact("second")];
    let edge = LocalEdge::builder().artifact(artifacts[0].as_str()).start().unwrap();
    let done = AtomicBool::new(false);
    std::thread::scope(|scope| {
        let swapping = scope.spawn(|| {
            let mut swaps = 0;
            for artifact in artifacts.iter().cycle() {
                edge.set_artifact(artifact.as_str()).unwrap();
                swaps += 1;
                std::thread::sleep(Duration::from_millis(1));
                if done.load(Ordering::Relaxed) {
                    break;
                }
            }
            swaps
        });
        let deciding: Vec<_> = (0..16)
            .map(|_| {
                scope.spawn(|| {
                    let mut client = Client::of(&edge);
                    for _ in 0..20 {
                        let answer = client.delivered(&execute(&["a", "b"]));
                        let content = |at: usize| answer["execute"]["mboxes"][at]["options"][0]["content"].clone();
                        assert!(content(0).is_string(), "{answer}");
                        assert_eq!(content(0), content(1));
                    }
                })
            })
            .collect();
        let outcomes: Vec<_> = deciding.into_iter().map(std::thread::ScopedJoinHandle::join).collect();
        done.store(true, Ordering::Relaxed);
        assert!(outcomes.iter().all(Result::is_ok));
        assert!(swapping.join().unwrap() > 2);
    });
    assert_eq!(counted(&edge, "first") + counted(&edge, "second"), 640);
}

#[test]
fn the_built_in_audiences_are_a_path_and_a_browser() {
    let (_edge, mut client) = edge_and_client();
    let mut badge = |context: Value| {
        let context = with(json!({"channel": "web"}), context);
        let answer = client.delivered(&with(execute(&["product1"]), json!({"context": context})));
        answer["execute"]["mboxes"][0]["options"][0]["content"].as_str().unwrap().to_owned()
    };
    let firefox = "Mozilla/5.0 (X11; Linux x86_64; rv:128.0) Gecko/20100101 Firefox/128.0";
    assert_eq!(badge(json!({})), "<span class=\"badge\">Bestseller</span>");
    assert_eq!(badge(json!({"userAgent": firefox})), "<span class=\"badge\">Hello, Firefox</span>");
    let sale = json!({"userAgent": firefox, "address": {"url": "https://shop.example/Sale/shoes?size=42"}});
    assert_eq!(badge(sale), "<span class=\"badge\">On sale</span>");
}
