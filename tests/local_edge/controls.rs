//! The report, the controls over HTTP, recorded requests, connections and the program.

use std::io::{BufRead, BufReader, Read};
use std::net::SocketAddr;
use std::process::{Command, Stdio};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use adobe_target::local_edge::{Fault, LocalEdge};
use serde_json::json;

use crate::{Answer, Client, TARGET, display, execute, notify, tokens};

const BROWSER: &str = "text/html,application/xhtml+xml,*/*;q=0.8";

#[test]
fn the_report_is_json_or_a_page() {
    let edge = LocalEdge::start().unwrap();
    let mut client = Client::of(&edge);
    client.delivered(&execute(&["home"]));
    client.delivered(&notify(json!([display("n-1"), display("n-1")])));
    client.deliver(&json!({})).unwrap();

    let answer = client.get("/report", "application/json");
    assert_eq!(answer.header("content-type"), Some("application/json;charset=UTF-8"));
    let report = answer.json();
    assert_eq!(report["requests"], 3);
    assert_eq!(report["connections"], 1);
    assert_eq!(report["errors"], json!({"400": 1}));
    assert_eq!(report["impressions"], json!({"total": 1, "by_mbox": {"home": 1}}));
    assert_eq!(report["visits"], json!({"total": 2, "by_mbox": {"home": 2}}));
    assert_eq!(report["clicks"], json!({"total": 0, "by_mbox": {}}));
    assert_eq!(
        report["notifications"],
        json!({"processed": 2, "distinct": 1, "ids": {"n-1": 2}, "counted": {"n-1": 2}})
    );
    assert_eq!((&report["sessions"], &report["concurrent_max"]), (&json!(1), &json!(1)));
    assert!(report["activities"].as_array().unwrap().contains(&json!({
        "id": "1001", "name": "Home page greeting", "experience": "Returning visitor", "mbox": "home",
        "impressions": 1, "clicks": 0
    })));
    assert_eq!(report, serde_json::from_str::<serde_json::Value>(&edge.report().to_json()).unwrap());

    assert_eq!(client.get("/report.json?ids=0", "*/*").json()["notifications"].get("ids"), None);
    assert_eq!(client.get("/report.json", BROWSER).json(), report);
    let page = client.get("/report", BROWSER);
    assert_eq!(page.header("content-type"), Some("text/html;charset=UTF-8"));
    let page = String::from_utf8(page.body).unwrap();
    assert!(page.starts_with("<!doctype html>"));
    assert!(!page.contains("https://"), "the page loads nothing from elsewhere");
    let home = client.get("/", BROWSER);
    assert_eq!((home.status, home.header("location")), (302, Some("/report")));
}

#[test]
fn other_paths_and_methods_are_refused_by_name() {
    let edge = LocalEdge::start().unwrap();
    let mut client = Client::of(&edge);
    for (method, target, status) in
        [("GET", "/favicon.ico", 404), ("POST", "/report", 405), ("PUT", "/control/faults", 405), ("GET", "//", 404)]
    {
        client.send_request(method, target, "", b"").unwrap();
        let answer = client.receive().unwrap();
        assert_eq!((answer.status, &answer.json()["status"]), (status, &json!(status)), "{method} {target}");
    }
}

#[test]
fn head_gets_the_headers_alone() {
    let edge = LocalEdge::start().unwrap();
    for target in ["/report", TARGET] {
        let mut client = Client::of(&edge);
        client.send_request("HEAD", target, "Connection: close\r\n", b"").unwrap();
        let mut all = String::new();
        client.stream.read_to_string(&mut all).unwrap();
        assert!(all.contains("\r\nContent-Length: ") && all.ends_with("\r\n\r\n"), "{all}");
    }
}

