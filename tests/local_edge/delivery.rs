//! What a delivery request is answered with.

use adobe_target::local_edge::{LocalEdge, Scenario};
use serde_json::{Value, json};

use crate::{Client, TARGET, display, execute, notify, numbered, prefetch, request};

fn with_scenario(scenario: &str) -> LocalEdge {
    LocalEdge::builder().scenario(Scenario::from_json(scenario).unwrap()).start().unwrap()
}

#[test]
fn executed_mboxes_have_options_without_tokens() {
    let edge = LocalEdge::start().unwrap();
    let answer = Client::of(&edge).delivered(&execute(&["cart", "nothing-there"]));
    assert_eq!(answer["status"], 200);
    assert_eq!(answer["client"], "localedge");
    assert_eq!(answer["edgeHost"], "mboxedge35.tt.omtrdc.net");
    let mboxes = &answer["execute"]["mboxes"];
    assert_eq!(mboxes[0]["index"], 0);
    assert_eq!(mboxes[0]["name"], "cart");
    assert_eq!(mboxes[0]["options"], json!([{"type": "json", "content": {"discount": 15, "free_shipping": true}}]));
    assert_eq!(mboxes[0]["metrics"][0]["type"], "click");
    assert!(mboxes[0]["metrics"][0]["eventToken"].is_string());
    assert_eq!(mboxes[0].get("state"), None);
    assert_eq!(mboxes[1], json!({"index": 1, "name": "nothing-there"}));
    assert_eq!(answer.get("prefetch"), None);
    assert_eq!(answer.get("notifications"), None);
}

#[test]
fn prefetched_content_has_tokens_and_states() {
    let edge = LocalEdge::start().unwrap();
    let answer = Client::of(&edge).delivered(&request(json!({"prefetch": {
        "mboxes": numbered(&["home", "nothing-there"]),
        "views": [{"name": "checkout"}, {"name": "nothing-there"}],
        "pageLoad": {},
    }})));
    let prefetch = &answer["prefetch"];
    assert_eq!(prefetch["mboxes"][1], json!({"index": 1, "name": "nothing-there"}));
    assert_eq!(prefetch["views"].as_array().unwrap().len(), 1);
    assert_eq!(prefetch["views"][0]["name"], "checkout");
    assert_eq!(prefetch["views"][0]["key"], "checkout-page");
    assert_eq!(prefetch["views"][0]["metrics"][0]["selector"], "#pay");
    for place in [&prefetch["mboxes"][0], &prefetch["views"][0], &prefetch["pageLoad"]] {
        assert!(place["options"][0]["eventToken"].is_string(), "{place}");
        assert!(place["state"].is_string(), "{place}");
    }
    assert_eq!(prefetch["mboxes"][0]["options"][0]["responseTokens"]["activity.id"], "1001");
}

