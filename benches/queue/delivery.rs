//! How much is delivered.

use std::time::Instant;

use serde_json::{Value, json};

use crate::Amount;
use crate::clients::{Case, count, create};
use crate::library::Library;
use crate::measure::{Rounds, complain, process_cpu_us};
use crate::server::Server;

pub fn print(library: Library, amount: Amount) {
    println!("  {:<44} {:>10} {:>10} {:>12} {:>12}", "", "a second", "best", "CPU us each", "in a request");
    let server = Server::start(&[]);
    for case in Case::ALL {
        let texts = case.many(amount.many);
        let (mut rates, mut cpu, mut together) = (Vec::new(), Vec::new(), Vec::new());
        for _ in 0..amount.rounds.min(5) {
            let Some(client) = create(library, server.host(), &json!({"max_queued": 4 * amount.many})) else { return };
            let before = process_cpu_us();
            let begun = Instant::now();
            texts.iter().for_each(|options| assert!(client.enqueue(options), "{}", client.enqueue_text(options)));
            client.flush(600_000);
            let taken = begun.elapsed().as_secs_f64();
            rates.push(taken * 1e6 / amount.many as f64);
            cpu.push((process_cpu_us() - before) / amount.many as f64);
            let stats: Value = serde_json::from_str(&client.stats()).unwrap_or_default();
            together.push(amount.many as f64 / stats["requests"].as_f64().unwrap_or(f64::NAN));
            if count(&client, "acknowledged") != amount.many as u64 {
                complain(&format!("not all was delivered: {stats}"));
            }
        }
        let rates = Rounds::new(rates);
        println!(
            "  {:<44} {:>10.0} {:>10.0} {:>12.2} {:>12.1}",
            format!("{}, 200 sessions, 2 workers, 1 caller", case.name()),
            1e6 / rates.median(),
            1e6 / rates.best(),
            Rounds::new(cpu).median(),
            Rounds::new(together).median(),
        );
    }
}
