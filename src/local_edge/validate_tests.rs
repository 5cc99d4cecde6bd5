//! What the API's specification allows and refuses in a delivery request.

use serde_json::{Value, json};

use super::{Delivery, Issued, Refusal, delivery, session_of};
use crate::local_edge::artifact::Artifacts;
use crate::local_edge::scenario::{Place, Scenario};
use crate::local_edge::tokens::{Kind, Token};

fn token(kind: Kind) -> String {
    Token {
        kind,
        number: 0,
        place: Place::Mbox,
        name: "home".to_owned(),
        activity: "1".to_owned(),
        experience: "A".to_owned(),
    }
    .encode()
}

/// Reads a body at an edge with the built-in scenario.
fn read(body: &Value) -> Result<Delivery<'_>, Refusal> {
    delivery(body, &Issued { scenario: &Scenario::default(), artifacts: &Artifacts::default() })
}

/// The message with which a body is refused.
fn refused(body: Value) -> String {
    match read(&body) {
        Err(Refusal { status: 400, message }) => message,
        other => panic!("{body} was not refused with 400: {other:?}"),
    }
}

/// The message with which a request with these members, and a context, is refused.
fn refused_with(members: Value) -> String {
    let mut body = json!({"context": {"channel": "web"}});
    for (name, value) in members.as_object().unwrap() {
        body[name] = value.clone();
    }
    refused(body)
}

fn notification(changes: Value) -> Value {
    let mut notification = json!({"id": "n", "type": "display", "timestamp": 1, "mbox": {"name": "home"}});
    for (name, value) in changes.as_object().unwrap() {
        notification[name] = value.clone();
    }
    notification
}

#[test]
fn the_query_has_organization_and_session() {
    assert_eq!(session_of("imsOrgId=1@AdobeOrg&sessionId=a%2Db&version=2").unwrap(), "a-b");
    let longest = format!("imsOrgId=o&sessionId={}", "x".repeat(128));
    assert_eq!(session_of(&longest).unwrap().len(), 128);
    for (query, message) in [
        ("sessionId=a", "imsOrgId is required"),
        ("imsOrgId=&sessionId=a", "imsOrgId is required"),
        ("imsOrgId=o", "sessionId is required"),
    ] {
        assert_eq!(session_of(query).unwrap_err(), Refusal::bad(message));
    }
    for session in ["", "a%20b", "a+b", "a?b", "a/b", "a%2Fb", "a%00b", "a%ffb", "a%C2%A0b", &"x".repeat(129)] {
        let refusal = session_of(&format!("imsOrgId=o&sessionId={session}")).unwrap_err();
        assert_eq!((refusal.status, &refusal.message[..9]), (400, "sessionId"), "{session}");
    }
}

#[test]
fn the_smallest_request_is_a_context_with_a_channel() {
    assert!(read(&json!({"context": {"channel": "web"}})).is_ok());
    assert!(read(&json!({"context": {"channel": "mobile"}, "execute": null, "unknown": 1})).is_ok());
    assert_eq!(refused(json!([])), "request must be a JSON object");
    assert_eq!(refused(json!({})), "context is required");
    assert_eq!(refused(json!({"context": []})), "context must be an object");
    assert_eq!(refused(json!({"context": {}})), "context.channel is required");
    assert_eq!(refused(json!({"context": {"channel": "tv"}})), "context.channel must be one of: mobile, web");
}

#[test]
fn everything_the_specification_knows_of_a_context_is_allowed() {
    let context = json!({
        "channel": "mobile",
        "mobilePlatform": {"deviceName": "x", "deviceType": "phone", "platformType": "ios", "version": "1"},
        "application": {"id": "a", "name": "b", "version": "c"},
        "screen": {"width": 1.5, "height": 2, "colorDepth": 24, "pixelRatio": 2.0, "orientation": "portrait"},
        "window": {"width": 1, "height": 2},
        "browser": {"host": "h", "language": "de", "webGLRenderer": "r"},
        "address": {"url": "u", "referringUrl": "r"},
        "geo": {"ipAddress": "127.0.0.1", "latitude": 1.0, "longitude": -1, "countryCode": "DE", "stateCode": "BE", "city": "Berlin", "zip": "10115"},
        "timeOffsetInMinutes": -60.5,
        "userAgent": "ua",
        "clientHints": {"mobile": true, "model": "m", "platform": "p", "platformVersion": "1",
            "browserUAWithMajorVersion": "1", "browserUAWithFullVersion": "1.1", "architecture": "arm", "bitness": "64"},
        "beacon": true,
    });
    assert!(read(&json!({"context": context})).unwrap().beacon);
}

