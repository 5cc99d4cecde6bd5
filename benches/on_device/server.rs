//! A server for impressions and artifacts, in a process of its own so that its CPU time is not ours. It answers every
//! POST as an edge that counted it, and every GET with the next of its artifacts.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};

/// What the process of the server is started with.
pub const COMMAND: &str = "serve";

/// A running server; it ends with this.
pub struct Server {
    child: Child,
    /// Its end tells the server to end, also when this process is killed.
    _line: ChildStdin,
    host: String,
}

impl Server {
    /// Starts one that serves these files in turn.
    pub fn start(artifacts: &[PathBuf]) -> Self {
        let program = std::env::current_exe().expect("this program has a path");
        let mut child = Command::new(program)
            .arg(COMMAND)
            .args(artifacts)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .expect("the server starts");
        let line = child.stdin.take().expect("its input is ours");
        let mut host = String::new();
        BufReader::new(child.stdout.take().expect("its output is ours"))
            .read_line(&mut host)
            .expect("it says where it is");
        Server { child, _line: line, host: host.trim().to_owned() }
    }

    /// `host:port`.
    pub fn host(&self) -> &str {
        &self.host
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// The server itself.
pub fn serve(artifacts: &[String]) {
    let artifacts: Arc<Vec<Vec<u8>>> =
        Arc::new(artifacts.iter().map(|file| std::fs::read(Path::new(file)).expect("artifacts can be read")).collect());
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port is free");
    println!("{}", listener.local_addr().expect("it is bound"));
    std::thread::spawn(|| {
        let _ = std::io::copy(&mut std::io::stdin(), &mut std::io::sink());
        std::process::exit(0);
    });
    let next = Arc::new(AtomicUsize::new(0));
    for connection in listener.incoming().flatten() {
        let (artifacts, next) = (Arc::clone(&artifacts), Arc::clone(&next));
        std::thread::spawn(move || answer_all(connection, &artifacts, &next));
    }
}

fn answer_all(connection: TcpStream, artifacts: &[Vec<u8>], next: &AtomicUsize) -> Option<()> {
    connection.set_nodelay(true).ok()?;
    let mut writer = connection.try_clone().ok()?;
    let mut reader = BufReader::with_capacity(64 * 1024, connection);
    let mut line = String::new();
    loop {
        line.clear();
        if reader.read_line(&mut line).ok()? == 0 {
            return None;
        }
        let is_get = line.starts_with("GET");
        let mut length = 0;
        loop {
            line.clear();
            if reader.read_line(&mut line).ok()? == 0 {
                return None;
            }
            if line.trim_end().is_empty() {
                break;
            }
            if let Some((name, value)) = line.split_once(':')
                && name.eq_ignore_ascii_case("content-length")
            {
                length = value.trim().parse().ok()?;
            }
        }
        std::io::copy(&mut reader.by_ref().take(length), &mut std::io::sink()).ok()?;
        if is_get && !artifacts.is_empty() {
            let number = next.fetch_add(1, Relaxed);
            let artifact = &artifacts[number % artifacts.len()];
            let head = format!(
                "HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nETag: \"{number}\"\r\nContent-Length: {}\r\n\r\n",
                artifact.len()
            );
            writer.write_all(head.as_bytes()).ok()?;
            writer.write_all(artifact).ok()?;
        } else {
            const BODY: &str = "{\"status\":200,\"requestId\":\"1\",\"client\":\"demo\"}";
            let answer = format!(
                "HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: {}\r\n\r\n{BODY}",
                BODY.len()
            );
            writer.write_all(answer.as_bytes()).ok()?;
        }
    }
}