#[test]
fn a_view_without_a_name_asks_for_all_views() {
    let edge = with_scenario(r#"{"views": {"a": {"options": [{"type": "html"}]}, "b": {}}}"#);
    let answer = Client::of(&edge).delivered(&request(json!({"prefetch": {"views": [{}]}})));
    let names: Vec<_> = answer["prefetch"]["views"].as_array().unwrap().iter().map(|view| &view["name"]).collect();
    assert_eq!(names, ["a", "b"]);
}

#[test]
fn page_loads_are_answered_where_they_were_asked_for() {
    let edge = LocalEdge::start().unwrap();
    let mut client = Client::of(&edge);
    let answer = client.delivered(&request(json!({"execute": {"pageLoad": {}, "mboxes": []}})));
    assert_eq!(answer["execute"]["pageLoad"]["options"][0]["type"], "actions");
    assert_eq!(answer["execute"]["mboxes"], json!([]));
    let empty = with_scenario("{}");
    let answer = Client::of(&empty).delivered(&request(json!({"execute": {"pageLoad": {}}, "prefetch": {}})));
    assert_eq!(answer["execute"], json!({"pageLoad": {}}));
    assert_eq!(answer["prefetch"], json!({}));
}

#[test]
fn ids_are_kept_and_made() {
    let edge = LocalEdge::start().unwrap();
    let mut client = Client::of(&edge);
    let tnt_id = |client: &mut Client, id: Value| {
        let answer = client.delivered(&request(json!({"id": id})));
        answer["id"]["tntId"].as_str().unwrap().to_owned()
    };
    assert_eq!(tnt_id(&mut client, json!({"tntId": "abc.28_1"})), "abc.28_1");
    assert_eq!(tnt_id(&mut client, json!({"tntId": "abc"})), "abc.35_0");
    let (first, second) = (tnt_id(&mut client, json!(null)), tnt_id(&mut client, json!({"tntId": ""})));
    assert!(first.ends_with(".35_0") && first.len() == 32 + 5, "{first}");
    assert_ne!(first, second);

    let ids = json!({"thirdPartyId": "t", "marketingCloudVisitorId": "m", "customerIds":
        [{"id": "c", "integrationCode": "crm", "authenticatedState": "authenticated"}]});
    let answer = client.delivered(&request(json!({"id": ids})));
    for name in ["thirdPartyId", "marketingCloudVisitorId", "customerIds"] {
        assert_eq!(answer["id"][name], ids[name]);
    }
}

#[test]
fn a_request_id_is_echoed_or_made() {
    let edge = LocalEdge::start().unwrap();
    let mut client = Client::of(&edge);
    assert_eq!(client.delivered(&request(json!({"requestId": "r-\"1\""})))["requestId"], "r-\"1\"");
    let made = client.delivered(&request(json!({})))["requestId"].as_str().unwrap().to_owned();
    assert_eq!(made.split('-').map(str::len).collect::<Vec<_>>(), [8, 4, 4, 4, 12]);
}

#[test]
fn analytics_and_client_come_from_the_scenario() {
    let edge = with_scenario(
        r#"{"client": "acme", "mboxes": {"a": {"options": [{"type": "html", "content": ""}],
            "analytics": {"payload": {"pe": "tnt", "tnta": "1:1:0|0"}}}}}"#,
    );
    let answer = Client::of(&edge).delivered(&prefetch(&["a"]));
    assert_eq!(answer["client"], "acme");
    assert_eq!(answer["prefetch"]["mboxes"][0]["analytics"], json!({"payload": {"pe": "tnt", "tnta": "1:1:0|0"}}));
}

#[test]
fn a_trace_is_put_on_each_item_when_asked_for() {
    let edge = LocalEdge::start().unwrap();
    let mut client = Client::of(&edge);
    let answer = client.delivered(&request(json!({
        "trace": {"authorizationToken": "t"},
        "execute": {"mboxes": numbered(&["home", "nothing-there"]), "pageLoad": {}},
        "prefetch": {"views": [{}]},
        "notifications": [display("n")],
    })));
    let execute = &answer["execute"];
    for item in [&execute["mboxes"][0], &execute["pageLoad"], &answer["prefetch"]["views"][0]] {
        assert_eq!(item["trace"]["request"]["sessionId"], "session-1", "{item}");
        assert!(item["trace"]["campaigns"][0]["id"].is_string(), "{item}");
    }
    assert_eq!(execute["mboxes"][1]["trace"]["campaigns"], json!([]));
    assert_eq!(answer["notifications"][0]["trace"]["clientCode"], "localedge");
    let nothing = with_scenario("{}");
    let traced = request(json!({"trace": {"authorizationToken": "t"}, "execute": {"pageLoad": {}}}));
    assert!(Client::of(&nothing).delivered(&traced)["execute"]["pageLoad"]["trace"].is_object());
}

#[test]
fn a_beacon_gets_204_and_is_counted() {
    let edge = LocalEdge::start().unwrap();
    let mut body = execute(&["home"]);
    body["context"]["beacon"] = json!(true);
    let answer = Client::of(&edge).deliver(&body).unwrap();
    assert_eq!((answer.status, answer.header("content-length")), (204, None));
    assert_eq!(edge.report().impressions.total, 1);
}

