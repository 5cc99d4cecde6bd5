//! Proxies: who asks them for what, what they may say, and how the environment names them.
#![cfg(feature = "local-edge")]

#[path = "transport/net.rs"]
mod net;
#[path = "transport/tls_server.rs"]
mod tls_server;

use std::io::Write;
use std::net::{Shutdown, SocketAddr, TcpStream};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use adobe_target::TargetClient;
use adobe_target::local_edge::{Fault, LocalEdge};
use serde_json::{Value, json};

use net::*;
use tls_server::*;

/// What a proxy does with a CONNECT.
#[derive(Clone)]
enum Reply {
    /// Connects there, whatever was asked for.
    Tunnel(SocketAddr),
    /// The same, but says this first.
    TunnelAfter(&'static str, SocketAddr),
    /// Says this and hangs up.
    Say(String),
    /// Says nothing until the client gives up.
    Silence,
}

struct Proxy {
    wire: Wire,
    /// The head of each CONNECT.
    asked: Arc<Mutex<Vec<String>>>,
}

const ESTABLISHED: &str = "HTTP/1.1 200 Connection established\r\n\r\n";

impl Proxy {
    /// A proxy that decides by the host and port it is asked for.
    fn start(decide: impl Fn(&str) -> Reply + Send + Sync + 'static) -> Self {
        let asked = Arc::<Mutex<Vec<String>>>::default();
        let heads = Arc::clone(&asked);
        let wire = Wire::start(move |stream, _| serve(stream, &heads, &decide));
        Proxy { wire, asked }
    }

    fn to(addr: SocketAddr) -> Self {
        Proxy::start(move |_| Reply::Tunnel(addr))
    }

    fn refusing(status: u16) -> Self {
        Proxy::start(move |_| Reply::Say(refusal(status)))
    }

    fn url(&self) -> String {
        format!("http://{}", self.wire.addr)
    }

