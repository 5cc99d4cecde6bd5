//! What a decision costs: through the C ABI and typed, on one thread and on two, with impressions and without.

use std::collections::BTreeMap;
use std::ffi::CString;
use std::sync::Barrier;
use std::time::{Duration, Instant};

use adobe_target::{CallOptions, ClientConfig, MboxQuery, TargetClient};
use serde_json::Value;

use crate::allocations;
use crate::library::{Client, Library};
use crate::measure::{Effort, Rounds, Timing, complain, process_cpu_us, thread_cpu_us, time};
use crate::requests::{self, Call, Case, MboxTexts};
use crate::server::Server;

/// What one class of requests took.
pub struct Figures {
    /// Through the C ABI.
    pub c: Timing,
    /// CPU time of a call and of the sending of its impressions, on all threads of this process.
    pub cpu_with_sending: Option<f64>,
}

/// Nobody listens there, and nobody has to where nothing is executed.
const NO_SERVER: &str = "127.0.0.1:9";

/// The table of requests without impressions.
pub fn print(library: Library, cases: &[Case], effort: Effort) -> BTreeMap<&'static str, Figures> {
    let mut all = BTreeMap::new();
    println!(
        "  {:<36} {:>8} {:>8} {:>8} {:>4} {:>6} {:>6} {:>7} | {:>8} {:>8} {:>6} | {:>8} {:>8} {:>6}",
        "",
        "C ABI us",
        "best",
        "CPU",
        "aim",
        "of it",
        "allocs",
        "bytes",
        "typed us",
        "best",
        "allocs",
        "mbox us",
        "best",
        "allocs"
    );
    for case in cases.iter().filter(|case| !case.executes) {
        let Some(client) = client(library, case, NO_SERVER) else { continue };
        let c = time_c(&client, case, effort);
        let (count, bytes) = allocations_through_c(case);
        let (aim, of_aim) = against_aim(case, &c.wall);
        print!(
            "  {:<36} {:>8.2} {:>8.2} {:>8.2} {aim:>4} {of_aim:>6} {count:>6.1} {bytes:>7.0}",
            case.name,
            c.wall.median(),
            c.wall.best(),
            c.cpu.median(),
        );
        let client = typed_client(case);
        print_call(
            effort,
            |number, options: &[CallOptions]| {
                typed_call(&client, case, &options[number % options.len()]);
            },
            &case.typed_options(),
        );
        let texts: Option<Vec<_>> = case.options.iter().map(|options| MboxTexts::of(case, options)).collect();
        if let Some(texts) = texts {
            let parameters: Vec<_> = texts.iter().map(MboxTexts::parameters).collect();
            let queries: Vec<_> =
                texts.iter().zip(&parameters).map(|(texts, parameters)| texts.query(parameters)).collect();
            print_call(
                effort,
                |number, queries: &[MboxQuery<'_>]| {
                    let decision =
                        client.decide_mbox(&queries[number % queries.len()]).expect("the C ABI decided the same");
                    assert_eq!(std::hint::black_box(decision).options.len(), case.offers);
                },
                &queries,
            );
        }
        println!();
        all.insert(case.name, Figures { c, cpu_with_sending: None });
    }
    let median = |name: &str| all.get(name).map(|figures: &Figures| figures.c.wall.median());
    println!("  typed: TargetClient::get_offers; mbox: TargetClient::decide_mbox, aim 1 us.");
    if let (Some(many), Some(few)) = (median("1 mbox in 10,000 rules"), median("1 mbox, 10 rules, page and browser")) {
        println!("  10,000 rules in the artifact against 100: {:.2} x; aim 1.3", many / few);
    }
    all
}

/// Prints median, best round and allocations of a call.
fn print_call<T>(effort: Effort, call: impl Fn(usize, &[T]), given: &[T]) {
    let timing = time(effort, |number| call(number, given));
    let allocated = allocations::of(|| (0..given.len()).for_each(|number| call(number, given)));
    print!(
        " | {:>8.2} {:>8.2} {:>6.1}",
        timing.wall.median(),
        timing.wall.best(),
        allocated.count as f64 / given.len() as f64
    );
}

