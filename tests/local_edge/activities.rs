//! Counts per activity, experience and mbox, from the event tokens of artifacts.

use adobe_target::local_edge::LocalEdge;
use serde_json::{Value, json};

use crate::{Client, execute, notify};

fn rule(activity: u64, experience: &str, token: &str, click: &str) -> Value {
    json!({
        "ruleKey": activity.to_string(), "activityId": activity, "condition": true,
        "meta": {"activity.id": activity, "activity.name": format!("Activity {activity}"),
            "experience.id": experience.len(), "experience.name": experience},
        "consequence": {"name": "m", "options": [{"type": "html", "content": "x", "eventToken": token}],
            "metrics": [{"type": "click", "selector": "#x", "eventToken": click}]},
    })
}

fn serving(mboxes: &Value, views: &Value) -> (LocalEdge, Client) {
    let artifact = json!({"version": "1.0.0", "globalMbox": "target-global-mbox",
        "rules": {"mboxes": mboxes, "views": views}});
    let edge = LocalEdge::builder().artifact(artifact.to_string()).start().unwrap();
    let client = Client::of(&edge);
    (edge, client)
}

fn shown(id: &str, mbox: &str, tokens: &[&str]) -> Value {
    json!({"id": id, "impressionId": id, "type": "display", "timestamp": 1, "mbox": {"name": mbox}, "tokens": tokens})
}

fn clicked(id: &str, mbox: &str, token: &str) -> Value {
    json!({"id": id, "type": "click", "timestamp": 1, "mbox": {"name": mbox}, "tokens": [token]})
}

/// Sends notifications in a session and, where an id is given, for a visitor.
fn send(client: &mut Client, session: &str, visitor: Option<&str>, notifications: &[Value]) {
    let mut body = notify(json!(notifications));
    if let Some(visitor) = visitor {
        body["id"] = json!({"tntId": visitor});
    }
    let target = format!("/rest/v1/delivery?imsOrgId=1%40AdobeOrg&sessionId={session}");
    let answer = client.post(&target, &body).unwrap();
    assert_eq!(answer.status, 200, "{answer:?}");
}

fn counts(edge: &LocalEdge, activity: &str, experience: &str, mbox: &str) -> (u64, u64) {
    let counts = edge.report().counts(activity, experience, mbox);
    (counts.impressions, counts.clicks)
}

#[test]
fn displays_and_clicks_are_counted_by_token() {
    let (edge, mut client) = serving(
        &json!({"m": [rule(1, "A", "show-a", "click-a"), rule(1, "Bee", "show-b", "click-b")]}),
        &json!({"v": [rule(2, "A", "show-v", "click-v")]}),
    );
    send(
        &mut client,
        "s",
        None,
        &[shown("1", "m", &["show-a"]), shown("2", "m", &["show-b"]), clicked("3", "m", "click-b")],
    );
    let of_view = |kind: &str, token: &str| json!({"id": "v", "type": kind, "timestamp": 1, "view": {"name": "v"}, "tokens": [token]});
    send(&mut client, "s", None, &[of_view("display", "show-v"), of_view("click", "click-v")]);
    // The same impression again, and a click again.
    send(&mut client, "s", None, &[shown("1", "m", &["show-a"]), clicked("3", "m", "click-b")]);
    assert_eq!(counts(&edge, "1", "A", "m"), (1, 0));
    assert_eq!(counts(&edge, "1", "Bee", "m"), (1, 2));
    assert_eq!(counts(&edge, "2", "A", "v"), (1, 1));
    let report = edge.report();
    assert_eq!((report.impressions.total, report.clicks.total, report.duplicate_impressions), (3, 3, 1));
    assert_eq!((report.impressions.by_mbox["m"], report.clicks.by_mbox["v"]), (2, 1));
    let bee = report.counts("1", "Bee", "m");
    assert_eq!((bee.name.as_str(), bee.experience_id.as_str()), ("Activity 1", "3"));
}

#[test]
fn several_tokens_of_one_experience_are_one_impression() {
    let (edge, mut client) = serving(
        &json!({"m": [rule(1, "A", "one", ""), rule(1, "A", "two", ""), rule(2, "A", "other", "")]}),
        &json!({}),
    );
    send(&mut client, "s", None, &[shown("1", "m", &["one", "two", "other", "one"])]);
    assert_eq!((counts(&edge, "1", "A", "m"), counts(&edge, "2", "A", "m")), ((1, 0), (1, 0)));
    assert_eq!(edge.report().impressions.total, 2);
}

