//! The library against recorded behaviour of an existing client of the same API.
//!
//! The cases are read from the folder `ADOBE_TARGET_CONFORMANCE`, `../shared/conformance` when that is not
//! set; without the folder nothing is checked, and the test says so on stderr. Each case passes as recorded,
//! or is a deviation that a rule calls for (and asserts), or is skipped for a stated reason. Run it with
//! `--nocapture` for the table.
#![cfg(feature = "local-edge")]

use std::io::Write as _;

use serde_json::json;

#[path = "conformance/allocation.rs"]
mod allocation;
#[path = "conformance/artifacts.rs"]
mod artifacts;
#[path = "conformance/bodies.rs"]
mod bodies;
#[path = "conformance/compare.rs"]
mod compare;
#[path = "conformance/cookies.rs"]
mod cookies;
#[path = "conformance/corpus.rs"]
mod corpus;
#[path = "conformance/hosts.rs"]
mod hosts;
#[path = "conformance/impressions.rs"]
mod impressions;
#[path = "conformance/library.rs"]
mod library;
#[path = "conformance/logic.rs"]
mod logic;
#[path = "conformance/mock.rs"]
mod mock;
#[path = "conformance/on_device.rs"]
mod on_device;
#[path = "conformance/play.rs"]
mod play;
#[path = "conformance/refusals.rs"]
mod refusals;
#[path = "conformance/report.rs"]
mod report;
#[path = "conformance/requests.rs"]
mod requests;
#[path = "conformance/responses.rs"]
mod responses;
#[path = "conformance/rules.rs"]
mod rules;
#[path = "conformance/surroundings.rs"]
mod surroundings;
#[path = "conformance/traces.rs"]
mod traces;
#[path = "conformance/twins.rs"]
mod twins;
#[path = "conformance/urls.rs"]
mod urls;
#[path = "conformance/user_agents.rs"]
mod user_agents;
#[path = "conformance/visitor.rs"]
mod visitor;

use corpus::Case;
use report::{Report, Verdict};

/// Runs one case.
type Run = fn(&Case) -> Verdict;

const FILES: [(&str, Run); 8] = [
    ("requests", requests::run),
    ("responses", responses::run),
    ("cookies", cookies::run),
    ("odd", on_device::run),
    ("jsonlogic", logic::run),
    ("urls", urls::run),
    ("useragents", user_agents::run),
    ("allocation", allocation::run),
];

#[test]
fn recorded_behaviour_is_ours_or_a_stated_deviation() {
    let Some(folder) = corpus::folder() else { return };
    let mut report = Report::default();
    for (file, run) in FILES {
        for case in corpus::read(&folder, file) {
            let verdict = match run(&case) {
                Verdict::Failed(mut lines) if !case.quirk.is_empty() => {
                    lines.push(format!("quirk: {}", case.quirk));
                    Verdict::Failed(lines)
                }
                verdict => verdict,
            };
            report.add(file, &case.area, &case.name, verdict);
        }
    }
    let out = report.table();
    // Not by print!: the table is to be seen without --nocapture too.
    let _ = std::io::stdout().write_all(out.as_bytes());
    let failures = report.failures();
    assert!(failures.is_empty(), "{} cases fail:\n\n{}\n", failures.len(), failures.join("\n\n"));
}

/// A small case that passes, and what must not pass.
#[test]
fn an_altered_case_fails() {
    let input = json!({
        "now": 1_700_000_000_000_i64,
        "config": {"client": "acmeclient", "organizationId": "1@AdobeOrg", "serverDomain": "{{MOCK}}", "secure": false},
        "calls": [{"method": "getOffers", "args": [{"request": {"requestId": "r", "context": {"channel": "web", "timeOffsetInMinutes": 0}}, "sessionId": "s"}]}],
    });
    let body = json!({
        "requestId": "r",
        "context": {"channel": "web", "timeOffsetInMinutes": 0},
        "experienceCloud": {"analytics": {"supplementalDataId": "<sdid:1>", "logging": "server_side"}},
    });
    let expected = json!({
        "calls": [{"ok": true}],
        "requests": [{
            "origin": "http://{{MOCK}}", "method": "POST", "path": "/rest/v1/delivery",
            "query": {"imsOrgId": "1@AdobeOrg", "sessionId": "s"}, "body": body,
        }],
    });
    let case = Case {
        name: "small".into(),
        area: "session".into(),
        input,
        expected,
        quirk: String::new(),
        recorded: json!({}),
    };
    assert_eq!(requests::run(&case), Verdict::Passed);

    let alter = |pointer: &str, value: serde_json::Value| {
        let mut altered = case.clone();
        *altered.expected.pointer_mut(pointer).expect("a member to alter") = value;
        assert!(matches!(requests::run(&altered), Verdict::Failed(_)), "{pointer}");
    };
    alter("/requests/0/origin", json!("http://mboxedge35.tt.omtrdc.net"));
    alter("/requests/0/query/sessionId", json!("other"));
    alter("/requests/0/body/requestId", json!("other"));
    alter("/requests/0/body/experienceCloud/analytics/logging", json!("client_side"));
    alter("/calls/0", json!({"error": "Request object is required"}));
}