/// Requests that queue impressions, which a sender posts to a server in another process meanwhile.
pub fn print_executes(library: Library, cases: &[Case], effort: Effort) -> BTreeMap<&'static str, Figures> {
    let mut all = BTreeMap::new();
    let server = Server::start(&[]);
    println!(
        "  {:<36} {:>8} {:>8} {:>8} {:>4} {:>6} {:>8} | {:>8} {:>8}",
        "", "burst us", "best", "CPU", "aim", "of it", "all CPU", "flood us", "all CPU"
    );
    for case in cases.iter().filter(|case| case.executes) {
        let Some((burst, all_cpu)) = time_bursts(library, case, server.host(), effort) else { continue };
        let Some(client) = client(library, case, server.host()) else { continue };
        let (mut calls, before) = (0, process_cpu_us());
        let options = case.c_options();
        let flood = time(effort, |number| {
            calls += 1;
            client.offers(&options[number % options.len()]);
        });
        let flood_cpu = (process_cpu_us() - before) / calls as f64;
        let (aim, of_aim) = against_aim(case, &burst.wall);
        println!(
            "  {:<36} {:>8.2} {:>8.2} {:>8.2} {aim:>4} {of_aim:>6} {:>8.2} | {:>8.2} {flood_cpu:>8.2}",
            case.name,
            burst.wall.median(),
            burst.wall.best(),
            burst.cpu.median(),
            all_cpu.median(),
            flood.wall.median(),
        );
        println!("    after a flood of {calls}: {}", client.stats());
        all.insert(case.name, Figures { c: burst, cpu_with_sending: Some(all_cpu.median()) });
    }
    println!(
        "  burst: calls of a new client whose queue has room for all; its CPU is that of all threads until all was"
    );
    println!("  sent and the client closed. flood: without a pause, where most impressions find the queue full.");
    all
}

/// Every round has a client of its own with an empty queue. What the calls took, and the CPU time of a call on all
/// threads until everything was sent.
fn time_bursts(library: Library, case: &Case, host: &str, effort: Effort) -> Option<(Timing, Rounds)> {
    let options = case.c_options();
    let calls = 5_000 / case.offers.max(1);
    let (mut wall, mut cpu, mut all_cpu) = (Vec::new(), Vec::new(), Vec::new());
    for _ in 0..effort.rounds {
        let client = client(library, case, host)?;
        let (all_before, before) = (process_cpu_us(), thread_cpu_us());
        let begun = Instant::now();
        for number in 0..calls {
            client.offers(&options[number % options.len()]);
        }
        wall.push(begun.elapsed().as_secs_f64() * 1e6 / calls as f64);
        cpu.push((thread_cpu_us() - before) / calls as f64);
        drop(client);
        all_cpu.push((process_cpu_us() - all_before) / calls as f64);
    }
    Some((Timing { wall: Rounds::new(wall), cpu: Rounds::new(cpu) }, Rounds::new(all_cpu)))
}

/// One thread against two on one client.
pub fn print_threads(library: Library, cases: &[Case], effort: Effort) {
    let names = ["1 mbox, 10 rules, page and browser", "10 mboxes, 100 rules"];
    for case in cases.iter().filter(|case| names.contains(&case.name)) {
        let Some(client) = client(library, case, NO_SERVER) else { continue };
        let options = case.c_options();
        let calls = {
            let one = time(Effort { rounds: 1, ..effort }, |number| {
                client.offers(&options[number % options.len()]);
            });
            ((effort.round.as_secs_f64() * 1e6 / one.wall.median()) as usize).max(1)
        };
        let ratios: Vec<f64> = (0..effort.rounds)
            .map(|_| {
                let one = in_threads(&client, &options, 1, calls);
                let two = in_threads(&client, &options, 2, calls);
                2.0 * one.as_secs_f64() / two.as_secs_f64()
            })
            .collect();
        let ratios = Rounds::new(ratios);
        println!("  {:<36} {:.2} x the calls of one thread (median of rounds); aim 1.8", case.name, ratios.median());
    }
}

fn in_threads(client: &Client, options: &[CString], threads: usize, calls: usize) -> Duration {
    let barrier = Barrier::new(threads + 1);
    std::thread::scope(|scope| {
        let workers: Vec<_> = (0..threads)
            .map(|thread| {
                let barrier = &barrier;
                scope.spawn(move || {
                    barrier.wait();
                    for number in 0..calls {
                        client.offers(&options[(thread * 17 + number) % options.len()]);
                    }
                })
            })
            .collect();
        barrier.wait();
        let begun = Instant::now();
        workers.into_iter().for_each(|worker| worker.join().expect("no call panics"));
        begun.elapsed()
    })
}

