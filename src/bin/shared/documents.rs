//! How do a program's manual page and its completions come out of its arguments?
//!
//! What the arguments are is said once, where they are defined. Here that gets the form of a page,
//! with the sections that are not about arguments behind it.

use std::io::{self, ErrorKind, Write};
use std::process::ExitCode;

use clap::Command;
use clap_complete::Shell;
use clap_mangen::Man;
use clap_mangen::roff::{Roff, bold, italic, roman};

/// A section of a manual page.
pub struct Section {
    /// Its title, in capitals.
    pub title: &'static str,
    /// What stands in it.
    pub body: Body,
}

/// What stands in a section.
pub enum Body {
    /// Paragraphs.
    Text(&'static [&'static str]),
    /// Words, and what is to be said about each.
    List(&'static [(&'static str, &'static str)]),
    /// Lines that are shown as they are.
    Lines(&'static str),
}

/// The completions of a program for a shell.
pub fn completions(mut command: Command, shell: Shell) -> Vec<u8> {
    let mut script = Vec::new();
    let name = command.get_name().to_owned();
    clap_complete::generate(shell, &mut command, name, &mut script);
    script
}

/// The manual page of a program, in roff. `synopsis` is how it is called, a way a line.
///
/// # Errors
/// None, since it is written into memory.
pub fn manual(
    mut command: Command,
    synopsis: &[&str],
    sections: &[Section],
) -> io::Result<Vec<u8>> {
    // Only then does each command know how it is called.
    command.build();
    let mut page = Vec::new();
    let man = Man::new(command.clone()).manual("Lastword");
    man.render_title(&mut page)?;
    man.render_name_section(&mut page)?;
    let mut roff = Roff::new();
    roff.control("SH", ["SYNOPSIS"]);
    for way in synopsis {
        roff.text([bold(*way)]);
        roff.control("br", []);
    }
    roff.to_writer(&mut page)?;
    man.render_description_section(&mut page)?;
    man.render_options_section(&mut page)?;
    let mut roff = Roff::new();
    add_commands(&command, &mut roff);
    for Section { title, body } in sections {
        roff.control("SH", [*title]);
        match body {
            Body::Text(paragraphs) => {
                for paragraph in *paragraphs {
                    roff.control("PP", []);
                    roff.text([roman(*paragraph)]);
                }
            }
            Body::List(entries) => {
                for (word, meaning) in *entries {
                    add_entry(word, meaning, &mut roff);
                }
            }
            Body::Lines(lines) => {
                roff.control("nf", []);
                for line in lines.lines() {
                    roff.text([roman(line)]);
                }
                roff.control("fi", []);
            }
        }
    }
    roff.to_writer(&mut page)?;
    Ok(page)
}

/// Every command with its own arguments.
fn add_commands(command: &Command, roff: &mut Roff) {
    let is_shown = |command: &&Command| !command.is_hide_set() && command.get_name() != "help";
    let mut commands = command.get_subcommands().filter(is_shown).peekable();
    if commands.peek().is_none() {
        return;
    }
    roff.control("SH", ["COMMANDS"]);
    for command in commands {
        let mut words = vec![command.get_name().to_owned()];
        let own = command.get_arguments().filter(|it| {
            !it.is_global_set() && !matches!(it.get_id().as_str(), "help" | "version")
        });
        let (options, names): (Vec<_>, Vec<_>) = own.partition(|it| !it.is_positional());
        words.extend(options.iter().map(|option| format!("[{option}]")));
        words.extend(names.iter().map(ToString::to_string));
        roff.control("SS", [words.join(" ").as_str()]);
        if let Some(about) = command.get_long_about().or_else(|| command.get_about()) {
            roff.text([roman(about.to_string())]);
        }
        for argument in names.into_iter().chain(options) {
            let help = argument.get_help().map(ToString::to_string);
            let mut help = help.unwrap_or_default();
            let defaults = argument.get_default_values();
            if let ([default], false) = (defaults, argument.is_hide_default_value_set())
                && argument.get_action().takes_values()
            {
                help.push_str(&format!(" [default: {}]", default.to_string_lossy()));
            }
            roff.control("TP", []);
            roff.text([italic(argument.to_string())]);
            roff.text([roman(help)]);
        }
    }
}

fn add_entry(word: &str, meaning: &str, roff: &mut Roff) {
    roff.control("TP", []);
    roff.text([bold(word)]);
    roff.text([roman(meaning)]);
}

/// Writes a document to standard output. A reader who leaves early ends it as any other tool.
pub fn print(document: &[u8]) -> ExitCode {
    const OUTPUT_CLOSED: u8 = 141;
    let mut output = io::stdout().lock();
    match output.write_all(document).and_then(|()| output.flush()) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) if error.kind() == ErrorKind::BrokenPipe => ExitCode::from(OUTPUT_CLOSED),
        Err(error) => {
            let _ = writeln!(io::stderr(), "standard output cannot be written: {error}");
            ExitCode::FAILURE
        }
    }
}
