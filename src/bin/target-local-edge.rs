//! A Target edge on 127.0.0.1 as a program of its own, for clients in any language.

use std::io::{self, Write};
use std::process::ExitCode;
use std::time::Duration;

use adobe_target::local_edge::{LocalEdge, Scenario};

/// How often the file of an artifact is looked at.
const LOOK_EVERY: Duration = Duration::from_millis(300);

const USAGE: &str = "\
A local edge of Adobe Target's Delivery API, for tests and for trying things out.

Usage: target-local-edge [--port N] [--scenario FILE] [--artifact FILE | --default-artifact]
                         [--organization ID] [--accept-any-token] [--quiet]

  --port N             the port on 127.0.0.1; 0, the default, is any free one
  --scenario FILE      what to answer with, a JSON file; without it a built-in scenario
  --artifact FILE      serve this artifact for on-device decisioning, and decide from it; read again when it changes
  --default-artifact   the same with the built-in artifact
  --organization ID    whose id unmasks the artifact's bin form; 0DD934B85278256B0A490D44@AdobeOrg unless given
  --accept-any-token   take event tokens and states that this edge never issued
  --quiet              print nothing but the line that names the address
  --print-scenario     print the built-in scenario and exit
  --print-artifact     print the built-in artifact and exit
  --help               print this and exit
";

#[derive(Default)]
struct Options {
    port: u16,
    scenario: Option<String>,
    artifact: Option<String>,
    default_artifact: bool,
    organization: Option<String>,
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
    let mut options = Options::default();
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
            "--artifact" => options.artifact = Some(next("a file")?),
            "--default-artifact" => options.default_artifact = true,
            "--organization" => options.organization = Some(next("an id")?),
            "--print-artifact" => return Ok(Command::Print(LocalEdge::default_artifact_json())),
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
    if options.default_artifact && options.artifact.is_some() {
        return Err("--artifact and --default-artifact exclude each other".to_owned());
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
    if options.default_artifact {
        builder = builder.default_artifact();
    }
    if let Some(organization) = &options.organization {
        builder = builder.organization_id(organization);
    }
    let mut followed = None;
    if let Some(file) = &options.artifact {
        let text = std::fs::read_to_string(file).map_err(|error| format!("{file}: {error}"))?;
        builder = builder.artifact(text.as_str());
        followed = Some((file, text));
    }
    let edge = builder.start().map_err(|error| match &followed {
        Some((file, _)) if error.kind() == io::ErrorKind::InvalidData => format!("{file}: {error}"),
        _ => format!("cannot listen on port {}: {error}", options.port),
    })?;
    // A reader that has gone must not end the edge.
    let _ = announce(&edge, options);
    match followed {
        Some((file, text)) => follow(file, text, &edge),
        None => loop {
            std::thread::park();
        },
    }
}

/// Serves what is in the file, for ever. A file that is missing or half written leaves the last good artifact in
/// force; what is wrong with it is told once.
fn follow(file: &str, mut served: String, edge: &LocalEdge) -> ! {
    let mut told = String::new();
    loop {
        std::thread::sleep(LOOK_EVERY);
        // Comparing what it holds sees changes that times and lengths do not show.
        let read = std::fs::read_to_string(file).map_err(|error| error.to_string());
        let wrong = match read {
            Ok(text) if text == served => String::new(),
            Ok(text) => match edge.set_artifact(text.as_str()) {
                Ok(()) => {
                    served = text;
                    let _ = writeln!(io::stderr(), "target-local-edge: {file} has changed and was read again");
                    String::new()
                }
                Err(error) => error.to_string(),
            },
            Err(error) => error,
        };
        if !wrong.is_empty() && wrong != told {
            let _ = writeln!(io::stderr(), "target-local-edge: {file}: {wrong}; the last good artifact stays");
        }
        told = wrong;
    }
}

fn announce(edge: &LocalEdge, options: &Options) -> io::Result<()> {
    let mut out = io::stdout().lock();
    writeln!(out, "Listening on http://{}", edge.addr())?;
    out.flush()?;
    if !options.quiet {
        writeln!(out)?;
        writeln!(out, "Point a client at it:  \"server_domain\": \"{}\", \"secure\": false", edge.host())?;
        if options.artifact.is_some() || options.default_artifact {
            writeln!(out, "Decide on-device:      \"cdn_base_path\": \"{}\"", edge.host())?;
        }
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
