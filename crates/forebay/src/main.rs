//! The program `forebay`: see `forebay --help`.

mod program;

fn main() -> std::process::ExitCode {
    program::main()
}
