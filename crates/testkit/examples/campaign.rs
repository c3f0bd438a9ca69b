//! Writes the made-up campaign of the demo: `cargo run -p incamera-testkit --example campaign
//! FOLDER [SEED]` makes `FOLDER/mailer` and `FOLDER/shop` and prints what is true of them.
#![allow(clippy::print_stdout)]

use std::path::PathBuf;
use std::time::Instant;

use incamera_testkit::campaign::{Campaign, Clamps, lift_truth};

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let mut arguments = std::env::args().skip(1);
    let folder = PathBuf::from(arguments.next().ok_or("usage: campaign FOLDER [SEED]")?);
    let seed = arguments.next().map_or(Ok(1), |seed| seed.parse())?;
    let started = Instant::now();
    let campaign = Campaign {
        seed,
        ..Campaign::default()
    };
    let files = campaign.write(&folder.join("mailer"), &folder.join("shop"))?;
    println!(
        "{files:#?}\nwritten in {:.2} s",
        started.elapsed().as_secs_f64()
    );
    let (from, until) = Campaign::window();
    let clamps = Clamps {
        amount: (0, 50_000),
        spend: (0, 40_000),
    };
    let started = Instant::now();
    let truth = lift_truth(&files, from, until, clamps)?;
    println!(
        "{truth:#?}\nread in {:.2} s",
        started.elapsed().as_secs_f64()
    );
    Ok(())
}
