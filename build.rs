//! Link arguments of the shared library, nothing else.

fn main() {
    println!("cargo:rerun-if-changed=build.rs");
    if std::env::var("CARGO_CFG_TARGET_OS").as_deref() == Ok("linux") {
        // The soname's number is target_abi_version().
        println!("cargo:rustc-cdylib-link-arg=-Wl,-soname,libadobe_target.so.1");
        // Threads and fork handlers of the library may outlive a dlclose: it stays mapped.
        println!("cargo:rustc-cdylib-link-arg=-Wl,-z,nodelete");
    }
}