#[test]
fn faults_are_set_over_http() {
    let edge = LocalEdge::start().unwrap();
    let mut client = Client::of(&edge);
    let faults =
        json!([{"type": "status", "status": 503, "retry_after": "1"}, {"type": "none"}, {"type": "gzip", "times": 2}]);
    assert_eq!(client.post("/control/faults", &faults).unwrap().json(), json!({"waiting": 4}));
    let answer = client.deliver(&execute(&["home"])).unwrap();
    assert_eq!((answer.status, answer.header("retry-after")), (503, Some("1")));
    assert_eq!(client.get("/control/faults", "*/*").json(), json!({"waiting": 3}));
    client.send_request("DELETE", "/control/faults", "", b"").unwrap();
    assert_eq!(client.receive().unwrap().json(), json!({"waiting": 0}));

    let bad = client.post("/control/faults", &json!([{"type": "none"}, {"type": "delay", "ms": "1"}])).unwrap();
    assert_eq!((bad.status, bad.message()), (400, "[1].ms must be an integer from 0 to 4294967295".to_owned()));
    assert_eq!(edge.waiting_faults(), 0, "a list with an error sets none");

    let always = json!({"type": "respond", "status": 200, "body": {"canned": true}});
    assert_eq!(client.post("/control/default_reply", &always).unwrap().status, 200);
    for _ in 0..2 {
        assert_eq!(client.deliver(&json!({})).unwrap().json(), json!({"canned": true}));
    }
    client.post("/control/default_reply", &json!(null)).unwrap();
    assert_eq!(client.deliver(&json!({})).unwrap().status, 400);
}

#[test]
fn requests_are_recorded_as_they_came() {
    let edge = LocalEdge::start().unwrap();
    let mut client = Client::of(&edge);
    let chunked = "POST /rest/v1/delivery?imsOrgId=a%40b&sessionId=s&x HTTP/1.1\r\nHost: edge\r\nX-Name:  Val ue \r\n\
                   Transfer-Encoding: chunked\r\n\r\n3\r\n{\"a\r\n4\r\n\":1}\r\n0\r\n\r\n";
    client.send(chunked.as_bytes()).unwrap();
    client.receive().unwrap();
    Client::of(&edge).deliver(&execute(&["home"])).unwrap();
    client.get("/other", "*/*");
    client.get("/report", "*/*");

    let requests = edge.requests();
    assert_eq!(requests.len(), 3, "the report and the controls are not recorded");
    let first = &requests[0];
    assert_eq!((first.method.as_str(), first.path.as_str()), ("POST", "/rest/v1/delivery"));
    assert_eq!(first.query, "imsOrgId=a%40b&sessionId=s&x");
    let pairs = [("imsOrgId", "a@b"), ("sessionId", "s"), ("x", "")];
    assert_eq!(first.query_pairs, pairs.map(|(name, value)| (name.to_owned(), value.to_owned())));
    assert_eq!((first.query_value("imsOrgId"), first.header("X-NAME")), (Some("a@b"), Some("Val ue")));
    assert_eq!(first.headers[1].0, "x-name");
    assert_eq!((first.body.as_slice(), first.json()), (&b"{\"a\":1}"[..], Some(json!({"a": 1}))));
    assert_eq!(requests.iter().map(|request| request.connection).collect::<Vec<_>>(), [1, 2, 1]);

    let shown = client.get("/control/requests", "*/*").json();
    assert_eq!(shown[0]["body"], json!({"a": 1}));
    assert_eq!(shown[0]["headers"][1], json!(["x-name", "Val ue"]));
    assert_eq!(shown[2]["path"], "/other");

    assert_eq!(edge.take_requests().len(), 3);
    assert!(edge.requests().is_empty());
}

#[test]
fn recording_can_be_switched_off() {
    let edge = LocalEdge::builder().record_requests(false).start().unwrap();
    Client::of(&edge).delivered(&execute(&["home"]));
    assert!(edge.requests().is_empty());
    assert_eq!(edge.report().requests, 1);
}

#[test]
fn a_reset_over_http_forgets_counts_and_requests_but_no_faults() {
    let edge = LocalEdge::start().unwrap();
    let mut client = Client::of(&edge);
    client.delivered(&execute(&["home"]));
    edge.fault(Fault::status(500));
    assert_eq!(client.post("/control/reset", &json!({})).unwrap().status, 200);
    assert_eq!(edge.report().impressions.total, 0);
    assert!(edge.requests().is_empty());
    assert_eq!(edge.waiting_faults(), 1);
}

