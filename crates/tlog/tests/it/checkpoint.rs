//! Checkpoint texts.

use incamera_tlog::{Checkpoint, CheckpointError, Hash, leaf_hash};
use proptest::prelude::*;

/// The example of the C2SP specification.
const EXAMPLE: &str = "example.com/behind-the-sofa\n\
    20852163\n\
    CsUYapGGPo4dkMgIAUqom/Xajj7h2fB2MPA3j2jxq2I=\n";

#[test]
fn reads_and_writes_the_known_checkpoint() {
    let checkpoint = Checkpoint::parse(EXAMPLE).unwrap();
    assert_eq!(checkpoint.origin(), "example.com/behind-the-sofa");
    assert_eq!(checkpoint.size(), 20_852_163);
    assert_eq!(
        checkpoint.root().to_string(),
        "0ac5186a91863e8e1d90c808014aa89bf5da8e3ee1d9f07630f0378f68f1ab62"
    );
    assert_eq!(checkpoint.to_text(), EXAMPLE);
}

#[test]
fn what_is_no_checkpoint_is_refused() {
    let root = "CsUYapGGPo4dkMgIAUqom/Xajj7h2fB2MPA3j2jxq2I=";
    let cases = [
        (String::new(), CheckpointError::Lines),
        ("log\n1\n".to_owned(), CheckpointError::Lines),
        (format!("log\n1\n{root}"), CheckpointError::Lines),
        (format!("log\n1\n{root}\nmore\n"), CheckpointError::Lines),
        (format!("log\n1\n{root}\n\n"), CheckpointError::Lines),
        (format!("\n1\n{root}\n"), CheckpointError::Origin),
        (format!("a\tb\n1\n{root}\n"), CheckpointError::Origin),
        (format!("log\n01\n{root}\n"), CheckpointError::Size),
        (format!("log\n+1\n{root}\n"), CheckpointError::Size),
        (format!("log\n\n{root}\n"), CheckpointError::Size),
        (
            format!("log\n18446744073709551616\n{root}\n"),
            CheckpointError::Size,
        ),
        ("log\n1\nAAAA\n".to_owned(), CheckpointError::Root),
        ("log\n1\n!\n".to_owned(), CheckpointError::Root),
    ];
    for (text, error) in cases {
        assert_eq!(Checkpoint::parse(&text), Err(error), "{text:?}");
    }
    let two_lines = Checkpoint::new("a\nb", 1, leaf_hash(b""));
    assert_eq!(two_lines, Err(CheckpointError::Origin));
}

proptest! {
    #[test]
    fn round_trip(origin in "[a-zA-Z0-9/. ]{1,30}", size: u64, root: [u8; 32]) {
        let checkpoint = Checkpoint::new(&origin, size, Hash::from_bytes(root)).unwrap();
        prop_assert_eq!(Checkpoint::parse(&checkpoint.to_text()), Ok(checkpoint));
    }

    #[test]
    fn truncations_are_refused(end in 0..EXAMPLE.len()) {
        prop_assert!(Checkpoint::parse(&EXAMPLE[..end]).is_err());
    }
}
