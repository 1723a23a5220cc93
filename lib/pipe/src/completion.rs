//! A tool's table as completion scripts for shells.

use crate::entries::entries;
use crate::flags::{Options, Tool};
use std::fmt::Write;

/// A completion script for bash.
pub fn bash<A: Options>(tool: &Tool<A>) -> String {
    let function = format!("_{}", tool.name.replace('-', "_"));
    let flags: Vec<_> = entries(tool).iter().map(|entry| format!("--{}", entry.long)).collect();
    let mut cases = String::new();
    for entry in entries(tool).iter().filter(|entry| entry.value.contains('|')) {
        let words = entry.value.replace('|', " ");
        let _ = writeln!(cases, "    --{}) COMPREPLY=($(compgen -W '{words}' -- \"$word\")); return ;;", entry.long);
    }
    format!(
        "{function}() {{\n  local word=${{COMP_WORDS[COMP_CWORD]}} previous=${{COMP_WORDS[COMP_CWORD-1]}}\n  case \
         $previous in\n{cases}  esac\n  if [[ $word == -* ]]; then\n    COMPREPLY=($(compgen -W '{}' -- \"$word\"))\n  else\n    COMPREPLY=($(compgen -f -- \"$word\"))\n  fi\n}}\ncomplete -o filenames -F {function} {}\n",
        flags.join(" "),
        tool.name
    )
}

/// A completion script for zsh.
pub fn zsh<A: Options>(tool: &Tool<A>) -> String {
    let mut text = format!("#compdef {}\n_arguments -s \\\n", tool.name);
    for entry in entries(tool) {
        let help = entry
            .summary
            .replace('`', "")
            .replace('\'', "'\\''")
            .replace('[', "\\[")
            .replace(']', "\\]")
            .replace(':', "\\:");
        let action = match entry.value {
            "" => String::new(),
            value if value.contains('|') => format!(":value:({})", value.replace('|', " ")),
            value if value.contains("FILE") || value.contains("DIR") => format!(":{value}:_files"),
            value => format!(":{value}:"),
        };
        let _ = writeln!(text, "  '--{}[{help}]{action}' \\", entry.long);
    }
    text + "  '*:file:_files'\n"
}

/// A completion script for fish.
pub fn fish<A: Options>(tool: &Tool<A>) -> String {
    let mut text = String::new();
    for entry in entries(tool) {
        let help = entry.summary.replace('`', "").replace('\\', "\\\\").replace('\'', "\\'");
        let short = entry.short.map_or(String::new(), |letter| format!(" -s {letter}"));
        let value = match entry.value {
            "" => String::new(),
            value if value.contains('|') => format!(" -x -a '{}'", value.replace('|', " ")),
            _ => " -r".to_string(),
        };
        let _ = writeln!(text, "complete -c {} -l {}{short}{value} -d '{help}'", tool.name, entry.long);
    }
    text
}