#[test]
fn the_edge_is_a_proxy_for_all_hosts() {
    let edge = LocalEdge::start().unwrap();
    let mut client = Client::of(&edge);
    client.post(&format!("http://mboxedge28.tt.omtrdc.net{TARGET}"), &execute(&["home"])).unwrap();
    client.send(b"CONNECT acme.tt.omtrdc.net:80 HTTP/1.1\r\nHost: acme.tt.omtrdc.net:80\r\n\r\n").unwrap();
    assert_eq!(client.receive().unwrap().status, 200);
    client.delivered(&execute(&["home"]));
    let requests = edge.requests();
    let seen: Vec<_> =
        requests.iter().map(|request| (request.method.as_str(), request.authority.as_deref().unwrap())).collect();
    assert_eq!(
        seen,
        [("POST", "mboxedge28.tt.omtrdc.net"), ("CONNECT", "acme.tt.omtrdc.net:80"), ("POST", "acme.tt.omtrdc.net:80")]
    );
    assert!(requests[0].target.starts_with("http://mboxedge28.tt.omtrdc.net/rest/v1/delivery?"));
    assert_eq!(edge.report().impressions.total, 2);
}

#[test]
fn idle_connections_can_be_closed_under_a_client() {
    let edge = LocalEdge::start().unwrap();
    let mut clients = [Client::of(&edge), Client::of(&edge), Client::of(&edge)];
    for client in &mut clients {
        client.delivered(&execute(&["home"]));
    }
    edge.fault(Fault::Silence);
    clients[2].send_request("POST", TARGET, "", execute(&["home"]).to_string().as_bytes()).unwrap();
    assert!(edge.wait_until(Duration::from_secs(10), |report| report.requests == 4));
    assert_eq!((edge.connections(), edge.open_connections()), (3, 3));
    assert_eq!(edge.close_idle_connections(), 2);
    assert_eq!(edge.open_connections(), 1, "the one that is waiting for its answer stays");
    assert!(clients[0].is_closed() && clients[1].is_closed());
}

#[test]
fn a_pool_lives_through_closed_idle_connections() {
    let edge = LocalEdge::start().unwrap();
    let agent = ureq::Agent::new_with_defaults();
    for round in 1..=20 {
        let answer = agent.post(edge.url(TARGET)).send(execute(&["home"]).to_string()).unwrap();
        assert_eq!(answer.status(), 200);
        drop(answer);
        if round % 2 == 0 {
            edge.close_idle_connections();
        }
    }
    assert_eq!(edge.report().impressions.total, 20);
}

#[test]
fn two_requests_may_be_sent_at_once() {
    let edge = LocalEdge::start().unwrap();
    let mut client = Client::of(&edge);
    for body in [execute(&["home"]), notify(json!([display("a")]))] {
        client.send_request("POST", TARGET, "", body.to_string().as_bytes()).unwrap();
    }
    assert!(client.receive().unwrap().json()["execute"].is_object());
    assert!(client.receive().unwrap().json()["notifications"].is_array());
}

#[test]
fn slow_requests_and_too_many_connections_are_refused() {
    let edge = LocalEdge::builder().request_timeout(Duration::from_millis(50)).max_connections(1).start().unwrap();
    let mut slow = Client::of(&edge);
    slow.send(b"POST /rest/v1/delivery HTTP/1.1\r\n").unwrap();
    let mut second = Client::of(&edge);
    assert_eq!(second.receive().unwrap().status, 503);
    assert_eq!(slow.receive().unwrap().status, 408);
    assert!(slow.is_closed());
}

#[test]
fn dropping_the_edge_closes_everything() {
    let edge = LocalEdge::start().unwrap();
    let addr = edge.addr();
    let mut client = Client::of(&edge);
    client.delivered(&execute(&["home"]));
    drop(edge);
    assert!(client.is_closed());
    assert!(std::net::TcpStream::connect(addr).is_err());
}

#[test]
fn the_address_can_be_chosen_and_conflicts_are_errors() {
    let edge = LocalEdge::start().unwrap();
    assert!(edge.addr().ip().is_loopback());
    assert_eq!(edge.host(), format!("127.0.0.1:{}", edge.addr().port()));
    assert!(LocalEdge::builder().addr(edge.host()).start().is_err());
    assert!(LocalEdge::builder().addr("nowhere").start().is_err());
}

