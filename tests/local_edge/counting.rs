//! What is counted, and that nothing of an invalid request is.

use adobe_target::local_edge::{LocalEdge, Report};
use serde_json::{Value, json};

use crate::{Client, display, execute, notify, numbered, prefetch, request, tokens};

fn edge_and_client() -> (LocalEdge, Client) {
    let edge = LocalEdge::start().unwrap();
    let client = Client::of(&edge);
    (edge, client)
}

fn with(mut notification: Value, members: Value) -> Value {
    for (name, value) in members.as_object().unwrap() {
        notification[name] = value.clone();
    }
    notification
}

fn click(id: &str, token: &str) -> Value {
    with(display(id), json!({"type": "click", "tokens": [token]}))
}

fn of_activity(report: &Report, id: &str) -> (u64, u64) {
    let activity = report.activities.iter().find(|activity| activity.id == id).unwrap();
    (activity.impressions, activity.clicks)
}

#[test]
fn executing_counts_impressions_and_prefetching_does_not() {
    let (edge, mut client) = edge_and_client();
    client.delivered(&prefetch(&["home", "cart"]));
    assert_eq!(edge.report().impressions.total, 0);
    client.delivered(&execute(&["home", "cart", "home", "nothing-there"]));
    client.delivered(&request(json!({"execute": {"pageLoad": {}}})));
    let report = edge.report();
    let by_mbox: Vec<_> = report.impressions.by_mbox.iter().map(|(name, count)| (name.as_str(), *count)).collect();
    assert_eq!(by_mbox, [("cart", 1), ("home", 2), ("target-global-mbox", 1)]);
    assert_eq!(report.impressions.total, 4);
    assert_eq!(of_activity(&report, "1001"), (2, 0));
}

#[test]
fn an_impression_id_counts_once() {
    let (edge, mut client) = edge_and_client();
    let executed = request(json!({"impressionId": "page-1", "execute": {"mboxes": numbered(&["home", "cart"])}}));
    client.delivered(&executed);
    client.delivered(&executed);
    let (token, _) = tokens(&mut client, "home");
    let shown = |id: &str, impression: &str| with(display(id), json!({"impressionId": impression, "tokens": [token]}));
    // The first belongs to the page that was executed; the second is new; the third repeats the second.
    let answer = client.delivered(&notify(json!([shown("a", "page-1"), shown("b", "page-2"), shown("c", "page-2")])));
    assert_eq!(answer["notifications"], json!([{"id": "a"}, {"id": "b"}, {"id": "c"}]));
    let report = edge.report();
    assert_eq!((report.impressions.total, report.duplicate_impressions), (3, 4));
    assert_eq!(of_activity(&report, "1001"), (2, 0));
    assert_eq!(report.notifications.processed, 3);
    assert_eq!(report.notifications.ids, [("a", 1), ("b", 1), ("c", 1)].map(|(id, n)| (id.to_owned(), n)).into());
    assert_eq!(report.notifications.counted, [("a", 0), ("b", 1), ("c", 0)].map(|(id, n)| (id.to_owned(), n)).into());
}

#[test]
fn without_an_impression_id_every_time_counts() {
    let (edge, mut client) = edge_and_client();
    let (token, _) = tokens(&mut client, "home");
    for _ in 0..3 {
        client.delivered(&notify(json!([with(display("a"), json!({"tokens": [token]}))])));
        client.delivered(&execute(&["home"]));
    }
    let report = edge.report();
    assert_eq!((report.impressions.total, report.duplicate_impressions), (6, 0));
    assert_eq!(report.notifications.ids["a"], 3);
}

#[test]
fn clicks_and_orders_count_every_time() {
    let (edge, mut client) = edge_and_client();
    let (_, token) = tokens(&mut client, "product1");
    let clicked = with(click("c", &token), json!({"impressionId": "i", "order": {"id": "o", "total": 1.5}}));
    for _ in 0..2 {
        client.delivered(&notify(json!([clicked])));
    }
    client.delivered(&request(json!({"execute": {"mboxes": [{"index": 0, "name": "cart", "order": {"id": "o"}}]}})));
    client.delivered(&request(json!({"prefetch": {"mboxes": [{"index": 0, "name": "cart", "order": {"id": "o"}}]}})));
    let report = edge.report();
    assert_eq!((report.clicks.total, report.clicks.by_mbox["product1"], report.orders), (2, 2, 3));
    assert_eq!(of_activity(&report, "1002"), (0, 2));
}

#[test]
fn a_display_without_tokens_is_a_visit() {
    let (edge, mut client) = edge_and_client();
    let visit =
        |id: &str, place: Value| with(json!({"id": id, "type": "display", "timestamp": 1, "impressionId": id}), place);
    let visits = notify(json!([
        visit("a", json!({"mbox": {"name": "footer"}})),
        visit("b", json!({"view": {"name": "checkout"}})),
        visit("c", json!({"pageLoad": {}, "tokens": []})),
        visit("d", json!({})),
    ]));
    client.delivered(&visits);
    client.delivered(&visits);
    let report = edge.report();
    let by_mbox: Vec<_> = report.visits.by_mbox.iter().map(|(name, count)| (name.as_str(), *count)).collect();
    assert_eq!(by_mbox, [("(unknown)", 1), ("checkout", 1), ("footer", 1), ("target-global-mbox", 1)]);
    assert_eq!((report.visits.total, report.duplicate_impressions, report.impressions.total), (4, 4, 0));
}

