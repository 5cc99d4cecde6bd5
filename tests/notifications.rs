//! Reporting in full: limits, impression ids, parts, and what a caller learns about each notification when
//! something fails.
#![cfg(feature = "local-edge")]

mod support;

use std::collections::HashSet;
use std::time::Duration;

use adobe_target::local_edge::{Fault, LocalEdge, RecordedRequest};
use adobe_target::{DecisioningMethod, NotificationOutcome, PartialResult, TargetError};
use serde_json::{Value, json};
use support::*;

fn outcome(error: &TargetError) -> &NotificationOutcome {
    match &error.details().result {
        Some(PartialResult::Notifications(outcome)) => outcome,
        other => panic!("{other:?} of {error:?}"),
    }
}

/// Ids of acknowledged, rejected, unknown and not sent notifications.
fn fates(error: &TargetError) -> [Vec<&str>; 4] {
    let NotificationOutcome { acknowledged, rejected, unknown, not_sent, .. } = outcome(error);
    [acknowledged, rejected, unknown, not_sent].map(|ids| ids.iter().map(String::as_str).collect())
}

fn numbers(ids: std::ops::Range<usize>) -> Vec<String> {
    ids.map(|id| id.to_string()).collect()
}

fn displays(ids: std::ops::Range<usize>) -> Value {
    notify(ids.map(|id| display(&id.to_string())))
}

fn clicks(ids: std::ops::Range<usize>) -> Value {
    notify(ids.map(|id| click(&id.to_string())))
}

mod limits {
    use super::*;

    fn with(member: &str, value: Value) -> Value {
        let mut notification = display("1");
        notification[member] = value;
        notify([display("0"), notification])
    }

    fn without(member: &str) -> Value {
        let mut notification = display("1");
        notification.as_object_mut().unwrap().remove(member);
        notify([display("0"), notification])
    }

    fn parameters(count: usize) -> Value {
        (0..count).map(|n| (format!("p{n}"), json!("v"))).collect::<serde_json::Map<_, _>>().into()
    }

    fn customer_ids(count: usize) -> Value {
        (0..count)
            .map(|n| json!({"id": n.to_string(), "integrationCode": "c", "authenticatedState": "unknown"}))
            .collect()
    }

    /// A request with notifications and these members.
    fn and(member: &str, value: Value) -> Value {
        let mut request = notify([display("0")]);
        request[member] = value;
        request
    }

    #[test]
    fn what_is_over_a_limit_is_refused_by_its_field_and_nothing_is_sent() {
        let edge = edge();
        let client = client(&edge);
        let long = |length: usize| "é".repeat(length);
        let named = |name: String| json!({ name: "v" });
        let order = json!({"parameters": parameters(51)});
        for (request, expected) in [
            (with("id", json!(long(201))), "request.notifications[1].id"),
            (with("impressionId", json!(long(129))), "request.notifications[1].impressionId"),
            (with("parameters", parameters(51)), "request.notifications[1].parameters"),
            (with("parameters", named(long(129))), "request.notifications[1].parameters"),
            (with("parameters", json!({"a": long(5001)})), "request.notifications[1].parameters.a"),
            (with("profileParameters", parameters(51)), "request.notifications[1].profileParameters"),
            (with("profileParameters", json!({"a": long(5001)})), "request.notifications[1].profileParameters.a"),
            (with("mbox", json!({"name": long(251)})), "request.notifications[1].mbox.name"),
            (and("impressionId", json!(long(129))), "request.impressionId"),
            (and("id", json!({"customerIds": customer_ids(51)})), "request.id.customerIds"),
            (and("execute", execute(&["x"; 51])["execute"].take()), "request.execute.mboxes"),
            (and("prefetch", prefetch(&["x"; 51])["prefetch"].take()), "request.prefetch.mboxes"),
            (and("execute", json!({"mboxes": [{"name": long(251)}]})), "request.execute.mboxes[0].name"),
            (and("execute", json!({"pageLoad": order})), "request.execute.pageLoad.parameters"),
            (and("prefetch", json!({"views": [{"name": "v"}, order]})), "request.prefetch.views[1].parameters"),
            (
                and("prefetch", json!({"mboxes": [{"name": "m", "parameters": {"a": long(5001)}}]})),
                "request.prefetch.mboxes[0].parameters.a",
            ),
        ] {
            let error = client.send_notifications_json(&json_options(request)).unwrap_err();

            assert!(matches!(error, TargetError::InvalidOptions(_)), "{error:?}");
            assert_eq!(field(&error), expected, "{error}");
            assert!(error.to_string().contains(expected), "the message names the field: {error}");
        }
        let both =
            json!({"request": and("id", json!({"customerIds": customer_ids(30)})), "customer_ids": customer_ids(21)});
        assert_eq!(field(&client.send_notifications_json(&both.to_string()).unwrap_err()), "request.id.customerIds");
        let option = json!({"request": notify([display("0")]), "customer_ids": customer_ids(51)});
        assert_eq!(field(&client.send_notifications_json(&option.to_string()).unwrap_err()), "customer_ids");
        let session = json!({"request": notify([display("0")]), "session_id": "x".repeat(129)});
        assert_eq!(field(&client.send_notifications_json(&session.to_string()).unwrap_err()), "session_id");
        assert_eq!(edge.report().requests, 0);
    }

