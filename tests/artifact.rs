//! The life of the artifact as a program sees it: readiness, downloads that bring something else, refreshing,
//! starting from disk, the location hint, and closing in the middle of all that.

#[path = "artifact/cdn.rs"]
mod cdn;
#[path = "transport/net.rs"]
mod net;

use std::fs;
use std::path::PathBuf;
use std::sync::Mutex;
use std::time::{Duration, Instant};

use adobe_target::{Phase, TargetClient, TargetError};
use cdn::*;
use net::{BlackHole, End, nobody};
use serde_json::{Value, json};

mod readiness {
    use super::*;

    #[test]
    fn create_waits_for_the_first_artifact() {
        let cdn = Cdn::new([good("1.0.0", "\"a\"")]);

        let client = cdn.client(json!({}));

        assert!(client.is_ready());
        client.wait_ready(AT_ONCE).unwrap();
        assert_eq!(events(&client), ["artifact_download_succeeded", "geo_location_updated", "client_ready"]);
        let stats = client.stats().artifact.unwrap();
        assert_eq!((stats.version.as_deref(), stats.etag.as_deref()), (Some("1.0.0"), Some("\"a\"")));
        assert_eq!(stats.location, format!("http://{}/acme/production/v1/rules.json", cdn.host()));
        assert_eq!((stats.rules, stats.skipped_rules, stats.downloads, stats.failures), (1, 0, 1, 0));
    }

    #[test]
    fn not_getting_one_in_time_is_no_error_and_asking_goes_on() {
        let cdn = Cdn::new([reply(503, &[], ""), good("1.0.0", "a")]);

        let client = cdn.client(json!({"maximum_wait_ready": 0}));

        assert!(!client.is_ready());
        let error = client.wait_ready(AT_ONCE).unwrap_err();
        assert!(matches!(error, TargetError::Pending(_)) && error.is_retryable(), "{error:?}");
        // The second attempt comes by itself.
        client.wait_ready(Some(LONG)).unwrap();
        assert_eq!(version(&client).as_deref(), Some("1.0.0"));
    }

    #[test]
    fn a_wait_that_ends_first_says_what_went_wrong() {
        let cdn = Cdn::new([reply(403, &[], ""), Reply::Silence]);
        let client = cdn.client(json!({"maximum_wait_ready": 0}));
        event(&client);

        let error = client.wait_ready(AT_ONCE).unwrap_err();

        let reason = "answered 403: on-device decisioning is not enabled for this client";
        assert!(error.to_string().contains(reason), "{error}");
    }

    #[test]
    fn a_cdn_that_is_down_for_a_moment_at_the_start_does_no_harm() {
        let cdn = Cdn::new([Reply::Cut(Vec::new(), End::Reset), good("1.0.0", "a")]);

        let client = cdn.client(json!({"polling_interval": 0}));

        assert!(client.is_ready());
        assert_eq!(event(&client)["error"]["code"], "TARGET_ERR_NETWORK");
        assert_eq!(events(&client), ["artifact_download_succeeded", "geo_location_updated", "client_ready"]);
    }

    #[test]
    fn a_payload_is_used_at_once() {
        let payload: Value = serde_json::from_str(&artifact("1.0.0")).unwrap();

        let client =
            client(&nobody().to_string(), json!({"artifact_payload": payload, "maximum_wait_ready": 0})).unwrap();

        assert!(client.is_ready());
        assert_eq!(events(&client), ["client_ready"]);
        assert_eq!(client.stats().artifact.unwrap().location, "Not Applicable");
    }

    #[test]
    fn a_payload_that_cannot_be_used_makes_no_client_and_no_request() {
        let cdn = Cdn::new([]);
        let other_version: Value = serde_json::from_str(&artifact("2.0.0")).unwrap();
        for (payload, part) in [(json!({}), ""), (other_version, "version (2.0.0) is not supported")] {
            let error = client(&cdn.host(), json!({"artifact_payload": payload, "target_location_hint": null}));

            let error = error.unwrap_err();
            assert!(matches!(error, TargetError::InvalidOptions(_)), "{error:?}");
            assert_eq!(error.details().field.as_deref(), Some("artifact_payload"));
            assert!(error.to_string().contains(part), "{error}");
        }
        assert!(cdn.downloads().is_empty());
    }

