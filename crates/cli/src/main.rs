//! The `incamera` command: one verb per intention.
//!
//! Thin: it reads arguments and files, calls the libraries, and shows what came back.

mod agreement_error;
mod args;
mod commands;
mod failure;
mod folder;
mod printer;

use std::process::ExitCode;

use clap::Parser;

use crate::args::Arguments;
use crate::printer::{Printer, Style};

fn main() -> ExitCode {
    let arguments = Arguments::parse();
    let style = if arguments.json { Style::Json } else { Style::Text };
    let printer = Printer::new(style, arguments.quiet);
    match commands::run(arguments.command, &printer) {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => failure.report(&printer),
    }
}
