//! `make install` and who uses it: programs that find the library by pkg-config and by CMake, linked with the shared
//! and with the static one, and what lies where.
//!
//! The first test that runs builds the release libraries (`make`), which takes minutes; CI uses them, too.
#![cfg(all(feature = "capi", feature = "local-edge", target_os = "linux"))]

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use adobe_target::local_edge::LocalEdge;

#[path = "c/installed.rs"]
mod installed;
#[path = "c/library.rs"]
mod library;

use installed::{archive, built, has, installed, make, make_install, shared, told};
use library::{CRATE, NATIVE_LIBRARIES, Scratch, cc, cxx, exported_symbols, shown, succeed};

const EXAMPLE: [&str; 3] = ["examples-c/quickstart.c", "examples-c/config.c", "examples-c/json.c"];

/// The headers of the crate, by their names.
fn headers() -> Vec<String> {
    let entries = fs::read_dir(Path::new(CRATE).join("include")).unwrap();
    let names = entries.map(|entry| entry.unwrap().file_name().into_string().unwrap());
    let headers: Vec<_> = names.filter(|name| name.ends_with(".h") || name.ends_with(".hpp")).collect();
    assert!(headers.contains(&"adobe_target.h".to_owned()), "{headers:?}");
    headers
}

/// Every file and link below a directory, by its path from there.
fn files(directory: &Path) -> BTreeSet<String> {
    let mut found = BTreeSet::new();
    let mut open = vec![directory.to_owned()];
    while let Some(at) = open.pop() {
        for entry in fs::read_dir(&at).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() && !path.is_symlink() {
                open.push(path);
            } else {
                found.insert(path.strip_prefix(directory).unwrap().to_str().unwrap().to_owned());
            }
        }
    }
    found
}

/// What is installed below a prefix whose libraries are in that directory.
fn expected(libdir: &str) -> BTreeSet<String> {
    let libraries = ["libadobe_target.so", "libadobe_target.so.1", "libadobe_target.so.1.0.0", "libadobe_target.a"];
    let others = ["pkgconfig/adobe-target.pc", "cmake/AdobeTarget/AdobeTargetConfig.cmake"];
    let version = "cmake/AdobeTarget/AdobeTargetConfigVersion.cmake";
    let all = libraries.into_iter().chain(others).chain([version]).map(|name| format!("{libdir}/{name}"));
    all.chain(headers().into_iter().map(|name| format!("include/{name}"))).collect()
}

#[test]
fn everything_is_in_its_place() {
    let prefix = installed();
    assert_eq!(files(prefix), expected("lib"));
    for name in headers() {
        let original = fs::read(Path::new(CRATE).join("include").join(&name)).unwrap();
        assert!(fs::read(prefix.join("include").join(&name)).unwrap() == original, "{name} is another one");
    }
    // What the linker looks for and what programs look for lead to the one file, wherever the directory goes.
    for name in ["libadobe_target.so", "libadobe_target.so.1"] {
        let link = prefix.join("lib").join(name);
        assert_eq!(fs::read_link(link).unwrap(), Path::new("libadobe_target.so.1.0.0"));
    }
    for name in expected("lib") {
        let mode = fs::metadata(prefix.join(&name)).unwrap().permissions().mode() & 0o777;
        assert_eq!(mode, if name.contains(".so") { 0o755 } else { 0o644 }, "{name}");
    }
    told(&format!(
        "installed: shared library {} bytes, static library {} bytes",
        fs::metadata(shared()).unwrap().len(),
        fs::metadata(archive()).unwrap().len()
    ));
}

#[test]
fn what_was_installed_is_removed_and_nothing_else() {
    let scratch = Scratch::new("uninstall");
    let prefix = scratch.file("prefix");
    let place = |command: &mut Command| succeed(command.env("PREFIX", &prefix).env("LIBDIR", prefix.join("lib64")));
    place(&mut make_install());
    assert_eq!(files(&prefix), expected("lib64"));
    let others = ["include/other.h", "lib64/libother.so.1", "lib64/pkgconfig/other.pc", "lib64/cmake/Other/a.cmake"];
    for name in others {
        fs::create_dir_all(prefix.join(name).parent().unwrap()).unwrap();
        fs::write(prefix.join(name), "").unwrap();
    }
    place(make().arg("uninstall"));
    assert_eq!(files(&prefix), others.map(str::to_owned).into());
    assert!(!prefix.join("lib64/cmake/AdobeTarget").exists());
    // A second time there is nothing to do.
    place(make().arg("uninstall"));
}

