//! The C ABI as a program finds it that loads the shared library, and as it is linked into this program, where its
//! allocations can be counted.

#![allow(dead_code, reason = "each of the benchmarks that share this calls some of it")]

use std::ffi::{CStr, CString, c_char, c_int, c_void};
use std::path::{Path, PathBuf};

const OK: i32 = 0;

type Create = unsafe extern "C" fn(*const c_char, *mut *mut c_void, *mut *mut c_char) -> i32;
type Offers = unsafe extern "C" fn(*mut c_void, *const c_char, *mut *mut c_char) -> i32;
type Attributes = unsafe extern "C" fn(*mut c_void, *const c_char, *const c_char, *mut *mut c_char) -> i32;
type Ask = unsafe extern "C" fn(*mut c_void, *mut *mut c_char) -> i32;
type Flush = unsafe extern "C" fn(*mut c_void, u64, *mut *mut c_char) -> i32;
type FreeClient = unsafe extern "C" fn(*mut c_void);
type FreeString = unsafe extern "C" fn(*mut c_char);

/// The functions of the C ABI that are measured.
#[derive(Clone, Copy)]
pub struct Library {
    create: Create,
    offers: Offers,
    attributes: Attributes,
    enqueue: Offers,
    flush: Flush,
    refresh: Ask,
    stats: Ask,
    free_client: FreeClient,
    free_string: FreeString,
}

mod linked {
    use std::ffi::{c_char, c_void};

    // The names are exported by the library that this program links.
    use adobe_target as _;

    unsafe extern "C" {
        pub fn target_client_create(config: *const c_char, client: *mut *mut c_void, result: *mut *mut c_char) -> i32;
        pub fn target_get_offers(client: *mut c_void, options: *const c_char, result: *mut *mut c_char) -> i32;
        pub fn target_get_attributes(
            client: *mut c_void,
            names: *const c_char,
            options: *const c_char,
            result: *mut *mut c_char,
        ) -> i32;
        pub fn target_enqueue_notifications(
            client: *mut c_void,
            options: *const c_char,
            result: *mut *mut c_char,
        ) -> i32;
        pub fn target_flush(client: *mut c_void, timeout_ms: u64, result: *mut *mut c_char) -> i32;
        pub fn target_client_refresh(client: *mut c_void, result: *mut *mut c_char) -> i32;
        pub fn target_client_stats(client: *mut c_void, result: *mut *mut c_char) -> i32;
        pub fn target_client_free(client: *mut c_void);
        pub fn target_string_free(text: *mut c_char);
    }
}

impl Library {
    /// The one in this program.
    pub fn linked() -> Self {
        Library {
            create: linked::target_client_create,
            offers: linked::target_get_offers,
            attributes: linked::target_get_attributes,
            enqueue: linked::target_enqueue_notifications,
            flush: linked::target_flush,
            refresh: linked::target_client_refresh,
            stats: linked::target_client_stats,
            free_client: linked::target_client_free,
            free_string: linked::target_string_free,
        }
    }

    /// The shared library in that file, with an allocator and a state of its own.
    pub fn shared(file: &Path) -> Option<Self> {
        let file = CString::new(file.to_str()?).ok()?;
        // SAFETY: the path is a C string. The library stays loaded as long as the process lives.
        let handle = unsafe { libc::dlopen(file.as_ptr(), libc::RTLD_NOW as c_int) };
        if handle.is_null() {
            return None;
        }
        let symbol = |name: &CStr| {
            // SAFETY: the handle is an open one.
            let found = unsafe { libc::dlsym(handle, name.as_ptr()) };
            (!found.is_null()).then_some(found)
        };
        // SAFETY: the header gives these functions these prototypes.
        unsafe {
            Some(Library {
                create: std::mem::transmute::<*mut c_void, Create>(symbol(c"target_client_create")?),
                offers: std::mem::transmute::<*mut c_void, Offers>(symbol(c"target_get_offers")?),
                attributes: std::mem::transmute::<*mut c_void, Attributes>(symbol(c"target_get_attributes")?),
                enqueue: std::mem::transmute::<*mut c_void, Offers>(symbol(c"target_enqueue_notifications")?),
                flush: std::mem::transmute::<*mut c_void, Flush>(symbol(c"target_flush")?),
                refresh: std::mem::transmute::<*mut c_void, Ask>(symbol(c"target_client_refresh")?),
                stats: std::mem::transmute::<*mut c_void, Ask>(symbol(c"target_client_stats")?),
                free_client: std::mem::transmute::<*mut c_void, FreeClient>(symbol(c"target_client_free")?),
                free_string: std::mem::transmute::<*mut c_void, FreeString>(symbol(c"target_string_free")?),
            })
        }
    }