/// Requests with some bytes changed, from a fixed seed. They get whatever answer, or none when they are cut off,
/// but no thread of the edge may panic over them.
#[test]
fn hostile_bytes_do_no_harm() {
    static PANICS: AtomicUsize = AtomicUsize::new(0);
    let usual = std::panic::take_hook();
    std::panic::set_hook(Box::new(move |panic| {
        if std::thread::current().name().is_some_and(|name| name.starts_with("local-edge")) {
            PANICS.fetch_add(1, Ordering::Relaxed);
        }
        usual(panic);
    }));
    let edge = LocalEdge::builder().request_timeout(Duration::from_millis(20)).start().unwrap();
    let body = notify(json!([display("a"), {"id": "b", "type": "click", "timestamp": 1, "tokens": ["x"]}])).to_string();
    let plain = format!("POST {TARGET} HTTP/1.1\r\nHost: h\r\nContent-Length: {}\r\n\r\n{body}", body.len());
    let (half, rest) = body.split_at(body.len() / 2);
    let chunked = format!(
        "POST {TARGET} HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n{:x}\r\n{half}\r\n{:x}\r\n{rest}\r\n0\r\n\r\n",
        half.len(),
        rest.len()
    );
    let mut seed = 0x2545_f491_4f6c_dd1d_u64;
    let mut random = |below: usize| {
        seed ^= seed << 13;
        seed ^= seed >> 7;
        seed ^= seed << 17;
        (seed % below as u64) as usize
    };
    for turn in 0..400 {
        let mut bytes = if turn % 2 == 0 { plain.clone() } else { chunked.clone() }.into_bytes();
        for _ in 0..=random(3) {
            let position = random(bytes.len());
            match random(4) {
                0 => bytes[position] = random(256) as u8,
                1 => drop(bytes.remove(position)),
                2 => bytes.insert(position, b"\r\n \0:,{}[]\"%"[random(12)]),
                _ => bytes.truncate(position.max(1)),
            }
        }
        let mut client = Client::of(&edge);
        let _ = client.send(&bytes);
        let _ = client.stream.shutdown(std::net::Shutdown::Write);
        let mut answer = Vec::new();
        let _ = client.stream.read_to_end(&mut answer);
        assert!(answer.is_empty() || answer.starts_with(b"HTTP/1.1 "), "{:?}", String::from_utf8_lossy(&bytes));
    }
    assert_eq!(Client::of(&edge).deliver(&execute(&["home"])).unwrap().status, 200);
    assert!(edge.wait_until(Duration::from_secs(10), |_| edge.open_connections() == 0));
    assert_eq!(PANICS.load(Ordering::Relaxed), 0);
}

/// A running program, ended with the test.
struct Program(std::process::Child);