/// `make && sudo make install`: root has no cargo, or leaves files in the target directory that are not the user's.
#[test]
fn installing_builds_nothing_that_is_up_to_date() {
    let scratch = Scratch::new("no-build");
    // With `false` for cargo.
    let made = succeed(make_install().env("PREFIX", scratch.file("prefix")));
    assert!(!shown(&made).contains("rustc"), "{}", shown(&made));
    let built = succeed(make().arg("CARGO=false"));
    assert!(shown(&built).contains("libadobe_target.so.1.0.0"), "{}", shown(&built));
    // That it would have been needed: with a source that is newer.
    let newer = make().args(["--what-if=src/lib.rs", "CARGO=false", "--dry-run"]).output().unwrap();
    assert!(shown(&newer).contains("false rustc --release"), "{}", shown(&newer));
}

#[test]
fn places_that_cannot_work_are_refused() {
    let scratch = Scratch::new("refused");
    let stage = scratch.file("stage");
    for (variable, value, told) in [
        ("PREFIX", "relative/prefix", "must be absolute paths: relative/prefix"),
        ("LIBDIR", "lib64", "must be absolute paths: lib64"),
        ("CARGO_TARGET_DIR", "a directory", "must not have blanks in its path: a directory"),
    ] {
        let output = make_install().env("DESTDIR", &stage).env(variable, value).output().unwrap();
        assert!(!output.status.success());
        assert!(shown(&output).contains(told), "{}", shown(&output));
    }
    assert!(!stage.exists());
    let onto_itself = make_install().env("PREFIX", CRATE).output().unwrap();
    assert!(!onto_itself.status.success());
    assert!(shown(&onto_itself).contains("PREFIX must not be the directory of the sources"), "{}", shown(&onto_itself));
}

fn does_the_main_job(program: &Path, library_path: &Path) {
    let edge = LocalEdge::start().unwrap();
    let mut command = Command::new(program);
    for variable in ["http_proxy", "https_proxy", "HTTPS_PROXY", "all_proxy", "ALL_PROXY"] {
        command.env_remove(variable);
    }
    let ran = succeed(command.arg(edge.host()).env("LD_LIBRARY_PATH", library_path).env("TARGET_TIMEOUT", "300000"));
    assert!(shown(&ran).contains("Acknowledged: [\"1\"]"), "{}", shown(&ran));
    assert_eq!(edge.report().impressions.by_mbox.get("product1"), Some(&1));
}

/// The shared libraries that a program asks for.
fn needed(program: &Path) -> String {
    shown(&succeed(Command::new("readelf").arg("-d").arg(program)))
        .lines()
        .filter(|line| line.contains("NEEDED"))
        .map(|line| format!("{line}\n"))
        .collect()
}

fn uses_the_shared_library(program: &Path) {
    assert!(needed(program).contains("[libadobe_target.so.1]"), "{}", needed(program));
}

fn has_the_library_in_it(program: &Path) {
    let needed = needed(program);
    assert!(needed.contains("[libc.so.6]") && !needed.contains("adobe"), "{needed}");
}

/// Runs a line of docs/install.md in the crate, as somebody would type it.
fn typed(line: &str, prefix: &Path, program: &Path) -> Output {
    let compiler = cc();
    let words = std::iter::once(compiler.get_program()).chain(compiler.get_args());
    let compiler = words.map(|word| word.to_str().unwrap()).collect::<Vec<_>>().join(" ");
    let line = line
        .replacen("cc ", &format!("{compiler} -std=c99 -I examples-c "), 1)
        .replace("app.c", &EXAMPLE.join(" "))
        .replace("-o app", "-o \"$PROGRAM\"");
    assert!(line.contains("$PROGRAM") && line.contains("quickstart.c"), "{line}");
    let mut shell = Command::new("sh");
    shell.args(["-ec", &line]).current_dir(CRATE).env("PROGRAM", program);
    succeed(shell.env("PKG_CONFIG_PATH", prefix.join("lib/pkgconfig")))
}

/// The lines of the page that begin so.
fn documented(start: &str) -> Vec<String> {
    let page = fs::read_to_string(Path::new(CRATE).join("docs/install.md")).unwrap();
    page.lines().filter(|line| line.starts_with(start)).map(str::to_owned).collect()
}