#[test]
fn wrong_contexts_are_refused_by_name() {
    for (members, message) in [
        (json!({"mobilePlatform": {"platformType": "ios"}}), "context.mobilePlatform.deviceType is required"),
        (
            json!({"mobilePlatform": {"deviceType": "phone", "platformType": "windows"}}),
            "context.mobilePlatform.platformType must be one of: android, ios",
        ),
        (json!({"screen": {"width": "1"}}), "context.screen.width must be a number"),
        (json!({"screen": {"orientation": "up"}}), "context.screen.orientation must be one of: portrait, landscape"),
        (json!({"browser": "Firefox"}), "context.browser must be an object"),
        (json!({"browser": {"host": 1}}), "context.browser.host must be a string"),
        (json!({"address": {"url": "x".repeat(4097)}}), "context.address.url must not be longer than 4096 characters"),
        (json!({"geo": {"countryCode": "DEU"}}), "context.geo.countryCode must not be longer than 2 characters"),
        (json!({"timeOffsetInMinutes": "60"}), "context.timeOffsetInMinutes must be a number"),
        (json!({"clientHints": {"mobile": "?1"}}), "context.clientHints.mobile must be true or false"),
        (json!({"beacon": 1}), "context.beacon must be true or false"),
    ] {
        let mut context = members;
        context["channel"] = json!("web");
        assert_eq!(refused(json!({"context": context})), message);
    }
}

#[test]
fn wrong_ids_are_refused_by_name() {
    let customers = |count: usize| -> Value {
        (0..count)
            .map(|id| json!({"id": id.to_string(), "integrationCode": "c", "authenticatedState": "unknown"}))
            .collect()
    };
    assert!(read(&json!({"context": {"channel": "web"}, "id": {"customerIds": customers(50)}})).is_ok());
    let long = "x".repeat(129);
    for (members, message) in [
        (json!({"requestId": long}), "requestId must not be longer than 128 characters"),
        (json!({"impressionId": long}), "impressionId must not be longer than 128 characters"),
        (json!({"id": "x"}), "id must be an object"),
        (json!({"id": {"tntId": long}}), "id.tntId must not be longer than 128 characters"),
        (json!({"id": {"tntId": "a.35_0.1"}}), "id.tntId must not hold a dot but the one before the location hint"),
        (json!({"id": {"thirdPartyId": long}}), "id.thirdPartyId must not be longer than 128 characters"),
        (json!({"id": {"marketingCloudVisitorId": 7}}), "id.marketingCloudVisitorId must be a string"),
        (json!({"id": {"customerIds": customers(51)}}), "id.customerIds must not have more than 50 items"),
        (json!({"id": {"customerIds": [null]}}), "id.customerIds[0] must be an object"),
        (json!({"id": {"customerIds": [{"id": "a"}]}}), "id.customerIds[0].integrationCode is required"),
        (
            json!({"id": {"customerIds": [{"id": "a", "integrationCode": "c", "authenticatedState": 1}]}}),
            "id.customerIds[0].authenticatedState must be a string",
        ),
        (json!({"environmentId": "1"}), "environmentId must be an integer"),
        (json!({"property": {}}), "property.token is required"),
        (json!({"trace": {}}), "trace.authorizationToken is required"),
        (
            json!({"experienceCloud": {"audienceManager": {"locationHint": 0}}}),
            "experienceCloud.audienceManager.locationHint must be at least 1",
        ),
        (
            json!({"experienceCloud": {"audienceManager": {"blob": " "}}}),
            "experienceCloud.audienceManager.blob must not be blank",
        ),
        (
            json!({"experienceCloud": {"analytics": {"logging": "both"}}}),
            "experienceCloud.analytics.logging must be one of: server_side, client_side",
        ),
        (
            json!({"experienceCloud": {"analytics": {"supplementalDataId": "0123456789ABCDEF_0123456789ABCDEF"}}}),
            "experienceCloud.analytics.supplementalDataId must be two times 16 hexadecimal digits with - between",
        ),
    ] {
        assert_eq!(refused_with(members), message);
    }
}

