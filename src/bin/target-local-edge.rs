//! A Target edge on 127.0.0.1 as a program of its own, for clients in any language.

use std::io::{self, Write};
use std::process::ExitCode;

use adobe_target::local_edge::{LocalEdge, Scenario};

const USAGE: &str = "\
A local edge of Adobe Target's Delivery API, for tests and for trying things out.

Usage: target-local-edge [--port N] [--scenario FILE] [--accept-any-token] [--quiet]

  --port N             the port on 127.0.0.1; 0, the default, is any free one
  --scenario FILE      what to answer with, a JSON file; without it a built-in scenario
  --print-scenario     print the built-in scenario and exit
  --accept-any-token   take event tokens and states that this edge never issued
  --quiet              print nothing but the line that names the address
  --help               print this and exit
";

struct Options {
    port: u16,
    scenario: Option<String>,
    accept_any_token: bool,
    quiet: bool,
}

enum Command {
    Run(Options),
    Print(&'static str),
}

fn main() -> ExitCode {
    let command = match parse(std::env::args().skip(1)) {
        Ok(command) => command,
        Err(message) => {
            let _ = write!(io::stderr(), "target-local-edge: {message}\n\n{USAGE}");
            return ExitCode::from(2);
        }
    };
    let result = match command {
        Command::Print(text) => io::stdout().write_all(text.as_bytes()).map_err(|error| error.to_string()),
        Command::Run(options) => run(&options),
    };
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(message) => {
            let _ = writeln!(io::stderr(), "target-local-edge: {message}");
            ExitCode::FAILURE
        }
    }
}

fn parse(mut arguments: impl Iterator<Item = String>) -> Result<Command, String> {
    let mut options = Options { port: 0, scenario: None, accept_any_token: false, quiet: false };
    while let Some(argument) = arguments.next() {
        let (name, mut value) = match argument.split_once('=') {
            Some((name, value)) => (name.to_owned(), Some(value.to_owned())),
            None => (argument, None),
        };
        let mut next =
            |what: &str| value.take().or_else(|| arguments.next()).ok_or_else(|| format!("{name} needs {what}"));
        match name.as_str() {
            "--port" => {
                let port = next("a port")?;
                options.port = port.parse().map_err(|_| format!("--port must be 0 to 65535, not {port:?}"))?;
            }
            "--scenario" => options.scenario = Some(next("a file")?),
            "--print-scenario" => return Ok(Command::Print(Scenario::default_json())),
            "--accept-any-token" => options.accept_any_token = true,
            "--quiet" => options.quiet = true,
            "--help" | "-h" => return Ok(Command::Print(USAGE)),
            _ => return Err(format!("{name:?} is unknown")),
        }
        if value.is_some() {
            return Err(format!("{name} takes no value"));
        }
    }
    Ok(Command::Run(options))
}

fn run(options: &Options) -> Result<(), String> {
    let scenario = match &options.scenario {
        None => Scenario::default(),
        Some(file) => {
            let text = std::fs::read_to_string(file).map_err(|error| format!("{file}: {error}"))?;
            Scenario::from_json(&text).map_err(|error| format!("{file}: {error}"))?
        }
    };
    let mut builder = LocalEdge::builder().scenario(scenario).addr(format!("127.0.0.1:{}", options.port));
    if options.accept_any_token {
        builder = builder.accept_any_token(true);
    }
    let edge = builder.start().map_err(|error| format!("cannot listen on port {}: {error}", options.port))?;
    // A reader that has gone must not end the edge.
    let _ = announce(&edge, options.quiet);
    loop {
        std::thread::park();
    }
}

fn announce(edge: &LocalEdge, quiet: bool) -> io::Result<()> {
    let mut out = io::stdout().lock();
    writeln!(out, "Listening on http://{}", edge.addr())?;
    out.flush()?;
    if !quiet {
        writeln!(out)?;
        writeln!(out, "Point a client at it:  \"server_domain\": \"{}\", \"secure\": false", edge.host())?;
        writeln!(out, "See what it counted:   {}", edge.url("/report"))?;
        writeln!(
            out,
            "Make it misbehave:     POST {} [{{\"type\":\"status\",\"status\":503}}]",
            edge.url("/control/faults")
        )?;
        writeln!(out, "End it:                Ctrl-C")?;
        out.flush()?;
    }
    Ok(())
}