fn pkg_config_lines() -> [String; 2] {
    documented("cc app.c -o app $(pkg-config").try_into().expect("a line for each library")
}

#[test]
fn a_program_finds_the_shared_library_by_pkg_config() {
    if !has("pkg-config") {
        return;
    }
    let scratch = Scratch::new("pkg-config-shared");
    let program = scratch.file("program");
    typed(&pkg_config_lines()[0], installed(), &program);
    uses_the_shared_library(&program);
    does_the_main_job(&program, &installed().join("lib"));
}

#[test]
fn a_program_finds_the_static_library_by_pkg_config() {
    if !has("pkg-config") {
        return;
    }
    let scratch = Scratch::new("pkg-config-static");
    let program = scratch.file("program");
    typed(&pkg_config_lines()[1], installed(), &program);
    has_the_library_in_it(&program);
    does_the_main_job(&program, Path::new(""));
}

/// Whether the C library has a static one here.
fn has_static_libc() -> bool {
    let scratch = Scratch::new("static-libc");
    fs::write(scratch.file("main.c"), "int main(void) { return 0; }\n").unwrap();
    let linked = cc().arg("-static").arg(scratch.file("main.c")).arg("-o").arg(scratch.file("main")).status();
    let has_it = linked.is_ok_and(|status| status.success());
    if !has_it {
        told("no static C library here: programs without any shared one are not tried");
    }
    has_it
}

#[test]
fn a_program_needs_no_shared_library_at_all() {
    if !has("pkg-config") || !has_static_libc() {
        return;
    }
    let scratch = Scratch::new("all-static");
    let program = scratch.file("program");
    let [line] = <[String; 1]>::try_from(documented("cc -static app.c")).expect("one line");
    typed(&line, installed(), &program);
    assert_eq!(needed(&program), "");
    does_the_main_job(&program, Path::new(""));
}

#[test]
fn pkg_config_has_the_version_and_follows_a_moved_stage() {
    if !has("pkg-config") {
        return;
    }
    let pkg_config = |arguments: &[&str], prefix: &Path, root: &str| {
        let mut command = Command::new("pkg-config");
        command.args(arguments).env("PKG_CONFIG_PATH", prefix.join("lib/pkgconfig"));
        shown(&succeed(command.env("PKG_CONFIG_SYSROOT_DIR", root))).trim().to_owned()
    };
    assert_eq!(pkg_config(&["--modversion", "adobe-target"], installed(), ""), env!("CARGO_PKG_VERSION"));

    let (_scratch, stage) = moved_stage("pkg-config-moved");
    let root = stage.to_str().unwrap();
    let flags = pkg_config(&["--cflags", "--libs", "adobe-target"], &stage.join("opt/acme"), root);
    assert_eq!(flags, format!("-I{root}/opt/acme/include -L{root}/opt/acme/lib -ladobe_target"));
}

/// Installed for /opt/acme into a stage that has another name now.
fn moved_stage(name: &str) -> (Scratch, PathBuf) {
    let scratch = Scratch::new(name);
    let (stage, moved) = (scratch.file("stage"), scratch.file("moved"));
    succeed(make_install().env("DESTDIR", &stage).env("PREFIX", "/opt/acme"));
    assert_eq!(files(&stage), expected("lib").into_iter().map(|name| format!("opt/acme/{name}")).collect());
    fs::rename(&stage, &moved).unwrap();
    (scratch, moved)
}

/// Configures and builds the programs of tests/install/CMakeLists.txt, and lets them do their job.
fn cmake_programs_work(prefix: &Path, scratch: &Scratch) {
    let build = scratch.file("build");
    let mut configure = Command::new("cmake");
    configure.args(["-S", "tests/install", "-B"]).arg(&build).current_dir(CRATE);
    configure.arg(format!("-DCMAKE_PREFIX_PATH={}", prefix.display()));
    let has_static_libc = has_static_libc();
    configure.arg(format!("-DALL_STATIC={}", if has_static_libc { "ON" } else { "OFF" }));
    succeed(configure.arg(format!("-DEXAMPLES={CRATE}/examples-c")));
    succeed(Command::new("cmake").arg("--build").arg(&build));
    uses_the_shared_library(&build.join("with_shared"));
    has_the_library_in_it(&build.join("with_static"));
    if has_static_libc {
        assert_eq!(needed(&build.join("all_static")), "");
        does_the_main_job(&build.join("all_static"), Path::new(""));
    }
    // CMake's own programs find the library where it was linked.
    does_the_main_job(&build.join("with_shared"), Path::new(""));
    does_the_main_job(&build.join("with_static"), Path::new(""));
}

