//! What goes in and what comes out: each option shown by the request that the edge received, each key of the
//! result by the answer that it was made from.
#![cfg(feature = "local-edge")]

mod support;

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use adobe_target::delivery::model::{AuthenticatedState, CustomerId, DeliveryRequest, ExecuteRequest};
use adobe_target::local_edge::{Fault, LocalEdge, RecordedRequest, Scenario};
use adobe_target::{CallOptions, ClientConfig, DecisioningMethod, ProxySetting, TargetClient, TargetError};
use serde_json::{Value, json};
use support::*;

/// In seconds, after now.
const UNEXPIRED: i64 = NOW / 1000 + 1000;

/// The request that a call with these JSON options makes.
fn request_of(edge: &LocalEdge, client: &TargetClient, options: &Value) -> RecordedRequest {
    client.get_offers_json(&options.to_string()).unwrap();
    only_request(edge)
}

/// The result of a call that is answered with this.
fn result_of(answer: &str) -> Value {
    let edge = edge();
    edge.reply_with(200, answer);
    parsed(&client(&edge).get_offers_json(&json_options(execute(&["home"]))).unwrap())
}

mod options_of_a_call {
    use super::*;

    #[test]
    fn events_is_another_name_of_request() {
        let edge = edge();
        let client = client(&edge);

        let sent = request_of(&edge, &client, &json!({"events": execute(&["home"])}));

        assert_eq!(body(&sent)["execute"]["mboxes"], json!([{"index": 0, "name": "home"}]));
    }

    #[test]
    fn every_option_may_be_written_in_camel_case() {
        let edge = edge();
        let client = client(&edge);
        let request = json!({
            "requestId": "r", "impressionId": "i", "execute": {"pageLoad": {}},
            "experienceCloud": {"analytics": {"supplementalDataId": "0123456789ABCDEF-0123456789ABCDEF"}},
        });
        let snake = json!({
            "request": request,
            "target_cookie": format!("PC#d.35_0#{UNEXPIRED}"),
            "target_location_hint": "28",
            "consumer_id": "header",
            "customer_ids": {"crm": {"id": "c-1", "auth_state": 1}},
            "session_id": "s-1",
            "visitor_cookie": "digest|MCMID|m-1",
            "decisioning_method": "server-side",
            "timeout": 20_000,
            "retry_clicks": true,
        });
        let camel = json!({
            "request": request,
            "targetCookie": format!("PC#d.35_0#{UNEXPIRED}"),
            "targetLocationHint": "28",
            "consumerId": "header",
            "customerIds": {"crm": {"id": "c-1", "authState": 1}},
            "sessionId": "s-1",
            "visitorCookie": "digest|MCMID|m-1",
            "decisioningMethod": "server-side",
            "timeout": 20_000,
            "retryClicks": true,
        });

        let results = [&snake, &camel].map(|options| {
            let result = parsed(&client.get_offers_json(&options.to_string()).unwrap());
            let sent = only_request(&edge);
            let mut state = result["visitor_state"][ORGANIZATION].clone();
            // The option comes back as it was given, in the spelling of the caller.
            state.as_object_mut().unwrap().remove("customerIDs").unwrap();
            (sent.body, sent.query, state, result["target_cookie"].clone())
        });

        assert_eq!(results[0], results[1]);
        let sent: Value = serde_json::from_slice(&results[0].0).unwrap();
        assert_eq!(
            sent["id"],
            json!({
                "tntId": "d.35_0", "marketingCloudVisitorId": "m-1",
                "customerIds": [{"id": "c-1", "integrationCode": "crm", "authenticatedState": "authenticated"}],
            })
        );
    }

    #[test]
    fn the_target_cookie_names_session_and_device() {
        let edge = edge();
        let client = client(&edge);
        let cookie = format!("session#s%231#{UNEXPIRED}|PC#d-1.35_0#{UNEXPIRED}");

        let sent = request_of(&edge, &client, &json!({"request": execute(&["home"]), "target_cookie": cookie}));

        assert_eq!(sent.query_value("sessionId"), Some("s#1"));
        assert_eq!(body(&sent)["id"], json!({"tntId": "d-1.35_0"}));
    }

    #[test]
    fn expired_and_damaged_parts_of_the_target_cookie_count_as_absent() {
        let edge = edge();
        let client = client(&edge);
        let expired = NOW / 1000 - 1;
        for cookie in [
            format!("session#old#{expired}|PC#old.35_0#{expired}"),
            format!("session#%zz#{UNEXPIRED}|PC##{UNEXPIRED}"),
            format!("session#with%20space#{UNEXPIRED}|PC"),
            "\u{0}|#|###|check#true".to_owned(),
        ] {
            let options = json!({"request": execute(&["home"]), "target_cookie": cookie, "session_id": "mine"});

            let sent = request_of(&edge, &client, &options);

            assert_eq!(sent.query_value("sessionId"), Some("mine"), "{cookie:?}");
            assert_eq!(body(&sent).get("id"), None, "{cookie:?}");
        }
    }

    #[test]
    fn the_session_is_that_of_the_cookie_then_of_the_option_then_a_new_one() {
        let edge = edge();
        let client = client(&edge);
        let session =
            |options: Value| request_of(&edge, &client, &options).query_value("sessionId").unwrap().to_owned();
        let request = execute(&["home"]);

        let cookie = format!("session#from-cookie#{UNEXPIRED}");
        assert_eq!(session(json!({"request": request, "session_id": "o", "target_cookie": cookie})), "from-cookie");
        assert_eq!(session(json!({"request": request, "session_id": "o"})), "o");
        let (first, second) = (session(json!({"request": request})), session(json!({"request": request})));
        assert!(is_uuid_v4(&first) && is_uuid_v4(&second) && first != second, "{first} {second}");
    }

