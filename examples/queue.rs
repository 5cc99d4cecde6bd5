//! Notifications in the background, with a spool that keeps what could not be delivered.
//!
//! ```sh
//! cargo run --features local-edge --example queue
//! ```
//!
//! It starts a Target edge of its own on 127.0.0.1, which first is down: what was reported meanwhile is found by the
//! next start of the program, here a second client.

use std::error::Error;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use adobe_target::delivery::model::{DeliveryRequest, Notification, NotificationMbox};
use adobe_target::local_edge::{Fault, LocalEdge};
use adobe_target::{CallOptions, QueueConfig, TargetClient, TargetError};

fn main() -> Result<(), Box<dyn Error>> {
    let edge = LocalEdge::start()?;
    let spool = std::env::temp_dir().join(format!("target-queue-{}", std::process::id()));
    let builder = TargetClient::builder("demo", "0DD934B85278256B0A490D44@AdobeOrg")
        .server_domain(edge.host())
        .secure(false)
        .notifications(QueueConfig::default().spool_dir(&spool));

    // The call returns at once. With Ok both are on disk; with an error neither was taken.
    edge.set_default_reply(Some(Fault::status(429)));
    let client = builder.clone().build()?;
    let now = i64::try_from(SystemTime::now().duration_since(UNIX_EPOCH)?.as_millis())?;
    let home = || Some(NotificationMbox { name: Some("home".to_owned()), ..Default::default() });
    let shown = Notification { mbox: home(), ..Notification::display("shown", now) };
    let clicked = Notification { mbox: home(), ..Notification::click("clicked", now) };
    let request = DeliveryRequest { notifications: Some(vec![shown, clicked]), ..Default::default() };
    let accepted = client.enqueue_notifications(&CallOptions::new(request))?.accepted;
    println!("Accepted: {accepted:?}");

    // The edge is down: closing leaves them in the spool.
    match client.close(Some(Duration::from_millis(200))) {
        Err(TargetError::Pending(details)) => println!("Left in the spool: {:?}", details.result),
        other => println!("Closed: {other:?}"),
    }

    edge.set_default_reply(None);
    let client = builder.build()?;
    let flushed = client.flush(Some(Duration::from_secs(5)))?;
    println!("After the next start: {flushed:?}, {:?}", client.stats().queue);
    while let Ok(event) = client.next_event(Some(Duration::ZERO)) {
        println!("Event: {event}");
    }
    client.close(Some(Duration::from_secs(5)))?;
    println!("The edge has processed {:?}", edge.report().notifications.ids);
    std::fs::remove_dir_all(&spool)?;
    Ok(())
}
