//! Where we differ on purpose, by name. Those of the README's table are named by its row, the others by the
//! page of the specification that says so, or by the recorded quirk.

use std::collections::BTreeSet;

/// The rules that took part in a case.
pub type Rules = BTreeSet<&'static str>;

pub const INVALID_ITEM: &str = "README: an invalid mbox, view or notification is refused, nothing is dropped";
pub const IMPRESSION_ID: &str = "README: impressionId is set on execute requests and display notifications";
pub const UNKNOWN_MEMBERS: &str = "README: unknown members of a request pass through";
pub const ANSWER_AS_IT_CAME: &str = "README: a response passes as it came (unknown, null and mistyped members)";
pub const STICKY_HINT: &str = "README: the hint of one visitor is never used for another";
pub const WRONG_TYPE: &str = "README: a wrong type is refused, field names it";
pub const UNKNOWN_KEY: &str = "README: an unknown configuration or option key is refused";
pub const SESSION: &str = "README: a session id outside its limits is refused, in a cookie absent";
pub const NULL_IS_ABSENT: &str = "README: null is absent";
pub const EMPTY_IS_ABSENT: &str = "README: an empty string is absent";
pub const EMPTY_OPTIONS: &str = "README: empty options lack their request (a configuration: its client)";
pub const NO_OBJECT: &str = "README: a 200 whose body is JSON but no object is an invalid response";
pub const TNT_ID_CLUSTER: &str = "README: request.id.tntId with a cluster goes to that cluster";
pub const EDGE_HOST: &str = "README: an edgeHost of another form gives no hint";
pub const COOKIE_HINT: &str = "README: a cookie's hint that is no host label is ignored";
pub const HINT: &str = "README: a location hint that is no host label is refused";
pub const CUSTOMER_IDS: &str = "README: customer id map: unknown state, empty id or code are refused";
pub const EXPIRED_AMCV: &str = "README: expired AMCV fields are absent";
pub const MALFORMED_COOKIE: &str = "README: malformed cookie parts are skipped";
pub const KEPT: &str = "README: channel, supplementalDataId and order.time are the caller's";
pub const TIME_OFFSET: &str = "README: timeOffsetInMinutes is added whenever it is absent";
pub const RETRIES: &str = "README: retries and errors by notifications.md section 2, the API's message is kept";
pub const ZERO_ENVIRONMENT: &str = "README: environmentId 0 is kept";
pub const EMPTY_IDS: &str = "README: an empty id does not hide the cookie's";

pub const IMPRESSION_SESSION: &str = "README: impressions have the session of their call";
pub const COALESCED: &str = "README: impressions go out together";
pub const NO_REQUEST_FOR_TELEMETRY: &str = "README: there is no request for telemetry alone";
pub const GEO_WHEN_KNOWN: &str = "README: impressions have geo only if the caller gave one or it was looked up";
pub const IDS_ONCE: &str = "README: customer ids once in impressions";
pub const UNSUPPORTED_VERSION: &str = "README: an artifact of an unsupported version is not accepted";
pub const START_UP: &str = "README: the start-up request for the hint has a UUID for its session";
pub const OWN_TRACE: &str = "README: a trace is its item's own";
pub const BAD_RULE: &str = "README: one bad rule does not match, the others do";
pub const GEO_FAILS: &str = "README: with a failing geo service there is no geo";
pub const GENERATED_ID: &str = "README: beside an authenticated customer id alone a tntId is generated";

pub const DOWNLOAD_EVENTS: &str = "decisioning.md 1: a download that is not accepted has failed";
pub const DOTTED_NAMES: &str = "issue 3: a parameter beside one with its name and a dot does not fail";
pub const UNUSABLE: &str = "decisioning.md 1: an artifact without rules is none";
pub const MASKED: &str = "decisioning.md 1: masked artifacts are read (the recorded client cannot)";
pub const GEO_ONCE: &str = "decisioning.md 2: geo is cached per address";
pub const IMPRESSION_SCOPE: &str = "notifications.md 3: impressions have property and environment of their decision";
pub const LIMITS: &str = "notifications.md 2: limits are checked before anything is sent";
pub const HOST: &str = "api.md 2: client and server_domain are parts of a host name";
pub const CUSTOMER_ID_LIST: &str = "api.md 3: customer_ids may be a list of CustomerId";
pub const CUSTOMER_ID_STATE: &str = "delivery.md 2: a customer id without a state is of unknown state";
pub const EMPTY_REQUEST: &str = "api.md 3: an empty request is no request";
pub const PARTS: &str = "notifications.md 2: more than 50 notifications go out in parts";
pub const REQUEST_ID: &str = "delivery.md 2: a requestId is given or made";
pub const ATTRIBUTE_INDEX: &str = "delivery.md 2: added mboxes go on after the highest index, each name once";
pub const ALL_PREFETCHED: &str = "delivery.md 2: with every name prefetched the call goes out as it is";
pub const AMCV_NONE: &str = "delivery.md 2: AMCV fields of the value NONE are absent";
pub const ANY_CASE: &str = "delivery.md 3: an edgeHost is read in any case";
pub const NO_EMPTY_ITEMS: &str = "delivery.md 3: absent items are not gathered";
pub const EMPTY_BODY: &str = "delivery.md 3: an empty body is an empty response";
pub const NO_JSON: &str = "delivery.md 4: a body that is no JSON is an invalid response (the recorded text is V8's)";

pub const HALF_PAIRS: &str =
    "quirk: half a surrogate pair throws URIError; we refuse the text, in an answer it is U+FFFD";
pub const ODD_HINT: &str = "quirk: parseInt takes leading digits; delivery.md 2 wants an integer";
pub const SPREAD_OFFERS: &str = "quirk: JSON offers that are texts or lists are spread; attributes come from objects";
pub const ESCAPED_PATH: &str = "quirk: an environment of any name goes into the URL as it is; we escape it";
pub const OWN_ADDRESS: &str = "README: with an mbox's own address, referring is built from its referringUrl";
pub const NO_PROTOTYPES: &str = "quirk: names that JavaScript's objects have are names like any other";
pub const INHERITED: &str = "quirk: var sees what JavaScript's objects inherit; ours has the members of the data alone";
pub const REDUCE: &str =
    "quirk: reduce's initial value is not evaluated; it is an argument like any other, as in 2.0.5";
