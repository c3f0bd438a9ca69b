//! docs/proposals.md, as people would go through it.

use std::process::{Command, Stdio};

use super::repository;
use super::texts::shell_commands;
use crate::help::{stderr, stdout};
use crate::world::{Data, PROGRAM, World};

/// The TOML blocks of a text.
fn blocks(text: &str) -> Vec<String> {
    let parts = text.split("```toml\n").skip(1);
    let parts = parts.map(|part| part.split("```").next().unwrap());
    parts.map(str::to_owned).collect()
}

/// A command typed in the world's folder; nobody is there to say yes.
fn types(world: &World, command: &str) -> String {
    let command = match command.contains("query run") {
        true => format!("{command} --yes"),
        false => command.to_owned(),
    };
    let folder = std::path::Path::new(PROGRAM).parent().unwrap();
    let path = std::env::var("PATH").unwrap();
    let output = Command::new("sh")
        .args(["-e", "-c", &command])
        .current_dir(world.root())
        .env("PATH", format!("{}:{path}", folder.display()))
        .stdin(Stdio::null())
        .output()
        .unwrap();
    assert!(output.status.success(), "{command}\n{}", stderr(&output));
    stdout(&output)
}

#[test]
fn docs_proposals_works_as_written() {
    let text = std::fs::read_to_string(repository().join("docs/proposals.md")).unwrap();
    let [section, draft] = blocks(&text).try_into().unwrap();
    // The day of the text passes; the agreement's last day does not.
    let section: Vec<&str> = section
        .lines()
        .filter(|line| !line.starts_with("until"))
        .collect();
    let world = World::agreed_as(|agreement| format!("{agreement}\n{}\n", section.join("\n")));
    world.prepare(&Data::small());
    std::fs::write(world.root().join("reach.toml"), draft).unwrap();
    let commands = shell_commands(&text);
    assert_eq!(commands.len(), 8, "{commands:#?}");
    let mut said = commands.iter().map(|command| types(&world, command));
    let mut next = |words: &str| {
        let said = said.next().unwrap();
        assert!(said.contains(words), "`{words}`: {said}");
    };
    next("`reach` is proposed by mailer/ana");
    next("`shop` has approved `reach`");
    next("`mailer` has approved `reach`");
    next("epsilon 0.5");
    next("not mailed");
    next("approved by every owner whose data it reads");
    next("`reach` by mailer/ana");
    next("`shop` has taken its approval back");
}