    /// The hosts and ports that were asked for, in order.
    fn targets(&self) -> Vec<String> {
        self.asked.lock().unwrap().iter().map(|head| target(head).to_owned()).collect()
    }
}

fn refusal(status: u16) -> String {
    format!("HTTP/1.1 {status} No\r\nProxy-Authenticate: Basic realm=\"x\"\r\nContent-Length: 0\r\n\r\n")
}

fn target(head: &str) -> &str {
    head.strip_prefix("CONNECT ").and_then(|rest| rest.split_once(" HTTP/1.1\r\n")).expect("a CONNECT").0
}

fn serve(mut stream: &TcpStream, heads: &Mutex<Vec<String>>, decide: &dyn Fn(&str) -> Reply) -> End {
    let Some(head) = read_request(&mut stream) else { return End::Close };
    let head = String::from_utf8(head).unwrap();
    let reply = decide(target(&head));
    heads.lock().unwrap().push(head);
    match reply {
        Reply::Tunnel(addr) => tunnel(stream, ESTABLISHED, addr),
        Reply::TunnelAfter(words, addr) => tunnel(stream, words, addr),
        Reply::Say(words) => {
            let _ = stream.write_all(words.as_bytes());
            let _ = stream.shutdown(Shutdown::Write);
            drain(&mut stream);
        }
        Reply::Silence => drop(drain(&mut stream)),
    }
    End::Close
}

fn tunnel(mut stream: &TcpStream, words: &str, addr: SocketAddr) {
    let server = TcpStream::connect(addr).unwrap();
    stream.write_all(words.as_bytes()).unwrap();
    std::thread::scope(|scope| {
        let (mut from, mut to) = (stream, &server);
        scope.spawn(move || {
            let _ = std::io::copy(&mut from, &mut to);
            let _ = to.shutdown(Shutdown::Both);
        });
        let (mut from, mut to) = (&server, stream);
        let _ = std::io::copy(&mut from, &mut to);
        let _ = to.shutdown(Shutdown::Both);
    });
}

fn through(proxy: &Proxy, host: impl ToString, more: Value) -> TargetClient {
    by_url(&proxy.url(), host, more)
}

fn by_url(proxy: &str, host: impl ToString, more: Value) -> TargetClient {
    let mut config = more;
    config["proxy"] = Value::from(proxy);
    client(host, config)
}

#[test]
fn a_tunnel_serves_many_calls() {
    let edge = LocalEdge::start().unwrap();
    let proxy = Proxy::to(edge.addr());
    let client = through(&proxy, edge.host(), json!({}));
    for _ in 0..5 {
        client.send_notifications_json(&click()).unwrap();
    }
    assert_eq!(proxy.targets(), [edge.host()]);
    assert_eq!((edge.connections(), edge.report().clicks.total), (1, 5));
    assert_eq!((client.stats().connections_opened, client.stats().connections_reused), (1, 4));
    let head = proxy.asked.lock().unwrap()[0].to_ascii_lowercase();
    assert!(head.contains(&format!("\r\nhost: {}\r\n", edge.host())), "{head}");
    assert!(!head.contains("authorization"), "{head}");
}

#[test]
fn a_tunnel_that_was_closed_while_idle_is_replaced() {
    let edge = LocalEdge::start().unwrap();
    let proxy = Proxy::to(edge.addr());
    let client = through(&proxy, edge.host(), json!({}));
    client.send_notifications_json(&click()).unwrap();
    assert_eq!(edge.close_idle_connections(), 1);
    // The proxy passes the close on in its own time; until then a display may find that out by itself.
    client.send_notifications_json(&display()).unwrap();
    assert_eq!((edge.connections(), client.stats().retries, edge.report().requests), (2, 0, 2));
}

#[test]
fn names_are_looked_up_by_the_proxy() {
    let edge = LocalEdge::start().unwrap();
    let proxy = Proxy::to(edge.addr());
    through(&proxy, "edge.invalid:8123", json!({})).send_notifications_json(&click()).unwrap();
    through(&proxy, "edge.invalid", json!({})).send_notifications_json(&click()).unwrap();
    assert_eq!(proxy.targets(), ["edge.invalid:8123", "edge.invalid:80"]);
    assert_eq!(edge.requests()[0].header("host"), Some("edge.invalid:8123"));
}

#[test]
fn tls_goes_through_the_tunnel_and_is_with_the_server() {
    let authority = Authority::new("authority");
    let file = File::new(authority.pem());
    let (server, _) = answering(server_config(&authority.server("edge.invalid", &VALID), &Terms::default()));
    let proxy = Proxy::to(server.addr);
    let tls = json!({"secure": true, "tls": {"ca_file": file.path()}});
    let client = through(&proxy, "edge.invalid", tls.clone());
    for _ in 0..3 {
        client.send_notifications_json(&click()).unwrap();
    }
    assert_eq!((proxy.targets(), server.accepted()), (vec!["edge.invalid:443".to_owned()], 1));
    let error = error_of(through(&proxy, "other.invalid", tls).send_notifications_json(&click()));
    assert_eq!((kind(&error), fate(&error).as_str()), (("TARGET_ERR_NETWORK", "tls"), "not_sent"));
    assert_eq!(error["retryable"], false);
}

#[test]
fn a_proxy_may_speak_tls_itself() {
    let authority = Authority::new("authority");
    let file = File::new(authority.pem());
    let (server, _) = answering(server_config(&authority.server("edge.invalid", &VALID), &Terms::default()));
    let edge = LocalEdge::start().unwrap();
    // The tunnel's inside is copied by a second proxy that speaks plainly.
    let asked = Arc::<Mutex<Vec<String>>>::default();
    let heads = Arc::clone(&asked);
    let (secure, plain) = (server.addr, edge.addr());
    let config = server_config(&authority.server("localhost", &VALID), &Terms::default());
    let proxy = tls_server(config, move |stream, _| {
        let Some(head) = read_request(stream) else { return End::Close };
        let head = String::from_utf8(head).unwrap();
        let server = TcpStream::connect(if target(&head).ends_with(":443") { secure } else { plain }).unwrap();
        heads.lock().unwrap().push(head);
        stream.write_all(ESTABLISHED.as_bytes()).unwrap();
        relay(stream, &server);
        End::Close
    });
    let url = format!("https://user:secret@localhost:{}", proxy.addr.port());
    for secure in [true, false] {
        let more = json!({"secure": secure, "tls": {"ca_file": file.path()}});
        let client = by_url(&url, "edge.invalid", more);
        client.send_notifications_json(&click()).unwrap();
        client.send_notifications_json(&large_display(100_000)).unwrap();
    }
    let heads = asked.lock().unwrap();
    assert_eq!((target(&heads[0]), target(&heads[1]), heads.len()), ("edge.invalid:443", "edge.invalid:80", 2));
    // A proxy that nobody vouches for gets no credentials.
    let client = by_url(&url, "edge.invalid", json!({}));
    let error = error_of(client.send_notifications_json(&click()));
    assert_eq!((kind(&error), fate(&error).as_str()), (("TARGET_ERR_NETWORK", "proxy"), "not_sent"));
    assert_eq!((&error["retryable"], heads.len()), (&json!(false), 2));
    assert!(error["message"].as_str().unwrap().contains("UnknownIssuer"), "{error}");
}

/// Copies between a TLS connection and a plain one, a turn at a time: HTTP speaks by turns.
fn relay(stream: &mut TlsStream<'_>, mut server: &TcpStream) {
    use std::io::Read;
    let mut chunk = [0; 64 * 1024];
    stream.sock.set_read_timeout(Some(Duration::from_millis(2))).unwrap();
    server.set_read_timeout(Some(Duration::from_millis(2))).unwrap();
    let waits = |error: &std::io::Error| error.kind() == std::io::ErrorKind::WouldBlock;
    loop {
        match stream.read(&mut chunk) {
            Ok(read) if read > 0 => server.write_all(&chunk[..read]).unwrap(),
            Err(error) if waits(&error) => {}
            _ => return,
        }
        match server.read(&mut chunk) {
            Ok(read) if read > 0 => stream.write_all(&chunk[..read]).unwrap(),
            Err(error) if waits(&error) => {}
            _ => return,
        }
    }
}

#[test]
fn credentials_go_to_the_proxy_and_nowhere_else() {
    let edge = LocalEdge::start().unwrap();
    let proxy = Proxy::to(edge.addr());
    let cases = [
        ("user:secret", "dXNlcjpzZWNyZXQ="),
        ("us%40er:se%3Acr%2Fet%20%C3%BC", "dXNAZXI6c2U6Y3IvZXQgw7w="),
        ("user", "dXNlcjo="),
        (":secret", "OnNlY3JldA=="),
    ];
    for (number, (credentials, encoded)) in cases.into_iter().enumerate() {
        let url = format!("http://{credentials}@{}", proxy.wire.addr);
        let client = by_url(&url, edge.host(), json!({}));
        client.send_notifications_json(&click()).unwrap();
        let head = proxy.asked.lock().unwrap()[number].clone();
        assert!(head.contains(&format!("\r\nProxy-Authorization: Basic {encoded}\r\n")), "{head}");
        let request = edge.take_requests().remove(0);
        assert!(request.headers.iter().all(|(name, _)| !name.contains("authorization")), "{:?}", request.headers);
    }
}

#[test]
fn credentials_are_in_no_error() {
    let silent = Proxy::start(|_| Reply::Silence);
    let (wants_others, fails) = (Proxy::refusing(407), Proxy::refusing(502));
    let hangs_up = Proxy::start(|_| Reply::Say(String::new()));
    let garbage = Proxy::start(|_| Reply::Say("user:secret are not welcome\r\n\r\n".to_owned()));
    let addresses = [&silent, &wants_others, &fails, &hangs_up, &garbage].map(|proxy| proxy.wire.addr.to_string());
    let addresses = addresses.into_iter().chain([nobody().to_string(), "no-such-host.invalid:1".to_owned()]);
    for address in addresses {
        let client = by_url(&format!("http://user:secret@{address}"), "edge.invalid", json!({"timeout": 300}));
        let error = client.send_notifications_json(&click()).unwrap_err();
        for text in [error.to_string(), error.to_json(), format!("{error:?}"), format!("{client:?}")] {
            assert!(!text.contains("secret") && !text.contains("dXNlcjpzZWNyZXQ"), "{text}");
        }
        while let Ok(event) = client.next_event(Some(Duration::ZERO)) {
            assert!(!event.contains("secret"), "{event}");
        }
    }
    for url in ["socks5://user:secret@localhost:1", "http://user:secret@", "http://user:secret@host:port"] {
        let error = try_client("edge.invalid", json!({"proxy": url})).unwrap_err();
        assert_eq!(error.details().field.as_deref(), Some("proxy"));
        assert!(!format!("{error} {error:?}").contains("secret"), "{error}");
    }
}

/// A failure before anything of the request left, at the proxy.
#[track_caller]
fn assert_proxy_failure(client: &TargetClient, attempts: u64, retryable: bool, reason: &str) {
    let error = error_of(client.send_notifications_json(&click()));
    assert_eq!((kind(&error), fate(&error).as_str()), (("TARGET_ERR_NETWORK", "proxy"), "not_sent"), "{error}");
    assert_eq!((&error["attempts"], &error["retryable"]), (&json!(attempts), &json!(retryable)), "{error}");
    assert!(error["message"].as_str().unwrap().contains(reason), "{error}");
}

#[test]
fn a_proxy_that_refuses_is_asked_once_and_one_that_fails_again() {
    for (status, attempts) in [(400, 1), (403, 1), (404, 1), (407, 1), (500, 3), (502, 3), (503, 3), (504, 3)] {
        let proxy = Proxy::refusing(status);
        let client = through(&proxy, "edge.invalid", json!({}));
        assert_proxy_failure(&client, attempts, attempts > 1, &format!("the proxy answered {status}"));
        assert_eq!(proxy.targets().len() as u64, attempts);
    }
}

#[test]
fn a_proxy_that_says_nothing_useful_is_a_failure_of_the_proxy() {
    for (words, reason) in [
        ("", "the proxy closed the connection"),
        ("HTTP/1.1 2", "the proxy closed the connection"),
        ("what do you want?\r\n\r\n", "the proxy's answer is no HTTP/1.1"),
        ("\x15\x03\x01\0\x02\x02\x46", "the proxy's answer is no HTTP/1.1"),
    ] {
        let proxy = Proxy::start(move |_| Reply::Say(words.to_owned()));
        assert_proxy_failure(&through(&proxy, "edge.invalid", json!({})), 3, true, reason);
    }
    let proxy = Proxy::start(|_| Reply::Say(format!("HTTP/1.1 200 OK\r\nA: {}", "b".repeat(40_000))));
    assert_proxy_failure(&through(&proxy, "edge.invalid", json!({})), 3, true, "");
}

#[test]
fn a_proxy_that_is_not_there_is_a_failure_of_the_proxy() {
    assert_proxy_failure(&by_url(&format!("http://{}", nobody()), "edge.invalid", json!({})), 3, true, "refused");
    let hole = BlackHole::new();
    let patience = json!({"connect_timeout": 100, "retry": {"max_attempts": 1}});
    let client = by_url(&format!("http://{}", hole.addr), "edge.invalid", patience);
    ends_at(Duration::from_millis(100), || {
        assert_proxy_failure(&client, 1, true, "reaching the proxy took too long");
    });
    let client = by_url("http://no-such-host.invalid:3128", "127.0.0.1:1", json!({"timeout": 2000}));
    let error = error_of(client.send_notifications_json(&click()));
    assert_eq!((error["phase"].as_str(), fate(&error).as_str()), (Some("proxy"), "not_sent"));
}

#[test]
fn a_silent_proxy_cannot_hold_a_call() {
    let proxy = Proxy::start(|_| Reply::Silence);
    let client = through(&proxy, "edge.invalid", json!({"timeout": 200}));
    let error = error_of(ends_at(Duration::from_millis(200), || client.send_notifications_json(&click())));
    assert_eq!((kind(&error), fate(&error).as_str()), (("TARGET_ERR_TIMEOUT", "proxy"), "not_sent"));
    // Cancelling ends it sooner.
    let client = through(&proxy, "edge.invalid", json!({}));
    let options: Value = serde_json::from_str(&click()).unwrap();
    let request = serde_json::from_value(options["request"].clone()).unwrap();
    let asked = proxy.targets().len();
    let call = client.send_notifications_async(&adobe_target::CallOptions::new(request)).unwrap();
    wait_for("the CONNECT", || proxy.targets().len() > asked);
    call.cancel();
    let (result, elapsed) = timed(|| call.wait(Some(LONG)));
    let error = error_of(result);
    assert!(elapsed < AT_ONCE, "{elapsed:?}");
    assert_eq!((&error["code"], fate(&error).as_str()), (&json!("TARGET_ERR_CANCELLED"), "not_sent"));
}

#[test]
fn what_a_proxy_says_behind_its_answer_is_no_answer_of_the_edge() {
    let edge = LocalEdge::start().unwrap();
    let addr = edge.addr();
    const SMUGGLED: &str = "HTTP/1.1 200 Connection established\r\n\r\nHTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n{}";
    let proxy = Proxy::start(move |_| Reply::TunnelAfter(SMUGGLED, addr));
    let client = through(&proxy, edge.host(), json!({}));
    let error = error_of(client.send_notifications_json(&click()));
    assert_eq!((kind(&error), fate(&error).as_str()), (("TARGET_ERR_NETWORK", "proxy"), "not_sent"));
    assert_eq!((edge.report().requests, client.stats().connections_open), (0, 0));
}

#[test]
fn a_proxy_may_speak_the_older_version_and_say_more() {
    let edge = LocalEdge::start().unwrap();
    let addr = edge.addr();
    const OLD: &str = "HTTP/1.0 200 OK\r\nProxy-Agent: x\r\n\r\n";
    let proxy = Proxy::start(move |_| Reply::TunnelAfter(OLD, addr));
    through(&proxy, edge.host(), json!({})).send_notifications_json(&click()).unwrap();
}

/// A client whose visitors are at cluster 38, and which knows no other host than Adobe's.
fn at_cluster(proxy: &Proxy, more: Value) -> TargetClient {
    let mut config = json!({"server_domain": null, "target_location_hint": "38"});
    for (key, value) in more.as_object().unwrap() {
        config[key] = value.clone();
    }
    through(proxy, "", config)
}

const CLUSTER: &str = "mboxedge38.tt.omtrdc.net:80";
const DEFAULT: &str = "acme.tt.omtrdc.net:80";

#[test]
fn a_known_cluster_is_what_the_proxy_is_asked_for() {
    let edge = LocalEdge::start().unwrap();
    let proxy = Proxy::to(edge.addr());
    let client = at_cluster(&proxy, json!({}));
    client.send_notifications_json(&click()).unwrap();
    assert_eq!(proxy.targets(), [CLUSTER]);
    assert_eq!(edge.requests()[0].header("host"), Some("mboxedge38.tt.omtrdc.net"));
    // A visitor's own cluster comes first.
    let cookie = json!({"target_cookie": "PC#abc.35_0#9999999999"});
    client.send_notifications_json(&notify("click", &cookie)).unwrap();
    assert_eq!(proxy.targets()[1], "mboxedge35.tt.omtrdc.net:80");
}

#[test]
fn a_cluster_that_the_proxy_cannot_reach_gives_way_to_the_default_host() {
    let edge = LocalEdge::start().unwrap();
    let addr = edge.addr();
    // Not there, not allowed, or nothing said: nothing of the request left, so this holds for clicks.
    for words in [refusal(502), refusal(503), refusal(504), refusal(403), String::new()] {
        let proxy = Proxy::start(move |target| match target {
            CLUSTER => Reply::Say(words.clone()),
            _ => Reply::Tunnel(addr),
        });
        let client = at_cluster(&proxy, json!({"retry": {"base_delay": 10_000, "max_delay": 10_000}}));
        let (result, elapsed) = timed(|| client.send_notifications_json(&click()));
        result.unwrap();
        assert!(elapsed < AT_ONCE, "another host is not waited for: {elapsed:?}");
        assert_eq!(proxy.targets(), [CLUSTER, DEFAULT]);
    }
    assert_eq!(edge.report().clicks.total, 5);
}

#[test]
fn a_proxy_that_wants_other_credentials_wants_them_for_every_host() {
    let proxy = Proxy::refusing(407);
    assert_proxy_failure(&at_cluster(&proxy, json!({})), 1, false, "407");
    assert_eq!(proxy.targets(), [CLUSTER]);
}

#[test]
fn a_cluster_that_answers_is_asked_again_itself() {
    let edge = LocalEdge::start().unwrap();
    edge.fault(Fault::status(503));
    edge.fault(Fault::ResetAfterReading { counted: false });
    let proxy = Proxy::to(edge.addr());
    at_cluster(&proxy, json!({})).send_notifications_json(&display()).unwrap();
    assert!(proxy.targets().iter().all(|target| target == CLUSTER), "{:?}", proxy.targets());
    assert_eq!(edge.report().requests, 3);
}

/// What the tests below have done in a process of its own: a call with the configuration that is the task.
#[test]
fn child() {
    let Some((task, host)) = child_task() else { return };
    let client = client(host, serde_json::from_str(&task).unwrap());
    match client.send_notifications_json(&click()) {
        Ok(_) => println!("result: ok"),
        Err(error) => println!("result: {}", error.to_json()),
    }
}

/// Makes a call in a process that has these variables.
fn call_with(host: &str, config: Value, environment: &[(&str, &str)]) -> String {
    let mut config = config;
    if config.get("proxy").is_none() {
        config["proxy"] = json!("env");
    }
    printed(&run_child("child", (&config.to_string(), host), &[], environment), "result:")
}

#[test]
fn the_environment_names_the_proxy() {
    let edge = LocalEdge::start().unwrap();
    let proxy = Proxy::to(edge.addr());
    let (url, host) = (proxy.url(), edge.host());
    let without_scheme = proxy.wire.addr.to_string();
    let unreachable = format!("http://{}", nobody());
    // Whether the proxy is used.
    let cases: [(&[(&str, &str)], bool); 12] = [
        (&[], false),
        (&[("http_proxy", &url)], true),
        (&[("http_proxy", &without_scheme)], true),
        (&[("all_proxy", &url)], true),
        (&[("ALL_PROXY", &url)], true),
        (&[("http_proxy", &url), ("ALL_PROXY", &unreachable)], true),
        // In capitals a CGI client could set it; the other scheme's is not for this one.
        (&[("HTTP_PROXY", &unreachable), ("https_proxy", &unreachable), ("HTTPS_PROXY", &unreachable)], false),
        (&[("http_proxy", "")], false),
        (&[("http_proxy", &unreachable), ("no_proxy", "127.0.0.1")], false),
        (&[("http_proxy", &unreachable), ("NO_PROXY", "example.com, 127.0.0.1")], false),
        (&[("http_proxy", &unreachable), ("NO_PROXY", "*")], false),
        (&[("http_proxy", &url), ("NO_PROXY", "127.0.0.2,localhost")], true),
    ];
    for (environment, used) in cases {
        let asked = proxy.targets().len();
        assert_eq!(call_with(&host, json!({}), environment), "ok", "{environment:?}");
        assert_eq!(proxy.targets().len() - asked, usize::from(used), "{environment:?}");
    }
    let everything: Vec<_> = ["http_proxy", "https_proxy", "all_proxy"].map(|name| (name, &*unreachable)).to_vec();
    assert_eq!(call_with(&host, json!({"proxy": "none"}), &everything), "ok");
    assert_eq!(call_with(&host, json!({"proxy": url}), &everything), "ok");
}

#[test]
fn a_proxy_for_https_comes_from_its_own_variable() {
    let authority = Authority::new("authority");
    let file = File::new(authority.pem());
    let (server, _) = answering(server_config(&authority.server("edge.invalid", &VALID), &Terms::default()));
    let proxy = Proxy::to(server.addr);
    let config = json!({"secure": true, "tls": {"ca_file": file.path()}});
    for name in ["https_proxy", "HTTPS_PROXY", "all_proxy"] {
        assert_eq!(call_with("edge.invalid", config.clone(), &[(name, &proxy.url())]), "ok");
    }
    assert_eq!(proxy.targets(), ["edge.invalid:443"; 3]);
    let error = call_with("edge.invalid", config, &[("http_proxy", &proxy.url())]);
    assert!(error.contains(r#""phase":"resolve""#), "{error}");
}

#[test]
fn a_variable_that_is_no_url_is_an_error_of_creating_the_client() {
    let output = run_child(
        "child",
        (r#"{"proxy":"env"}"#, "edge.invalid"),
        &[],
        &[("http_proxy", "socks5://user:secret@localhost:1")],
    );
    let text = String::from_utf8_lossy(&output.stderr);
    assert!(text.contains("environment variable http_proxy must be a URL"), "{text}");
    assert!(!text.contains("secret"), "{text}");
}
