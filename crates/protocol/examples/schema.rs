//! Writes `docs/protocol.schema.json` anew: `cargo run -p protocol --example schema`.

use std::path::Path;

fn main() -> std::io::Result<()> {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs/protocol.schema.json");
    std::fs::write(&path, format!("{:#}\n", protocol::schema()))?;
    println!("wrote {}", path.display());
    Ok(())
}
