//! The main job: prefetch two mboxes, show one, report that it was shown.
//!
//! ```sh
//! cargo run --features local-edge --example quickstart
//! ```
//!
//! Without an account it starts a Target edge of its own on 127.0.0.1. With `TARGET_CLIENT` and
//! `TARGET_ORGANIZATION` in the environment (and `TARGET_MBOXES`, two names joined by a comma) it goes to Adobe's.

use std::error::Error;
use std::time::{SystemTime, UNIX_EPOCH};

use adobe_target::delivery::model::{DeliveryRequest, Notification, NotificationMbox, PrefetchRequest};
use adobe_target::local_edge::LocalEdge;
use adobe_target::{CallOptions, TargetClient};

fn main() -> Result<(), Box<dyn Error>> {
    let account = std::env::var("TARGET_CLIENT").ok().zip(std::env::var("TARGET_ORGANIZATION").ok());
    let mut edge = None;
    let client = match account {
        Some((client, organization)) => TargetClient::builder(client, organization).build()?,
        None => {
            let started = LocalEdge::start()?;
            println!(
                "No TARGET_CLIENT and TARGET_ORGANIZATION: a local edge plays Target on http://{}\n",
                started.host()
            );
            let client = TargetClient::builder("demo", "0DD934B85278256B0A490D44@AdobeOrg")
                .server_domain(started.host())
                .secure(false)
                .build()?;
            edge = Some(started);
            client
        }
    };
    let mboxes = std::env::var("TARGET_MBOXES").unwrap_or_else(|_| "home,product1".to_owned());
    let mboxes: Vec<&str> = mboxes.split(',').collect();

    // Prefetch: the offers come now and are counted when you say that they were shown.
    let request = DeliveryRequest { prefetch: Some(PrefetchRequest::mboxes(mboxes.clone())), ..Default::default() };
    let offers = client.get_offers(&CallOptions::new(request))?;
    println!("Request as sent:\n{}\n", serde_json::to_string_pretty(&offers.request)?);
    println!("Set these cookies in the visitor's browser:");
    println!(
        "  {}={}; Max-Age={}",
        offers.target_cookie.name, offers.target_cookie.value, offers.target_cookie.max_age
    );
    if let Some(hint) = &offers.target_location_hint_cookie {
        println!("  {}={}; Max-Age={}", hint.name, hint.value, hint.max_age);
    }

    // Show one of them.
    let shown = mboxes.last().copied().unwrap_or_default();
    let mbox = offers.response.prefetch_mbox(shown).ok_or("the edge did not answer for the mbox")?;
    let options = mbox.options.as_deref().unwrap_or_default();
    for option in options {
        let content = option.content.clone().unwrap_or_default();
        // HTML is a string; JSON offers are shown as they are.
        println!("\nShown in {shown}: {}", content.as_str().map_or_else(|| content.to_string(), str::to_owned));
    }

    // Report it, with the mbox's state and the options' tokens, in the same session.
    let now = SystemTime::now().duration_since(UNIX_EPOCH)?.as_millis();
    let display = Notification {
        mbox: Some(NotificationMbox { name: mbox.name.clone(), state: mbox.state.clone(), ..Default::default() }),
        tokens: Some(options.iter().filter_map(|option| option.event_token.clone()).collect()),
        ..Notification::display("1", i64::try_from(now)?)
    };
    let request = DeliveryRequest { notifications: Some(vec![display]), ..Default::default() };
    let mut options = CallOptions::new(request).target_cookie(offers.target_cookie.value);
    if let Some(hint) = offers.target_location_hint_cookie {
        options = options.target_location_hint(hint.value);
    }
    let reported = client.send_notifications(&options)?;
    println!("\nReported: {:?}", reported.meta.notifications.unwrap_or_default());

    if let Some(edge) = edge {
        let impressions = edge.report().impressions;
        println!("The edge has counted {} impression(s): {:?}", impressions.total, impressions.by_mbox);
    }
    Ok(())
}