    #[test]
    fn what_is_just_within_its_limits_is_sent() {
        let edge = edge();
        let client = client(&edge);
        let long = |length: usize| "é".repeat(length);
        for request in [
            with("id", json!(long(200))),
            with("impressionId", json!(long(128))),
            with("parameters", parameters(50)),
            with("parameters", json!({ long(128): long(5000) })),
            with("mbox", json!({"name": long(250)})),
            and("impressionId", json!(long(128))),
            and("id", json!({"customerIds": customer_ids(50)})),
            and("execute", execute(&["home"; 50])["execute"].take()),
            and("prefetch", prefetch(&["home"; 50])["prefetch"].take()),
        ] {
            client.send_notifications_json(&json_options(request.clone())).unwrap_or_else(|e| panic!("{e}: {request}"));
        }
        let session = json!({"request": notify([display("0")]), "session_id": "x".repeat(128)});
        client.send_notifications_json(&session.to_string()).unwrap();
    }

    #[test]
    fn what_a_notification_needs_is_never_invented() {
        let edge = edge();
        let client = client(&edge);
        for (request, expected) in [
            (without("id"), "request.notifications[1].id"),
            (with("id", json!("")), "request.notifications[1].id"),
            (with("id", json!(null)), "request.notifications[1].id"),
            (with("id", json!(5)), "request.notifications[1].id"),
            (without("type"), "request.notifications[1].type"),
            (with("type", json!("view")), "request.notifications[1].type"),
            (with("type", json!("Display")), "request.notifications[1].type"),
            (with("type", json!(null)), "request.notifications[1].type"),
            (without("timestamp"), "request.notifications[1].timestamp"),
            (with("timestamp", json!(null)), "request.notifications[1].timestamp"),
            (with("timestamp", json!("1621530726000")), "request.notifications[1].timestamp"),
            (with("timestamp", json!(1.5)), "request.notifications[1].timestamp"),
            (with("timestamp", json!(1e40)), "request.notifications[1].timestamp"),
            (with("impressionId", json!(1)), "request.notifications[1].impressionId"),
            (with("tokens", json!("token")), "request.notifications[1].tokens"),
            (with("tokens", json!([null])), "request.notifications[1].tokens[0]"),
            (with("tokens", json!(["a", 1])), "request.notifications[1].tokens[1]"),
            (with("mbox", json!("home")), "request.notifications[1].mbox"),
            (with("mbox", json!({"name": 1})), "request.notifications[1].mbox.name"),
            (with("view", json!([])), "request.notifications[1].view"),
            (with("pageLoad", json!(true)), "request.notifications[1].pageLoad"),
            (with("parameters", json!([])), "request.notifications[1].parameters"),
            (with("order", json!(1)), "request.notifications[1].order"),
            (notify([display("0"), json!(null)]), "request.notifications[1]"),
            (notify([display("0"), json!([])]), "request.notifications[1]"),
        ] {
            let error = client.send_notifications_json(&json_options(request.clone())).unwrap_err();

            assert!(matches!(error, TargetError::InvalidOptions(_)), "{request}: {error:?}");
            assert_eq!(field(&error), expected, "{request}: {error}");
        }
        assert_eq!(edge.report().requests, 0);
    }

