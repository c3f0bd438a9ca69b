//! Made-up ids of one part: `part_ids AGREEMENT_ID EPOCH KIND PART FIRST LAST` writes a CSV with
//! those of `personFIRST@mail.example` to `personLAST@mail.example` that `match run --partition
//! PART` would take.

use std::error::Error;
use std::io::{BufWriter, Write as _};

use incamera_matching::{Method, Partition, Reveals, Terms};
use incamera_types::{AgreementDigest, AgreementId, Digest as _, MatchingEpoch};

fn main() -> Result<(), Box<dyn Error>> {
    let mut arguments = std::env::args().skip(1);
    let mut next = || arguments.next().ok_or("an argument is missing");
    let agreement_id: AgreementId = next()?.parse()?;
    let terms = Terms {
        agreement_id,
        agreement_digest: AgreementDigest::from_bytes([0; 32]),
        epoch: MatchingEpoch(next()?.parse()?),
        id_kind: next()?.parse()?,
        method: Method::Commutative,
        reveals: Reveals::Nothing,
        max_ids: 0,
    };
    let part = terms.part(next()?.parse::<Partition>()?);
    let (first, last): (u64, u64) = (next()?.parse()?, next()?.parse()?);
    let mut out = BufWriter::new(std::io::stdout().lock());
    writeln!(out, "{}", terms.id_kind)?;
    for number in first..=last {
        let id = format!("person{number}@mail.example");
        if part.has(&id) {
            writeln!(out, "{id}")?;
        }
    }
    Ok(out.flush()?)
}
