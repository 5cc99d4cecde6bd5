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