    #[test]
    fn a_request_without_notifications_is_refused() {
        let edge = edge();
        let client = client(&edge);
        for request in [
            json!({"notifications": []}),
            json!({"notifications": null}),
            json!({"notifications": {}}),
            json!({"notifications": "1"}),
            execute(&["home"]),
        ] {
            let error = client.send_notifications_json(&json_options(request)).unwrap_err();

            assert_eq!(error.to_string(), "Notifications array is required in request");
            assert_eq!(field(&error), "request.notifications");
        }
        assert_eq!(edge.report().requests, 0);
    }

    #[test]
    fn typed_notifications_have_the_same_limits() {
        let edge = edge();
        let client = client(&edge);

        let no_time = client.send_notifications(&options(without("timestamp"))).unwrap_err();
        let long_id = client.send_notifications_async(&options(with("id", json!("x".repeat(201))))).unwrap_err();

        assert_eq!(field(&no_time), "request.notifications[1].timestamp");
        assert_eq!(field(&long_id), "request.notifications[1].id");
        assert_eq!(edge.report().requests, 0);
    }
}

mod impression_ids {
    use super::*;

    fn of(request: &RecordedRequest) -> Vec<Option<String>> {
        let body = body(request);
        let notifications = body["notifications"].as_array().unwrap();
        notifications.iter().map(|item| item.get("impressionId").map(|id| id.as_str().unwrap().to_owned())).collect()
    }

    #[test]
    fn each_display_gets_one_of_its_own_and_a_click_gets_none() {
        let edge = edge();
        let client = client(&edge);
        let mut own = display("own");
        own["impressionId"] = json!("mine");
        let mut own_click = click("own-click");
        own_click["impressionId"] = json!("clicked");
        let mut empty = display("empty");
        empty["impressionId"] = json!("");
        let mut null = display("null");
        null["impressionId"] = json!(null);
        let notifications = [display("1"), display("2"), click("3"), own, own_click, empty, null];

        client.send_notifications(&options(notify(notifications))).unwrap();

        let ids = of(&only_request(&edge));
        assert_eq!(ids[2..5], [None, Some("mine".to_owned()), Some("clicked".to_owned())]);
        let made: Vec<&str> = [0, 1, 5, 6].iter().map(|at| ids[*at].as_deref().unwrap()).collect();
        assert!(made.iter().all(|id| is_uuid_v4(id)), "{made:?}");
        assert_eq!(made.iter().collect::<HashSet<_>>().len(), 4, "{made:?}");
    }

    #[test]
    fn every_attempt_bears_the_same_ones_so_that_nothing_counts_twice() {
        let edge = edge();
        let client = client(&edge);
        edge.faults([Fault::ResetAfterReading { counted: true }, Fault::status(503)]);

        client.send_notifications(&options(displays(0..3))).unwrap();

        let requests = edge.take_requests();
        assert_eq!(requests.len(), 3);
        assert!(requests.iter().all(|request| of(request) == of(&requests[0])));
        assert!(requests.iter().all(|request| request.header("x-request-id") == requests[0].header("x-request-id")));
        let report = edge.report();
        assert_eq!((report.visits.total, report.duplicate_impressions), (3, 3));
    }

