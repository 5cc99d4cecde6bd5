//! The requests that are measured, each with the artifact that decides it.

use std::ffi::CString;

use adobe_target::delivery::model::DeliveryRequest;
use adobe_target::{CallOptions, MboxQuery};
use serde_json::{Value, json};

use crate::artifacts::{Artifact, RULES_PER_MBOX, mbox};

pub const CLIENT: &str = "demo";
pub const ORGANIZATION: &str = "0DD934B85278256B0A490D44@AdobeOrg";
/// Visitors that take turns: one alone would have every branch predicted.
const VISITORS: usize = 64;

/// What is called.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Call {
    Offers,
    /// The names, as the C ABI takes them.
    Attributes(CString),
}

/// One class of requests.
#[derive(Debug)]
pub struct Case {
    pub name: &'static str,
    pub artifact: Artifact,
    pub method: &'static str,
    pub call: Call,
    /// The options of each visitor.
    pub options: Vec<Value>,
    /// Whether impressions are queued by every call.
    pub executes: bool,
    /// Options (offers) in the answer for each visitor.
    pub offers: usize,
    /// Microseconds that a call through the C ABI should take at the most.
    pub aim: Option<f64>,
    /// How many times as long the Node.js client should take: the aim and the least.
    pub against_node: Option<(f64, f64)>,
}

impl Case {
    /// Options as the C ABI takes them.
    pub fn c_options(&self) -> Vec<CString> {
        self.options.iter().map(|options| CString::new(options.to_string()).expect("JSON has no NUL")).collect()
    }

    /// The same options, typed.
    pub fn typed_options(&self) -> Vec<CallOptions> {
        let typed = |options: &Value| {
            let request: DeliveryRequest =
                serde_json::from_value(options["request"].clone()).expect("requests fit the model");
            let mut typed = CallOptions::new(request);
            if let Some(session) = options["session_id"].as_str() {
                typed = typed.session_id(session);
            }
            if let Some(cookie) = options["target_cookie"].as_str() {
                typed = typed.target_cookie(cookie);
            }
            typed
        };
        self.options.iter().map(typed).collect()
    }
}

/// One mbox of a visitor as texts, for `decide_mbox`.
#[derive(Debug)]
pub struct MboxTexts {
    mbox: String,
    visitor_id: String,
    parameters: Vec<(String, String)>,
    page_url: String,
    referring_url: String,
    user_agent: Option<String>,
}

impl MboxTexts {
    /// None where more is asked than that knows.
    pub fn of(case: &Case, options: &Value) -> Option<Self> {
        if case.executes || case.call != Call::Offers || case.method != "on-device" {
            return None;
        }
        let request = &options["request"];
        let [mbox] = request["prefetch"]["mboxes"].as_array()?.as_slice() else { return None };
        let text = |value: &Value| value.as_str().map(str::to_owned);
        let device = text(&request["id"]["tntId"])?;
        let parameters = mbox["parameters"].as_object().into_iter().flatten();
        Some(MboxTexts {
            mbox: text(&mbox["name"])?,
            visitor_id: device.split('.').next()?.to_owned(),
            parameters: parameters.filter_map(|(name, value)| Some((name.clone(), text(value)?))).collect(),
            page_url: text(&request["context"]["address"]["url"]).unwrap_or_default(),
            referring_url: text(&request["context"]["address"]["referringUrl"]).unwrap_or_default(),
            user_agent: text(&request["context"]["userAgent"]),
        })
    }

    /// The parameters as they are borrowed.
    pub fn parameters(&self) -> Vec<(&str, &str)> {
        self.parameters.iter().map(|(name, value)| (name.as_str(), value.as_str())).collect()
    }

    pub fn query<'a>(&'a self, parameters: &'a [(&'a str, &'a str)]) -> MboxQuery<'a> {
        MboxQuery {
            parameters,
            page_url: Some(&self.page_url),
            referring_url: Some(&self.referring_url),
            user_agent: self.user_agent.as_deref(),
            ..MboxQuery::new(&self.mbox, &self.visitor_id)
        }
    }
}