#[test]
fn programs_find_both_libraries_by_cmake() {
    if has("cmake") {
        cmake_programs_work(installed(), &Scratch::new("cmake"));
    }
}

#[test]
fn programs_find_both_libraries_by_cmake_in_a_stage_that_was_moved() {
    if has("cmake") {
        let (scratch, stage) = moved_stage("cmake-moved");
        cmake_programs_work(&stage.join("opt/acme"), &scratch);
    }
}

#[test]
fn a_prefix_may_have_blanks() {
    let scratch = Scratch::new("with-blanks");
    let prefix = scratch.file("pre fix's");
    succeed(make_install().env("PREFIX", &prefix));
    assert_eq!(files(&prefix), expected("lib"));
    if has("cmake") {
        cmake_programs_work(&prefix, &scratch);
    }
    if has("pkg-config") {
        let program = scratch.file("program");
        // What pkg-config prints has to be read by a shell then.
        typed(&format!("eval \"{}\"", pkg_config_lines()[0]).replace("-o app", "-o $PROGRAM"), &prefix, &program);
        does_the_main_job(&program, &prefix.join("lib"));
    }
}

/// What find_package says about a prefix.
fn found(prefix: &Path, scratch: &Scratch, arguments: &[&str]) -> BTreeMap<String, String> {
    let build = scratch.file("build");
    if build.exists() {
        fs::remove_dir_all(&build).unwrap();
    }
    let mut cmake = Command::new("cmake");
    cmake.args(["-S", "tests/install/places", "-B"]).arg(&build).current_dir(CRATE).args(arguments);
    let output = succeed(cmake.arg(format!("-DCMAKE_PREFIX_PATH={}", prefix.display())));
    let text = shown(&output);
    let pairs = text.lines().filter_map(|line| line.split_once('='));
    pairs.map(|(name, value)| (name.to_owned(), value.to_owned())).collect()
}

#[test]
fn the_cmake_package_works_from_every_place_where_cmake_looks() {
    const ARCHITECTURE: &str = "-DCMAKE_LIBRARY_ARCHITECTURE=x86_64-linux-gnu";
    if !has("cmake") {
        return;
    }
    for (libdir, in_share) in [
        ("lib", false),
        ("lib64", false),
        ("lib/x86_64-linux-gnu", false),
        ("lib", true),
        ("lib64", true),
        ("lib/x86_64-linux-gnu", true),
    ] {
        let scratch = Scratch::new("places");
        let prefix = scratch.file("prefix");
        succeed(make_install().env("PREFIX", &prefix).env("LIBDIR", prefix.join(libdir)));
        if in_share {
            fs::create_dir(prefix.join("share")).unwrap();
            fs::rename(prefix.join(libdir).join("cmake"), prefix.join("share/cmake")).unwrap();
        }
        let found = found(&prefix, &scratch, &[ARCHITECTURE]);
        let shown = |path: &str| Some(prefix.join(path).to_str().unwrap().to_owned());
        assert_eq!(found.get("found").map(String::as_str), Some("TRUE"), "{libdir} {in_share}: {found:?}");
        assert_eq!(found.get("shared").cloned(), shown(&format!("{libdir}/libadobe_target.so")), "{in_share}");
        assert_eq!(found.get("static").cloned(), shown(&format!("{libdir}/libadobe_target.a")), "{in_share}");
        assert_eq!(found.get("shared_include").cloned(), shown("include"));
        assert_eq!(found.get("static_include").cloned(), shown("include"));
    }
}