    #[test]
    fn a_server_side_client_is_ready_and_has_no_artifact() {
        let cdn = Cdn::new([]);

        let client = cdn.client(json!({"decisioning_method": "server-side"}));

        assert!(client.is_ready());
        client.wait_ready(AT_ONCE).unwrap();
        assert_eq!(events(&client), ["client_ready"]);
        assert_eq!(client.stats().artifact, None);
        let error = client.refresh().unwrap_err();
        assert!(matches!(error, TargetError::Unsupported(_)), "{error:?}");
        assert_eq!(error.details().field.as_deref(), Some("decisioning_method"));
        assert!(cdn.downloads().is_empty());
    }
}

mod requests {
    use super::*;

    #[test]
    fn what_goes_to_delivery_hosts_does_not_go_to_the_cdn() {
        let cdn = Cdn::new([good("1.0.0", "a")]);
        let client = cdn.client(json!({"environment": "My Stage", "property_token": "p1"}));
        client.refresh().unwrap();

        let downloads = cdn.downloads();

        assert_eq!(downloads[0].line, "GET /acme/my%20stage/v1/p1/rules.json HTTP/1.1");
        for (request, etag) in downloads.iter().zip([None, Some("a")]) {
            assert_eq!(request.header("if-none-match"), etag);
            assert_eq!(request.header("accept-encoding"), Some("gzip"));
            for absent in ["x-secret", "x-exc-sdk", "x-request-id", "content-type", "cookie"] {
                assert_eq!(request.header(absent), None);
            }
        }
    }

    #[test]
    fn the_masked_form_is_known_by_its_name_and_a_query_is_not_shown() {
        let body = masked(&artifact("1.0.0"));
        let head = format!("HTTP/1.1 200 OK\r\nContent-Length: {}\r\n\r\n", body.len());
        let cdn = Cdn::new([Reply::Bytes([head.as_bytes(), &body].concat())]);
        let location = format!("http://{}/x/rules.bin?sig=secret", cdn.host());

        let client = cdn.client(json!({"artifact_location": location}));

        assert_eq!(cdn.downloads()[0].line, "GET /x/rules.bin?sig=secret HTTP/1.1");
        assert_eq!(event(&client)["location"], format!("http://{}/x/rules.bin", cdn.host()));
        assert!(!client.stats().to_json().contains("secret"));
    }

    #[test]
    fn a_redirect_is_not_followed() {
        let cdn = Cdn::new([]);
        cdn.then(reply(302, &[("Location", &format!("http://{}/elsewhere", cdn.host()))], ""));
        cdn.then(Reply::Silence);

        let client = cdn.client(json!({"maximum_wait_ready": 0}));

        assert_eq!(event(&client)["error"]["http_status"], 302);
    }
}

mod what_is_no_artifact {
    use super::*;

    /// A client that has a good artifact, and then downloads this.
    fn after(replies: impl IntoIterator<Item = Reply>) -> (Cdn, TargetClient, TargetError) {
        let cdn = Cdn::new([good("1.0.0", "good")].into_iter().chain(replies));
        let client = cdn.client(json!({}));
        events(&client);
        let error = client.refresh().unwrap_err();
        (cdn, client, error)
    }

