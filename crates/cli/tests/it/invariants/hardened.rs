//! I1 in a crash: a service's memory holds keys and rows, and goes to no file.

use crate::world::World;

#[test]
fn i1_a_service_leaves_no_core_dump() {
    let world = World::agreed();
    world.start();
    for name in ["shop", "mailer", "room"] {
        let process = world.stage.process(name).unwrap();
        let limits = std::fs::read_to_string(format!("/proc/{process}/limits")).unwrap();
        let core = limits
            .lines()
            .find(|line| line.starts_with("Max core file size"));
        let words: Vec<_> = core.unwrap().split_whitespace().collect();
        assert_eq!(words[4..6], ["0", "0"], "{name}: soft and hard limit");
    }
}