#[test]
fn the_cmake_package_says_what_is_missing() {
    if !has("cmake") {
        return;
    }
    let scratch = Scratch::new("missing");
    let prefix = scratch.file("prefix");
    let headers = scratch.file("headers");
    succeed(make_install().env("PREFIX", &prefix).env("INCLUDEDIR", &headers));
    // Somebody else's, above the prefix.
    fs::create_dir(scratch.file("include")).unwrap();
    fs::write(scratch.file("include/adobe_target.h"), "").unwrap();
    let without = found(&prefix, &scratch, &[]);
    assert_eq!(without["found"], "FALSE");
    assert!(without["why"].contains("set AdobeTarget_INCLUDE_DIR"), "{without:?}");
    let told = format!("-DAdobeTarget_INCLUDE_DIR={}", headers.display());
    let with = found(&prefix, &scratch, &[&told]);
    assert_eq!((with["found"].as_str(), with["shared_include"].as_str()), ("TRUE", headers.to_str().unwrap()));

    fs::remove_file(prefix.join("lib/libadobe_target.a")).unwrap();
    let shared = found(&prefix, &scratch, &[&told]);
    assert_eq!((shared["found"].as_str(), shared.contains_key("static")), ("TRUE", false));
    let neither = found(&prefix, &scratch, &[&told, "-DCOMPONENTS=static"]);
    assert_eq!(neither["found"], "FALSE");
    assert!(neither["why"].contains("no component static"), "{neither:?}");
    fs::remove_file(prefix.join("lib/libadobe_target.so")).unwrap();
    let nothing = found(&prefix, &scratch, &[&told]);
    assert!(nothing["why"].contains("no libadobe_target.so or libadobe_target.a"), "{nothing:?}");
}

#[test]
fn the_cmake_package_takes_versions_of_this_abi() {
    if !has("cmake") {
        return;
    }
    let numbers: Vec<u32> = env!("CARGO_PKG_VERSION").split('.').map(|number| number.parse().unwrap()).collect();
    let [major, minor, patch] = numbers[..] else { panic!("{numbers:?}") };
    let scratch = Scratch::new("versions");
    for (asked, expected) in [
        ("", "TRUE"),
        ("0.1", "TRUE"),
        ("0.1.0", "TRUE"),
        (concat!(env!("CARGO_PKG_VERSION"), ";EXACT"), "TRUE"),
        ("0.0.9", "FALSE"),
        (&format!("{major}.{minor}.{}", patch + 1), "FALSE"),
        (&format!("{major}.{}", minor + 1), "FALSE"),
        (&format!("{}", major + 1), "FALSE"),
        ("0.0.1...99", "TRUE"),
        ("0.0.1...0.0.9", "FALSE"),
        (concat!("0.0.1...<", env!("CARGO_PKG_VERSION")), "FALSE"),
        (concat!("0.0.1...", env!("CARGO_PKG_VERSION")), "TRUE"),
    ] {
        let found = found(installed(), &scratch, &[&format!("-DVERSION={asked}")]);
        assert_eq!(found["found"], expected, "{asked:?}: {found:?}");
        if expected == "TRUE" {
            assert_eq!(found["version"], env!("CARGO_PKG_VERSION"));
        }
    }
}

#[test]
fn cpp_programs_take_the_installed_headers() {
    let scratch = Scratch::new("cpp");
    let (source, program) = (scratch.file("app.cpp"), scratch.file("app"));
    let includes: String = headers().iter().map(|name| format!("#include <{name}>\n")).collect();
    let body = "int main() { return target_abi_version() == TARGET_ABI_VERSION ? 0 : 1; }\n";
    fs::write(&source, format!("{includes}{body}")).unwrap();
    let mut compiler = cxx();
    compiler.arg("-std=c++17").arg("-I").arg(installed().join("include")).arg(&source).arg("-o").arg(&program);
    succeed(compiler.arg("-L").arg(installed().join("lib")).arg("-ladobe_target"));
    uses_the_shared_library(&program);
    succeed(Command::new(&program).env("LD_LIBRARY_PATH", installed().join("lib")));
}

/// Everything that is global in an archive, whatever its kind.
fn globals(archive: &Path) -> BTreeSet<String> {
    let output = succeed(Command::new("nm").args(["--extern-only", "--defined-only", "--format=posix"]).arg(archive));
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    text.lines()
        .filter(|line| !line.ends_with(':'))
        .filter_map(|line| line.split(' ').next())
        .map(str::to_owned)
        .collect()
}

#[test]
fn the_static_library_shows_what_the_shared_one_exports() {
    let exported: BTreeSet<String> = exported_symbols(&shared()).into_iter().collect();
    assert!(exported.len() > 20, "{exported:?}");
    assert_eq!(globals(&archive()), exported);
}