/// Runs one case and nothing else, to be looked at by a profiler, until `goes_on` of the number of calls is false.
pub fn run_alone(case: &Case, typed: bool, goes_on: impl Fn(usize) -> bool) {
    let mut calls = 0;
    let server = case.executes.then(|| Server::start(&[]));
    let host = server.as_ref().map_or(NO_SERVER, Server::host);
    if typed {
        let (client, options) = (typed_client(case), case.typed_options());
        while goes_on(calls) {
            typed_call(&client, case, &options[calls % options.len()]);
            calls += 1;
        }
    } else if let Some(client) = client(Library::linked(), case, host) {
        let options = case.c_options();
        while goes_on(calls) {
            c_call(&client, case, &options[calls % options.len()]);
            calls += 1;
        }
    }
    println!("{calls} calls of `{}`", case.name);
}

/// The aim of a case and how much of it was used.
fn against_aim(case: &Case, rounds: &Rounds) -> (String, String) {
    case.aim
        .map_or_else(Default::default, |aim| (format!("{aim:.0}"), format!("{:.0} %", rounds.median() / aim * 100.0)))
}

/// A client of the C ABI whose answers were looked at, or the reason why there is none.
fn client(library: Library, case: &Case, host: &str) -> Option<Client> {
    let client = match library.client(&requests::config(case.method, &case.artifact.json(0), host)) {
        Ok(client) => client,
        Err(error) => {
            complain(&format!("{}: target_client_create: {error}", case.name));
            return None;
        }
    };
    for options in case.c_options() {
        let text = match &case.call {
            Call::Offers => client.offers_text(&options),
            Call::Attributes(names) => client.attributes_text(names, &options),
        };
        if let Err(why) = judge(case, &text) {
            complain(&format!("{}: {why}: {text:.400}", case.name));
            return None;
        }
    }
    Some(client)
}

/// A figure is worth nothing when the answer is not what was asked for.
fn judge(case: &Case, text: &str) -> Result<(), String> {
    let answer: Value = serde_json::from_str(text).map_err(|error| error.to_string())?;
    if answer["meta"]["decisioning_method"] != "on-device" || answer["response"]["status"] != 200 {
        return Err("not decided on this machine".to_owned());
    }
    let options = |item: &Value| item["options"].as_array().map_or(0, Vec::len);
    let of_all = |list: &Value| list.as_array().into_iter().flatten().map(options).sum::<usize>();
    let offers: usize = [&answer["response"]["execute"], &answer["response"]["prefetch"]]
        .into_iter()
        .map(|part| of_all(&part["mboxes"]) + of_all(&part["views"]) + options(&part["pageLoad"]))
        .sum();
    if offers == case.offers { Ok(()) } else { Err(format!("{offers} offers instead of {}", case.offers)) }
}

fn c_call(client: &Client, case: &Case, options: &std::ffi::CStr) -> bool {
    match &case.call {
        Call::Offers => client.offers(options),
        Call::Attributes(names) => client.attributes(names, options),
    }
}

fn time_c(client: &Client, case: &Case, effort: Effort) -> Timing {
    let options = case.c_options();
    time(effort, |number| {
        c_call(client, case, &options[number % options.len()]);
    })
}

fn typed_client(case: &Case) -> TargetClient {
    let config = requests::config(case.method, &case.artifact.json(0), NO_SERVER);
    let config = ClientConfig::from_json(config.to_str().expect("it was a string")).expect("a valid configuration");
    TargetClient::new(config).expect("the same that the C ABI made")
}

fn typed_call(client: &TargetClient, case: &Case, options: &CallOptions) {
    let offers = match &case.call {
        Call::Offers => client.get_offers(options).is_ok(),
        Call::Attributes(_) => client.get_attributes([crate::artifacts::mbox(0)], options).is_ok(),
    };
    assert!(std::hint::black_box(offers), "the C ABI decided the same");
}

/// Allocations and bytes of a call.
fn allocations_through_c(case: &Case) -> (f64, f64) {
    let Some(client) = client(Library::linked(), case, NO_SERVER) else { return (f64::NAN, f64::NAN) };
    let options = case.c_options();
    let allocated = allocations::of(|| {
        for options in &options {
            c_call(&client, case, options);
        }
    });
    (allocated.count as f64 / options.len() as f64, allocated.bytes as f64 / options.len() as f64)
}