    #[test]
    fn the_device_of_the_request_goes_before_that_of_the_cookie() {
        let edge = edge();
        let client = client(&edge);
        let options = json!({
            "request": {"id": {"tntId": "mine.28_0"}, "execute": {"pageLoad": {}}},
            "target_cookie": format!("PC#d-1.35_0#{UNEXPIRED}"),
        });

        let sent = request_of(&edge, &client, &options);

        assert_eq!(body(&sent)["id"]["tntId"], "mine.28_0");
    }

    /// Where a call goes, seen by a proxy in front of all hosts.
    fn authority_of(options: &Value, configured_hint: Option<&str>, with_domain: bool) -> String {
        let edge = edge();
        let mut builder =
            TargetClient::builder("acme", ORGANIZATION).secure(false).proxy(ProxySetting::Url(edge.url("")));
        builder.config_mut().target_location_hint = configured_hint.map(str::to_owned);
        if with_domain {
            builder = builder.server_domain("target.example.com");
        }
        builder.timeout(LONG).fixed_clock_ms(NOW).build().unwrap().get_offers_json(&options.to_string()).unwrap();
        let requests = edge.take_requests();
        let delivered = requests.iter().find(|request| request.method == "POST").unwrap();
        let authority = delivered.authority.clone().unwrap();
        authority.strip_suffix(":80").unwrap_or(&authority).to_owned()
    }

    #[test]
    fn a_known_cluster_moves_the_request_to_its_host() {
        let plain = json!({"request": execute(&["home"])});
        let hinted = json!({"request": execute(&["home"]), "target_location_hint": "28"});
        let with_cookie = json!({
            "request": {"id": {"tntId": "a.31_0"}, "execute": {"pageLoad": {}}},
            "target_location_hint": "28",
            "target_cookie": format!("PC#d.35_0#{UNEXPIRED}"),
        });
        let with_id = json!({
            "request": {"id": {"tntId": "a.31_0"}, "execute": {"pageLoad": {}}}, "target_location_hint": "28",
        });

        assert_eq!(authority_of(&plain, None, false), "acme.tt.omtrdc.net");
        assert_eq!(authority_of(&plain, Some("41"), false), "mboxedge41.tt.omtrdc.net");
        assert_eq!(authority_of(&hinted, Some("41"), false), "mboxedge28.tt.omtrdc.net");
        assert_eq!(authority_of(&with_id, Some("41"), false), "mboxedge31.tt.omtrdc.net");
        assert_eq!(authority_of(&with_cookie, Some("41"), false), "mboxedge35.tt.omtrdc.net");
    }

    #[test]
    fn a_server_domain_stays_in_force_whatever_the_hint() {
        let hinted = json!({"request": execute(&["home"]), "target_location_hint": "28"});

        assert_eq!(authority_of(&hinted, None, true), "target.example.com");
    }

    #[test]
    fn the_consumer_id_names_the_payload() {
        let edge = edge();
        let client = client(&edge);
        let consumed = |options: CallOptions| {
            let offers = client.get_offers(&options).unwrap();
            offers.visitor_state[ORGANIZATION]["sdid"]["supplementalDataIDCurrentConsumed"].clone()
        };

        assert_eq!(consumed(options(execute(&["home"]))), json!({"payload:target-global-mbox": true}));
        assert_eq!(consumed(options(execute(&["home"])).consumer_id("header")), json!({"payload:header": true}));
    }

    #[test]
    fn customer_ids_of_a_map_come_before_those_of_the_request() {
        let edge = edge();
        let client = client(&edge);
        let map = json!({
            "plain": "p",
            "crm": {"id": "c", "authState": 1},
            "loyalty": {"id": "l", "authState": 2},
            "unsure": {"id": "u"},
            "absent": null,
        });
        let own = json!({"id": "own", "integrationCode": "x", "authenticatedState": "unknown", "new": [1]});
        let request = json!({"id": {"customerIds": [own]}, "execute": {"pageLoad": {}}});

        let result =
            parsed(&client.get_offers_json(&json!({"request": request, "customer_ids": map}).to_string()).unwrap());

        assert_eq!(
            only_body(&edge)["id"]["customerIds"],
            json!([
                {"id": "p", "integrationCode": "plain", "authenticatedState": "unknown"},
                {"id": "c", "integrationCode": "crm", "authenticatedState": "authenticated"},
                {"id": "l", "integrationCode": "loyalty", "authenticatedState": "logged_out"},
                {"id": "u", "integrationCode": "unsure", "authenticatedState": "unknown"},
                own,
            ])
        );
        assert_eq!(result["visitor_state"][ORGANIZATION]["customerIDs"], map, "as the option gave them");
    }

    #[test]
    fn customer_ids_may_be_a_list() {
        let edge = edge();
        let client = client(&edge);
        let id = CustomerId {
            id: Some("c".to_owned()),
            integration_code: Some("crm".to_owned()),
            authenticated_state: Some(AuthenticatedState::LoggedOut),
            ..Default::default()
        };

        let offers = client.get_offers(&options(execute(&["home"])).customer_ids([id])).unwrap();

        let listed = json!([{"id": "c", "integrationCode": "crm", "authenticatedState": "logged_out"}]);
        assert_eq!(only_body(&edge)["id"]["customerIds"], listed);
        assert_eq!(offers.visitor_state[ORGANIZATION]["customerIDs"], listed);
    }