    #[test]
    fn leaves_the_last_good_one_in_force_and_says_why() {
        let whole = http(200, &[("ETag", "bad")], &artifact("1.0.1"));
        let truncated = whole.as_bytes()[..whole.len() - 1].to_vec();
        let chunked = "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\n{\"ver".as_bytes().to_vec();
        let unbounded = format!("HTTP/1.1 200 OK\r\nETag: bad\r\n\r\n{}", &artifact("1.0.1")[..100]).into_bytes();
        let claimed = b"HTTP/1.1 200 OK\r\nETag: bad\r\nContent-Length: 314572800\r\n\r\n{\"version\"".to_vec();
        let html = "<html><body>Sorry</body></html>";
        let invalid = "TARGET_ERR_INVALID_RESPONSE";
        for (reply, code, part) in [
            (Reply::Cut(truncated.clone(), End::Close), "TARGET_ERR_NETWORK", "reading the answer failed"),
            (Reply::Cut(truncated, End::Reset), "TARGET_ERR_NETWORK", "reading the answer failed"),
            (Reply::Cut(chunked, End::Close), "TARGET_ERR_NETWORK", "reading the answer failed"),
            (Reply::Cut(unbounded, End::Close), invalid, "is no artifact"),
            (Reply::Bytes(claimed), invalid, "more than 268435456 bytes"),
            (reply(200, &[("ETag", "bad")], html), invalid, "is no artifact"),
            (reply(200, &[("ETag", "bad")], ""), invalid, "answered 200: the answer is empty"),
            (reply(200, &[("Content-Encoding", "gzip")], ""), invalid, "answered 200: the compressed answer is empty"),
            (reply(204, &[], ""), "TARGET_ERR_HTTP", "answered 204: the answer is empty"),
            (reply(204, &[("Content-Encoding", "gzip")], ""), "TARGET_ERR_HTTP", "answered 204: the answer is empty"),
            (reply(206, &[("ETag", "bad")], &artifact("1.0.1")), "TARGET_ERR_HTTP", "answered 206"),
            (good("2.0.0", "bad"), invalid, "version (2.0.0) is not supported"),
            (reply(403, &[], ""), "TARGET_ERR_HTTP", "403: on-device decisioning is not enabled for this client"),
            (reply(404, &[], ""), "TARGET_ERR_HTTP", "404: there is no artifact for this client"),
            (reply(500, &[], ""), "TARGET_ERR_HTTP", "answered 500"),
            (Reply::Bytes(b"SSH-2.0-x\r\n\r\n".to_vec()), invalid, "no HTTP/1.1"),
        ] {
            let (cdn, client, error) = after([reply]);

            assert_eq!(error.code().as_str(), code, "{error:?}");
            assert!(error.to_string().contains(part), "{error}");
            assert!(!error.to_string().contains("Sorry"), "{error}");
            let event = event(&client);
            assert_eq!(event["type"], "artifact_download_failed");
            assert_eq!(event["location"], format!("http://{}/acme/production/v1/rules.json", cdn.host()));
            assert_eq!(event["error"], serde_json::from_str::<Value>(&error.to_json()).unwrap());
            assert!(client.is_ready());
            let stats = client.stats().artifact.unwrap();
            assert_eq!((stats.version.as_deref(), stats.etag.as_deref()), (Some("1.0.0"), Some("good")));
            assert_eq!((stats.downloads, stats.failures), (1, 1));
            client.refresh().unwrap();
            assert_eq!(cdn.downloads().last().unwrap().header("if-none-match"), Some("good"));
        }
    }

    #[test]
    fn a_wait_that_the_cdn_asks_for_is_told() {
        let (_cdn, _client, error) = after([reply(429, &[("Retry-After", "7")], "")]);
        assert_eq!((error.details().retry_after_ms, error.is_retryable()), (Some(7000), true));
    }
}

mod refreshing {
    use super::*;

