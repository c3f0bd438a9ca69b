//! Seeds of matching: exchanges, files of runs, providers, links and their files, ids.

use crate::seeds::{keep, of, read};

pub fn write() {
    vole();
    exchange();
    resumed();
    providers();
    links();
    ids();
    pairs();
}

/// The beginning of a run, the same with a changed byte, and a part of somebody's own. A whole
/// run takes seconds in a build for tests: from here the fuzzer finds its way by itself.
fn vole() {
    keep("vole", "first", [0, 0]);
    keep("vole", "changed", [3, 2, 20, 5, 1, 1]);
    let part = incamera_wire::v1::VolePart {
        direction: 0,
        step: 1,
        offset: 0,
        content: vec![7; 40],
    };
    let part = incamera_wire::encode(&part);
    let length = u16::try_from(part.len()).unwrap().to_be_bytes();
    keep("vole", "short", [&[0, 4][..], &length, &part].concat());
    let to_and_fro: Vec<u8> = [0, 1].into_iter().cycle().take(200).collect();
    for reveals in [0, 1] {
        let name = ["whole", "whole-own"][usize::from(reveals)];
        keep("vole", name, [&[reveals][..], &to_and_fro].concat());
    }
    // One message after another, to and fro, until nothing is left.
    keep("messages", "vole-part", &part);
    keep("vole_run", "empty", [2, 0, 0, 0, 0, 0, 0]);
    keep("vole_run", "empty-own", [5, 0, 0, 0, 0, 0, 0]);
    keep("vole_run", "greeting", [0, 1, 0, 5, 1]);
    keep("vole_run", "nonce", [1, 0, 0, 1, 0, 5, 1]);
    keep("vole_run", "empty-nonce", [2, 0, 0, 1, 0, 5, 1, 0, 0, 0, 0]);
    keep(
        "vole_run",
        "short",
        [&[0, 0, 0, 0, 0, 2][..], &length, &part].concat(),
    );
    keep("vole_run", "whole", [0; 200]);
    keep("vole_run", "whole-own", [&[1][..], &[0; 200]].concat());
}

/// What the peer sends in a vector of crate `matching`, each message after its length; before
/// it, how the run is set up. `goes-on` loses its link behind the
/// peer's points, and has them sent again.
fn exchange() {
    for (name, how) in [
        ("run-mailer", 0),
        ("own-mailer", 1),
        ("bad-order", 0),
        ("bad-many-blinded", 0),
        ("bad-many-raised", 0),
        ("bad-many-tags", 1),
        ("bad-begin-places", 0),
        ("bad-end-early", 0),
        ("bad-proof", 2),
        ("bad-run-changed-point", 4),
        ("bad-own-changed-point", 5),
    ] {
        let mut bytes = vec![how];
        framed(name)
            .iter()
            .for_each(|message| bytes.extend(message));
        keep("exchange", name, bytes);
    }
    let whole = framed("run-mailer");
    keep("messages", "match-message", &whole[0][2..]);
    let mut bytes = vec![0];
    whole[..3].iter().for_each(|message| bytes.extend(message));
    bytes.extend([0x80, 0]);
    whole.iter().for_each(|message| bytes.extend(message));
    keep("exchange", "goes-on", bytes);
}