#[test]
fn several_options_of_one_experience_are_one_impression() {
    let (edge, mut client) = edge_and_client();
    let (home, _) = tokens(&mut client, "home");
    let (cart, _) = tokens(&mut client, "cart");
    client.delivered(&notify(json!([with(display("a"), json!({"tokens": [home, home, cart]}))])));
    assert_eq!(edge.report().impressions.total, 2);
}

#[test]
fn states_of_prefetched_places_are_taken_back() {
    let (edge, mut client) = edge_and_client();
    let answer = client.delivered(&request(
        json!({"prefetch": {"mboxes": numbered(&["home"]), "views": [{"name": "checkout"}], "pageLoad": {}}}),
    ));
    let prefetch = &answer["prefetch"];
    let notification = |id: &str, name: &str, place: &Value| {
        let mut notification = json!({"id": id, "type": "display", "timestamp": 1,
            "tokens": [place["options"][0]["eventToken"]]});
        notification[name] = json!({"state": place["state"]});
        notification
    };
    client.delivered(&notify(json!([
        notification("m", "mbox", &prefetch["mboxes"][0]),
        notification("v", "view", &prefetch["views"][0]),
        notification("p", "pageLoad", &prefetch["pageLoad"]),
    ])));
    let report = edge.report();
    let counted: Vec<_> = report.activities.iter().filter(|one| one.impressions == 1).map(|one| &one.mbox).collect();
    assert_eq!(counted, ["home", "checkout", "target-global-mbox"]);
    assert_eq!(of_activity(&report, "1005"), (1, 0));
}

#[test]
fn one_bad_notification_fails_them_all() {
    let (edge, mut client) = edge_and_client();
    let (token, metric) = tokens(&mut client, "home");
    let good = [with(display("a"), json!({"tokens": [token], "impressionId": "i"})), click("b", &metric)];
    for bad in [
        with(display("c"), json!({"tokens": ["forged"]})),
        with(display("c"), json!({"timestamp": -1})),
        with(display("c"), json!({"mbox": {"name": "home", "state": "forged"}})),
        with(display("c"), json!({"id": "x".repeat(201)})),
    ] {
        let mut body = notify(json!([good[0], good[1], bad]));
        body["execute"] = json!({"mboxes": numbered(&["home"])});
        let answer = client.deliver(&body).unwrap();
        assert_eq!(answer.status, 400);
        assert!(answer.message().starts_with("notifications[2]"), "{answer:?}");
    }
    let report = edge.report();
    assert_eq!((report.impressions.total, report.clicks.total, report.notifications.processed), (0, 0, 0));
    // The impression that was refused has not been seen.
    client.delivered(&notify(json!(good)));
    let report = edge.report();
    assert_eq!((report.impressions.total, report.clicks.total, report.duplicate_impressions), (1, 1, 0));
}

#[test]
fn a_forged_token_is_called_invalid() {
    let (_edge, mut client) = edge_and_client();
    let answer = client.deliver(&notify(json!([with(display("a"), json!({"tokens": ["forged"]}))]))).unwrap();
    assert_eq!(answer.json(), json!({"status": 400, "message": "notifications[0].tokens[0]: invalid token"}));
}

#[test]
fn tokens_outlive_the_edge() {
    let token = {
        let (_edge, mut client) = edge_and_client();
        tokens(&mut client, "home").0
    };
    let (edge, mut client) = edge_and_client();
    client.delivered(&notify(json!([with(display("a"), json!({"tokens": [token]}))])));
    assert_eq!(of_activity(&edge.report(), "1001"), (1, 0));
}

#[test]
fn foreign_tokens_are_counted_by_mbox_when_they_are_let_through() {
    let edge = LocalEdge::builder().accept_any_token(true).start().unwrap();
    let mut client = Client::of(&edge);
    client.delivered(&notify(json!([
        with(display("a"), json!({"tokens": ["foreign"]})),
        with(display("b"), json!({"tokens": ["foreign"], "type": "click"})),
    ])));
    let report = edge.report();
    assert_eq!((report.impressions.by_mbox["home"], report.clicks.by_mbox["home"]), (1, 1));
    assert_eq!(of_activity(&report, "1001"), (0, 0));
}

#[test]
fn a_reset_begins_anew() {
    let (edge, mut client) = edge_and_client();
    let body = request(json!({"impressionId": "i", "execute": {"mboxes": numbered(&["home"])}}));
    client.delivered(&body);
    edge.reset();
    let report = edge.report();
    assert_eq!((report.requests, report.sessions, report.impressions.total, report.connections), (0, 0, 0, 1));
    assert_eq!(report.activities.len(), 6, "the scenario's activities are listed from the start");
    client.delivered(&body);
    assert_eq!((edge.report().impressions.total, edge.report().duplicate_impressions), (1, 0));
}

#[test]
fn many_threads_are_counted_exactly() {
    let edge = LocalEdge::start().unwrap();
    std::thread::scope(|scope| {
        for thread in 0..8 {
            let edge = &edge;
            scope.spawn(move || {
                let mut client = Client::of(edge);
                let (token, metric) = tokens(&mut client, "home");
                for number in 0..50 {
                    let id = format!("{thread}-{number}");
                    let shown = with(display(&id), json!({"impressionId": format!("i-{number}"), "tokens": [token]}));
                    client.delivered(&notify(json!([shown, click(&format!("c-{id}"), &metric)])));
                }
            });
        }
    });
    let report = edge.report();
    assert_eq!((report.impressions.total, report.duplicate_impressions, report.clicks.total), (50, 350, 400));
    assert_eq!((report.notifications.processed, report.notifications.ids.len(), report.requests), (800, 800, 408));
    assert_eq!((report.connections, report.sessions), (8, 1));
}