    #[test]
    fn tells_whether_something_came() {
        let cdn = Cdn::new([good("1.0.0", "a"), reply(304, &[], ""), good("1.0.1", "b")]);
        let client = cdn.client(json!({}));

        let unchanged = client.refresh().unwrap();
        let changed = client.refresh().unwrap();

        assert_eq!((&*unchanged.version, unchanged.changed), ("1.0.0", false));
        assert_eq!(changed.to_json(), r#"{"version":"1.0.1","etag":"b","changed":true}"#);
        let stats = client.stats().artifact.unwrap();
        assert_eq!((stats.downloads, stats.not_modified), (2, 1));
        assert!(stats.age.unwrap() <= LONG && stats.checked.unwrap() <= LONG);
    }

    #[test]
    fn replaces_a_payload_that_is_not_polled_for() {
        let cdn = Cdn::new([good("1.0.1", "a")]);
        let payload: Value = serde_json::from_str(&artifact("1.0.0")).unwrap();
        let client = cdn.client(json!({"artifact_payload": payload, "polling_interval": 0}));
        assert!(cdn.downloads().is_empty());

        client.refresh().unwrap();

        assert_eq!(version(&client).as_deref(), Some("1.0.1"));
        let expected = ["client_ready", "artifact_download_succeeded", "geo_location_updated"];
        assert_eq!(events(&client), expected);
    }

    #[test]
    fn inside_a_callback_neither_it_nor_a_wait_waits() {
        let cdn = Cdn::new([good("1.0.0", "a")]);
        let client = std::sync::Arc::new(cdn.client(json!({})));
        let (sender, receiver) = std::sync::mpsc::channel();
        let sender = Mutex::new(sender);
        let inner = std::sync::Arc::downgrade(&client);
        client
            .on_event(Some(std::sync::Arc::new(move |_: &str| {
                if let Some(client) = inner.upgrade() {
                    let codes = [client.refresh().map(|_| ()), client.wait_ready(None)].map(|r| r.unwrap_err().code());
                    let _ = sender.lock().unwrap().send((codes, client.wait_ready(AT_ONCE)));
                }
            })))
            .unwrap();
        let (codes, look) = receiver.recv_timeout(LONG).unwrap();
        assert_eq!(codes.map(|code| code.as_str()), ["TARGET_ERR_WOULD_DEADLOCK"; 2]);
        look.unwrap();
        client.on_event(None).unwrap();
    }
}

mod closing {
    use super::*;

    /// Runs what must end although a download or a request is under way.
    fn promptly<T>(run: impl FnOnce() -> T) -> T {
        let began = Instant::now();
        let result = run();
        assert!(began.elapsed() < Duration::from_secs(5), "{:?}", began.elapsed());
        result
    }

    #[test]
    fn ends_a_download_wherever_it_is() {
        let slow = http(200, &[], &artifact("1.0.0")).as_bytes()[..200].to_vec();
        let hole = BlackHole::new();
        let silent = Cdn::new([Reply::Silence]);
        let partial = Cdn::new([Reply::Bytes(slow)]);
        for host in [silent.host(), partial.host(), hole.addr.to_string()] {
            let client = client(&host, json!({"maximum_wait_ready": 50, "connect_timeout": 20000})).unwrap();
            promptly(|| client.close(Some(LONG))).unwrap();
            promptly(|| drop(client));
        }
    }

    #[test]
    fn ends_whoever_waits() {
        let cdn = Cdn::new([Reply::Silence]);
        let client = cdn.client(json!({"maximum_wait_ready": 0}));
        std::thread::scope(|scope| {
            let waiting = scope.spawn(|| client.wait_ready(None));
            let refreshing = scope.spawn(|| client.refresh());
            promptly(|| client.close(Some(LONG))).unwrap();
            assert!(matches!(waiting.join().unwrap(), Err(TargetError::Closed(_))));
            assert!(matches!(refreshing.join().unwrap(), Err(TargetError::Closed(_))));
        });
        assert!(matches!(client.refresh(), Err(TargetError::Closed(_))));
        assert!(matches!(client.wait_ready(None), Err(TargetError::Closed(_))));
        assert!(client.stats().artifact.is_some(), "stats work after close");
    }

    #[test]
    fn a_client_may_be_dropped_while_it_waits_to_ask_again() {
        let cdn = Cdn::new((0..20).map(|_| reply(503, &[("Retry-After", "60")], "")));
        cdn.deliver(reply(503, &[], ""));
        let client = cdn.client(json!({"maximum_wait_ready": 0, "target_location_hint": null}));
        event(&client);
        cdn.deliveries(1);
        promptly(|| drop(client));
    }
}

/// A directory that goes with the test.
struct Directory(PathBuf);

impl Directory {
    fn new(name: &str) -> Self {
        let path = std::env::temp_dir().join(format!("adobe-target-artifact-{name}-{}", std::process::id()));
        let _ = fs::remove_dir_all(&path);
        Directory(path)
    }