/// Journals and histories: whole ones, with a byte changed, cut, and any that are bound rightly.
fn resumed() {
    for target in ["match_journal", "match_history"] {
        keep(target, "nothing", [0]);
        keep(target, "byte", [0, 0, 1, 60, 1, 0]);
        keep(target, "cut", [0, 1, 1, 80, 0]);
    }
    let mut header = vec![1];
    // Input, order, seed, nonce, run, greeting, the peer's key and that there is one, the mode.
    header.extend((1..8_u8).flat_map(|field| [field; 32]));
    header.extend([1, 0]);
    header.extend([4_u64, 5, 1, 2].map(u64::to_be_bytes).concat());
    let places = |kind: u8, first: u64, values: usize| {
        [&[kind][..], &first.to_be_bytes(), &vec![7; 16 * values]].concat()
    };
    for (name, own) in [("records", 4), ("beyond", 9)] {
        let mut records = vec![1];
        let written = [&[6][..], &[0; 8], &[9; 32]].concat();
        let all = [
            places(3, 0, 5),
            places(4, 0, 0),
            places(2, 0, own),
            written,
            places(5, 0, 0),
        ];
        for record in std::iter::once(header.clone()).chain(all) {
            records.extend(after_length(record));
        }
        keep("match_journal", name, records);
    }
    let run = "11".repeat(32);
    let gap = [header, places(3, 0, 1), places(3, 3, 2)];
    let gap = gap.map(after_length).concat();
    keep("match_journal", "gap", [&[1][..], &gap].concat());
    theirs();
    part_file();
    let history = incamera_fuzzing::honest_history();
    let at = history.find("\"own\":4").unwrap() + 6;
    let [above, below] = u16::try_from(at).unwrap().to_be_bytes();
    keep("match_history", "number", [0, 0, above, below, 1, b'5']);
    let entries = [
        r#"{"begins":{"format":"incamera-match-history/1","before":2}}"#.to_owned(),
        format!(
            r#"{{"run":{{"run":"{run}","at":1,"own":4,"append":false,"peer":5,"peer_append":true}}}}"#
        ),
        format!(r#"{{"points":{{"run":"{run}","prints":["00112233"]}}}}"#),
    ];
    keep(
        "match_history",
        "entries",
        ["\u{1}", &entries.join("\n")].concat(),
    );
}

/// What is kept of a peer's rows: whole, with a byte changed, cut, and any records.
fn theirs() {
    keep("match_theirs", "whole", [0]);
    keep("match_theirs", "many", [2]);
    keep("match_theirs", "byte", [0, 0, 0, 40, 1, 0]);
    keep("match_theirs", "second-record", [2, 0, 0, 100, 1, 0]);
    keep("match_theirs", "cut", [0, 1, 0, 120, 0]);
    let first = [&[1][..], &[9; 32]].concat();
    let values = [&[2][..], &[1; 16], &[2; 16]].concat();
    let last = [&[3][..], &2_u64.to_be_bytes()].concat();
    let records = [first, values, last].map(after_length).concat();
    keep("match_theirs", "records", [&[1][..], &records].concat());
    let tags = [[2, 1], [1, 1]].map(|[one, next]| {
        let first = [&[1][..], &[9; 32]].concat();
        let values = [&[2][..], &[one; 16], &[next; 16]].concat();
        let last = [&[3][..], &2_u64.to_be_bytes()].concat();
        [first, values, last].map(after_length).concat()
    });
    for (name, records) in ["falling", "repeated"].iter().zip(tags) {
        keep("match_theirs", name, [&[1][..], &records].concat());
    }
    let none = [&[1, 0, 33, 1][..], &[9; 32]].concat();
    keep("match_theirs", "no-end", none);
}

/// The file of a part: whole, with a byte changed, cut, and any records.
fn part_file() {
    keep("match_part", "whole", [0]);
    keep("match_part", "many", [2]);
    keep("match_part", "byte", [0, 0, 0, 40, 1, 0]);
    keep("match_part", "later-record", [2, 0, 3, 232, 1, 0]);
    keep("match_part", "cut", [0, 1, 1, 120, 0]);
    let digest = "04".repeat(32);
    let head = format!(
        r#"{{"agreement":"{digest}","partition":{{"number":1,"of":3}},"rules":2,"hashed":true,"form":"raw","region":"DE","column":"email","everyone_consented":true}}"#
    );
    let first = |head: &str| [b"\x01", head.as_bytes()].concat();
    let row = [&[2][..], &[0; 7], &[3, 2], b"ab"].concat();
    let last = |here: u64, rows: u64| {
        let totals = format!(
            r#"{{"here":{here},"counts":{{"rows":{rows},"empty":0,"invalid":1,"encoded_digits":0}},"invalid_first":[{{"file":"a.csv","line":2,"row":null}}],"consent":null,"unasked":3}}"#
        );
        [b"\x03", totals.as_bytes()].concat()
    };
    let no_part = head.replace(r#""number":1"#, r#""number":3"#);
    let no_rules = head.replace(r#""rules":2"#, r#""rules":3"#);
    for (name, records) in [
        ("records", vec![first(&head), row.clone(), last(1, 3)]),
        ("another-count", vec![first(&head), row.clone(), last(2, 9)]),
        (
            "more-than-valid",
            vec![first(&head), row.clone(), last(1, 1)],
        ),
        ("no-end", vec![first(&head), row]),
        ("no-part", vec![first(&no_part), last(0, 3)]),
        ("no-rules", vec![first(&no_rules), last(0, 3)]),
    ] {
        let records: Vec<Vec<u8>> = records.into_iter().map(after_length).collect();
        keep("match_part", name, [&[1][..], &records.concat()].concat());
    }
}

/// Two bytes of length, and the bytes.
fn after_length(bytes: Vec<u8>) -> Vec<u8> {
    let length = u16::try_from(bytes.len()).unwrap().to_be_bytes();
    [&length[..], &bytes].concat()
}

fn providers() {
    let signed = incamera_fuzzing::signed_statement();
    let file: incamera_wire::v1::ProviderKeysFile = read(&signed);
    keep("messages", "provider-keys", &file.body);
    keep("messages", "provider-keys-file", &signed);
    keep("key_statement", "body", file.body);
    keep("key_statement", "file", signed);
    // Which step, of what, and which byte of the package is another one.
    for how in [0, 2, 4, 6] {
        keep("ceremony_package", &format!("byte-{how}"), [how, 0, 70, 1]);
        keep("ceremony_package", &format!("honest-{how}"), [how]);
    }
    // Name, ceremony, what it is, round, sender, receiver.
    for at in [0, 25, 52, 53, 55, 57] {
        keep("ceremony_package", &format!("field-{at}"), [2, 0, at, 1]);
    }
    let name = b"incamera-ceremony/1\0";
    let raw = [&[3][..], name, &[9; 32], &[0, 2, 0, 2, 0, 1], &[5; 32]].concat();
    keep("ceremony_package", "any", raw);
    provider_frames();
    keep("evaluation", "byte", [0, 0, 70, 1]);
    keep("evaluation", "nothing", [0]);
    keep("evaluation", "any", [&[1][..], &[3; 160]].concat());
    keep("provided", "all", []);
    keep("provided", "changed", [1, 40, 1]);
    keep("provided", "gone", [0, 3]);
    keep("provided", "none", [3, 3]);
}

fn links() {
    // The last day of the week of the day 20100, as it stands beside the value.
    let days = 20_103_i32.to_be_bytes();
    keep("link", "nothing", [&[0][..], &days].concat());
    keep("link", "value", [&[0][..], &days, &[0, 20, 1]].concat());
    let made = |expires: i32| {
        let dates = [20_000_i32, expires].map(i32::to_be_bytes).concat();
        [&[1][..], &days, &[6; 16], &dates, &[0; 44]].concat()
    };
    keep("link", "made", made(20_100));
    keep("link", "other-week", made(20_000));
    let over = 20_040_i32.to_be_bytes();
    let dates = [20_000_i32, 20_040].map(i32::to_be_bytes).concat();
    let over = [&[1][..], &over, &[6; 16], &dates, &[0; 44]].concat();
    keep("link", "over", over);
    keep("lookups", "all", []);
    keep("lookups", "none", [1; 6]);
    keep("lookups", "another", [2, 1]);
    keep("lookups", "value", [3, 1, 0, 0]);
    keep("lookups", "changed", [4, 0, 1, 1]);
}

/// How they are written, which run, and a file.
fn ids() {
    let files: [(&str, u8, &str); 9] = [
        ("email-1", 0, "Ana@Mail.Example"),
        ("phone-1", 1, "+49 (0)30 1234567"),
        ("plain-1", 2, "a-1"),
        ("email", 3, "a.n.a+x@gmail.com"),
        ("phone", 4, "+49 30 901820"),
        ("phone-de", 5, "030 901820"),
        ("plain", 6, "Cookie-77"),
        ("hashed", 7, "Ana@Mail.Example"),
        (
            "sha256",
            8,
            "B4C9A289323B21A01C3E940F150EB9B8C542587F1ABFD8F0E1CC1FFC5E475514",
        ),
    ];
    for (name, form, id) in files {
        let rows = format!("id,consent\n{id},ads;measurement\n{id},ads\n,ads\n\"{id}2\",\n");
        keep("ids", name, [&[form, 0][..], rows.as_bytes()].concat());
    }
    let rows = "a,ads\nb,measurement\nc,ads\na,earlier\nd,earlier\nb,earlier\ne,\ne,earlier\n";
    for how in [8, 9, 10, 11, 12, 28] {
        let bytes = [&[6, how][..], rows.as_bytes()].concat();
        keep("ids", &format!("rows-{how}"), bytes);
    }
    let base64 = "tMmiiTI7IaAcPpQPFQ65uMVCWH8av9jw4cwf/F5HVRQ=";
    keep(
        "ids",
        "base64",
        [&[8, 8][..], base64.as_bytes(), b",ads\n"].concat(),
    );
}

/// Which columns there are, and a file.
fn pairs() {
    let file = "from,to,consent,recorded,expires\n\
        ana@mail.example,c-1,ads;measurement,2027-01-02,2027-03-01\n\
        ana@mail.example,c-1,ads,,\n\
        ana@mail.example,c-2,,,\n\
        bo@mail.example,c-3,measurement,2026-12-31,2027-01-01\n\
        cy@mail.example,c-4,ads,2027-02-01,\n\
        dee@mail.example,c-5,ads,soon,later\n\
        no,c-6,ads,,\n";
    keep("pairs", "whole", [b"\x07", file.as_bytes()].concat());
    keep("pairs", "ids-alone", [b"\x00", file.as_bytes()].concat());
    let rows = b"ana@mail.example,bo@mail.example,ads,2027-01-31,2027-01-31\nbo@mail.example,ana@mail.example,,,\n";
    keep("pairs", "rows", [b"\x1f", &rows[..]].concat());
}

/// What a provider is asked: a byte that says which frame, and the frame.
fn provider_frames() {
    use incamera_net::services::{
        CeremonyFrame, CeremonyPackages, EvaluateFrame, LinkEntries, LinkFrame, LinkLabels,
        ceremony_frame::Step, evaluate_frame::Frame, link_frame,
    };
    use incamera_wire::v1::{
        EvaluateHello, EvaluatedBatch, LinkEntry, MatchPoints, MatchProof, Signed,
    };
    let evaluate = |name: &str, frame| {
        let frame = incamera_wire::encode(&EvaluateFrame { frame: Some(frame) });
        keep("messages", name, &frame);
        keep("provider_frames", name, [&[0][..], &frame].concat());
    };
    let hello = EvaluateHello {
        format: "incamera-evaluate/1".into(),
        agreement_digest: vec![1; 32],
        party: "shop".into(),
        id_kind: "email".into(),
        epoch: 1,
        number: 2,
        providers: ["alpha", "beta"].map(str::to_owned).into(),
        nonce: vec![2; 32],
        size: 3,
        ceremony: vec![8; 32],
    };
    let points = MatchPoints {
        first: 4,
        points: vec![5; 96],
    };
    let (challenge, response) = (vec![6; 32], vec![7; 32]);
    let proof = MatchProof {
        first: 4,
        count: 3,
        challenge,
        response,
    };
    evaluate("hello", Frame::Hello(hello));
    evaluate("points", Frame::Points(points.clone()));
    let (points, proof) = (Some(points), Some(proof));
    evaluate(
        "evaluated",
        Frame::Evaluated(EvaluatedBatch { points, proof }),
    );
    let package = incamera_wire::v1::CeremonyPackage {
        ceremony: vec![8; 32],
        round: 1,
        sender: "alpha".into(),
        receiver: String::new(),
        content: vec![9; 64],
    };
    let key = incamera_keys::SigningKey::from_seed(&[2; 32]);
    let format = incamera_wire::Format::Ceremony;
    let packages: Vec<Signed> = vec![incamera_keys::sign_message(&key, format, &package).unwrap()];
    let frame = CeremonyFrame {
        agreement_digest: vec![1; 32],
        refresh: true,
        step: Some(Step::First(CeremonyPackages { packages })),
    };
    let frame = incamera_wire::encode(&frame);
    keep("messages", "packages", &frame);
    keep("messages", "package", incamera_wire::encode(&package));
    keep("provider_frames", "packages", [&[1][..], &frame].concat());
    let links = |name: &str, frame| {
        let frame = incamera_wire::encode(&LinkFrame { frame: Some(frame) });
        keep("messages", name, &frame);
        keep("provider_frames", name, [&[2][..], &frame].concat());
    };
    let entry = LinkEntry {
        label: vec![1; 32],
        purpose: "ads".into(),
        source: String::new(),
        expires: 20_000,
        value: vec![2; 96],
    };
    let entries = vec![entry];
    links(
        "labels",
        link_frame::Frame::Labels(LinkLabels {
            labels: vec![3; 64],
        }),
    );
    links(
        "entries",
        link_frame::Frame::Entries(LinkEntries { entries }),
    );
}

/// The messages of a vector, each after its length.
fn framed(name: &str) -> Vec<Vec<u8>> {
    let text = String::from_utf8(of(&format!("matching/vectors/v2/{name}.txt"))).unwrap();
    let sent = text.lines().filter_map(|line| line.strip_prefix("< "));
    let frame = |message: Vec<u8>| {
        let length = u16::try_from(message.len()).unwrap().to_be_bytes();
        [&length[..], &message].concat()
    };
    sent.map(unhex).map(frame).collect()
}

fn unhex(text: &str) -> Vec<u8> {
    let digits = text.as_bytes().chunks(2);
    let byte = |pair: &[u8]| u8::from_str_radix(std::str::from_utf8(pair).unwrap(), 16).unwrap();
    digits.map(byte).collect()
}