/// The same of on-device decisioning, with what a case of it has besides.
#[test]
fn an_altered_case_of_on_device_decisioning_fails() {
    let rule = |key: &str, condition: bool| {
        json!({
            "ruleKey": key,
            "activityId": 1,
            "meta": {"activity.id": 1, "experience.id": 0},
            "condition": condition,
            "consequence": {
                "name": "m",
                "options": [{"type": "html", "eventToken": format!("token {key}"), "content": key}],
                "metrics": [],
            },
        })
    };
    let artifact = json!({
        "version": "1.0.0",
        "meta": {"environment": "production"},
        "responseTokens": [],
        "remoteMboxes": [],
        "localMboxes": ["m"],
        "remoteViews": [],
        "localViews": [],
        "rules": {"mboxes": {"m": [rule("no", false), rule("yes", true)]}, "views": {}},
    });
    let request = json!({
        "requestId": "r",
        "id": {"tntId": "visitor.35_0"},
        "context": {"channel": "web", "timeOffsetInMinutes": 0},
        "execute": {"mboxes": [{"name": "m", "index": 0}]},
    });
    let input = json!({
        "now": 1_700_000_000_000_i64,
        "config": {
            "client": "acmeclient",
            "organizationId": "1@AdobeOrg",
            "decisioningMethod": "on-device",
            "pollingInterval": 0,
            "targetLocationHint": "35",
            "telemetryEnabled": false,
        },
        "artifact": {"inline": artifact},
        "calls": [{"method": "getOffers", "args": [{"request": request, "sessionId": "s"}]}],
    });
    let tokens = json!({"activity.decisioningMethod": "on-device"});
    let option = json!({"type": "html", "content": "yes", "responseTokens": tokens});
    let expected = json!({
        "response": {
            "status": 200,
            "requestId": "r",
            "client": "acmeclient",
            "id": {"tntId": "visitor.35_0"},
            "execute": {"mboxes": [{"name": "m", "index": 0, "options": [option]}]},
        },
        "responseTokens": [tokens],
        "targetCookie": {
            "name": "mbox",
            "value": "session#s#1700001860|PC#visitor.35_0#1763244800",
            "maxAge": 63_244_800,
        },
        "targetLocationHintCookie": {"name": "mboxEdgeCluster", "value": "35", "maxAge": 1860},
        "meta": {"decisioningMethod": "on-device", "remoteMboxes": [], "remoteViews": []},
    });
    let notification = json!({
        "id": "<uuid:3>",
        "impressionId": "<uuid:4>",
        "type": "display",
        "timestamp": "<now>",
        "tokens": ["token yes"],
        "mbox": {"name": "m"},
    });
    let impressions = json!([{
        "origin": "https://mboxedge35.tt.omtrdc.net",
        "path": "/rest/v1/delivery",
        "query": {"imsOrgId": "1@AdobeOrg", "sessionId": "<uuid:1>"},
        "body": {
            "requestId": "<uuid:2>",
            "id": {"tntId": "visitor.35_0"},
            "context": {"channel": "web", "timeOffsetInMinutes": 0, "geo": {}},
            "experienceCloud": {"analytics": {"supplementalDataId": "<sdid:1>", "logging": "server_side"}},
            "notifications": [notification],
        },
    }]);
    let case = Case {
        name: "small".into(),
        area: "decisions".into(),
        recorded: json!({"expected": expected, "expected_notifications": impressions, "events": ["clientReady"]}),
        input,
        expected,
        quirk: String::new(),
    };
    let verdict = on_device::run(&case);
    assert!(matches!(verdict, Verdict::Deviation(_)), "{verdict:?}");

    for (pointer, value) in [
        ("/response/status", json!(206)),
        ("/response/execute/mboxes/0/options/0/content", json!("no")),
        ("/response/execute/mboxes/0/options/0/responseTokens", json!({})),
        ("/responseTokens", json!([])),
        ("/targetCookie/maxAge", json!(1860)),
        ("/targetLocationHintCookie/value", json!("36")),
        ("/meta/remoteMboxes", json!(["m"])),
        ("/meta/decisioningMethod", json!("server-side")),
        ("", json!({"error": "Error: Unable to fulfill request; decisioning engine not ready."})),
    ] {
        let mut altered = case.clone();
        *altered.expected.pointer_mut(pointer).expect("a member to alter") = value;
        assert!(matches!(on_device::run(&altered), Verdict::Failed(_)), "{pointer}");
    }
    for (pointer, value) in [
        ("/expected_notifications", json!([])),
        ("/expected_notifications/0/origin", json!("https://acmeclient.tt.omtrdc.net")),
        ("/expected_notifications/0/query/imsOrgId", json!("2@AdobeOrg")),
        ("/expected_notifications/0/body/id/tntId", json!("other.35_0")),
        ("/expected_notifications/0/body/context/channel", json!("mobile")),
        ("/expected_notifications/0/body/notifications/0/tokens/0", json!("token no")),
        ("/expected_notifications/0/body/notifications/0/mbox/name", json!("n")),
        ("/expected_notifications/0/body/notifications/0/timestamp", json!(1)),
        ("/events", json!([])),
        ("/events", json!(["clientReady", "artifactDownloadSucceeded"])),
        ("/expected_artifact_requests", json!({"count": 1, "first": {"url": "https://assets.adobetarget.com/x"}})),
        ("/expected_geo_requests", json!([{"url": "https://assets.adobetarget.com/v1/geo", "headers": {}}])),
        ("/expected_remote_requests", json!([{"origin": "https://acmeclient.tt.omtrdc.net"}])),
        ("/expected_startup_requests", json!([{"origin": "https://acmeclient.tt.omtrdc.net"}])),
    ] {
        let mut altered = case.clone();
        let (parent, key) = pointer.rsplit_once('/').expect("a path");
        let at = altered.recorded.pointer_mut(parent).expect("a member to alter");
        match key.parse::<usize>() {
            Ok(index) => at[index] = value,
            Err(_) => at[key] = value,
        }
        assert!(matches!(on_device::run(&altered), Verdict::Failed(_)), "{pointer}");
    }
}