    #[test]
    fn that_of_the_request_is_not_copied_into_notifications() {
        let edge = edge();
        let client = client(&edge);
        let mut request = displays(0..1);
        request["impressionId"] = json!("page");

        client.send_notifications(&options(request)).unwrap();

        let sent = only_body(&edge);
        assert_eq!(sent["impressionId"], "page");
        assert_ne!(sent["notifications"][0]["impressionId"], "page");
    }

    #[test]
    fn a_request_gets_one_only_when_it_executes() {
        let edge = edge();
        let client = client(&edge);
        let mut executing = displays(0..1);
        executing["execute"] = json!({"pageLoad": {}});

        client.send_notifications(&options(displays(0..1))).unwrap();
        assert_eq!(only_body(&edge).get("impressionId"), None);
        client.send_notifications(&options(executing)).unwrap();
        assert!(is_uuid_v4(only_body(&edge)["impressionId"].as_str().unwrap()));
    }

    #[test]
    fn a_call_that_is_made_again_by_the_caller_has_new_ones() {
        let edge = edge();
        let client = client(&edge);
        let options = options(displays(0..1));

        client.send_notifications(&options).unwrap();
        client.send_notifications(&options).unwrap();

        assert_eq!(edge.report().visits.total, 2);
    }
}

mod parts {
    use super::*;

    fn request_of_120() -> Value {
        let mut request = displays(0..120);
        request["requestId"] = json!("r-1");
        request["execute"] = json!({"mboxes": [{"name": "home"}]});
        request["prefetch"] = json!({"mboxes": [{"name": "product1"}]});
        request["id"] = json!({"thirdPartyId": "t"});
        request["property"] = json!({"token": "p"});
        request
    }

    #[test]
    fn more_than_fifty_go_out_in_order() {
        let edge = edge();
        let client = client(&edge);

        client.send_notifications(&options(request_of_120()).session_id("s")).unwrap();

        let requests = edge.take_requests();
        let bodies: Vec<Value> = requests.iter().map(body).collect();
        let ids: Vec<Vec<&str>> = bodies.iter().map(notification_ids).collect();
        assert_eq!(ids, [numbers(0..50), numbers(50..100), numbers(100..120)]);
        let keys = |body: &Value| body.as_object().unwrap().keys().cloned().collect::<Vec<_>>();
        let everything = [
            "requestId",
            "impressionId",
            "id",
            "property",
            "context",
            "experienceCloud",
            "execute",
            "prefetch",
            "notifications",
        ];
        assert_eq!(keys(&bodies[0]), everything);
        for rest in &bodies[1..] {
            assert_eq!(keys(rest), ["requestId", "id", "property", "context", "experienceCloud", "notifications"]);
            for shared in ["id", "property", "context", "experienceCloud"] {
                assert_eq!(rest[shared], bodies[0][shared]);
            }
        }
        assert!(requests.iter().all(|request| request.query_value("sessionId") == Some("s")));
        assert_eq!(edge.report().visits.total, 120);
    }

    #[test]
    fn each_part_has_request_ids_of_its_own() {
        let edge = edge();
        let client = client(&edge);

        client.send_notifications(&options(request_of_120())).unwrap();

        let requests = edge.take_requests();
        let request_ids: Vec<String> =
            requests.iter().map(|request| body(request)["requestId"].as_str().unwrap().to_owned()).collect();
        assert_eq!(request_ids[0], "r-1");
        assert!(is_uuid_v4(&request_ids[1]) && is_uuid_v4(&request_ids[2]) && request_ids[1] != request_ids[2]);
        let headers: HashSet<&str> = requests.iter().map(|request| request.header("x-request-id").unwrap()).collect();
        assert_eq!(headers.len(), 3);
    }

