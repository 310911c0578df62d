//! The `larder` binary: everything is in [`larder::cli`].

fn main() -> std::process::ExitCode {
    larder::cli::main()
}