    fn files(&self) -> Vec<PathBuf> {
        fs::read_dir(&self.0).unwrap().map(|entry| entry.unwrap().path()).collect()
    }
}

impl Drop for Directory {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

mod cache {
    use super::*;

    #[test]
    fn starts_while_the_cdn_is_down() {
        let directory = Directory::new("down");
        let cdn = Cdn::new([good("1.0.0", "a"), Reply::Cut(Vec::new(), End::Reset)]);
        let config = json!({"artifact_cache_dir": directory.0});
        drop(cdn.client(config.clone()));

        let client = cdn.client(config);

        assert_eq!(version(&client).as_deref(), Some("1.0.0"));
        assert_eq!(events(&client)[0], "client_ready");
        net::wait_for("the download", || cdn.downloads().len() == 2);
        assert_eq!(cdn.downloads()[1].header("if-none-match"), Some("a"));
    }

    #[test]
    fn keeps_the_last_good_one() {
        let directory = Directory::new("last");
        let cdn = Cdn::new([good("1.0.0", "a"), good("1.0.1", "b"), reply(200, &[("ETag", "c")], "<html>")]);
        let config = json!({"artifact_cache_dir": directory.0});
        let first = cdn.client(config.clone());
        first.refresh().unwrap();
        first.refresh().unwrap_err();
        drop(first);

        let client = cdn.client(config);

        let stats = client.stats().artifact.unwrap();
        assert_eq!((stats.version.as_deref(), stats.etag.as_deref()), (Some("1.0.1"), Some("b")));
        assert_eq!(directory.files().len(), 1);
    }

    #[test]
    fn clients_of_different_artifacts_share_a_directory() {
        let directory = Directory::new("shared");
        let cdn = Cdn::new([good("1.0.0", "a"), good("1.0.1", "b")]);
        let config = |environment: &str| json!({"artifact_cache_dir": directory.0, "environment": environment});
        drop(cdn.client(config("one")));
        drop(cdn.client(config("two")));

        assert_eq!(version(&cdn.client(config("one"))).as_deref(), Some("1.0.0"));
        assert_eq!(version(&cdn.client(config("two"))).as_deref(), Some("1.0.1"));
        assert_eq!(directory.files().len(), 2);
    }

    #[test]
    fn a_directory_that_cannot_be_written_is_told_and_harms_nothing() {
        let directory = Directory::new("blocked");
        fs::write(&directory.0, "a file where the directory should be").unwrap();
        let cdn = Cdn::new([good("1.0.0", "a")]);

        let client = cdn.client(json!({"artifact_cache_dir": directory.0}));

        assert_eq!(version(&client).as_deref(), Some("1.0.0"));
        let told = loop {
            let event = event(&client);
            // The file could not be read either.
            if event["error"]["message"].as_str().is_some_and(|message| message.contains("cannot be kept")) {
                break event;
            }
        };
        let path = directory.0.to_str().unwrap();
        assert_eq!(told["error"]["code"], "TARGET_ERR_STORAGE");
        assert!(told["location"].as_str().unwrap().starts_with(path), "{told}");
        assert!(told["error"]["message"].as_str().unwrap().contains(path), "{told}");
        assert_eq!(client.stats().artifact.unwrap().failures, 0);
        fs::remove_file(&directory.0).unwrap();
    }