    #[test]
    fn the_answers_are_one_envelope() {
        let edge = edge();
        let client = client(&edge);

        let result = parsed(&client.send_notifications_json(&json_options(request_of_120())).unwrap());

        let response = &result["response"];
        assert_eq!(response["requestId"], "r-1");
        assert_eq!(response["execute"]["mboxes"][0]["options"][0]["content"], "<h1>Welcome back</h1>");
        assert_eq!(response["prefetch"]["mboxes"][0]["name"], "product1");
        assert_eq!(notification_ids(response), numbers(0..120));
        assert_eq!(result["response_tokens"].as_array().unwrap().len(), 1);
        assert_eq!(result["meta"]["notifications"], json!({"acknowledged": numbers(0..120), "unacknowledged": []}));
        assert_eq!(result["target_location_hint_cookie"]["value"], "35");
        let request = &result["request"];
        assert_eq!((&request["requestId"], notification_ids(request)), (&json!("r-1"), ids(&numbers(0..120))));
        assert_eq!(edge.report().impressions.by_mbox["home"], 1);
        let sent: Vec<Value> =
            edge.take_requests().iter().flat_map(|r| body(r)["notifications"].as_array().unwrap().clone()).collect();
        assert_eq!(request["notifications"], Value::from(sent), "with the impression ids that were sent");
    }

    fn ids(list: &[String]) -> Vec<&str> {
        list.iter().map(String::as_str).collect()
    }

    #[test]
    fn fifty_are_one_part() {
        let edge = edge();
        let client = client(&edge);

        client.send_notifications(&options(displays(0..50))).unwrap();
        assert_eq!(edge.take_requests().len(), 1);
        client.send_notifications(&options(displays(0..51))).unwrap();
        assert_eq!(edge.take_requests().len(), 2);
    }

    #[test]
    fn offers_with_notifications_go_out_in_parts_too() {
        let edge = edge();
        let client = client(&edge);

        let offers = client.get_offers(&options(request_of_120())).unwrap();

        assert_eq!(offers.meta.notifications.unwrap().acknowledged, numbers(0..120));
        assert!(offers.response.execute_mbox("home").is_some());
        assert_eq!(edge.take_requests().len(), 3);
    }

    #[test]
    fn each_part_is_repeated_for_itself() {
        let edge = edge();
        let client = client(&edge);
        edge.faults([Fault::None, Fault::status(503), Fault::status(500), Fault::None, Fault::status(429)]);

        client.send_notifications(&options(displays(0..120))).unwrap();

        let sent: Vec<String> = edge.take_requests().iter().map(|r| notification_ids(&body(r))[0].to_owned()).collect();
        assert_eq!(sent, ["0", "50", "50", "50", "100", "100"]);
        assert_eq!(edge.report().visits.total, 120);
    }
}

mod failures {
    use super::*;

    /// 120 notifications whose second part meets these faults.
    fn second_part_fails(request: Value, faults: impl IntoIterator<Item = Fault>) -> (LocalEdge, TargetError) {
        let edge = edge();
        edge.fault(Fault::None);
        edge.faults(faults);
        let error = client(&edge).send_notifications(&options(request)).unwrap_err();
        (edge, error)
    }

    #[test]
    fn a_refused_part_is_rejected_and_the_rest_is_not_sent() {
        let (edge, error) = second_part_fails(displays(0..120), [Fault::status(400)]);

        assert!(matches!(error, TargetError::Http(_)), "{error:?}");
        assert_eq!(error.details().http_status, Some(400));
        assert_eq!(error.details().api_message.as_deref(), Some("status 400 on demand"));
        assert!(!error.is_retryable());
        let sent = edge.take_requests();
        assert_eq!(error.details().request_id.as_deref(), body(&sent[1])["requestId"].as_str());
        assert_eq!(fates(&error), [numbers(0..50), numbers(50..100), vec![], numbers(100..120)]);
        assert_eq!((sent.len(), edge.report().visits.total), (2, 50));
    }