#[test]
fn what_is_no_valid_request_is_refused_and_the_connection_goes_on() {
    let edge = LocalEdge::start().unwrap();
    let mut client = Client::of(&edge);
    let good = execute(&["home"]);
    for (target, message) in [
        ("/rest/v1/delivery?sessionId=a", "imsOrgId is required"),
        ("/rest/v1/delivery?imsOrgId=a", "sessionId is required"),
        (
            "/rest/v1/delivery?imsOrgId=a&sessionId=a%20b",
            "sessionId must be 1 to 128 printable characters other than space, ? and /",
        ),
    ] {
        let answer = client.post(target, &good).unwrap();
        assert_eq!(answer.json(), json!({"status": 400, "message": message}));
        assert_eq!(answer.status, 400);
    }
    let answer = client.deliver(&json!({"execute": {}})).unwrap();
    assert_eq!(answer.json(), json!({"status": 400, "message": "context is required"}));
    let names: Vec<&str> = vec!["home"; 51];
    for (body, path) in [(execute(&names), "execute"), (prefetch(&names), "prefetch")] {
        let answer = client.deliver(&body).unwrap();
        assert_eq!((answer.status, answer.message()), (400, format!("{path}.mboxes must not have more than 50 items")));
    }
    for body in ["", "{", "nonsense", "\u{feff}{}", &"[".repeat(100_000)] {
        client.send_request("POST", TARGET, "", body.as_bytes()).unwrap();
        let answer = client.receive().unwrap();
        assert_eq!(answer.status, 400, "{body:.20}");
        assert!(answer.message().starts_with("request is not valid JSON"), "{answer:?}");
    }
    client.send_request("POST", TARGET, "", b"{\"context\":{\"channel\":\"\xff\"}}").unwrap();
    assert_eq!(client.receive().unwrap().status, 400);
    client.send_request("GET", TARGET, "", b"").unwrap();
    assert_eq!(client.receive().unwrap().status, 405);
    assert_eq!(client.deliver(&good).unwrap().status, 200);
    assert_eq!(edge.connections(), 1);
    let report = edge.report();
    assert_eq!(report.errors.into_iter().collect::<Vec<_>>(), [(400, 12), (405, 1)]);
    assert_eq!((report.requests, report.impressions.total), (14, 1));
}

#[test]
fn a_body_over_the_limit_gets_413() {
    let edge = LocalEdge::builder().max_body_bytes(2000).start().unwrap();
    let body = request(json!({"notifications": [display(&"x".repeat(100))], "pad": "x".repeat(3_000_000)}));
    let mut client = Client::of(&edge);
    let answer = client.deliver(&body).unwrap();
    assert_eq!(answer.json(), json!({"status": 413, "message": "request body is over 2000 bytes"}));
    assert!(client.is_closed());
    let small = notify(json!([display("small")]));
    assert_eq!(Client::of(&edge).deliver(&small).unwrap().status, 200);
    let report = edge.report();
    assert_eq!((report.errors.get(&413), report.notifications.processed), (Some(&1), 1));
}

#[test]
fn too_many_requests_of_a_session_at_once_get_420() {
    use adobe_target::local_edge::Fault;
    use std::time::Duration;

    let edge = LocalEdge::builder().max_concurrent_per_session(2).start().unwrap();
    edge.faults([Fault::Silence, Fault::Silence]);
    let mut silent = [Client::of(&edge), Client::of(&edge)];
    for client in &mut silent {
        client.send_request("POST", TARGET, "", execute(&["home"]).to_string().as_bytes()).unwrap();
    }
    assert!(edge.wait_until(Duration::from_secs(10), |report| report.session_concurrent_max == 2));
    let answer = Client::of(&edge).deliver(&execute(&["home"])).unwrap();
    assert_eq!(answer.json(), json!({"status": 420, "message": "Too many requests with same session ID"}));
    let other = "/rest/v1/delivery?imsOrgId=1&sessionId=session-2";
    assert_eq!(Client::of(&edge).post(other, &execute(&["home"])).unwrap().status, 200);

    drop(silent);
    let freed = std::iter::repeat_with(|| Client::of(&edge).deliver(&execute(&["home"])).unwrap().status)
        .take(10_000)
        .any(|status| status == 200);
    assert!(freed, "a request whose peer has gone is running no more");
    let report = edge.report();
    assert_eq!((report.sessions, report.impressions.total), (2, 2));
    assert!(report.concurrent_max >= 3 && report.session_concurrent_max == 3);
}

#[test]
fn one_request_after_the_other_never_counts_as_concurrent() {
    let edge = LocalEdge::builder().max_concurrent_per_session(1).start().unwrap();
    let mut clients = [Client::of(&edge), Client::of(&edge)];
    for turn in 0..200 {
        assert_eq!(clients[turn % 2].deliver(&execute(&["home"])).unwrap().status, 200);
    }
    assert_eq!(edge.report().session_concurrent_max, 1);
}