/// Who asks and from where.
#[derive(Clone, Copy)]
enum Visitor {
    /// From a page with a browser.
    OnPage,
    /// From a page with a browser, in a known place.
    OnPageSomewhere,
    /// Without page and browser.
    Bare,
    /// From a page with a browser, known by a cookie alone.
    ByCookie,
    /// From a page with a browser, for the first time.
    New,
}

impl Visitor {
    fn options(self, number: usize, what: &Value) -> Value {
        let mut context = json!({"channel": "web", "timeOffsetInMinutes": 60});
        if !matches!(self, Visitor::Bare) {
            context["address"] = json!({
                "url": format!("https://www.example.co.uk/Products/shoes?color=red&size=42&visit={number}#reviews"),
                "referringUrl": "https://www.search.example/results?q=red+shoes",
            });
            context["userAgent"] = json!(format!(
                "Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/{}.0.0.0 Safari/537.36",
                100 + number % 30
            ));
        }
        if matches!(self, Visitor::OnPageSomewhere) {
            context["geo"] = json!({"countryCode": "US", "stateCode": "CA", "city": "SAN FRANCISCO"});
        }
        let mut request = what.clone();
        request["context"] = context;
        let session = format!("7f3d0a52-6d0c-4b62-9f0c-{number:012}");
        let device = format!("c2f0f9f8d3c24ac6a1f8{number:012}.35_0");
        match self {
            Visitor::ByCookie => json!({
                "request": request,
                "target_cookie": format!("session#{session}#4102444800|PC#{device}#4102444800"),
            }),
            Visitor::New => json!({"request": request}),
            _ => {
                request["id"] = json!({"tntId": device});
                json!({"request": request, "session_id": session})
            }
        }
    }
}

fn one_mbox(number: usize) -> Value {
    json!([{"index": 0, "name": mbox(number), "parameters": {"segment": "Gold", "cart.total": "49.90"}}])
}

fn ten_mboxes() -> Value {
    let one = |number| json!({"index": number, "name": mbox(number), "parameters": {"segment": "Gold"}});
    (0..10).map(one).collect()
}

struct Plan<'a> {
    name: &'static str,
    artifact: Artifact,
    visitor: Visitor,
    what: &'a Value,
    offers: usize,
}

impl Plan<'_> {
    fn case(self) -> Case {
        let options = (0..VISITORS).map(|number| self.visitor.options(number, self.what)).collect();
        Case {
            name: self.name,
            artifact: self.artifact,
            method: "on-device",
            call: Call::Offers,
            options,
            executes: self.what.get("execute").is_some(),
            offers: self.offers,
            aim: None,
            against_node: None,
        }
    }
}