    /// Makes a client, or hands back the error object.
    pub fn client(self, config: &CStr) -> Result<Client, String> {
        let (mut client, mut result) = (std::ptr::null_mut(), std::ptr::null_mut());
        // SAFETY: the text lives for the call, and both places are written to.
        let status = unsafe { (self.create)(config.as_ptr(), &mut client, &mut result) };
        let text = self.take(result);
        if status == OK { Ok(Client { library: self, client }) } else { Err(text) }
    }

    fn take(self, result: *mut c_char) -> String {
        if result.is_null() {
            return String::new();
        }
        // SAFETY: a result is a C string that is ours until it is freed, here and once.
        unsafe {
            let text = CStr::from_ptr(result).to_string_lossy().into_owned();
            (self.free_string)(result);
            text
        }
    }
}

/// Cargo puts the library of a benchmark beside the benchmark or one folder up.
pub fn shared_library() -> Option<PathBuf> {
    let benchmark = std::env::current_exe().ok()?;
    benchmark.ancestors().skip(1).take(2).map(|folder| folder.join("libadobe_target.so")).find(|file| file.is_file())
}

/// A client of the C ABI.
pub struct Client {
    library: Library,
    client: *mut c_void,
}

// SAFETY: the header lets any thread call any function on a client at any time; it is freed by its only owner.
unsafe impl Send for Client {}
// SAFETY: as above.
unsafe impl Sync for Client {}

impl Client {
    /// Calls and frees the result, as a host does. Whether it was one.
    pub fn offers(&self, options: &CStr) -> bool {
        let mut result = std::ptr::null_mut();
        // SAFETY: the client is open, the text lives for the call, and the result is freed once.
        unsafe {
            let status = (self.library.offers)(self.client, options.as_ptr(), &mut result);
            (self.library.free_string)(result);
            status == OK
        }
    }

    pub fn attributes(&self, names: &CStr, options: &CStr) -> bool {
        let mut result = std::ptr::null_mut();
        // SAFETY: as above.
        unsafe {
            let status = (self.library.attributes)(self.client, names.as_ptr(), options.as_ptr(), &mut result);
            (self.library.free_string)(result);
            status == OK
        }
    }

    /// Calls and copies the result, be it an error object.
    pub fn offers_text(&self, options: &CStr) -> String {
        let mut result = std::ptr::null_mut();
        // SAFETY: as above.
        unsafe { (self.library.offers)(self.client, options.as_ptr(), &mut result) };
        self.library.take(result)
    }

    pub fn attributes_text(&self, names: &CStr, options: &CStr) -> String {
        let mut result = std::ptr::null_mut();
        // SAFETY: as above.
        unsafe { (self.library.attributes)(self.client, names.as_ptr(), options.as_ptr(), &mut result) };
        self.library.take(result)
    }

    /// Calls and frees the result, as a host does. Whether the notifications were taken.
    pub fn enqueue(&self, options: &CStr) -> bool {
        let mut result = std::ptr::null_mut();
        // SAFETY: as above.
        unsafe {
            let status = (self.library.enqueue)(self.client, options.as_ptr(), &mut result);
            (self.library.free_string)(result);
            status == OK
        }
    }

    /// Calls and copies the result, be it an error object.
    pub fn enqueue_text(&self, options: &CStr) -> String {
        let mut result = std::ptr::null_mut();
        // SAFETY: as above.
        unsafe { (self.library.enqueue)(self.client, options.as_ptr(), &mut result) };
        self.library.take(result)
    }

    /// The counts, be it in an error object.
    pub fn flush(&self, timeout_ms: u64) -> String {
        let mut result = std::ptr::null_mut();
        // SAFETY: as above.
        unsafe { (self.library.flush)(self.client, timeout_ms, &mut result) };
        self.library.take(result)
    }

    /// Downloads the artifact, or hands back the error object.
    pub fn refresh(&self) -> Result<(), String> {
        let mut result = std::ptr::null_mut();
        // SAFETY: as above.
        let status = unsafe { (self.library.refresh)(self.client, &mut result) };
        let text = self.library.take(result);
        if status == OK { Ok(()) } else { Err(text) }
    }

    pub fn stats(&self) -> String {
        let mut result = std::ptr::null_mut();
        // SAFETY: as above.
        unsafe { (self.library.stats)(self.client, &mut result) };
        self.library.take(result)
    }
}

impl Drop for Client {
    fn drop(&mut self) {
        // SAFETY: nobody else has it any more.
        unsafe { (self.library.free_client)(self.client) }
    }
}
