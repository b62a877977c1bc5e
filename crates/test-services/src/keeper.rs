//! Servers that do not outlive the process that started them.

use std::io;
use std::path::Path;
use std::process::{Child, Command};
use std::sync::mpsc;

/// What the folders of servers are called; the process id of their owner follows.
pub(crate) const FOLDER_PREFIX: &str = "forebay-service-";

/// Starts the command from a thread that never ends: the kernel ends the child with the thread
/// that started it, and a test's thread ends long before its process.
pub(crate) fn spawn(mut command: Command) -> io::Result<Child> {
    let (sender, receiver) = mpsc::channel();
    std::thread::Builder::new()
        .name("service-keeper".into())
        .spawn(move || {
            // A receiver that is gone has panicked; then the child ends with this process.
            let _ = sender.send(command.spawn());
            loop {
                std::thread::park();
            }
        })?;
    receiver
        .recv()
        .map_err(|_| io::Error::other("the thread that starts servers has ended"))?
}

/// Removes the folders of servers whose owner is gone: one that was killed could not.
pub(crate) fn sweep(folder: &Path) {
    let Ok(entries) = std::fs::read_dir(folder) else {
        return;
    };
    for entry in entries.flatten() {
        let name = entry.file_name();
        let owner = name
            .to_str()
            .and_then(|name| name.strip_prefix(FOLDER_PREFIX))
            .and_then(|rest| rest.split('-').next())
            .and_then(|owner| owner.parse::<u32>().ok());
        if owner.is_some_and(|owner| !Path::new("/proc").join(owner.to_string()).exists()) {
            // Another process may be sweeping too.
            let _ = std::fs::remove_dir_all(entry.path());
        }
    }
}
