//! Takes plotly.js out of the crate that carries it and compresses it for the binary.

use std::io::Write;
use std::path::Path;

use flate2::{Compression, write::GzEncoder};

fn main() {
    println!("cargo::rerun-if-changed=build.rs");
    let tags = plotly::Plot::offline_js_sources();
    let library = tags
        .split_once('>')
        .and_then(|(_, rest)| rest.split_once("</script>"))
        .map(|(library, _)| library.trim())
        .filter(|library| library.starts_with("/**\n* plotly.js v"))
        .expect("the first script tag of the plotly crate holds plotly.js");
    let folder = std::env::var_os("OUT_DIR").expect("cargo names the output directory");
    let file = std::fs::File::create(Path::new(&folder).join("plotly.min.js.gz"))
        .expect("the output directory can be written");
    let mut encoder = GzEncoder::new(file, Compression::new(7));
    encoder
        .write_all(library.as_bytes())
        .expect("the library can be compressed");
    encoder.finish().expect("the file can be written");
}
