//! Spools of earlier versions, in abi/spool: every later version reads them.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

use adobe_target::local_edge::Fault;
use adobe_target::{QueueConfig, SpoolSync};
use serde_json::{Value, json};

use crate::scene::*;
use crate::support::*;

fn kept() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("abi/spool")
}

/// A report with all that a request has around its notifications, and with texts that are easily spoilt.
fn report() -> Value {
    json!({
        "session_id": "refused",
        "request": {
            "id": {"tntId": "device.35_0", "thirdPartyId": "käufer \u{1f600}", "marketingCloudVisitorId": "0123456789"},
            "context": {"channel": "web", "userAgent": "a \"browser\"\\", "timeOffsetInMinutes": 120.5},
            "property": {"token": "08210e2d-0000-0000-0000-3a1c6f0c5e7b"},
            "environmentId": 9_007_199_254_740_993_i64,
            "experienceCloud": {"analytics": {"logging": "server_side", "supplementalDataId": "0123456789ABCDEF-0123456789ABCDEF"}},
            "notifications": [{
                "id": "again", "type": "click", "timestamp": NOW, "mbox": {"name": "kasse", "state": "s"},
                "tokens": ["token"],
                "order": {"id": "o-1", "total": 12.1, "purchasedProductIds": ["ä", "\u{0}"]}
            }]
        }
    })
}

/// What a process leaves that is killed: a display that is done with; a display and a click whose request was out; and
/// a click that the edge has put off.
fn write(to: &Path) {
    let (edge, directory) = (edge_for_any_token(), Directory::new());
    let client = durable(edge.host(), directory.path(), |queue| {
        queue.spool_sync = SpoolSync::Each;
        queue.retry_base_delay = Duration::from_secs(3600);
        queue.retry_max_delay = Duration::from_secs(3600);
    });
    let client = client.build().unwrap();
    enqueue(&client, "done", [display("done")]).unwrap();
    client.flush(Some(LONG)).unwrap();
    edge.fault(Fault::Silence);
    enqueue(&client, "out", [display("shown"), click("clicked")]).unwrap();
    assert!(edge.wait_until(LONG, |report| report.requests == 2));
    edge.set_default_reply(Some(Fault::status(429)));
    client.enqueue_notifications_json(&report().to_string()).unwrap();
    event(&client, "send_notification_error");
    // That it was not counted is written after it was told.
    std::thread::sleep(Duration::from_millis(500));

    copy(directory.path(), to);
}

fn copy(from: &Path, to: &Path) {
    fs::create_dir_all(to).unwrap();
    for entry in fs::read_dir(from).unwrap() {
        let (path, name) = entry.map(|entry| (entry.path(), entry.file_name())).unwrap();
        if path.is_dir() {
            copy(&path, &to.join(name));
        } else {
            fs::copy(&path, to.join(name)).unwrap();
        }
    }
}

fn edge_for_any_token() -> adobe_target::local_edge::LocalEdge {
    adobe_target::local_edge::LocalEdge::builder().accept_any_token(true).start().unwrap()
}

#[test]
fn spools_of_every_version_are_read() {
    if std::env::var_os("UPDATE_SPOOL").is_some() {
        let folder = kept().join(env!("CARGO_PKG_VERSION"));
        assert!(!folder.exists(), "{} is there and stays as it is", folder.display());
        write(&folder);
    }
    let versions: BTreeSet<PathBuf> = fs::read_dir(kept()).unwrap().map(|entry| entry.unwrap().path()).collect();
    assert!(versions.iter().any(|path| path.ends_with("0.1.0")), "the first version is among {versions:?}");
    for version in versions {
        println!("{}", version.display());
        let (edge, directory) = (edge_for_any_token(), Directory::new());
        copy(&version, directory.path());

        // They were accepted on the day of their version.
        let ages = |queue: &mut QueueConfig| queue.time_to_live = Some(Duration::MAX);
        let client = durable(edge.host(), directory.path(), ages).build().unwrap();

        let dropped = event(&client, "notification_dropped");
        assert_eq!((&dropped["reason"], &dropped["ids"]), (&"outcome_unknown".into(), &json!(["clicked"])));
        client.flush(Some(LONG)).unwrap();
        assert_eq!(processed(&edge), ["again".to_owned(), "shown".to_owned()].into());
        let stats = queue_of(&client);
        assert_eq!((stats.recovered, stats.acknowledged, stats.dropped), (3, 2, 1));
        assert_eq!(stats.spool_damaged, 0);
        let requests = edge.take_requests();
        let again = requests.iter().find(|request| request.target.contains("sessionId=refused")).unwrap();
        let (sent, taken) = (body(again), report());
        for member in ["id", "context", "property", "environmentId", "experienceCloud", "notifications"] {
            assert_eq!(sent[member], taken["request"][member], "{member}");
        }
        client.close(Some(LONG)).unwrap();
        assert_eq!(directory.segments(), [] as [PathBuf; 0]);
    }
}
