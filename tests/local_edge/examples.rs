//! The examples of the API's specification, in the folder that `ADOBE_TARGET_OPENAPI` names.

use adobe_target::local_edge::LocalEdge;
use serde_json::{Value, json};

use crate::{Client, notify, specification};

/// An example file's text; `None` where the specification is not there.
fn example(name: &str) -> Option<String> {
    let path = specification::folder()?.join("delivery/examples").join(name);
    Some(std::fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display())))
}

#[test]
fn the_example_of_notifications_has_foreign_tokens() {
    let Some(text) = example("notificationsForDisplayedContent.json") else { return };
    let body: Value = serde_json::from_str(&text).unwrap();

    let strict = LocalEdge::start().unwrap();
    let answer = Client::of(&strict).deliver(&body).unwrap();
    assert_eq!(answer.json(), json!({"status": 400, "message": "notifications[0].tokens[0]: invalid token"}));
    assert_eq!(strict.report().notifications.processed, 0);

    let lenient = LocalEdge::builder().accept_any_token(true).start().unwrap();
    let answer = Client::of(&lenient).delivered(&body);
    assert_eq!(answer["notifications"], json!([{"id": "notificationId1"}]));
    assert_eq!(answer["id"]["tntId"], "abcdefghijkl00014.1_1");
    assert_eq!(lenient.report().impressions.total, 1);
}

/// Tokens of the real edge, which its example answers hold, are none of ours.
#[test]
fn tokens_of_the_example_answers_are_foreign() {
    let Some(text) = example("responseForPrefetchViewsForMobileChannel.json") else { return };
    let answer: Value = serde_json::from_str(&text).unwrap();
    let token = &answer["prefetch"]["views"][0]["options"][0]["eventToken"];
    assert!(token.is_string());
    let edge = LocalEdge::start().unwrap();
    let notification =
        json!({"id": "n", "type": "display", "timestamp": 1, "view": {"name": "webView1"}, "tokens": [token]});
    assert_eq!(Client::of(&edge).deliver(&notify(json!([notification]))).unwrap().status, 400);
}

/// The request example within api.yaml. There `mboxes` is a map although the schema wants a list: as it stands
/// it is refused, with its brackets it is answered.
#[test]
fn the_example_of_a_prefetch_is_answered() {
    let mbox = json!({"name": "SummerOffer", "index": 1});
    let example = |mboxes: Value| {
        json!({
            "id": {"tntId": "abcdefghijkl00023.1_1"},
            "context": {
                "channel": "web",
                "address": {"url": "http://demo.dev.tt-demo.com/demo/store/index.html"},
                "screen": {"width": 1200, "height": 1400},
            },
            "prefetch": {"mboxes": mboxes},
        })
    };
    let edge = LocalEdge::start().unwrap();
    let mut client = Client::of(&edge);
    assert_eq!(client.deliver(&example(mbox.clone())).unwrap().message(), "prefetch.mboxes must be a list");
    let answer = client.delivered(&example(json!([mbox])));
    assert_eq!(answer["prefetch"]["mboxes"], json!([{"index": 1, "name": "SummerOffer"}]));
    assert_eq!(answer["id"]["tntId"], "abcdefghijkl00023.1_1");
}