#[test]
fn the_static_library_has_no_debug_information() {
    let text = shown(&succeed(Command::new("readelf").args(["--sections", "--wide"]).arg(archive())));
    assert!(text.contains(" .text") && text.contains(" .eh_frame"), "no code in it");
    for section in [" .debug_", ".llvmbc", ".llvmcmd"] {
        assert!(!text.contains(section), "{section} is in it");
    }
}

/// Cargo, pkg-config, CMake and both ways to install say the same.
#[test]
fn versions_and_native_libraries_are_the_same_everywhere() {
    let read = |path: &str| fs::read_to_string(Path::new(CRATE).join(path)).unwrap();
    let version = env!("CARGO_PKG_VERSION");
    let package = read("cmake/AdobeTargetConfigVersion.cmake");
    assert!(package.contains(&format!("set(PACKAGE_VERSION \"{version}\")\n")), "{package}");
    let pc = fs::read_to_string(installed().join("lib/pkgconfig/adobe-target.pc")).unwrap();
    assert!(pc.contains(&format!("\nVersion: {version}\n")), "{pc}");

    let native = NATIVE_LIBRARIES.strip_prefix("-lgcc_s ").expect("the unwinder, which the C compiler adds itself");
    assert!(pc.contains(&format!("\nLibs.private: {native}\n")), "{pc}");
    let config = read("cmake/AdobeTargetConfig.cmake");
    let listed = format!("INTERFACE_LINK_LIBRARIES \"{}\"", native.replace(' ', ";"));
    assert!(config.contains(&listed), "no {listed} in {config}");

    // The soname of the library, of the package that CMake links by, and of cargo-c, which counts it from a version.
    let manifest = read("Cargo.toml");
    let (_, capi) = manifest.split_once("[package.metadata.capi.library]").expect("a section for cargo-c");
    assert!(capi.contains("name = \"adobe_target\"") && capi.contains("\nversion = \"1.0.0\"\n"), "{capi}");
    assert!(config.contains("IMPORTED_SONAME \"libadobe_target.so.1\""), "{config}");
    let dynamic = shown(&succeed(Command::new("readelf").arg("-d").arg(shared())));
    assert!(dynamic.contains("[libadobe_target.so.1]") && dynamic.contains("NODELETE"), "{dynamic}");
}

/// Where cargo-c is installed, what it installs works as well. It builds everything anew, so it has to be asked for.
#[test]
#[ignore = "needs cargo-c and builds everything anew"]
fn cargo_c_installs_the_same() {
    built();
    let scratch = Scratch::new("cargo-c");
    let prefix = scratch.file("prefix");
    let mut cargo = Command::new("cargo");
    cargo.args(["cinstall", "--release", "--locked", "--libdir=lib", "--prefix"]).arg(&prefix).current_dir(CRATE);
    succeed(&mut cargo);
    let moved = |name: String| name.replace("lib/cmake/", "share/cmake/");
    assert_eq!(files(&prefix), expected("lib").into_iter().map(moved).collect());
    let shared = prefix.join("lib/libadobe_target.so.1.0.0");
    let dynamic = shown(&succeed(Command::new("readelf").arg("-d").arg(&shared)));
    assert!(dynamic.contains("[libadobe_target.so.1]") && dynamic.contains("NODELETE"), "{dynamic}");
    let exported: BTreeSet<String> = exported_symbols(&shared).into_iter().collect();
    assert_eq!(exported, globals(&installed::archive()));
    let pc = fs::read_to_string(prefix.join("lib/pkgconfig/adobe-target.pc")).unwrap();
    assert!(pc.contains(&format!("\nLibs.private: {NATIVE_LIBRARIES}\n")), "{pc}");
    cmake_programs_work(&prefix, &scratch);
    for (line, check) in pkg_config_lines().iter().zip([uses_the_shared_library, has_the_library_in_it]) {
        let program = scratch.file("program");
        typed(line, &prefix, &program);
        check(&program);
        does_the_main_job(&program, &prefix.join("lib"));
    }
    // What the page tells to do for a neighbour that is written in Rust, in place.
    let archive = prefix.join("lib/libadobe_target.a");
    assert!(globals(&archive).len() > exported.len());
    succeed(Command::new("abi/localise").args([&archive, &archive]).arg("abi/symbols.txt").current_dir(CRATE));
    assert_eq!(globals(&archive), exported);
    cmake_programs_work(&prefix, &scratch);
}