    #[test]
    fn clicks_that_may_have_been_counted_are_unknown_and_not_repeated() {
        for fault in [
            Fault::status(503),
            Fault::status(500),
            Fault::status(408),
            Fault::ResetAfterReading { counted: true },
            Fault::ResetAfterReading { counted: false },
            Fault::HalfAnswer { counted: true },
        ] {
            let (edge, error) = second_part_fails(clicks(0..120), [fault.clone()]);

            assert!(error.is_retryable(), "{fault:?}: {error:?}");
            assert_eq!(fates(&error), [numbers(0..50), vec![], numbers(50..100), numbers(100..120)], "{fault:?}");
            assert_eq!(edge.take_requests().len(), 2, "{fault:?}");
        }
    }

    #[test]
    fn clicks_are_repeated_where_the_edge_says_that_it_counted_nothing() {
        let edge = edge();
        edge.faults([Fault::status(420), Fault::status(429)]);

        client(&edge).send_notifications(&options(clicks(0..2))).unwrap();

        assert_eq!(edge.report().clicks.total, 2);
    }

    #[test]
    fn an_order_is_not_repeated_either() {
        let edge = edge();
        let client = client(&edge);
        let order = json!({"id": "o", "total": 1.5});
        let mut notified = display("1");
        notified["order"] = order.clone();
        for request in [
            notify([notified]),
            {
                let mut request = displays(0..1);
                request["execute"] = json!({"mboxes": [{"name": "cart", "order": order}]});
                request
            },
            {
                let mut request = displays(0..1);
                request["execute"] = json!({"pageLoad": {"order": order}});
                request
            },
        ] {
            edge.fault(Fault::ResetAfterReading { counted: true });
            let error = client.send_notifications(&options(request.clone())).unwrap_err();

            assert_eq!(error.details().attempts, 1, "{request}");
            assert_eq!(outcome(&error).unknown.len(), 1);
        }
        assert_eq!(edge.report().orders, 3);
    }

    #[test]
    fn displays_end_as_unknown_when_no_attempt_is_left() {
        let (_edge, error) = second_part_fails(displays(0..120), vec![Fault::ResetAfterReading { counted: true }; 9]);

        assert!(matches!(error, TargetError::Network(_)), "{error:?}");
        assert!(error.is_retryable());
        assert_eq!(fates(&error), [numbers(0..50), vec![], numbers(50..100), numbers(100..120)]);
    }

    #[test]
    fn what_never_left_is_not_sent() {
        let nobody = Nobody::new();
        let client = builder_for(nobody.host()).build().unwrap();

        let error = client.send_notifications(&options(clicks(0..60))).unwrap_err();

        assert!(matches!(error, TargetError::Network(_)), "{error:?}");
        assert_eq!((error.details().phase.as_str(), error.is_retryable()), ("connect", true));
        assert_eq!(error.details().attempts, 3, "nothing was counted, so clicks are repeated");
        assert_eq!(fates(&error), [vec![], vec![], vec![], numbers(0..60)]);
    }

    #[test]
    fn a_request_that_is_too_large_is_rejected() {
        let edge = LocalEdge::builder().max_body_bytes(100_000).start().unwrap();
        let client = client(&edge);
        let mut request = displays(0..2);
        request["new"] = json!("x".repeat(3_000_000));

        let error = client.send_notifications(&options(request)).unwrap_err();

        assert!(matches!(error, TargetError::Http(_)), "{error:?}");
        assert_eq!((error.details().http_status, error.details().attempts), (Some(413), 1));
        assert_eq!(outcome(&error).rejected, numbers(0..2));
    }

    #[test]
    fn a_deadline_leaves_what_was_sent_unknown() {
        let edge = edge();
        edge.faults([Fault::None, Fault::Silence]);

        let error = client(&edge)
            .send_notifications(&options(displays(0..120)).timeout(Duration::from_millis(1000)))
            .unwrap_err();

        assert!(matches!(error, TargetError::Timeout(_)), "{error:?}");
        assert_eq!(fates(&error), [numbers(0..50), vec![], numbers(50..100), numbers(100..120)]);
    }

