//! What a call costs: threads, system calls, memory; and what it may not do to the program around it.

use std::process::{Command, Output};

use adobe_target::local_edge::{Fault, LocalEdge};
use serde_json::json;

use crate::net::*;

const CHILD: &str = "cost::child";

/// What the tests below have done in a process of its own.
#[test]
fn child() {
    let Some((task, host)) = child_task() else { return };
    let client = client(host, json!({"retry": {"max_attempts": 1}, "timeout": 120_000}));
    match task.split_once(' ').unwrap_or((&task, "")) {
        ("calls", count) => {
            let threads = || std::fs::read_dir("/proc/self/task").unwrap().count();
            let idle = threads();
            client.send_notifications_json(&display()).unwrap();
            // The thread of its look-up ends by itself.
            let end = std::time::Instant::now() + std::time::Duration::from_secs(30);
            while threads() > idle && std::time::Instant::now() < end {
                std::thread::yield_now();
            }
            let before = threads();
            for _ in 0..count.parse().unwrap() {
                client.send_notifications_json(&display()).unwrap();
            }
            println!("threads: {} {}", before, threads());
        }
        ("bomb", _) => {
            client.send_notifications_json(&display()).unwrap();
            let before = peak_memory();
            let error = client.send_notifications_json(&display()).unwrap_err();
            println!("memory: {}", peak_memory() - before);
            println!("error: {}", error.to_json());
        }
        _ => panic!("{task}"),
    }
}

fn peak_memory() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap();
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:")).unwrap();
    line.trim().trim_end_matches(" kB").parse::<u64>().unwrap() * 1024
}

fn by_name(edge: &LocalEdge) -> String {
    format!("localhost:{}", edge.addr().port())
}

#[test]
fn a_call_starts_no_thread() {
    let edge = LocalEdge::start().unwrap();
    let output = run_child(CHILD, ("calls 200", &by_name(&edge)), &[], &[]);
    let threads = printed(&output, "threads:");
    let (before, after) = threads.split_once(' ').unwrap();
    assert_eq!(before, after);
    assert_eq!((edge.connections(), edge.report().requests), (1, 201));
}

/// Runs so many calls below strace; nothing where that is not to be had.
fn traced(calls: u32, arguments: &[&str]) -> Option<(String, Output)> {
    if !Command::new("strace").args(["-o", "/dev/null", "true"]).status().is_ok_and(|status| status.success()) {
        println!("strace is not there or may not trace: nothing was measured");
        return None;
    }
    let edge = LocalEdge::start().unwrap();
    let report = std::env::temp_dir().join(format!("target-strace-{}-{calls}", std::process::id()));
    let report = report.to_str().unwrap();
    let wrapper = [&["strace", "-f", "-o", report], arguments].concat();
    let output = run_child(CHILD, (&format!("calls {calls}"), &by_name(&edge)), &wrapper, &[]);
    printed(&output, "threads:");
    let text = std::fs::read_to_string(report).unwrap();
    std::fs::remove_file(report).unwrap();
    Some((text, output))
}

/// Counts by name, from the table that `strace -c` writes.
fn counts(table: &str) -> std::collections::BTreeMap<String, i64> {
    let columns = |line: &str| line.split_whitespace().map(str::to_owned).collect::<Vec<_>>();
    table
        .lines()
        .map(columns)
        .filter_map(|columns| Some((columns.last()?.clone(), columns.get(3)?.parse().ok()?)))
        .collect()
}

#[test]
fn a_call_takes_few_system_calls() {
    const CALLS: u32 = 300;
    let Some((few, _)) = traced(20, &["-c"]) else { return };
    let (many, _) = traced(20 + CALLS, &["-c"]).unwrap();
    let (few, many) = (counts(&few), counts(&many));
    let more: Vec<(&str, i64)> = many
        .iter()
        .map(|(name, count)| (name.as_str(), count - few.get(name).copied().unwrap_or(0)))
        .filter(|(_, count)| *count > 0)
        .collect();
    let of = |wanted: &str| more.iter().find(|(name, _)| *name == wanted).map_or(0, |(_, count)| *count);
    let each = of("total") as f64 / f64::from(CALLS);
    println!("system calls of one call: {each:.2} {more:?}");
    assert!(each <= 14.0, "{each} {more:?}");
    for none in ["clone", "clone3", "socket", "connect", "openat"] {
        assert_eq!(of(none), 0, "{more:?}");
    }
}

#[test]
fn signals_of_the_host_interrupt_nothing() {
    // Its handlers may interrupt any blocking call: SA_RESTART does nothing for sockets with timeouts.
    let interrupted =
        ["-e", "trace=connect,sendto,recvfrom", "-e", "inject=connect,sendto,recvfrom:error=EINTR:when=2+3"];
    let Some((trace, _)) = traced(20, &interrupted) else { return };
    for call in ["connect(", "sendto(", "recvfrom("] {
        assert!(trace.lines().any(|line| line.contains(call) && line.contains("EINTR")), "{call} {trace}");
    }
}

#[test]
fn writing_to_a_dead_connection_is_no_signal_for_the_host() {
    let Some((trace, _)) = traced(5, &["-e", "trace=sendto,sendmsg,write"]) else { return };
    let writes: Vec<_> = trace.lines().filter(|line| line.contains("\"POST ")).collect();
    assert_eq!(writes.len(), 6);
    assert!(writes.iter().all(|line| line.contains("sendto(") && line.contains("MSG_NOSIGNAL")), "{}", writes[0]);
}

#[test]
fn an_answer_that_grows_without_bound_is_refused_without_holding_it() {
    let edge = LocalEdge::start().unwrap();
    edge.faults([Fault::None, Fault::GzipBomb { megabytes: 128 }]);
    let output = run_child(CHILD, ("bomb", &edge.host()), &[], &[]);
    let error: serde_json::Value = serde_json::from_str(&printed(&output, "error:")).unwrap();
    assert_eq!(kind(&error), ("TARGET_ERR_INVALID_RESPONSE", "response"));
    assert_eq!(error["message"], "the answer has more than 16777216 bytes");
    let memory: u64 = printed(&output, "memory:").parse().unwrap();
    assert!(memory < 40 * 1024 * 1024, "{memory} bytes");
}
