//! `densight-camera`: see [`densight::cli`].

fn main() -> std::process::ExitCode {
    densight::cli::densight_camera()
}
