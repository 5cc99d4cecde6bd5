//! The same requests against Adobe's Node.js client, installed when this runs, and how many times as long it takes.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use serde_json::{Value, json};

use crate::artifacts::Artifact;
use crate::decisions::Figures;
use crate::measure::{Effort, complain};
use crate::requests::{CLIENT, Call, Case, ORGANIZATION};
use crate::server::Server;

/// Prints the ratios for the cases that ours has figures of.
pub fn print(cases: &[Case], ours: &BTreeMap<&'static str, Figures>, effort: Effort, directory: &Path) {
    let folder = match install(directory) {
        Ok(folder) => folder,
        Err(why) => {
            // No fault of ours: nothing is complained about.
            println!("  !! NOT MEASURED: {why}");
            println!("  !! The comparison with the Node.js client needs node, npm and npm's registry.");
            return;
        }
    };
    let server = Server::start(&[]);
    let cases: Vec<&Case> =
        cases.iter().filter(|case| case.method == "on-device" && case.call == Call::Offers).collect();
    let plan = json!({
        "server": server.host(), "client": CLIENT, "organizationId": ORGANIZATION,
        "rounds": effort.rounds, "roundMs": effort.node_round_ms,
        "cases": cases.iter().map(|case| json!({
            "name": case.name, "artifact": artifact_file(case.artifact, directory),
            "executes": case.executes, "options": case.options.iter().map(in_its_spelling).collect::<Vec<_>>(),
        })).collect::<Vec<_>>(),
    });
    let file = directory.join("plan.json");
    std::fs::write(&file, plan.to_string()).expect("the plan can be written");
    let output = Command::new("node").current_dir(&folder).arg("run.mjs").arg(&file).stderr(Stdio::inherit()).output();
    let text = output.map(|output| String::from_utf8_lossy(&output.stdout).into_owned()).unwrap_or_default();
    let answers: Vec<Value> = text.lines().filter_map(|line| serde_json::from_str(line).ok()).collect();

    println!(
        "  {:<36} {:>10} {:>8} {:>6} | {:>10} {:>8} {:>6} | {:>6} {:>6}",
        "", "Node.js us", "ours us", "ratio", "CPU us", "ours", "ratio", "aim", "least"
    );
    for case in cases {
        let Some(answer) = answers.iter().find(|answer| answer["name"] == case.name) else {
            complain(&format!("{}: no answer", case.name));
            continue;
        };
        let (Some(wall), Some(cpu)) = (answer["wall"].as_f64(), answer["cpu"].as_f64()) else {
            complain(&format!("{}: {}", case.name, answer["error"]));
            continue;
        };
        let figures = ours.get(case.name);
        let (our_wall, our_cpu) =
            figures.map_or((f64::NAN, f64::NAN), |figures| (figures.c.wall.median(), figures.c.cpu.median()));
        let ratio = wall / our_wall;
        let aim = case.against_node.map_or_else(String::new, |(aim, least)| {
            let verdict = match ratio {
                ratio if ratio >= aim => "aim met",
                ratio if ratio >= least => "least met",
                ratio if ratio.is_nan() => "not measured",
                _ => "MISSED",
            };
            format!("{aim:>6} {least:>6}  {verdict}")
        });
        println!(
            "  {:<36} {wall:>10.1} {our_wall:>8.2} {ratio:>6.0} | {cpu:>10.1} {our_cpu:>8.2} {:>6.0} | {aim}",
            case.name,
            cpu / our_cpu
        );
        if let (Some(theirs), Some(ours)) =
            (answer["withSending"].as_f64(), figures.and_then(|figures| figures.cpu_with_sending))
        {
            println!(
                "  {:<36} {:>10} {:>8} {:>6} | {theirs:>10.1} {ours:>8.2} {:>6.0} |",
                "  with the sending",
                "",
                "",
                "",
                theirs / ours
            );
        }
        if answer["offers"] != json!([case.offers]) || answer["methods"] != json!(["on-device"]) {
            complain(&format!("its answers have {} offers, decided {}", answer["offers"], answer["methods"]));
        }
        if answer["changed"] == true {
            complain("it changed the options it was given");
        }
    }
    println!(
        "  Theirs takes and gives objects, ours the C ABI's text: parsing and writing JSON is in our figures alone."
    );
}

/// Where the program and the client were installed.
fn install(directory: &Path) -> Result<PathBuf, String> {
    let folder = directory.join("node");
    let source = Path::new(env!("CARGO_MANIFEST_DIR")).join("benches/on_device/node");
    std::fs::create_dir_all(&folder).map_err(|error| error.to_string())?;
    for file in ["package.json", "run.mjs"] {
        std::fs::copy(source.join(file), folder.join(file)).map_err(|error| format!("{file}: {error}"))?;
    }
    let done = Command::new("npm")
        .current_dir(&folder)
        .args(["install", "--no-audit", "--no-fund", "--no-package-lock", "--ignore-scripts", "--loglevel=error"])
        .stdout(Stdio::null())
        .status()
        .map_err(|error| format!("npm: {error}"))?;
    Command::new("node").arg("--version").stdout(Stdio::null()).status().map_err(|error| format!("node: {error}"))?;
    if done.success() { Ok(folder) } else { Err(format!("npm install ended with {done}")) }
}

fn artifact_file(artifact: Artifact, directory: &Path) -> PathBuf {
    let file = directory.join(format!("node-{}.json", artifact.name()));
    std::fs::write(&file, artifact.json(0)).expect("the artifact can be written");
    file
}

/// The names of options in camelCase; inside a request they are the same.
fn in_its_spelling(options: &Value) -> Value {
    let mut theirs = json!({"request": options["request"]});
    for (ours, name) in [("session_id", "sessionId"), ("target_cookie", "targetCookie")] {
        if let Some(value) = options.get(ours) {
            theirs[name] = value.clone();
        }
    }
    theirs
}
