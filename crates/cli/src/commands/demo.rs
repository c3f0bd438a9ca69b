//! `demo`: the whole story on generated data, every step real, adversaries included.
//!
//! The demo is a person at a keyboard: it runs the commands that the README walks through,
//! in processes of their own, and tells what came back. Between every two of them stands a
//! recording proxy, so that it can search the traffic afterwards.

mod adversary;
mod cast;
mod story;
mod tap;

use std::path::Path;

use incamera_net::telemetry;
use incamera_testkit::stage::Stage;

use crate::args::Demo;
use crate::commands::block_on;
use crate::failure::{Context, Done, Failure};
use crate::printer::Printer;

/// Marks a folder as made by the demo, which may therefore clear it.
const MARK: &str = ".incamera-demo";

/// Plays the story. Ctrl-C, or being told to end, ends it and everything it started.
pub fn run(arguments: &Demo, printer: &Printer) -> Done {
    prepare(&arguments.folder)?;
    let root = std::fs::canonicalize(&arguments.folder).or_fail("the folder was not found")?;
    block_on(async {
        let program = std::env::current_exe().or_fail("the program did not find itself")?;
        let stage = std::sync::Arc::new(Stage::new(program));
        let play = story::Play::new(root, arguments, *printer, stage.clone()).await?;
        // Kept here as well: the proxies in front of the services go with the play.
        let play = std::sync::Arc::new(play);
        let teller = play.clone();
        let told = tokio::task::spawn_blocking(move || teller.tell());
        let ended = tokio::select! {
            told = told => told.unwrap_or_else(|_| Err(Failure::failed("the demo broke off"))),
            () = telemetry::shutdown() => Err(Failure::failed("interrupted")),
        };
        stage.close();
        if ended.is_ok() && arguments.stay {
            printer.note("Everything is left running; Ctrl-C ends it.");
            telemetry::shutdown().await;
        }
        stage.stop_all();
        ended
    })
}

/// Makes the folder, or clears one of an earlier run.
fn prepare(folder: &Path) -> Done {
    let what = format!("the folder `{}` was not made", folder.display());
    if folder.join(MARK).is_file() {
        std::fs::remove_dir_all(folder).or_fail(&what)?;
    }
    let taken = std::fs::read_dir(folder).is_ok_and(|mut entries| entries.next().is_some());
    if taken {
        return Err(Failure::usage(what)
            .why("it is there and was not made by the demo")
            .hint("name another folder: `incamera demo FOLDER`"));
    }
    std::fs::create_dir_all(folder).or_fail(&what)?;
    std::fs::write(folder.join(MARK), "made by `incamera demo`\n").or_fail(&what)
}