    #[test]
    fn an_unreadable_answer_leaves_the_part_unknown() {
        let (_edge, error) = second_part_fails(displays(0..120), [Fault::GarbageBody]);

        assert!(matches!(error, TargetError::InvalidResponse(_)), "{error:?}");
        assert_eq!(error.details().http_status, Some(200));
        assert_eq!(fates(&error), [numbers(0..50), vec![], numbers(50..100), numbers(100..120)]);
    }

    #[test]
    fn ids_that_a_part_left_out_can_be_sent_again_with_the_rest() {
        let edge = edge();
        edge.faults([Fault::MissIds(2), Fault::status(400)]);

        let error = client(&edge).send_notifications(&options(displays(0..60))).unwrap_err();

        assert_eq!(fates(&error), [numbers(0..48), numbers(50..60), vec![], numbers(48..50)]);
    }

    #[test]
    fn the_error_in_json_has_the_lists() {
        let (_edge, error) = second_part_fails(displays(0..101), [Fault::status(403)]);

        let error = parsed(&error.to_json());

        assert_eq!((&error["code"], &error["http_status"]), (&json!("TARGET_ERR_HTTP"), &json!(403)));
        assert_eq!(
            error["result"],
            json!({"notifications": {
                "acknowledged": numbers(0..50), "rejected": numbers(50..100), "unknown": [], "not_sent": ["100"],
            }})
        );
    }

    #[test]
    fn a_wait_that_is_asked_for_beyond_the_deadline_fails_at_once() {
        let edge = edge();
        edge.fault(Fault::Status {
            status: 429,
            retry_after: Some("3600".to_owned()),
            message: "slow down".to_owned(),
        });

        let error = client(&edge).send_notifications(&options(displays(0..1))).unwrap_err();

        let details = error.details();
        assert_eq!((details.retry_after_ms, details.retryable, details.attempts), (Some(3_600_000), true, 1));
        assert!(details.elapsed_ms < 10_000);
        assert_eq!(outcome(&error).rejected, ["0"]);
    }

    #[test]
    fn a_connection_that_died_while_it_was_idle_is_replaced_even_for_clicks() {
        let edge = edge();
        let client = client(&edge);
        for round in 1..=3 {
            client.send_notifications(&options(clicks(0..1))).unwrap();
            assert_eq!(edge.close_idle_connections(), 1);
            assert_eq!((edge.report().clicks.total, client.stats().retries), (round, 0));
        }
    }

    #[test]
    fn a_call_that_is_refused_before_it_starts_says_nothing_of_notifications() {
        let edge = edge();

        let error = client(&edge).send_notifications(&options(notify([display("")]))).unwrap_err();

        assert_eq!(error.details().result, None);
    }
}

mod acknowledgement {
    use super::*;

    #[test]
    fn ids_that_the_answer_leaves_out_are_not_acknowledged() {
        let edge = edge();
        edge.faults([Fault::MissIds(1), Fault::None, Fault::MissIds(3)]);

        let offers = client(&edge).send_notifications(&options(displays(0..110))).unwrap();

        let notifications = offers.meta.notifications.unwrap();
        let expected: Vec<String> = numbers(0..49).into_iter().chain(numbers(50..107)).collect();
        assert_eq!(notifications.acknowledged, expected);
        assert_eq!(notifications.unacknowledged, ["49", "107", "108", "109"]);
        assert_eq!(edge.report().visits.total, 106);
    }