#[test]
fn mboxes_have_a_number_and_a_name() {
    let mboxes = |count: usize| -> Value { (0..count).map(|index| json!({"index": index, "name": "home"})).collect() };
    for part in ["execute", "prefetch"] {
        let mut body = json!({"context": {"channel": "web"}});
        body[part] = json!({"mboxes": mboxes(50)});
        assert!(read(&body).is_ok());
        for (mboxes, message) in [
            (mboxes(51), "mboxes must not have more than 50 items"),
            (json!({"index": 1, "name": "SummerOffer"}), "mboxes must be a list"),
            (json!(["home"]), "mboxes[0] must be an object"),
            (json!([{"index": 0}]), "mboxes[0].name is required"),
            (json!([{"index": 0, "name": " "}]), "mboxes[0].name must not be blank"),
            (json!([{"index": 0, "name": "x".repeat(251)}]), "mboxes[0].name must not be longer than 250 characters"),
            (json!([{"index": 0, "name": "a"}, {"name": "b"}]), "mboxes[1].index is required"),
            (json!([{"index": 0.5, "name": "a"}]), "mboxes[0].index must be an integer"),
        ] {
            body[part] = json!({"mboxes": mboxes});
            assert_eq!(refused(body.clone()), format!("{part}.{message}"));
        }
    }
    let widest =
        json!({"context": {"channel": "web"}, "execute": {"mboxes": [{"index": -1, "name": "ä".repeat(250)}]}});
    assert!(read(&widest).is_ok(), "the limit is in characters, not in bytes");
}

#[test]
fn parameters_have_limits() {
    let page_load = |parameters: Value| json!({"execute": {"pageLoad": {"parameters": parameters}}});
    let many = |count: usize| -> Value {
        Value::Object((0..count).map(|number| (format!("p{number}"), json!("v"))).collect())
    };
    let largest = json!({"context": {"channel": "web"}, "execute": {"pageLoad": {"profileParameters": many(50),
        "parameters": {"x".repeat(128): "v".repeat(5000), "number": 1, "null": null, "true": true}}}});
    assert!(read(&largest).is_ok());
    for (parameters, message) in [
        (many(51), " must not have more than 50 members".to_owned()),
        (json!({"": "v"}), " must not have a blank name".to_owned()),
        (json!({"x".repeat(129): "v"}), " must not have a name longer than 128 characters".to_owned()),
        (json!({"a": "v".repeat(5001)}), ".a must not be longer than 5000 characters".to_owned()),
        (json!({"a": {}}), ".a must be a string".to_owned()),
        (json!({"profile.a": "v"}), ".profile.a must not begin with profile.".to_owned()),
        (json!({"orderTotal": "1"}), ".orderTotal is not allowed as a name".to_owned()),
        (json!([]), " must be an object".to_owned()),
    ] {
        assert_eq!(refused_with(page_load(parameters)), format!("execute.pageLoad.parameters{message}"));
    }
    assert_eq!(
        refused_with(json!({"notifications": [notification(json!({"profileParameters": many(51)}))]})),
        "notifications[0].profileParameters must not have more than 50 members"
    );
}

#[test]
fn orders_and_products_have_limits() {
    let products = |products: Value| json!({"order": {"purchasedProductIds": products}});
    for (members, message) in [
        (json!({"order": {"id": "x".repeat(251)}}), "order.id must not be longer than 250 characters"),
        (json!({"order": {"total": -0.01}}), "order.total must not be negative"),
        (json!({"order": {"total": "1"}}), "order.total must be a number"),
        (products(json!("a,b")), "order.purchasedProductIds must be a list"),
        (products(json!([1])), "order.purchasedProductIds[0] must be a string"),
        (products(json!(["a", ""])), "order.purchasedProductIds[1] must not be blank"),
        (products(json!(["x".repeat(51)])), "order.purchasedProductIds[0] must not be longer than 50 characters"),
        (
            products(json!(vec!["x".repeat(50); 5])),
            "order.purchasedProductIds must not be longer than 250 characters when joined",
        ),
        (json!({"product": {"id": " "}}), "product.id must not be blank"),
        (
            json!({"product": {"categoryId": "x".repeat(129)}}),
            "product.categoryId must not be longer than 128 characters",
        ),
    ] {
        let mut mbox = members.clone();
        mbox["index"] = json!(0);
        mbox["name"] = json!("cart");
        assert_eq!(refused_with(json!({"prefetch": {"mboxes": [mbox]}})), format!("prefetch.mboxes[0].{message}"));
        assert_eq!(
            refused_with(json!({"notifications": [notification(members)]})),
            format!("notifications[0].{message}")
        );
    }
}