    #[test]
    fn a_damaged_file_is_told_and_replaced() {
        let directory = Directory::new("damaged");
        let cdn = Cdn::new([good("1.0.0", "a"), good("1.0.0", "a")]);
        let config = json!({"artifact_cache_dir": directory.0});
        drop(cdn.client(config.clone()));
        let file = directory.files().remove(0);
        fs::write(&file, "garbage").unwrap();

        let client = cdn.client(config.clone());

        let told = event(&client);
        assert_eq!((&told["type"], &told["location"]), (&json!("artifact_download_failed"), &json!(file)));
        assert_eq!(
            (&told["error"]["code"], &told["error"]["phase"]),
            (&json!("TARGET_ERR_STORAGE"), &json!("storage"))
        );
        assert_eq!(cdn.downloads()[1].header("if-none-match"), None);
        drop(client);
        assert_eq!(events(&cdn.client(config))[0], "client_ready");
    }
}

mod location_hint {
    use super::*;

    const EDGE_38: &str = r#"{"status":200,"edgeHost":"mboxedge38.tt.omtrdc.net"}"#;

    fn hint_of_a_call(client: &TargetClient) -> Option<String> {
        let notification = json!({"id": "n", "type": "display", "timestamp": 1, "mbox": {"name": "home"}});
        let options = json!({"request": {"notifications": [notification]}}).to_string();
        let result: Value = serde_json::from_str(&client.send_notifications_json(&options).unwrap()).unwrap();
        result["target_location_hint_cookie"]["value"].as_str().map(str::to_owned)
    }

    #[test]
    fn is_asked_of_the_edge_once_and_a_default_of_calls() {
        let cdn = Cdn::new([good("1.0.0", "a")]);
        cdn.deliver(reply(200, &[], EDGE_38));

        let client = cdn.client(json!({"target_location_hint": null}));

        let asked = cdn.deliveries(1).remove(0);
        assert!(asked.line.starts_with("POST /rest/v1/delivery?imsOrgId="), "{}", asked.line);
        assert_eq!(asked.header("x-secret"), Some("for delivery hosts alone"));
        let body: Value = serde_json::from_str(&asked.body).unwrap();
        assert_eq!((&body["execute"], &body["prefetch"]), (&Value::Null, &Value::Null));
        assert_eq!(hint_of_a_call(&client).as_deref(), Some("38"));
        assert_eq!(hint_of_a_call(&client).as_deref(), Some("38"));
        assert_eq!(cdn.deliveries(3).len(), 3);
    }

    #[test]
    fn the_configured_one_goes_before_and_nothing_is_asked() {
        let cdn = Cdn::new([good("1.0.0", "a")]);
        let client = cdn.client(json!({}));
        assert_eq!(hint_of_a_call(&client).as_deref(), Some("35"));
        assert_eq!(cdn.deliveries(1).len(), 1);
    }

    #[test]
    fn an_edge_that_does_not_answer_is_no_error() {
        let cdn = Cdn::new([good("1.0.0", "a")]);
        cdn.deliver(reply(400, &[], "{}"));

        let client = cdn.client(json!({"target_location_hint": null}));

        assert!(client.is_ready());
        assert_eq!(hint_of_a_call(&client), None);
    }

    #[test]
    fn is_waited_for_within_the_bound_alone() {
        let cdn = Cdn::new([good("1.0.0", "a")]);
        cdn.deliver(Reply::Silence);

        let client = cdn.client(json!({"target_location_hint": null, "maximum_wait_ready": 300}));

        net::wait_for("the artifact", || client.is_ready());
        client.wait_ready(AT_ONCE).unwrap();
    }
}

mod geo {
    use super::*;

    const PARIS: &str = r#"{"x-geo-country-code":"FR","x-geo-region-code":"75","x-geo-city":"PARIS",
        "x-geo-latitude":"48.85","x-geo-longitude":"2.35","x-forwarded-for":"127.0.0.9"}"#;

    /// A CDN whose artifact asks where visitors are, and a client of it.
    fn scene() -> (Cdn, TargetClient) {
        let mut artifact = artifact_value("1.0.0");
        artifact["geoTargetingEnabled"] = json!(true);
        artifact["responseTokens"] = json!(["geo.city"]);
        let cdn = Cdn::new([reply(200, &[], &artifact.to_string())]);
        let client = cdn.client(json!({}));
        events(&client);
        (cdn, client)
    }

