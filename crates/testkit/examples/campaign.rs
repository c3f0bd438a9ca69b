//! Writes the made-up campaign of the demo: `cargo run -p incamera-testkit --example campaign
//! FOLDER [SEED]` makes the three files in FOLDER and prints what is true of them.
#![allow(clippy::print_stdout)]

use std::path::PathBuf;
use std::time::Instant;

use incamera_testkit::campaign::Campaign;

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let mut arguments = std::env::args().skip(1);
    let folder = PathBuf::from(arguments.next().ok_or("usage: campaign FOLDER [SEED]")?);
    let seed = arguments.next().map_or(Ok(1), |seed| seed.parse())?;
    let campaign = Campaign::new(100_000, seed);
    let started = Instant::now();
    let rows = campaign.write(&folder)?;
    println!("{rows:?} in {:.2} s", started.elapsed().as_secs_f64());
    let started = Instant::now();
    let truth = campaign.truth(&folder)?;
    println!("{truth}\nread in {:.2} s", started.elapsed().as_secs_f64());
    println!("stands once: {}", campaign.known_email());
    Ok(())
}