    #[test]
    fn the_visitor_cookie_fills_in_what_the_request_leaves_out() {
        let edge = edge();
        let client = client(&edge);
        let cookie = format!("-124|MCMID|m-1|MCAAMLH-{UNEXPIRED}|9|MCAAMB-{UNEXPIRED}|blob-1");
        let own = json!({
            "id": {"marketingCloudVisitorId": "own"}, "execute": {"pageLoad": {}},
            "experienceCloud": {"audienceManager": {"blob": "own"}},
        });

        let raw = body(&request_of(&edge, &client, &json!({"request": execute(&["home"]), "visitor_cookie": cookie})));
        let encoded = cookie.replace('|', "%7C");
        let decoded =
            body(&request_of(&edge, &client, &json!({"request": execute(&["home"]), "visitor_cookie": encoded})));
        let completed = body(&request_of(&edge, &client, &json!({"request": own, "visitor_cookie": cookie})));

        for sent in [raw, decoded] {
            assert_eq!(sent["id"], json!({"marketingCloudVisitorId": "m-1"}));
            assert_eq!(sent["experienceCloud"]["audienceManager"], json!({"locationHint": 9, "blob": "blob-1"}));
        }
        assert_eq!(completed["id"], json!({"marketingCloudVisitorId": "own"}));
        assert_eq!(completed["experienceCloud"]["audienceManager"], json!({"locationHint": 9, "blob": "own"}));
    }

    #[test]
    fn the_timeout_is_that_of_the_call_then_of_the_client() {
        let edge = edge();
        edge.set_default_reply(Some(Fault::Silence));
        let impatient = builder(&edge).timeout(Duration::from_millis(40)).build().unwrap();
        let patient = client(&edge);
        let short = Duration::from_millis(40);

        let errors = [
            impatient.get_offers(&options(execute(&["home"]))).unwrap_err(),
            patient.get_offers(&options(execute(&["home"])).timeout(short)).unwrap_err(),
            patient.get_offers_json(&json!({"request": execute(&["home"]), "timeout": 40}).to_string()).unwrap_err(),
        ];

        for error in errors {
            assert!(matches!(error, TargetError::Timeout(_)), "{error:?}");
            let details = error.details();
            assert!(details.elapsed_ms >= 40 && details.elapsed_ms < 10_000, "{details:?}");
            assert_eq!((details.attempts, details.retryable), (1, true));
        }
    }

    #[test]
    fn retry_clicks_repeats_what_may_have_been_counted() {
        let edge = edge();
        let client = client(&edge);
        let clicked = || options(notify([click("c")]));

        edge.fault(Fault::status(503));
        let error = client.send_notifications(&clicked()).unwrap_err();
        assert_eq!((error.details().attempts, edge.report().clicks.total), (1, 0));

        edge.fault(Fault::status(503));
        client.send_notifications(&clicked().retry_clicks(true)).unwrap();
        assert_eq!(edge.report().clicks.total, 1);

        edge.fault(Fault::status(503));
        let configured = builder(&edge).retry_clicks(true).build().unwrap();
        configured.send_notifications(&clicked()).unwrap();
        edge.fault(Fault::status(503));
        configured.send_notifications(&clicked().retry_clicks(false)).unwrap_err();
        assert_eq!(edge.report().clicks.total, 2);
    }

    #[test]
    fn the_decisioning_method_of_the_call_goes_before_that_of_the_client() {
        let edge = edge();
        let client = client(&edge);

        let offers =
            client.get_offers(&options(execute(&["home"])).decisioning_method(DecisioningMethod::ServerSide)).unwrap();
        let here = client
            .get_offers(&options(execute(&["home"])).decisioning_method(DecisioningMethod::OnDevice))
            .unwrap_err();

        assert_eq!(offers.meta.decisioning_method, "server-side");
        assert!(matches!(here, TargetError::NotReady(_)), "{here:?}");
        assert_eq!(edge.report().requests, 1);
    }

    #[test]
    fn typed_options_can_be_used_again() {
        let edge = edge();
        let client = client(&edge);
        let options = options(execute(&["home"])).session_id("s").consumer_id("c");
        let before = format!("{options:?}");

        client.get_offers(&options).unwrap();
        client.get_offers(&options).unwrap();

        assert_eq!(format!("{options:?}"), before);
        let sent: Vec<Value> = edge.take_requests().iter().map(body).collect();
        for id in ["requestId", "impressionId"] {
            assert_ne!(sent[0][id], sent[1][id], "{id} is new for each call");
        }
        let stitched = |body: &Value| body["experienceCloud"]["analytics"]["supplementalDataId"].clone();
        assert_ne!(stitched(&sent[0]), stitched(&sent[1]));
        assert_eq!(edge.report().impressions.total, 2);
    }
}

mod configuration {
    use super::*;

    #[test]
    fn the_request_has_its_line_and_headers() {
        let edge = edge();
        let client = builder(&edge).version("2.1 b&c").header("X-Own", "it's mine").build().unwrap();

        let sent = request_of(&edge, &client, &json!({"request": execute(&["home"]), "session_id": "s"}));

        assert_eq!((sent.method.as_str(), sent.path.as_str()), ("POST", "/rest/v1/delivery"));
        let pairs = sent.query_pairs.iter().map(|(name, value)| (name.as_str(), value.as_str()));
        assert_eq!(pairs.collect::<Vec<_>>(), [("imsOrgId", ORGANIZATION), ("sessionId", "s"), ("version", "2.1 b&c")]);
        assert_eq!(sent.header("content-type"), Some("application/json"));
        assert_eq!(sent.header("accept-encoding"), Some("gzip"));
        assert_eq!(sent.header("x-exc-sdk"), Some("adobe-target-native"));
        assert_eq!(sent.header("x-exc-sdk-version"), Some(env!("CARGO_PKG_VERSION")));
        assert_eq!(sent.header("x-own"), Some("it's mine"));
        assert!(is_uuid_v4(sent.header("x-request-id").unwrap()));
    }

