//! The main job: ask for content, show it, and report that it was shown or clicked, so that Target counts it
//! exactly once.
#![cfg(feature = "local-edge")]

mod support;

use std::sync::mpsc;

use adobe_target::delivery::model::{
    DeliveryRequest, ExecuteRequest, Notification, NotificationMbox, NotificationPageLoad, NotificationView,
    PrefetchRequest, RequestDetails, ViewRequest,
};
use adobe_target::local_edge::{Fault, LocalEdge};
use adobe_target::{CallOptions, Offers, TargetClient, TargetError};
use serde_json::{Value, json};
use support::*;

/// What a page keeps of a prefetched mbox until the visitor sees it.
struct Prefetched {
    cookie: String,
    state: String,
    event_token: String,
    click_token: String,
}

fn prefetched_product1(client: &TargetClient) -> Prefetched {
    let request =
        DeliveryRequest { prefetch: Some(PrefetchRequest::mboxes(["home", "product1"])), ..Default::default() };
    let offers = client.get_offers(&CallOptions::new(request)).unwrap();
    let mbox = offers.response.prefetch_mbox("product1").unwrap();
    let option = &mbox.options.as_ref().unwrap()[0];
    assert_eq!(option.content, Some(json!("<span class=\"badge\">Bestseller</span>")));
    Prefetched {
        cookie: offers.target_cookie.value.clone(),
        state: mbox.state.clone().unwrap(),
        event_token: option.event_token.clone().unwrap(),
        click_token: mbox.metrics.as_ref().unwrap()[0].event_token.clone().unwrap(),
    }
}

/// `{"id":"1","type":"display","timestamp":1621530726000,"mbox":{"name":"product1","state":…},"tokens":[…]}`
fn shown(product1: &Prefetched) -> DeliveryRequest {
    let notification = Notification {
        mbox: Some(NotificationMbox {
            name: Some("product1".to_owned()),
            state: Some(product1.state.clone()),
            ..Default::default()
        }),
        tokens: Some(vec![product1.event_token.clone()]),
        ..Notification::display("1", NOW)
    };
    DeliveryRequest { notifications: Some(vec![notification]), ..Default::default() }
}

fn acknowledged(offers: &Offers) -> Vec<&str> {
    let notifications = offers.meta.notifications.as_ref().expect("a call with notifications says what became of them");
    assert!(notifications.unacknowledged.is_empty(), "{notifications:?}");
    notifications.acknowledged.iter().map(String::as_str).collect()
}

/// One impression of `product1` and of its activity, and nothing else.
#[track_caller]
fn assert_one_impression_of_product1(edge: &LocalEdge) {
    let report = edge.report();
    assert_eq!((report.impressions.total, report.impressions.by_mbox.get("product1")), (1, Some(&1)));
    let activity = report.activities.iter().find(|activity| activity.mbox == "product1").unwrap();
    assert_eq!((activity.id.as_str(), activity.impressions, activity.clicks), ("1002", 1, 0));
    assert_eq!((report.visits.total, report.clicks.total, report.orders), (0, 0, 0));
    assert_eq!(report.notifications.ids.get("1"), Some(&1));
    assert!(report.errors.is_empty(), "{:?}", report.errors);
}

#[test]
fn a_prefetched_mbox_that_was_shown_counts_one_impression() {
    let edge = edge();
    let client = client(&edge);
    let product1 = prefetched_product1(&client);
    assert_eq!(edge.report().impressions.total, 0, "prefetching counts nothing");
    edge.take_requests();

    let options = CallOptions::new(shown(&product1)).target_cookie(&product1.cookie);
    let offers = client.send_notifications(&options).unwrap();

    assert_eq!(acknowledged(&offers), ["1"]);
    assert_eq!(offers.response.notifications.as_ref().unwrap()[0].id.as_deref(), Some("1"));
    assert_one_impression_of_product1(&edge);
    let mut sent = only_body(&edge)["notifications"][0].take();
    let impression_id = sent.as_object_mut().unwrap().remove("impressionId").unwrap();
    assert!(is_uuid_v4(impression_id.as_str().unwrap()), "{impression_id}");
    assert_eq!(
        sent,
        json!({
            "id": "1", "type": "display", "timestamp": 1_621_530_726_000_i64,
            "mbox": {"name": "product1", "state": product1.state}, "tokens": [product1.event_token],
        })
    );
}

