//! docs/providers.md, as two owners and three providers would go through it.

use super::*;

const PAGE: &str = include_str!("../../../../../docs/providers.md");
const EVERYBODY: [&str; 5] = ["shop", "mailer", "alpha", "beta", "gamma"];

/// The commands of "Setting it up", a line each, without what is said beside them.
fn commands() -> Vec<Vec<&'static str>> {
    let (_, rest) = PAGE.split_once("## Setting it up").unwrap();
    let (part, _) = rest.split_once("\n## ").unwrap();
    let blocks = part.split("```").skip(1).step_by(2);
    let lines = blocks.filter_map(|block| block.strip_prefix("text\n"));
    let lines = lines
        .flat_map(str::lines)
        .filter(|line| line.starts_with("incamera "));
    let words = |line: &'static str| {
        let command = line.split("  ").next().unwrap();
        command.split_whitespace().skip(1).collect()
    };
    lines.map(words).collect()
}

struct Walk {
    stage: Stage,
    folder: tempfile::TempDir,
    listen: BTreeMap<&'static str, SocketAddr>,
}

impl Walk {
    fn path(&self, name: &str) -> String {
        self.folder.path().join(name).display().to_string()
    }

    /// The page's words with this test's folders.
    fn place(&self, word: &str) -> String {
        let file = [".toml", ".csv"].iter().any(|end| word.ends_with(end));
        match file || EVERYBODY.contains(&word) {
            true => self.path(word),
            false => word.to_owned(),
        }
    }

    fn go(&self, words: &[&str]) {
        let mut all: Vec<String> = Vec::new();
        for (at, word) in words.iter().enumerate() {
            let name = at > 0 && words[at - 1] == "--name";
            all.push(if name {
                (*word).to_owned()
            } else {
                self.place(word)
            });
        }
        let owned = |word: &str| word.to_owned();
        match words {
            ["init", name, ..] => {
                let listen = self.listen[name].to_string();
                all.extend([owned("--listen"), listen]);
            }
            ["agreement", "sign", ..] => self.hand_out(),
            ["provider", "serve", "--party", name] => {
                let log = self.path(&format!("{name}.log"));
                let all: Vec<&str> = all.iter().map(String::as_str).collect();
                let listens = self.listen[name];
                let started = self.stage.start(name, &all, &[], Path::new(&log), listens);
                return started.unwrap();
            }
            _ => {}
        }
        let all: Vec<&str> = all.iter().map(String::as_str).collect();
        let outcome = self.stage.command(&all).unwrap();
        assert_eq!(outcome.code, 0, "{words:?}: {}", outcome.failure());
    }

    /// The agreement in everybody's folder, with the signatures that there are.
    fn hand_out(&self) {
        for to in EVERYBODY {
            let file = self.path(&format!("{to}/agreements/campaign.toml"));
            fs::copy(self.path("campaign.toml"), &file).unwrap();
        }
    }

    fn exchange(&self) {
        for (by, to) in EVERYBODY.iter().flat_map(|by| EVERYBODY.map(|to| (by, to))) {
            let signature =
                |at: &str| self.path(&format!("{at}/agreements/campaign.toml.{by}.sig"));
            if *by != to {
                fs::copy(signature(by), signature(to)).unwrap();
            }
        }
    }
}

#[test]
fn the_page_is_walked_command_by_command() {
    let walk = Walk {
        stage: Stage::new(PathBuf::from(PROGRAM)),
        folder: tempfile::tempdir().unwrap(),
        listen: EVERYBODY.map(|name| (name, free_address().unwrap())).into(),
    };
    let rows = |people: std::ops::Range<u32>, more: &str| -> String {
        people
            .map(|n| format!("p{n}@mail.example{more}\n"))
            .collect()
    };
    let customers = format!("email,consent\n{}", rows(0..60, ",ads;measurement"));
    let later = format!("email,consent\n{}", rows(0..70, ",ads;measurement"));
    let mailing = format!("email,mailed\n{}", rows(30..90, ",true"));
    for (file, text) in [
        ("customers.csv", customers),
        ("later.csv", later),
        ("mailing.csv", mailing),
    ] {
        fs::write(walk.path(file), text).unwrap();
    }
    let all = commands();
    let signed = all
        .iter()
        .rposition(|words| words.starts_with(&["agreement", "sign"]));
    let mut verbs: Vec<String> = Vec::new();
    for (at, words) in all.iter().enumerate() {
        walk.go(words);
        verbs.push(words[..2].join(" "));
        if Some(at) == signed {
            walk.exchange();
        }
    }
    for verb in [
        "init shop",
        "init gamma",
        "agreement new",
        "agreement check",
        "agreement sign",
        "provider serve",
        "provider keys",
        "match run",
        "provider status",
    ] {
        assert!(
            verbs.iter().any(|one| one == verb),
            "{verb} is not on the page"
        );
    }
    let crosswalk = |name: &str| {
        let folder = fs::read_dir(walk.path(&format!("{name}/crosswalks"))).unwrap();
        let file = folder
            .map(|file| file.unwrap().path())
            .find(|path| path.extension().is_some_and(|e| e == "parquet"));
        incamera_seal::Crosswalk::read(&file.unwrap()).unwrap()
    };
    let (shop, mailer) = (crosswalk("shop"), crosswalk("mailer"));
    assert_eq!((shop.iter().count(), mailer.iter().count()), (70, 60));
    let both = mailer
        .iter()
        .filter(|(id, theirs)| shop.lookup(id) == Some(*theirs));
    assert_eq!(both.count(), 40);
}