    #[test]
    fn the_x_request_id_is_a_uuid_whatever_the_request_id() {
        let edge = edge();
        let client = client(&edge);
        for request_id in ["r-1", "line\nbreak", "ümlaut", "{}"] {
            let mut request = execute(&["home"]);
            request["requestId"] = json!(request_id);

            let sent = request_of(&edge, &client, &json!({"request": request}));

            assert_eq!(body(&sent)["requestId"], request_id);
            assert!(is_uuid_v4(sent.header("x-request-id").unwrap()), "{request_id:?}");
        }
    }

    #[test]
    fn every_attempt_bears_the_same_ids() {
        let edge = edge();
        let client = client(&edge);
        edge.faults([Fault::status(503), Fault::status(500)]);

        client.get_offers(&options(execute(&["home"]))).unwrap();

        let sent = edge.take_requests();
        assert_eq!(sent.len(), 3);
        for attempt in &sent {
            assert_eq!(attempt.body, sent[0].body);
            assert_eq!(attempt.query, sent[0].query);
            assert_eq!(attempt.header("x-request-id"), sent[0].header("x-request-id"));
        }
        client.get_offers(&options(execute(&["home"]))).unwrap();
        assert_ne!(only_request(&edge).header("x-request-id"), sent[0].header("x-request-id"));
    }

    #[test]
    fn the_environment_is_that_of_the_request_then_of_the_client() {
        let edge = edge();
        let client = builder(&edge).environment_id(2).build().unwrap();
        let mut own = execute(&["home"]);
        own["environmentId"] = json!(7);

        client.get_offers(&options(execute(&["home"]))).unwrap();
        client.get_offers(&options(own)).unwrap();

        let sent: Vec<Value> =
            edge.take_requests().iter().map(|request| body(request)["environmentId"].clone()).collect();
        assert_eq!(sent, [2, 7]);
    }

    #[test]
    fn the_property_is_that_of_the_request_then_of_the_client() {
        let edge = edge();
        let configured = builder(&edge).property_token("configured").build().unwrap();
        let plain = client(&edge);
        let mut own = execute(&["home"]);
        own["property"] = json!({"token": "own"});

        configured.get_offers(&options(execute(&["home"]))).unwrap();
        configured.get_offers(&options(own.clone())).unwrap();
        plain.get_offers(&options(own)).unwrap();
        plain.get_offers(&options(execute(&["home"]))).unwrap();

        let sent: Vec<Value> = edge.take_requests().iter().map(|request| body(request)["property"].clone()).collect();
        assert_eq!(
            sent,
            [json!({"token": "configured"}), json!({"token": "own"}), json!({"token": "own"}), json!(null)]
        );
    }

    #[test]
    fn a_configuration_in_json_means_the_same_in_both_spellings() {
        let edge = edge();
        let snake = json!({
            "client": "acme", "organization_id": ORGANIZATION, "server_domain": edge.host(), "secure": false,
            "proxy": "none", "environment_id": 3, "property_token": "p", "version": "9", "headers": {"x-Own": "1"},
            "fixed_clock_ms": NOW, "max_idle_connections": 2, "retry": {"max_attempts": 1, "base_delay": 1},
            "timeout": 20_000, "connect_timeout": 20_000, "target_location_hint": "28", "retry_clicks": false,
            "telemetry_enabled": false, "event_buffer": 5, "close_timeout": 100, "max_idle_age": 1000,
        });
        let camel = json!({
            "client": "acme", "organizationId": ORGANIZATION, "serverDomain": edge.host(), "secure": false,
            "proxy": "none", "environmentId": 3, "propertyToken": "p", "version": "9", "headers": {"x-Own": "1"},
            "fixedClockMs": NOW, "maxIdleConnections": 2, "retry": {"maxAttempts": 1, "baseDelay": 1},
            "timeout": 20_000, "connectTimeout": 20_000, "targetLocationHint": "28", "retryClicks": false,
            "telemetryEnabled": false, "eventBuffer": 5, "closeTimeout": 100, "maxIdleAge": 1000,
        });
        let [snake, camel] = [snake, camel].map(|config| ClientConfig::from_json(&config.to_string()).unwrap());

        assert_eq!(snake, camel);
        let result =
            parsed(&TargetClient::new(camel).unwrap().get_offers_json(&json_options(execute(&["home"]))).unwrap());
        assert_eq!(result["target_location_hint_cookie"]["value"], "28");
        let sent = only_request(&edge);
        assert_eq!((sent.query_value("version"), sent.header("x-own")), (Some("9"), Some("1")));
        assert_eq!((&body(&sent)["environmentId"], &body(&sent)["property"]["token"]), (&json!(3), &json!("p")));
    }

    #[test]
    fn cookies_without_a_fixed_clock_expire_by_the_real_one() {
        let edge = edge();
        let mut builder = builder(&edge);
        builder.config_mut().fixed_clock_ms = None;
        let client = builder.build().unwrap();
        let seconds = || SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_secs();
        let before = seconds();

        let cookie = client.get_offers(&options(execute(&["home"]))).unwrap().target_cookie.value;

        let expires: u64 = cookie.split(['#', '|']).nth(2).unwrap().parse().unwrap();
        assert!((before + 1860..=seconds() + 1861).contains(&expires), "{before} {cookie}");
    }
}

mod results {
    use super::*;