#[test]
fn notifications_are_validated_one_by_one() {
    for (changes, message) in [
        (json!({"id": null}), "id is required"),
        (json!({"id": ""}), "id must not be blank"),
        (json!({"id": "x".repeat(201)}), "id must not be longer than 200 characters"),
        (json!({"type": null}), "type is required"),
        (json!({"type": "visit"}), "type must be one of: click, display"),
        (json!({"timestamp": null}), "timestamp is required"),
        (json!({"timestamp": 0}), "timestamp must be a positive integer: milliseconds since 1970"),
        (json!({"timestamp": -5}), "timestamp must be a positive integer: milliseconds since 1970"),
        (json!({"timestamp": 1.5}), "timestamp must be a positive integer: milliseconds since 1970"),
        (json!({"timestamp": "1"}), "timestamp must be a positive integer: milliseconds since 1970"),
        (json!({"impressionId": "x".repeat(129)}), "impressionId must not be longer than 128 characters"),
        (json!({"tokens": "x"}), "tokens must be a list"),
        (json!({"tokens": [1]}), "tokens[0] must be a string"),
        (json!({"tokens": [token(Kind::Display), "x"]}), "tokens[1]: invalid token"),
        (json!({"tokens": [token(Kind::State)]}), "tokens[0]: invalid token"),
        (json!({"mbox": {"state": token(Kind::Display)}}), "mbox.state: invalid token"),
        (json!({"mbox": {"name": " "}}), "mbox.name must not be blank"),
        (json!({"mbox": {"name": "x".repeat(251)}}), "mbox.name must not be longer than 250 characters"),
        (json!({"mbox": {"name": "home-clicked"}}), "mbox.name must not end with -clicked"),
        (json!({"mbox": {"name": "** any mbox **"}}), "mbox.name is reserved"),
        (json!({"mbox": null, "view": {"state": "x"}}), "view.state: invalid token"),
        (json!({"mbox": null, "view": {"name": "x".repeat(129)}}), "view.name must not be longer than 128 characters"),
        (json!({"mbox": null, "pageLoad": {"state": "x"}}), "pageLoad.state: invalid token"),
    ] {
        let bodies = json!({"notifications": [notification(json!({})), notification(changes)]});
        assert_eq!(refused_with(bodies), format!("notifications[1].{message}"));
    }
    assert_eq!(
        refused_with(json!({"notifications": [notification(json!({"view": {}}))]})),
        "notifications[0] must not have both mbox and view"
    );
    assert_eq!(refused_with(json!({"notifications": {}})), "notifications must be a list");
}

#[test]
fn issued_tokens_and_states_are_read() {
    let body = json!({"context": {"channel": "web"}, "notifications": [
        notification(json!({"tokens": [token(Kind::Display), token(Kind::Click)], "mbox": {"name": "home", "state": token(Kind::State)}}))
    ]});
    let delivery = read(&body).unwrap();
    let notification = &delivery.notifications.as_ref().unwrap()[0];
    assert_eq!(notification.tokens.len(), 2);
    assert_eq!(notification.tokens[0][0].name, "home");
}

#[test]
fn any_token_is_taken_when_that_is_wanted() {
    let body = json!({"context": {"channel": "web"}, "notifications": [
        notification(json!({"tokens": ["foreign"], "mbox": {"name": "home", "state": "foreign"}}))
    ]});
    let scenario = Scenario::default().accept_any_token(true);
    let delivery = delivery(&body, &Issued { scenario: &scenario, artifacts: &Artifacts::default() }).unwrap();
    assert_eq!(delivery.notifications.unwrap()[0].tokens, [vec![]]);
}

/// What judges and counts requests shares no code with what wrote them, or it would share its faults.
#[test]
fn requests_are_read_without_the_rest_of_the_crate() {
    for (name, source) in [
        ("body.rs", include_str!("body.rs")),
        ("circumstances.rs", include_str!("circumstances.rs")),
        ("delivery.rs", include_str!("delivery.rs")),
        ("fields.rs", include_str!("fields.rs")),
        ("issued.rs", include_str!("issued.rs")),
        ("ledger.rs", include_str!("ledger.rs")),
        ("query.rs", include_str!("query.rs")),
        ("tokens.rs", include_str!("tokens.rs")),
        ("validate.rs", include_str!("validate.rs")),
    ] {
        assert!(
            !source.contains("crate::") && !source.contains("super::super"),
            "{name} reaches out of the local edge"
        );
    }
}