    #[test]
    fn a_success_without_a_list_acknowledges_all() {
        let edge = edge();
        let client = client(&edge);
        for answer in [Fault::NoContent, Fault::respond(200, "{}"), Fault::respond(200, r#"{"notifications":null}"#)] {
            edge.fault(answer);

            let offers = client.send_notifications(&options(displays(0..3))).unwrap();

            assert_eq!(offers.meta.notifications.unwrap().acknowledged, numbers(0..3));
        }
    }

    #[test]
    fn a_beacon_is_acknowledged_without_a_body() {
        let edge = edge();
        let mut request = displays(0..2);
        request["context"] = json!({"beacon": true});

        let offers = client(&edge).send_notifications(&options(request)).unwrap();

        assert_eq!(offers.response_json(), "{}");
        assert_eq!(offers.meta.notifications.unwrap().acknowledged, numbers(0..2));
        assert_eq!(edge.report().visits.total, 2);
    }

    #[test]
    fn odd_items_in_the_list_acknowledge_nothing() {
        let edge = edge();
        edge.reply_with(200, r#"{"notifications":[null,5,"0",{"id":0},{"id":"1","new":[]},{"id":"other"}]}"#);

        let offers = client(&edge).send_notifications(&options(displays(0..3))).unwrap();

        let notifications = offers.meta.notifications.unwrap();
        assert_eq!(
            (notifications.acknowledged, notifications.unacknowledged),
            (numbers(1..2), vec!["0".into(), "2".into()])
        );
    }

    #[test]
    fn an_id_in_another_spelling_is_the_same_id() {
        let edge = edge();
        edge.reply_with(200, r#"{"notifications":[{"id":"\u00e9\/\"1"}]}"#);

        let offers = client(&edge).send_notifications(&options(notify([display("é/\"1")]))).unwrap();

        assert_eq!(offers.meta.notifications.unwrap().acknowledged, ["é/\"1"]);
    }
}

#[test]
fn notifications_go_to_the_edge_whatever_the_decisioning_method() {
    let edge = edge();
    let client = client(&edge);
    for method in [DecisioningMethod::OnDevice, DecisioningMethod::Hybrid, DecisioningMethod::ServerSide] {
        let offers = client.send_notifications(&options(displays(0..1)).decisioning_method(method)).unwrap();

        assert_eq!(offers.meta.decisioning_method, "server-side");
    }
    let error = client
        .send_notifications_json(&json!({"request": displays(0..1), "decisioning_method": "edge"}).to_string())
        .unwrap_err();

    assert_eq!(error.to_string(), "Invalid Decisioning Method.  Must be set to one of: on-device,server-side,hybrid");
    assert_eq!(edge.report().requests, 3);
}

#[test]
fn members_that_this_version_does_not_know_are_sent_as_they_are() {
    let edge = edge();
    let request = r#"{"request":{"new":{"a":[1.0]},"notifications":[{"id":"1","type":"display","timestamp":1621530726000,"new":"x","mbox":{"name":"home","other":1e2}}]}}"#;

    client(&edge).send_notifications_json(request).unwrap();

    let sent = String::from_utf8(only_request(&edge).body).unwrap();
    assert!(sent.contains(r#""new":{"a":[1.0]}"#), "{sent}");
    assert!(sent.contains(r#""timestamp":1621530726000,"new":"x","mbox":{"name":"home","other":1e2},"#), "{sent}");
}

#[test]
fn space_and_escapes_in_a_notification_make_no_difference() {
    let edge = edge();
    let request = "{\"request\":{\"notifications\":[ \n{ \"id\" : \"\\u0031\" ,\r\n \"\\u0074ype\" : \"displ\\u0061y\",\t\"timestamp\":\n1621530726000 \t}\n ,{\"id\":\"2\",\"type\":\"click\",\"timestamp\":1621530726000,\"tokens\":null}  ]}}";

    let result = parsed(&client(&edge).send_notifications_json(request).unwrap());

    assert_eq!(result["meta"]["notifications"]["acknowledged"], json!(["1", "2"]));
    let sent = only_body(&edge)["notifications"].take();
    assert!(is_uuid_v4(sent[0]["impressionId"].as_str().unwrap()), "{sent}");
    assert_eq!(sent[1], json!({"id": "2", "type": "click", "timestamp": NOW}));
}