    /// Unknown members, numbers that no double holds, odd types and spellings, and space that means nothing.
    const PECULIAR: &str = concat!(
        "{ \"status\" : 2e2,\t\"new\":[ {} , null,1.10,-0.0, 123456789012345678901234567890 ],\n",
        "\"execute\":{\"mboxes\":[{\"index\":\"zero\",\"name\":\"h\\u006fme\",\"options\":[{\"type\":7,\"content\":null},5]}],",
        "\"pageLoad\":[]},\"id\":{\"tntId\":\"d.35_0\",\"new\":1.0E+2},\"edgeHost\":5,\"\\ud83d\\ude00\":\"\\/\" }"
    );

    #[test]
    fn the_response_is_what_the_edge_answered_to_the_last_byte() {
        let edge = edge();
        edge.set_default_reply(Some(Fault::respond(200, PECULIAR)));
        let client = client(&edge);

        let result = client.get_offers_json(&json_options(execute(&["home"]))).unwrap();
        let offers = client.get_offers(&options(execute(&["home"]))).unwrap();

        assert!(result.starts_with(&format!("{{\"response\":{PECULIAR},\"target_cookie\":")), "{result}");
        assert_eq!(offers.response_json(), PECULIAR);
    }

    #[test]
    fn the_typed_response_reads_what_it_can() {
        let edge = edge();
        edge.reply_with(200, PECULIAR);

        let offers = client(&edge).get_offers(&options(execute(&["home"]))).unwrap();

        let home = offers.response.execute_mbox("home").unwrap();
        assert_eq!(home.index, None, "a text is no index");
        let kept = home.options.as_ref().unwrap();
        assert_eq!((kept.len(), &kept[0].r#type, &kept[0].content), (1, &None, &Some(Value::Null)));
        assert_eq!(offers.response.execute.as_ref().unwrap().page_load, None, "a list is no page load");
        assert_eq!(offers.response.id.as_ref().unwrap().tnt_id.as_deref(), Some("d.35_0"));
        assert_eq!(offers.response.edge_host, None);
        assert_eq!(offers.response.extra["😀"], "/");
    }

    #[test]
    fn a_success_without_a_body_is_an_empty_response() {
        let edge = edge();
        let client = client(&edge);
        for empty in [Fault::NoContent, Fault::respond(200, ""), Fault::respond(200, " \r\n")] {
            edge.fault(empty);

            let offers = client.get_offers(&options(execute(&["home"])).session_id("s")).unwrap();

            assert_eq!(offers.response_json(), "{}");
            assert_eq!(offers.response, Default::default());
            assert_eq!(offers.target_cookie.value, format!("session#s#{}", NOW / 1000 + 1860));
        }
    }

    #[test]
    fn the_target_cookie_holds_session_and_device() {
        let edge = edge();
        edge.reply_with(200, r#"{"id":{"tntId":"d 1.35_0"}}"#);

        let result = client(&edge)
            .get_offers_json(&json!({"request": execute(&["home"]), "session_id": "s#1|é"}).to_string())
            .unwrap();

        let (session, device) = (NOW / 1000 + 1860, NOW / 1000 + 63_244_800);
        assert_eq!(
            parsed(&result)["target_cookie"],
            json!({
                "name": "mbox",
                "value": format!("session#s%231%7C%C3%A9#{session}|PC#d%201.35_0#{device}"),
                "maxAge": 63_244_800,
            })
        );
    }

    #[test]
    fn expiries_are_rounded_up_to_a_second() {
        let edge = edge();
        edge.reply_with(200, "{}");
        let client = builder(&edge).fixed_clock_ms(NOW + 1).build().unwrap();

        let cookie = client.get_offers(&options(execute(&["home"])).session_id("s")).unwrap().target_cookie;

        assert_eq!((cookie.value, cookie.max_age), (format!("session#s#{}", NOW / 1000 + 1 + 1860), 1861));
    }

    #[test]
    fn the_location_hint_cookie_names_the_cluster_of_the_request_then_of_the_answer() {
        let edge = edge();
        let client = client(&edge);
        let hint = |answer: &str, options: CallOptions| {
            edge.reply_with(200, answer);
            client.get_offers(&options).unwrap().target_location_hint_cookie
        };
        let plain = || options(execute(&["home"]));

        let learnt = hint(r#"{"edgeHost":"MboxEdge31.tt.omtrdc.net"}"#, plain()).unwrap();
        assert_eq!((learnt.name, learnt.value.as_str(), learnt.max_age), ("mboxEdgeCluster", "31", 1860));
        let known = hint(r#"{"edgeHost":"mboxedge31.tt.omtrdc.net"}"#, plain().target_location_hint("28")).unwrap();
        assert_eq!(known.value, "28");
        for answer in ["{}", r#"{"edgeHost":"acme.tt.omtrdc.net"}"#, r#"{"edgeHost":"mboxedge31.evil.example"}"#] {
            assert_eq!(hint(answer, plain()), None, "{answer}");
        }
        let result = result_of("{}");
        assert_eq!(result.get("target_location_hint_cookie"), None);
    }

    #[test]
    fn items_are_gathered_over_execute_and_prefetch_in_order() {
        let item = |name: &str| {
            format!(
                r#"{{"analytics":{{"payload":{{"tnta":"{name}"}}}},"trace":{{"of":"{name}"}},
                    "options":[{{"responseTokens":{{"of":"{name}"}}}},{{"content":1}},{{"responseTokens":{{"of":"{name}","second":true}}}}]}}"#
            )
        };
        let empty = r#"{"analytics":{},"trace":null,"options":[{"responseTokens":{}},{"responseTokens":null}]}"#;
        let answer = format!(
            r#"{{"prefetch":{{"mboxes":[{}],"views":[{}],"pageLoad":{}}},"execute":{{"mboxes":[{empty},{},{}],"pageLoad":{}}}}}"#,
            item("pm"),
            item("pv"),
            item("pp"),
            item("em1"),
            item("em2"),
            item("ep"),
        );

        let result = result_of(&answer);

        let order = ["ep", "em1", "em2", "pp", "pv", "pm"];
        let names = |key: &str, pointer: &str| -> Vec<String> {
            let list = result[key].as_array().unwrap();
            list.iter().map(|item| item.pointer(pointer).unwrap().as_str().unwrap().to_owned()).collect()
        };
        assert_eq!(names("analytics_details", "/payload/tnta"), order);
        assert_eq!(names("trace", "/of"), order);
        assert_eq!(names("response_tokens", "/of"), order.map(|name| [name, name]).concat());
    }

    #[test]
    fn lists_without_items_are_absent() {
        for answer in
            ["{}", r#"{"execute":{"mboxes":[{"options":[],"trace":{},"analytics":null}]},"prefetch":{"pageLoad":5}}"#]
        {
            let result = result_of(answer);

            for key in ["analytics_details", "trace", "response_tokens", "attributes", "target_location_hint_cookie"] {
                assert_eq!(result.get(key), None, "{key} of {answer}");
            }
            let keys: Vec<&String> = result.as_object().unwrap().keys().collect();
            assert_eq!(keys, ["response", "target_cookie", "meta", "request", "visitor_state"]);
        }
    }

    #[test]
    fn typed_results_have_the_gathered_items_too() {
        let scenario = r#"{"mboxes":{"a":{"options":[{"type":"html","responseTokens":{"k":"v"}}],"analytics":{"payload":{"pe":"tnt"}}}}}"#;
        let edge = LocalEdge::builder().scenario(Scenario::from_json(scenario).unwrap()).start().unwrap();
        let client = client(&edge);
        let mut traced = execute(&["a"]);
        traced["trace"] = json!({"authorizationToken": "t"});

        let offers = client.get_offers(&options(traced)).unwrap();
        let plain = client.get_offers(&options(prefetch(&["unknown"]))).unwrap();

        assert_eq!(offers.analytics_details, [json!({"payload": {"pe": "tnt"}})]);
        assert_eq!(offers.response_tokens, [json!({"k": "v"})]);
        assert_eq!(offers.trace.len(), 1);
        assert!(plain.analytics_details.is_empty() && plain.response_tokens.is_empty() && plain.trace.is_empty());
    }

    #[test]
    fn meta_tells_who_decided_and_what_became_of_notifications() {
        let edge = edge();
        let client = client(&edge);
        edge.faults([Fault::None, Fault::MissIds(1)]);

        let offers = parsed(&client.get_offers_json(&json_options(execute(&["home"]))).unwrap());
        let sent = parsed(
            &client.send_notifications_json(&json_options(notify([display("1"), display("2"), click("3")]))).unwrap(),
        );

        let decided = json!({"decisioning_method": "server-side", "remote_mboxes": [], "remote_views": []});
        assert_eq!(offers["meta"], decided);
        let mut notified = decided;
        notified["notifications"] = json!({"acknowledged": ["1", "2"], "unacknowledged": ["3"]});
        assert_eq!(sent["meta"], notified);
    }

    #[test]
    fn the_request_of_the_result_is_what_was_sent_to_the_last_byte() {
        let edge = edge();
        let client = builder(&edge).property_token("p").build().unwrap();
        let options = r#"{"request":{ "new":[1.10,1e300, 12345678901234567890123] ,"context":{"geo":{"city":"\u00e9"},"new":null},"execute":{"mboxes":[{"name":"home","parameters":{"a":null,"b":5}}]}}}"#;

        let result = client.get_offers_json(options).unwrap();

        let sent = String::from_utf8(only_request(&edge).body).unwrap();
        assert!(result.contains(&format!(",\"request\":{sent},\"visitor_state\":")), "{result}\n{sent}");
        assert!(sent.contains(r#""new":[1.10,1e300, 12345678901234567890123]"#), "{sent}");
        assert!(sent.contains(r#""parameters":{"a":null,"b":5}"#), "{sent}");
        assert!(!sent.contains(r#""new":null"#), "{sent}");
    }

    #[test]
    fn the_visitor_state_continues_the_call_in_the_browser() {
        let edge = edge();

        let result = parsed(&client(&edge).get_offers_json(&json_options(execute(&["home"]))).unwrap());

        let id = only_body(&edge)["experienceCloud"]["analytics"]["supplementalDataId"].clone();
        assert_eq!(
            result["visitor_state"],
            json!({
                ORGANIZATION: {
                    "sdid": {
                        "supplementalDataIDCurrent": id,
                        "supplementalDataIDCurrentConsumed": {"payload:target-global-mbox": true},
                        "supplementalDataIDLastConsumed": {},
                    },
                },
            })
        );
    }
}

mod attributes {
    use super::*;

    #[test]
    fn json_offers_of_an_mbox_are_merged_in_order() {
        let edge = edge();
        edge.set_default_reply(Some(Fault::respond(
            200,
            r#"{"execute":{"mboxes":[
                {"name":"a","options":[{"type":"json","content":{"x":1,"y":1.50}},{"type":"html","content":{"x":0}},
                    {"type":"json","content":{"x":2}},{"type":"json","content":"text"},{"type":"json"},{"content":{"x":0}}]},
                {"name":"b","options":[{"type":"html","content":"no attributes"}]},
                {"name":"c"},{"options":[{"type":"json","content":{"x":0}}]},5]},
               "prefetch":{"mboxes":[{"name":"a","options":[{"type":"json","content":{"z":null}}]}]}}"#,
        )));
        let client = client(&edge);

        let result = client.get_attributes_json(r#"["a","b"]"#, "{}").unwrap();
        let attributes = client.get_attributes(["a", "b"], &CallOptions::default()).unwrap();

        assert!(result.ends_with(r#","attributes":{"a":{"x":2,"y":1.50,"z":null}}}"#), "{result}");
        assert_eq!(attributes.value("a", "x").unwrap(), &json!(2));
        assert_eq!(attributes.value("a", "z").unwrap(), &Value::Null);
        assert_eq!(attributes.as_map().len(), 1);
        for (mbox, key) in [("a", "w"), ("b", "x"), ("c", "x")] {
            let error = attributes.value(mbox, key).unwrap_err();
            assert_eq!(error.to_string(), format!("Attribute '{key}' does not exist for mbox '{mbox}'"));
        }
        assert!(attributes.as_object("b").is_empty());
    }

    #[test]
    fn added_mboxes_are_numbered_after_those_of_the_request() {
        let edge = edge();
        let client = client(&edge);
        let indexes = |request: Value| {
            client.get_attributes_json(r#"["a","b"]"#, &json_options(request)).unwrap();
            let sent = only_body(&edge);
            let mboxes = sent["execute"]["mboxes"].as_array().cloned().unwrap_or_default();
            mboxes
                .iter()
                .map(|mbox| (mbox["name"].as_str().unwrap().to_owned(), mbox["index"].as_i64().unwrap()))
                .collect::<Vec<_>>()
        };
        let pairs =
            |list: &[(&str, i64)]| list.iter().map(|(name, index)| ((*name).to_owned(), *index)).collect::<Vec<_>>();

        assert_eq!(indexes(json!({})), pairs(&[("a", 1), ("b", 2)]));
        assert_eq!(indexes(execute(&["x", "y"])), pairs(&[("x", 0), ("y", 1), ("a", 2), ("b", 3)]));
        assert_eq!(
            indexes(json!({"execute": {"mboxes": [{"name": "b", "index": 7}, {"name": "x"}]}})),
            pairs(&[("b", 7), ("x", 1), ("a", 8)])
        );
        assert_eq!(indexes(json!({"execute": {"pageLoad": {}}})), pairs(&[("a", 1), ("b", 2)]));
        assert_eq!(indexes(prefetch(&["a", "b"])), []);
    }
}

mod separation {
    use super::*;

    #[test]
    fn nothing_of_a_call_shows_in_the_next() {
        let edge = edge();
        let client = client(&edge);
        let cookie = format!("session#s#{UNEXPIRED}|PC#d.28_0#{UNEXPIRED}");
        let mut request = execute(&["home"]);
        request["property"] = json!({"token": "p"});
        request["environmentId"] = json!(5);
        request["id"] = json!({"thirdPartyId": "t"});
        let full = options(request)
            .target_cookie(&cookie)
            .target_location_hint("28")
            .visitor_cookie("digest|MCMID|m")
            .customer_ids([CustomerId { id: Some("c".to_owned()), ..Default::default() }]);
        edge.reply_with(200, r#"{"id":{"tntId":"learnt.41_0"},"edgeHost":"mboxedge41.tt.omtrdc.net"}"#);
        client.get_offers(&full).unwrap();
        edge.take_requests();

        edge.reply_with(200, "{}");
        let plain = client.get_offers(&options(execute(&["home"]))).unwrap();

        assert_eq!(plain.target_location_hint_cookie, None);
        assert!(!plain.target_cookie.value.contains("PC#"), "{}", plain.target_cookie.value);
        let sent = only_request(&edge);
        assert_ne!(sent.query_value("sessionId"), Some("s"));
        let sent = body(&sent);
        let keys: Vec<&String> = sent.as_object().unwrap().keys().collect();
        assert_eq!(keys, ["requestId", "impressionId", "context", "experienceCloud", "execute"]);
        assert_eq!(sent["experienceCloud"].as_object().unwrap().len(), 1);
    }

    #[test]
    fn calls_at_the_same_time_do_not_mix() {
        let edge = edge();
        let client = client(&edge);
        std::thread::scope(|threads| {
            for n in 0..8 {
                let client = &client;
                threads.spawn(move || {
                    for round in 0..10 {
                        let request = json!({
                            "requestId": format!("r-{n}"), "id": {"tntId": format!("d-{n}.{n}_0")},
                            "property": {"token": format!("p-{n}")}, "prefetch": {"mboxes": [{"name": "home"}]},
                        });
                        let options = options(request).session_id(format!("s-{n}")).consumer_id(format!("c-{n}"));

                        let offers = client.get_offers(&options).unwrap();

                        assert_eq!(offers.response.request_id, Some(format!("r-{n}")), "{round}");
                        assert!(offers.target_cookie.value.starts_with(&format!("session#s-{n}#")));
                        assert!(offers.target_cookie.value.contains(&format!("|PC#d-{n}.{n}_0#")));
                        assert_eq!(offers.target_location_hint_cookie.unwrap().value, n.to_string());
                        assert!(offers.visitor_state.to_string().contains(&format!("payload:c-{n}")));
                    }
                });
            }
        });

        let requests = edge.take_requests();
        assert_eq!(requests.len(), 80);
        for request in requests {
            let body = body(&request);
            let n = body["requestId"].as_str().unwrap().strip_prefix("r-").unwrap().to_owned();
            assert_eq!(request.query_value("sessionId"), Some(&*format!("s-{n}")));
            assert_eq!(body["id"], json!({"tntId": format!("d-{n}.{n}_0")}));
            assert_eq!(body["property"], json!({"token": format!("p-{n}")}));
        }
    }
}

mod telemetry {
    use super::*;

    fn request(id: &str) -> CallOptions {
        CallOptions::new(DeliveryRequest {
            request_id: Some(id.to_owned()),
            execute: Some(ExecuteRequest::mboxes(["home", "hero"])),
            ..Default::default()
        })
    }

    /// The ids of the calls that the only request since the last look tells about.
    fn told(edge: &LocalEdge) -> Vec<String> {
        told_in(&only_body(edge))
    }

    fn told_in(body: &Value) -> Vec<String> {
        let entries = body["telemetry"]["entries"].as_array().into_iter().flatten();
        entries.map(|entry| entry["requestId"].as_str().unwrap().to_owned()).collect()
    }

    #[test]
    fn a_finished_call_is_told_by_the_next_one_alone() {
        let edge = edge();
        let client = builder(&edge).telemetry_enabled(true).build().unwrap();

        client.get_offers(&request("first").session_id("a")).unwrap();
        assert_eq!(only_body(&edge).get("telemetry"), None);
        client.get_offers(&request("second").session_id("b")).unwrap();

        let mut sent = only_body(&edge)["telemetry"].take();
        let execution = sent["entries"][0].as_object_mut().unwrap().remove("execution").unwrap();
        assert!(execution.as_f64().unwrap() >= 0.0);
        assert_eq!(
            sent,
            json!({"entries": [{
                "requestId": "first", "timestamp": NOW, "mode": "edge",
                "features": {"decisioningMethod": "server-side", "executeMboxCount": 2},
            }]})
        );
        client.get_offers(&request("third")).unwrap();
        assert_eq!(told(&edge), ["second"]);
    }

    #[test]
    fn entries_of_a_request_that_failed_are_kept_for_the_next() {
        let edge = edge();
        let client = builder(&edge).telemetry_enabled(true).build().unwrap();
        client.get_offers(&request("first")).unwrap();
        edge.take_requests();

        edge.faults([Fault::status(400), Fault::respond(200, "no JSON")]);
        client.get_offers(&request("refused")).unwrap_err();
        assert_eq!(told(&edge), ["first"]);
        client.get_offers(&request("unreadable")).unwrap_err();
        assert_eq!(told(&edge), ["first"]);
        client.get_offers_json(r#"{"request":{"execute":{}},"timeout":"bad"}"#).unwrap_err();
        client.get_offers(&request("last")).unwrap();

        assert_eq!(told(&edge), ["first"]);
    }

    #[test]
    fn a_call_in_parts_tells_once_and_is_told_once() {
        let edge = edge();
        let client = builder(&edge).telemetry_enabled(true).build().unwrap();
        let sixty = |id: &str| {
            let mut request = notify((0..60).map(|n| display(&n.to_string())));
            request["requestId"] = json!(id);
            options(request)
        };
        let all_told = || edge.take_requests().iter().map(|r| told_in(&body(r))).collect::<Vec<_>>();
        client.get_offers(&request("first")).unwrap();
        edge.take_requests();

        client.send_notifications(&sixty("second")).unwrap();
        assert_eq!(all_told(), [vec!["first"], vec![]]);
        edge.faults([Fault::None, Fault::status(400)]);
        client.send_notifications(&sixty("third")).unwrap_err();
        assert_eq!(all_told(), [vec!["second"], vec![]]);
        client.get_offers(&request("last")).unwrap();

        assert!(!told(&edge).contains(&"second".to_owned()), "the part that told of it was answered");
    }

    #[test]
    fn every_attempt_of_a_call_tells_the_same() {
        let edge = edge();
        let client = builder(&edge).telemetry_enabled(true).build().unwrap();
        client.get_offers(&request("first")).unwrap();
        edge.take_requests();
        edge.fault(Fault::status(503));

        client.get_offers(&request("second")).unwrap();

        let told: Vec<_> = edge.take_requests().iter().map(|request| told_in(&body(request))).collect();
        assert_eq!(told, [["first"], ["first"]]);
    }

    #[test]
    fn the_latest_hundred_wait() {
        let edge = edge();
        let client = builder(&edge).telemetry_enabled(true).build().unwrap();
        for n in 0..130 {
            // A request with telemetry of its own takes no entries along.
            let mut own = json!({"requestId": n.to_string(), "telemetry": {"entries": [{"requestId": "own"}]}});
            own["prefetch"] = prefetch(&["home"])["prefetch"].take();
            client.get_offers(&options(own)).unwrap();
        }
        assert_eq!(told_in(&body(&edge.take_requests()[129])), ["own"]);

        client.get_offers(&request("last")).unwrap();

        assert_eq!(told(&edge), (30..130).map(|n: u32| n.to_string()).collect::<Vec<_>>());
    }

    #[test]
    fn the_servers_token_goes_back_and_the_mode_is_where_the_answer_came_from() {
        let edge = edge();
        let client = builder(&edge).telemetry_enabled(true).build().unwrap();
        edge.reply_with(200, r#"{"telemetryServerToken":"t-1"}"#);
        client.get_offers(&request("first")).unwrap();
        edge.take_requests();

        client.send_notifications(&options(notify([display("1")]))).unwrap();

        let entry = only_body(&edge)["telemetry"]["entries"][0].take();
        assert_eq!((&entry["telemetryServerToken"], &entry["mode"]), (&json!("t-1"), &json!("local")));
    }

    #[test]
    fn nothing_is_told_unless_it_is_switched_on() {
        let edge = edge();
        let client = client(&edge);

        client.get_offers(&request("first")).unwrap();
        client.get_offers(&request("second")).unwrap();

        assert!(edge.take_requests().iter().all(|request| body(request).get("telemetry").is_none()));
    }
}