#[test]
fn the_visitor_stays_the_same_from_prefetch_to_report() {
    let edge = edge();
    let client = client(&edge);
    let product1 = prefetched_product1(&client);
    let prefetch = only_request(&edge);

    let offers =
        client.send_notifications(&CallOptions::new(shown(&product1)).target_cookie(&product1.cookie)).unwrap();

    let report = only_request(&edge);
    assert_eq!(report.query_value("sessionId"), prefetch.query_value("sessionId"));
    let tnt_id = body(&report)["id"]["tntId"].clone();
    assert!(product1.cookie.contains(&format!("PC#{}#", tnt_id.as_str().unwrap())), "{tnt_id}");
    assert_eq!(offers.target_cookie.value, product1.cookie, "with the clock standing still");
    assert_eq!(edge.report().sessions, 1);
}

#[test]
fn the_json_functions_report_a_shown_mbox_as_it_was_written() {
    let edge = edge();
    let client = client(&edge);
    let envelope = parsed(
        &client
            .get_offers_json(r#"{"request":{"prefetch":{"mboxes":[{"name":"home"},{"name":"product1"}]}}}"#)
            .unwrap(),
    );
    let product1 = &envelope["response"]["prefetch"]["mboxes"][1];
    assert_eq!(product1["name"], "product1");
    let (state, token) = (&product1["state"], &product1["options"][0]["eventToken"]);
    let notification = format!(
        r#""id":"1","type":"display","timestamp":1621530726000,"mbox":{{"name":"product1","state":{state}}},"tokens":[{token}]"#
    );
    edge.take_requests();

    let cookie = &envelope["target_cookie"]["value"];
    let result = client
        .send_notifications_json(&format!(
            r#"{{"request":{{"notifications":[{{{notification}}}]}},"target_cookie":{cookie}}}"#
        ))
        .unwrap();

    let result = parsed(&result);
    assert_eq!(result["meta"]["notifications"], json!({"acknowledged": ["1"], "unacknowledged": []}));
    assert_eq!(result["response"]["notifications"], json!([{"id": "1"}]));
    assert_one_impression_of_product1(&edge);
    let sent = String::from_utf8(only_request(&edge).body).unwrap();
    assert!(sent.contains(&format!(r#""notifications":[{{{notification},"impressionId":""#)), "{sent}");
}

#[test]
fn the_callback_runs_when_the_edge_has_acknowledged() {
    let edge = edge();
    let client = client(&edge);
    let product1 = prefetched_product1(&client);
    let (done, outcome) = mpsc::channel();
    let failed = done.clone();

    client
        .send_notifications_then(
            &CallOptions::new(shown(&product1)).target_cookie(&product1.cookie),
            move |offers| done.send(Ok(offers)).unwrap(),
            move |error| failed.send(Err(error)).unwrap(),
        )
        .unwrap();

    let offers = outcome.recv_timeout(LONG).unwrap().unwrap();
    assert_eq!(acknowledged(&offers), ["1"]);
    assert!(outcome.recv().is_err(), "the other callback is gone without having run");
    assert_one_impression_of_product1(&edge);
}

#[test]
fn the_error_callback_runs_when_the_edge_refuses() {
    let edge = edge();
    let client = client(&edge);
    let mut product1 = prefetched_product1(&client);
    product1.event_token = "never-issued".to_owned();
    let (done, outcome) = mpsc::channel();
    let failed = done.clone();

    client
        .send_notifications_then(
            &CallOptions::new(shown(&product1)),
            move |offers| done.send(Ok(offers)).unwrap(),
            move |error| failed.send(Err(error)).unwrap(),
        )
        .unwrap();

    let error = outcome.recv_timeout(LONG).unwrap().unwrap_err();
    assert!(outcome.recv().is_err(), "the other callback is gone without having run");
    assert!(matches!(error, TargetError::Http(_)), "{error:?}");
    assert_eq!(error.details().http_status, Some(400));
    assert_eq!(error.details().api_message.as_deref(), Some("notifications[0].tokens[0]: invalid token"));
    assert_eq!(edge.report().impressions.total, 0);
}

#[test]
fn an_impression_counts_once_although_the_answer_to_its_report_was_lost() {
    let edge = edge();
    let client = client(&edge);
    let product1 = prefetched_product1(&client);
    edge.faults([Fault::ResetAfterReading { counted: true }, Fault::HalfAnswer { counted: true }]);

    let offers =
        client.send_notifications(&CallOptions::new(shown(&product1)).target_cookie(&product1.cookie)).unwrap();

    assert_eq!(acknowledged(&offers), ["1"]);
    let report = edge.report();
    assert_eq!((report.impressions.total, report.duplicate_impressions), (1, 2));
}

#[test]
fn a_click_is_counted_as_a_click() {
    let edge = edge();
    let client = client(&edge);
    let product1 = prefetched_product1(&client);
    edge.take_requests();
    let clicked = Notification {
        mbox: Some(NotificationMbox { name: Some("product1".to_owned()), ..Default::default() }),
        tokens: Some(vec![product1.click_token.clone()]),
        ..Notification::click("c-1", NOW)
    };
    let request = DeliveryRequest { notifications: Some(vec![clicked]), ..Default::default() };

    let offers = client.send_notifications(&CallOptions::new(request).target_cookie(&product1.cookie)).unwrap();

    assert_eq!(acknowledged(&offers), ["c-1"]);
    let report = edge.report();
    assert_eq!((report.clicks.total, report.clicks.by_mbox["product1"], report.impressions.total), (1, 1, 0));
    let activity = report.activities.iter().find(|activity| activity.mbox == "product1").unwrap();
    assert_eq!((activity.clicks, activity.impressions), (1, 0));
    assert_eq!(
        only_body(&edge)["notifications"],
        json!([{
            "id": "c-1", "type": "click", "timestamp": NOW,
            "mbox": {"name": "product1"}, "tokens": [product1.click_token],
        }])
    );
}

#[test]
fn views_and_the_page_load_are_reported_like_mboxes() {
    let edge = edge();
    let client = client(&edge);
    let prefetch = PrefetchRequest {
        views: Some(vec![ViewRequest { name: Some("checkout".to_owned()), ..Default::default() }]),
        page_load: Some(RequestDetails::default()),
        ..Default::default()
    };
    let offers = client
        .get_offers(&CallOptions::new(DeliveryRequest { prefetch: Some(prefetch), ..Default::default() }))
        .unwrap();
    let prefetched = offers.response.prefetch.unwrap();
    let view = &prefetched.views.as_ref().unwrap()[0];
    let page_load = prefetched.page_load.as_ref().unwrap();
    let token_of = |option: &adobe_target::delivery::model::OfferOption| option.event_token.clone().unwrap();
    let notifications = vec![
        Notification {
            view: Some(NotificationView { name: view.name.clone(), state: view.state.clone(), ..Default::default() }),
            tokens: Some(view.options.as_ref().unwrap().iter().map(token_of).collect()),
            ..Notification::display("view", NOW)
        },
        Notification {
            page_load: Some(NotificationPageLoad { state: page_load.state.clone(), ..Default::default() }),
            tokens: Some(page_load.options.as_ref().unwrap().iter().map(token_of).collect()),
            ..Notification::display("page", NOW)
        },
    ];
    let request = DeliveryRequest { notifications: Some(notifications), ..Default::default() };

    let result = client.send_notifications(&CallOptions::new(request)).unwrap();

    assert_eq!(acknowledged(&result), ["view", "page"]);
    let impressions = edge.report().impressions;
    assert_eq!((impressions.by_mbox["checkout"], impressions.by_mbox["target-global-mbox"]), (1, 1));
}

fn execute_request(impression_id: Option<&str>) -> CallOptions {
    CallOptions::new(DeliveryRequest {
        impression_id: impression_id.map(str::to_owned),
        execute: Some(ExecuteRequest::mboxes(["home"])),
        ..Default::default()
    })
}

#[test]
fn an_execute_counts_at_once() {
    let edge = edge();
    let client = client(&edge);

    let offers = client.get_offers(&execute_request(None)).unwrap();

    let home = offers.response.execute_mbox("home").unwrap();
    assert_eq!(home.options.as_ref().unwrap()[0].content, Some(json!("<h1>Welcome back</h1>")));
    assert_eq!(offers.meta.notifications, None);
    assert_eq!(edge.report().impressions.by_mbox.get("home"), Some(&1));
}

#[test]
fn executes_of_one_impression_id_count_once() {
    let edge = edge();
    let client = client(&edge);

    client.get_offers(&execute_request(Some("page-7"))).unwrap();
    client.get_offers(&execute_request(Some("page-7"))).unwrap();
    client.get_offers(&execute_request(Some("page-8"))).unwrap();

    let ids: Vec<Value> = edge.take_requests().iter().map(|request| body(request)["impressionId"].clone()).collect();
    assert_eq!(ids, ["page-7", "page-7", "page-8"]);
    let report = edge.report();
    assert_eq!((report.impressions.total, report.duplicate_impressions), (2, 1));
}

#[test]
fn an_execute_counts_once_although_its_answer_was_lost() {
    let edge = edge();
    let client = client(&edge);
    edge.fault(Fault::ResetAfterReading { counted: true });

    client.get_offers(&execute_request(None)).unwrap();

    let requests = edge.take_requests();
    assert_eq!(requests.len(), 2);
    assert_eq!(requests[0].body, requests[1].body);
    assert_eq!(edge.report().impressions.total, 1);
}

#[test]
fn attributes_are_the_json_offers_of_executed_mboxes() {
    let edge = edge();
    let client = client(&edge);

    let attributes = client.get_attributes(["cart", "hero", "home"], &CallOptions::default()).unwrap();

    assert_eq!(attributes.value("cart", "discount").unwrap(), &json!(15));
    assert_eq!(attributes.value("hero", "show").unwrap(), &json!(true));
    assert_eq!(attributes.as_object("cart").len(), 2);
    assert_eq!(attributes.as_map().keys().collect::<Vec<_>>(), ["cart", "hero"], "home has no JSON offer");
    let missing = attributes.value("cart", "colour").unwrap_err();
    assert_eq!(missing.to_string(), "Attribute 'colour' does not exist for mbox 'cart'");
    assert_eq!(edge.report().impressions.total, 3);
}

#[test]
fn attributes_take_prefetched_mboxes_as_they_are_and_execute_the_others() {
    let edge = edge();
    let client = client(&edge);
    let request = json!({"prefetch": {"mboxes": [{"name": "cart"}]}, "execute": {"mboxes": [{"name": "hero"}]}});

    let envelope = client.get_attributes_json(r#"["cart","hero","home","home"]"#, &json_options(request)).unwrap();

    let envelope = parsed(&envelope);
    assert_eq!(envelope["attributes"]["cart"], json!({"discount": 15, "free_shipping": true}));
    assert_eq!(envelope["attributes"]["hero"]["title"], "Summer is here");
    let sent = only_body(&edge);
    assert_eq!(sent["execute"]["mboxes"], json!([{"index": 0, "name": "hero"}, {"index": 1, "name": "home"}]));
    assert_eq!(sent["prefetch"]["mboxes"], json!([{"index": 0, "name": "cart"}]));
}
