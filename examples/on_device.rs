//! Decisions on this machine: offers from the rule artifact, a feature flag, a request that only the edge can answer,
//! and what visitors will see on a coming date.
//!
//! ```sh
//! cargo run --features local-edge --example on_device
//! ```
//!
//! Without an account it starts a Target edge of its own on 127.0.0.1 that serves an artifact, too. With
//! `TARGET_CLIENT` and `TARGET_ORGANIZATION` in the environment (and `TARGET_MBOXES`, names joined by commas) it
//! downloads the artifact from Adobe's network and reports what it shows to Adobe's edge.

use std::error::Error;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use adobe_target::delivery::model::{Address, Context, DeliveryRequest, ExecuteRequest, PrefetchRequest};
use adobe_target::local_edge::LocalEdge;
use adobe_target::{CallOptions, DecisioningMethod, MboxQuery, TargetClient};

/// Noon of Black Friday 2030, for which the artifact of the local edge has a rule.
const BLACK_FRIDAY: i64 = 1_922_184_000_000;

fn main() -> Result<(), Box<dyn Error>> {
    let account = std::env::var("TARGET_CLIENT").ok().zip(std::env::var("TARGET_ORGANIZATION").ok());
    let mut edge = None;
    let builder = match account {
        Some((client, organization)) => TargetClient::builder(client, organization),
        None => {
            let started = LocalEdge::builder().default_artifact().start()?;
            println!(
                "No TARGET_CLIENT and TARGET_ORGANIZATION: a local edge plays Target on http://{}\n",
                started.host()
            );
            let builder = TargetClient::builder("demo", "0DD934B85278256B0A490D44@AdobeOrg")
                .server_domain(started.host())
                .cdn_base_path(started.url(""))
                .secure(false);
            edge = Some(started);
            builder
        }
    };
    let builder = builder.decisioning_method(DecisioningMethod::OnDevice);
    let mboxes = std::env::var("TARGET_MBOXES").unwrap_or_else(|_| "home,product1,cart".to_owned());
    let mboxes: Vec<&str> = mboxes.split(',').collect();

    // `build` has waited for the first artifact. Where none came, this says why; polling goes on.
    let client = builder.clone().build()?;
    client.wait_ready(Some(Duration::ZERO))?;
    while let Ok(event) = client.next_event(Some(Duration::ZERO)) {
        println!("Event: {event}");
    }

    // Execute: what is shown now. The answer needs no network; impressions go out in the background.
    let page = Address { url: Some("https://www.acme.com/sale/shoes?color=red".to_owned()), ..Default::default() };
    let request = DeliveryRequest {
        context: Some(Context { address: Some(page), ..Default::default() }),
        execute: Some(ExecuteRequest::mboxes(mboxes.clone())),
        ..Default::default()
    };
    let offers = client.get_offers(&CallOptions::new(request))?;
    println!("\nDecided {}, session and visitor: {}", offers.meta.decisioning_method, offers.target_cookie.value);
    for name in &mboxes {
        let options = offers.response.execute_mbox(name).and_then(|mbox| mbox.options.clone()).unwrap_or_default();
        for content in options.into_iter().filter_map(|option| option.content) {
            println!("  {name}: {}", content.as_str().map_or_else(|| content.to_string(), str::to_owned));
        }
    }
    println!("Only the edge could decide: {:?}", offers.meta.remote_mboxes);
    println!("Impressions that found no room in the queue: {}", offers.meta.not_queued.len());

    // A feature flag: texts in, the offer out, nothing counted. `get_offers` decides the same for the same visitor id.
    let first = mboxes.first().copied().unwrap_or_default();
    println!("\nThe mbox {first} for ten visitors:");
    for visitor in 0..10 {
        let decision = client.decide_mbox(&MboxQuery::new(first, &format!("visitor-{visitor}")))?;
        let content = decision.options.first().and_then(|option| option.content_json.as_deref());
        println!("  visitor-{visitor}: {}", content.unwrap_or("nothing"));
    }

    // Hybrid, for this call alone: with one mbox that is the edge's, the whole request goes there.
    let request = DeliveryRequest { prefetch: Some(PrefetchRequest::mboxes(["hero"])), ..Default::default() };
    let hybrid = client.get_offers(&CallOptions::new(request).decisioning_method(DecisioningMethod::Hybrid))?;
    println!(
        "\nThe mbox hero was decided {}, because of {:?}",
        hybrid.meta.decisioning_method, hybrid.meta.remote_mboxes
    );

    // What will visitors see on Friday? Prefetching and `decide_mbox` count nothing.
    let now = i64::try_from(SystemTime::now().duration_since(UNIX_EPOCH)?.as_millis())?;
    let week = 7 * 24 * 3_600_000;
    let later = if edge.is_some() { BLACK_FRIDAY } else { now + week };
    let preview = builder.fixed_clock_ms(later).build()?;
    println!("\nWith the clock at {later}:");
    for name in &mboxes {
        let decision = preview.decide_mbox(&MboxQuery::new(name, "visitor-1"))?;
        for option in decision.options {
            println!("  {name}: {}", option.content_json.unwrap_or_default());
        }
    }

    // Close sends what waits.
    let delivered = client.close(Some(Duration::from_secs(5)))?;
    println!("\nWhile closing: {} impression(s) acknowledged, {} dropped", delivered.acknowledged, delivered.dropped);
    println!("Since the start: {:?}", client.stats().queue);
    if let Some(edge) = edge {
        let impressions = edge.report().impressions;
        println!("The edge has counted {} impression(s): {:?}", impressions.total, impressions.by_mbox);
    }
    Ok(())
}
