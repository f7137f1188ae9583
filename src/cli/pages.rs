//! `densight pages`: what packages install beside the programs, made from their own help.

use std::io;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use clap::CommandFactory;
use clap_complete::Shell;

use crate::error::{Error, ErrorKind};

/// Write manual pages and completions for bash, zsh and fish to a folder
#[derive(Debug, clap::Args)]
pub(super) struct Args {
    /// Folder, created if it is missing
    folder: PathBuf,
}

/// Runs the command.
///
/// # Errors
/// [`ErrorKind::Output`] for files that cannot be written.
pub(super) fn run(args: &Args) -> anyhow::Result<ExitCode> {
    for command in [super::Densight::command(), super::camera::Args::command()] {
        write(command, &args.folder).map_err(|error| Error::io(ErrorKind::Output, "write to", &args.folder, error))?;
    }
    Ok(ExitCode::SUCCESS)
}

fn write(command: clap::Command, folder: &Path) -> io::Result<()> {
    std::fs::create_dir_all(folder)?;
    // A page for the program and one for each of its commands, `densight-quantize.1`, but not for `help` and its own.
    clap_mangen::generate_to(command.clone().disable_help_subcommand(true), folder)?;
    let (mut command, name) = (command.clone(), command.get_name().to_owned());
    for shell in [Shell::Bash, Shell::Zsh, Shell::Fish] {
        clap_complete::generate_to(shell, &mut command, &name, folder)?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_programs_and_every_command_have_a_page() {
        let folder = tempfile::tempdir().unwrap();
        run(&Args { folder: folder.path().join("new") }).unwrap();
        let entries = folder.path().join("new").read_dir().unwrap();
        let names: Vec<String> = entries.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
        for expected in [
            "densight.1",
            "densight-camera.1",
            "densight-quantize.1",
            "densight.bash",
            "_densight-camera",
            "densight.fish",
        ] {
            assert!(names.iter().any(|name| name == expected), "{expected} in {names:?}");
        }
        let needless = |name: &String| name == "densight-pages.1" || name.starts_with("densight-help");
        assert!(!names.iter().any(needless), "{names:?}");
        let page = std::fs::read_to_string(folder.path().join("new/densight-camera.1")).unwrap();
        assert!(page.contains("no\\-reconnect"));
    }
}
