//! Classifies each line of the standard input through the C ABI of libmedclf: the label and its probability.
//!
//!     classify BUNDLE < notes.txt

use std::ffi::{c_char, c_int, c_void, CStr, CString};
use std::io::BufRead;
use std::process::ExitCode;

/// The part of medclf.h that is used here; keep it in step with the header.
mod ffi {
    use super::*;

    pub const OK: c_int = 0;
    pub const ABI_VERSION: u32 = 1;

    #[link(name = "medclf")]
    extern "C" {
        pub fn medclf_abi_version() -> u32;
        pub fn medclf_open(path: *const c_char, options: *const c_void, classifier: *mut *mut c_void) -> c_int;
        pub fn medclf_close(classifier: *mut c_void);
        pub fn medclf_predict(
            classifier: *const c_void,
            text: *const c_char,
            size: usize,
            label: *mut usize,
            probabilities: *mut f32,
        ) -> c_int;
        pub fn medclf_n_labels(classifier: *const c_void) -> usize;
        pub fn medclf_label(classifier: *const c_void, index: usize) -> *const c_char;
        pub fn medclf_last_error() -> *const c_char;
    }
}

/// A model that is ready to answer.
struct Classifier(*mut c_void);

// libmedclf may be called with one classifier from any number of threads.
unsafe impl Send for Classifier {}
unsafe impl Sync for Classifier {}

impl Classifier {
    fn open(path: &str) -> Result<Self, String> {
        let path = CString::new(path).map_err(|_| "the path holds a NUL".to_string())?;
        let mut handle = std::ptr::null_mut();
        // SAFETY: the pointers live through the call, and NULL options are the defaults.
        match unsafe { ffi::medclf_open(path.as_ptr(), std::ptr::null(), &mut handle) } {
            ffi::OK => Ok(Self(handle)),
            _ => Err(last_error()),
        }
    }

    /// The most probable label of a text, and its probability.
    fn predict(&self, text: &str) -> Result<(String, f32), String> {
        let mut label = 0;
        // SAFETY: the handle is open; `probabilities` has room for every label; `text` needs no NUL.
        unsafe {
            let mut probabilities = vec![0.0; ffi::medclf_n_labels(self.0)];
            match ffi::medclf_predict(self.0, text.as_ptr().cast(), text.len(), &mut label, probabilities.as_mut_ptr()) {
                ffi::OK => Ok((string(ffi::medclf_label(self.0, label)), probabilities[label])),
                _ => Err(last_error()),
            }
        }
    }
}

impl Drop for Classifier {
    fn drop(&mut self) {
        // SAFETY: the handle is open, and nothing uses it any more.
        unsafe { ffi::medclf_close(self.0) }
    }
}

fn string(text: *const c_char) -> String {
    // SAFETY: libmedclf gives strings that end with a NUL and live until it is called again.
    unsafe { CStr::from_ptr(text) }.to_string_lossy().into_owned()
}

fn last_error() -> String {
    string(unsafe { ffi::medclf_last_error() })
}

fn run(bundle: &str) -> Result<(), String> {
    if unsafe { ffi::medclf_abi_version() } != ffi::ABI_VERSION {
        return Err("libmedclf is of another version than this program".to_string());
    }
    let classifier = Classifier::open(bundle)?;
    for (row, line) in std::io::stdin().lock().lines().enumerate() {
        let line = line.map_err(|error| format!("row {}: {}", row + 1, error.kind()))?;
        match classifier.predict(&line) {
            Ok((label, probability)) => println!("{}\t{label}\t{probability:.6}", row + 1),
            Err(message) => eprintln!("row {}: {message}", row + 1),
        }
    }
    Ok(())
}

fn main() -> ExitCode {
    let Some(bundle) = std::env::args().nth(1) else {
        eprintln!("usage: classify BUNDLE < notes.txt");
        return ExitCode::from(2);
    };
    match run(&bundle) {
        Ok(()) => ExitCode::SUCCESS,
        Err(message) => {
            eprintln!("{message}");
            ExitCode::FAILURE
        }
    }
}
