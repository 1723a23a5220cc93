//! How a tool is run on valid input.

use crate::folder::Folder;
use crate::run::Run;

/// What the contract must know of a tool.
pub struct Tool {
    /// Its name.
    pub name: &'static str,
    /// Where it is: `env!("CARGO_BIN_EXE_...")`.
    pub program: &'static str,
    /// Its folder in the source: `env!("CARGO_MANIFEST_DIR")`.
    pub source: &'static str,
    /// Arguments of a run on the input, without the input's name.
    pub args: &'static [&'static str],
    /// Flags among the arguments that name an input file.
    pub side_files: &'static [&'static str],
    /// Values that are refused: the flag, the value.
    pub wrong_values: &'static [(&'static str, &'static str)],
    /// Writes the side files for an input of so many rows.
    pub prepare: fn(&Folder, usize),
    /// A valid input of so many rows.
    pub input: fn(usize) -> Vec<u8>,
}

/// The name of the input file.
pub const INPUT: &str = "docs.jsonl";

impl Tool {
    /// Whether it has this flag, by its own completion script.
    pub fn has(&self, flag: &str) -> bool {
        self.flags().iter().any(|known| known == flag)
    }

    /// All its flags, by its own completion script.
    pub fn flags(&self) -> Vec<String> {
        let script = Run::new(self.program, &Folder::new()).args(["--completion", "bash"]).text();
        let words = script.rsplit("compgen -W '").next().and_then(|rest| rest.split('\'').next());
        words.expect("the script lists the flags").split(' ').map(str::to_string).collect()
    }

    /// A folder with the tool's side files and an input of so many rows.
    pub fn folder(&self, rows: usize) -> Folder {
        self.folder_of(rows, &(self.input)(rows))
    }

    /// A folder with the tool's side files for so many rows, and this input.
    pub fn folder_of(&self, rows: usize, input: &[u8]) -> Folder {
        let folder = Folder::new();
        (self.prepare)(&folder, rows);
        folder.write(INPUT, input);
        folder
    }

    /// A run without any arguments.
    pub fn bare(&self, folder: &Folder) -> Run {
        Run::new(self.program, folder)
    }

    /// A run on what comes after: operands, flags, standard input.
    pub fn run(&self, folder: &Folder) -> Run {
        self.bare(folder).args(self.args)
    }

    /// The command line of a run on what comes after, for a shell that finds the built programs.
    pub fn command(&self) -> String {
        let args = self.args.iter().map(|arg| format!(" '{arg}'")).collect::<String>();
        self.name.to_string() + &args
    }

    /// A run on the input file.
    pub fn run_on_input(&self, folder: &Folder) -> Run {
        self.run(folder).args([INPUT])
    }

    /// What a run over an input of so many rows prints.
    pub fn output(&self, rows: usize) -> Vec<u8> {
        self.run_on_input(&self.folder(rows)).output()
    }
}

/// The lines of some output, without their newlines.
pub fn lines(bytes: &[u8]) -> Vec<&[u8]> {
    let mut lines: Vec<_> = bytes.split(|&byte| byte == b'\n').collect();
    assert_eq!(lines.pop(), Some(&b""[..]), "the last line has a newline");
    lines
}