impl Drop for Program {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

fn program(arguments: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_target-local-edge"));
    command.args(arguments);
    command
}

#[test]
fn the_program_names_its_address_first() {
    let file = std::env::temp_dir().join(format!("local-edge-{}.json", std::process::id()));
    std::fs::write(
        &file,
        r#"{"client": "from-file", "mboxes": {"m": {"options": [{"type": "html"}], "metrics": true}}}"#,
    )
    .unwrap();
    let mut child =
        program(&["--port", "0", "--scenario", file.to_str().unwrap()]).stdout(Stdio::piped()).spawn().unwrap();
    let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
    let _program = Program(child);
    let first = lines.next().unwrap().unwrap();
    let addr = first.strip_prefix("Listening on http://").unwrap().parse().unwrap();
    let usage: Vec<String> = lines.take(5).map_while(Result::ok).collect();
    assert!(usage.iter().any(|line| line.contains("\"server_domain\"") && line.contains("\"secure\": false")));
    assert!(usage.iter().any(|line| line.contains("/report")));

    let mut client = Client::connect(addr);
    assert_eq!(client.delivered(&execute(&["m"]))["client"], "from-file");
    tokens(&mut client, "m");
    assert_eq!(client.get("/report", "*/*").json()["impressions"]["total"], 1);
    std::fs::remove_file(file).unwrap();
}

/// Fetches the artifact until it satisfies the condition.
fn artifact_becomes(addr: SocketAddr, condition: impl Fn(&Answer) -> bool) -> bool {
    let until = Instant::now() + Duration::from_secs(20);
    while Instant::now() < until {
        if condition(&Client::connect(addr).get("/acme/production/v1/rules.json", "*/*")) {
            return true;
        }
        std::thread::sleep(Duration::from_millis(20));
    }
    false
}

#[test]
fn the_program_follows_the_file_of_its_artifact() {
    let file = std::env::temp_dir().join(format!("local-edge-artifact-{}.json", std::process::id()));
    let path = file.to_str().unwrap();
    std::fs::write(&file, r#"{"version":"1.0.0"}"#).unwrap();
    let arguments = ["--artifact", path, "--organization", "1@AdobeOrg"];
    let mut child = program(&arguments).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
    let mut told = BufReader::new(child.stderr.take().unwrap()).lines();
    let _program = Program(child);
    let first = lines.next().unwrap().unwrap();
    let addr = first.strip_prefix("Listening on http://").unwrap().parse().unwrap();
    let usage: Vec<String> = lines.take(4).map_while(Result::ok).collect();
    assert!(usage.iter().any(|line| line.contains(&format!("\"cdn_base_path\": \"{addr}\""))), "{usage:?}");
    assert!(artifact_becomes(addr, |answer| answer.body == br#"{"version":"1.0.0"}"#));

    // At once, as editors do it: half a file would be told about too.
    let replace = |text: &str| {
        let new = file.with_extension("new");
        std::fs::write(&new, text).unwrap();
        std::fs::rename(new, &file).unwrap();
    };
    replace(r#"{"version":"1.0.1"}"#);
    assert!(artifact_becomes(addr, |answer| answer.body == br#"{"version":"1.0.1"}"#));
    assert_eq!(told.next().unwrap().unwrap(), format!("target-local-edge: {path} has changed and was read again"));
    replace(r#"{"version":"1.0."#);
    assert!(told.next().unwrap().unwrap().ends_with("; the last good artifact stays"));
    assert!(artifact_becomes(addr, |answer| answer.body == br#"{"version":"1.0.1"}"#));
    std::fs::remove_file(file).unwrap();
}

#[test]
fn the_program_brings_an_artifact_along() {
    let mut child = program(&["--default-artifact", "--quiet"]).stdout(Stdio::piped()).spawn().unwrap();
    let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
    let _program = Program(child);
    let first = lines.next().unwrap().unwrap();
    let addr = first.strip_prefix("Listening on http://").unwrap().parse().unwrap();
    let printed = program(&["--print-artifact"]).output().unwrap().stdout;
    assert!(artifact_becomes(addr, |answer| answer.body == printed));
    assert_eq!(printed, LocalEdge::default_artifact_json().as_bytes());
}

#[test]
fn the_program_explains_itself_and_its_errors() {
    let help = program(&["--help"]).output().unwrap();
    assert!(help.status.success());
    assert!(String::from_utf8_lossy(&help.stdout).contains("--scenario FILE"));
    let printed = program(&["--print-scenario"]).output().unwrap();
    assert!(serde_json::from_slice::<serde_json::Value>(&printed.stdout).unwrap()["mboxes"]["home"].is_object());
    for (arguments, code, message) in [
        (&["--port", "x"][..], 2, "--port must be 0 to 65535"),
        (&["--port"], 2, "--port needs a port"),
        (&["--quiet=1"], 2, "--quiet takes no value"),
        (&["--colour"], 2, "\"--colour\" is unknown"),
        (&["--scenario", "/nonexistent"], 1, "/nonexistent"),
        (&["--artifact", "/nonexistent"], 1, "/nonexistent"),
        (&["--artifact", "/dev/null"], 1, "/dev/null: artifact is not JSON"),
        (&["--artifact", "x", "--default-artifact"], 2, "--artifact and --default-artifact exclude each other"),
    ] {
        let output = program(arguments).output().unwrap();
        assert_eq!(output.status.code(), Some(code), "{arguments:?}");
        let told = String::from_utf8_lossy(&output.stderr);
        assert!(told.contains(message), "{told}");
    }
}
