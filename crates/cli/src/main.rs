//! The `incamera` command: one verb per intention.
//!
//! Thin: it reads arguments and files, calls the libraries, and shows what came back.

mod agreement_error;
mod args;
mod ask;
mod clock;
mod commands;
mod endpoint;
mod export;
mod failure;
mod folder;
mod interrupt;
mod kept;
mod newer;
mod printer;
mod receipt;
mod spending;
mod words;

use std::process::ExitCode;

use clap::Parser;

use crate::args::Arguments;
use crate::failure::{Exit, Failure};
use crate::printer::{Printer, Style};

fn main() -> ExitCode {
    // Before a key or a row is in memory.
    incamera_net::harden();
    let arguments = match Arguments::try_parse() {
        Ok(arguments) => arguments,
        Err(error) => return misused(&error),
    };
    let style = if arguments.json {
        Style::Json
    } else {
        Style::Text
    };
    let printer = Printer::new(style, arguments.quiet);
    let done = commands::run(arguments.command, &printer);
    match done.and_then(|()| printer.all_written()) {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => failure.report(&printer),
    }
}

/// Help and version are results. Wrong use is a failure: as one JSON document where that is
/// asked for, otherwise as the parser of arguments words it.
fn misused(error: &clap::Error) -> ExitCode {
    let json = std::env::args_os().any(|argument| argument == "--json");
    if json && error.use_stderr() {
        return Failure::misused(error).report(&Printer::new(Style::Json, true));
    }
    // A reader that went away is no error.
    let _ = error.print();
    ExitCode::from(if error.use_stderr() {
        Exit::Usage as u8
    } else {
        0
    })
}