    /// The city in the offer that a visitor is shown.
    fn city(client: &TargetClient, geo: Value, timeout: u64) -> Option<String> {
        let request = json!({"context": {"channel": "web", "geo": geo}, "prefetch": {"mboxes": [{"name": "home"}]}});
        let options = json!({"request": request, "timeout": timeout}).to_string();
        let result: Value = serde_json::from_str(&client.get_offers_json(&options).unwrap()).unwrap();
        assert_eq!(result["response"]["status"], 200, "{result}");
        result["response_tokens"][0]["geo.city"].as_str().map(str::to_owned)
    }

    #[test]
    fn an_address_is_looked_up_once() {
        let (cdn, client) = scene();
        cdn.locate(reply(200, &[], PARIS));
        for _ in 0..3 {
            assert_eq!(city(&client, json!({"ipAddress": "127.0.0.1"}), 0).as_deref(), Some("PARIS"));
        }

        let asked = cdn.look_ups();
        assert_eq!(asked.len(), 1);
        assert_eq!(asked[0].header("x-forwarded-for"), Some("127.0.0.1"));
        assert_eq!((asked[0].header("x-secret"), asked[0].header("x-exc-sdk")), (None, None));
        let told = event(&client);
        assert_eq!((&told["type"], &told["geo"]["ipAddress"]), (&json!("geo_location_updated"), &json!("127.0.0.9")));
        let stats = client.stats();
        assert_eq!((stats.geo_look_ups, stats.geo_cache_hits, stats.geo_failures), (1, 2, 0));
    }

    #[test]
    fn the_machines_own_address_is_left_to_the_service() {
        let (cdn, client) = scene();
        cdn.locate(reply(200, &[], PARIS));
        assert_eq!(city(&client, json!({"unknownIpAddress": true}), 0).as_deref(), Some("PARIS"));
        assert_eq!(city(&client, json!({"ipAddress": "unknownIpAddress"}), 0).as_deref(), Some("PARIS"));
        assert_eq!(cdn.look_ups()[0].header("x-forwarded-for"), None);
    }

    #[test]
    fn a_service_that_fails_is_done_without() {
        let (cdn, client) = scene();
        let too_much = format!("HTTP/1.1 200 OK\r\nContent-Length: 100000\r\n\r\n{}", " ".repeat(70_000)).into_bytes();
        for failure in [
            reply(500, &[], PARIS),
            reply(200, &[], "<html>"),
            Reply::Cut(Vec::new(), End::Reset),
            Reply::Cut(too_much, End::Close),
        ] {
            cdn.locate(failure);
            assert_eq!(city(&client, json!({"ipAddress": "127.0.0.1"}), 0), None);
        }
        assert_eq!(client.stats().geo_failures, 4);
        assert_eq!(events(&client), [""; 0]);
        cdn.locate(reply(200, &[], PARIS));
        assert_eq!(city(&client, json!({"ipAddress": "127.0.0.1"}), 0).as_deref(), Some("PARIS"));
    }

    #[test]
    fn a_silent_service_leaves_the_call_its_time() {
        let (cdn, client) = scene();
        cdn.locate(Reply::Silence);
        let began = Instant::now();
        assert_eq!(city(&client, json!({"ipAddress": "127.0.0.1"}), 10_000), None);
        assert!(began.elapsed() < Duration::from_secs(5), "{:?}", began.elapsed());
    }
}

#[test]
fn a_machine_without_a_network_learns_why() {
    let client = client(&nobody().to_string(), json!({"maximum_wait_ready": 0})).unwrap();
    let event = event_beside(&client, "client_ready");
    assert_eq!((&event["error"]["code"], &event["error"]["phase"]), (&json!("TARGET_ERR_NETWORK"), &json!("connect")));
    let error = client.refresh().unwrap_err();
    assert_eq!(error.details().phase, Phase::Connect);
    assert!(error.to_string().contains("connecting to the server"), "{error}");
}