/// Every class, those without impressions first.
pub fn all() -> Vec<Case> {
    use Visitor::{Bare, ByCookie, New, OnPage, OnPageSomewhere};
    let prefetch = |mboxes: Value| json!({"prefetch": {"mboxes": mboxes}});
    let execute = |mboxes: Value| json!({"execute": {"mboxes": mboxes}});
    let first = prefetch(one_mbox(0));
    let (rules_100, rules_1000, rules_10000) =
        (Artifact::Mboxes(10), Artifact::Mboxes(1000 / RULES_PER_MBOX), Artifact::Mboxes(10_000 / RULES_PER_MBOX));
    let global = Artifact::Global(500);
    let page_load = json!({"prefetch": {"pageLoad": {}}});
    let execute_page_load = json!({"execute": {"pageLoad": {}}});
    let plan = |name, artifact, visitor, what, offers| Plan { name, artifact, visitor, what, offers }.case();

    let on_page = Some((250.0, 100.0));
    let bare = Some((25.0, 10.0));
    vec![
        Case {
            aim: Some(4.0),
            against_node: on_page,
            ..plan("1 mbox, 2 rules, page and browser", Artifact::TwoRules, OnPage, &first, 1)
        },
        Case {
            aim: Some(4.0),
            against_node: bare,
            ..plan("1 mbox, 2 rules, neither", Artifact::TwoRules, Bare, &first, 1)
        },
        Case {
            aim: Some(4.0),
            against_node: on_page,
            ..plan("1 mbox, 10 rules, page and browser", rules_100, OnPage, &first, 1)
        },
        Case { aim: Some(4.0), against_node: bare, ..plan("1 mbox, 10 rules, neither", rules_100, Bare, &first, 1) },
        Case {
            aim: Some(20.0),
            against_node: on_page,
            ..plan("10 mboxes, 100 rules", rules_100, OnPage, &prefetch(ten_mboxes()), 10)
        },
        Case {
            against_node: on_page,
            ..plan("page load, 24 rules, 5 options", Artifact::PageLoad, OnPage, &page_load, 5)
        },
        Case {
            aim: Some(90.0),
            against_node: on_page,
            ..plan("page load, 1,000 rules, 25 match", global, OnPageSomewhere, &page_load, 25)
        },
        Case { aim: Some(4.0), ..plan("1 mbox in 1,000 rules", rules_1000, OnPage, &first, 1) },
        Case {
            aim: Some(4.0),
            against_node: on_page,
            ..plan("1 mbox in 10,000 rules", rules_10000, OnPage, &first, 1)
        },
        plan("all views, 24 rules", Artifact::Views, OnPage, &json!({"prefetch": {"views": [{}]}}), 12),
        plan("1 mbox, html with macros", rules_100, OnPage, &prefetch(one_mbox(9)), 1),
        plan("1 mbox, visitor by cookie", rules_100, ByCookie, &first, 1),
        plan("1 mbox, new visitor", rules_100, New, &first, 1),
        Case { method: "hybrid", ..plan("1 mbox, hybrid", rules_100, OnPage, &first, 1) },
        Case {
            call: Call::Attributes(CString::from(c"[\"home-0000\"]")),
            ..plan("get_attributes, 1 mbox", rules_100, OnPage, &first, 1)
        },
        Case {
            aim: Some(4.0),
            against_node: on_page,
            ..plan("execute, 1 mbox", rules_100, OnPage, &execute(one_mbox(0)), 1)
        },
        Case {
            aim: Some(20.0),
            against_node: on_page,
            ..plan("execute, 10 mboxes", rules_100, OnPage, &execute(ten_mboxes()), 10)
        },
        plan("execute, page load, 24 rules", Artifact::PageLoad, OnPage, &execute_page_load, 5),
        Case {
            aim: Some(90.0),
            ..plan("execute, page load, 1,000 rules", global, OnPageSomewhere, &execute_page_load, 25)
        },
    ]
}

/// The configuration of a client that decides on this machine from that text and asks nobody for anything.
pub fn config(method: &str, artifact: &str, server: &str) -> CString {
    // The artifact is text already; as a value it would take a multiple of its size.
    let text = format!(
        "{{\"client\":\"{CLIENT}\",\"organization_id\":\"{ORGANIZATION}\",\"decisioning_method\":\"{method}\",\
         \"server_domain\":\"{server}\",\"secure\":false,\"proxy\":\"none\",\"polling_interval\":0,\
         \"target_location_hint\":\"35\",\"artifact_payload\":{artifact}}}"
    );
    CString::new(text).expect("JSON has no NUL")
}

/// The same, with an artifact that has to be downloaded.
pub fn downloading_config(server: &str, path: &str) -> CString {
    let value = json!({
        "client": CLIENT, "organization_id": ORGANIZATION, "decisioning_method": "on-device", "server_domain": server,
        "secure": false, "proxy": "none", "polling_interval": 0, "target_location_hint": "35",
        "artifact_location": format!("http://{server}{path}"), "artifact_format": "json",
    });
    CString::new(value.to_string()).expect("JSON has no NUL")
}

/// The options of one of very many visitors: each has a page, a browser and parameters of its own.
pub fn one_of_many(kind: &str, number: usize) -> CString {
    let mut what = json!({});
    what[kind] = json!({"mboxes": one_mbox(number % 10)});
    what[kind]["mboxes"][0]["parameters"][format!("p{number}")] = json!("v");
    let options = Visitor::OnPage.options(number, &what);
    CString::new(options.to_string()).expect("JSON has no NUL")
}