/// In Adobe's artifacts the experiences of an activity share the event token of a click metric.
#[test]
fn a_click_belongs_to_the_experience_that_the_visitor_saw_last() {
    let (edge, mut client) =
        serving(&json!({"m": [rule(1, "A", "show-a", "click"), rule(1, "B", "show-b", "click")]}), &json!({}));
    send(&mut client, "session-a", Some("visitor-a.35_0"), &[shown("1", "m", &["show-a"])]);
    send(&mut client, "session-b", Some("visitor-b"), &[shown("2", "m", &["show-b"])]);
    send(&mut client, "session-a", None, &[clicked("3", "m", "click")]);
    // Another session of the visitor, whose profile has moved to another cluster.
    send(&mut client, "session-c", Some("visitor-b.28_0"), &[clicked("4", "m", "click")]);
    assert_eq!((counts(&edge, "1", "A", "m"), counts(&edge, "1", "B", "m")), ((1, 1), (1, 1)));
    // Somebody who saw neither: only the activity is known.
    send(&mut client, "session-d", None, &[clicked("5", "m", "click")]);
    assert_eq!((counts(&edge, "1", "A", "m"), counts(&edge, "1", "B", "m")), ((1, 1), (1, 1)));
    assert_eq!(counts(&edge, "1", "", "m"), (0, 1));
    assert_eq!(edge.report().clicks.total, 3);
    // Both in one request: the display comes before the click that follows from it.
    send(&mut client, "session-d", None, &[shown("6", "m", &["show-b"]), clicked("7", "m", "click")]);
    assert_eq!(counts(&edge, "1", "B", "m"), (2, 2));
}

#[test]
fn tokens_of_former_artifacts_are_taken_and_unknown_ones_are_not() {
    let (edge, mut client) = serving(&json!({"m": [rule(1, "A", "former", "")]}), &json!({}));
    edge.set_artifact(json!({"rules": {"mboxes": {"m": [rule(2, "A", "current", "")]}}}).to_string()).unwrap();
    send(&mut client, "s", None, &[shown("1", "m", &["former"]), shown("2", "m", &["current"])]);
    assert_eq!((counts(&edge, "1", "A", "m"), counts(&edge, "2", "A", "m")), ((1, 0), (1, 0)));
    let answer = client.deliver(&notify(json!([shown("3", "m", &["unknown"])]))).unwrap();
    assert_eq!((answer.status, answer.message()), (400, "notifications[0].tokens[0]: invalid token".to_owned()));
}

#[test]
fn the_report_lists_what_the_artifact_can_show() {
    let edge = LocalEdge::builder().default_artifact().start().unwrap();
    let mut client = Client::of(&edge);
    let listed = |edge: &LocalEdge| -> Vec<(String, String, String)> {
        edge.report().activities.into_iter().map(|one| (one.id, one.experience, one.mbox)).collect()
    };
    let expected = [
        ("1004", "Summer", "hero"),
        ("1001", "Welcome back", "home"),
        ("1001", "New collection", "home"),
        ("1002", "On sale", "product1"),
        ("1002", "Firefox", "product1"),
        ("1002", "Bestseller", "product1"),
        ("1003", "Black Friday 2030", "cart"),
        ("1003", "Japan", "cart"),
        ("1003", "15 percent", "cart"),
        ("1006", "Free shipping", "target-global-mbox"),
        ("1005", "One page", "checkout"),
    ]
    .map(|(id, experience, mbox)| (id.to_owned(), experience.to_owned(), mbox.to_owned()));
    assert_eq!(listed(&edge), expected, "the scenario's own stay where the artifact has no rules");
    send(&mut client, "s", None, &[shown("1", "cart", &["on-device-cart-1"])]);
    assert_eq!(listed(&edge), expected, "counting changes no order");
    assert_eq!(counts(&edge, "1003", "Japan", "cart"), (1, 0));

    let json = client.get("/report.json", "*/*").json();
    assert!(json["activities"].as_array().unwrap().contains(&json!({"id": "1003", "name": "Cart discount",
        "experience_id": "1", "experience": "Japan", "mbox": "cart", "impressions": 1, "clicks": 0})));
    edge.reset();
    assert_eq!((listed(&edge), counts(&edge, "1003", "Japan", "cart")), (expected.to_vec(), (0, 0)));
    edge.remove_artifact();
    assert_eq!(edge.report().activities.len(), 6);
}

#[test]
fn what_the_artifact_has_no_rules_for_is_the_scenarios() {
    let edge = LocalEdge::builder().default_artifact().start().unwrap();
    let answer = Client::of(&edge).delivered(&execute(&["hero"]));
    assert_eq!(answer["execute"]["mboxes"][0]["options"][0]["content"]["title"], "Summer is here");
    assert_eq!(counts(&edge, "1004", "Summer", "hero"), (1, 0));
}
