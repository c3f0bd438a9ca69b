//! `agreement new`: a starting file, from an example, from data, or from both.

use std::path::Path;

use incamera_agreement::{
    AdMeasurement, OwnData, PartyInputs, RoomInputs, owner_ad_measurement, owner_own_data,
    template_ad_measurement, template_own_data,
};
use incamera_attest::TeeKind;
use incamera_party::PublicFile;
use incamera_seal::{Hints, Proposal, ProposeError, Source, propose};
use incamera_types::{Date, IdKind, Measurement, PurposeSet};
use serde_json::json;

use super::seal::mend_source;
use crate::args::{AgreementNew, Template};
use crate::clock::{now, today};
use crate::failure::{Context, Done, Exit, Failure};
use crate::printer::Printer;

/// How long a new agreement lasts where nobody says.
const DEFAULT_DAYS: u64 = 180;

/// How a value that is left to fill in begins; comments speak of it without the quotation mark.
const BLANK: &str = "\"FILL IN";

/// Writes a commented starting file.
pub fn run(arguments: &AgreementNew, printer: &Printer) -> Done {
    if let Some(out) = &arguments.out {
        free(out)?;
    }
    if arguments.expires.is_some_and(|day| day < today()) {
        return Err(
            Failure::usage("the agreement would be over before it begins")
                .hint("name a later day with `--expires`, or leave it out"),
        );
    }
    let text = text(arguments, printer)?;
    let Some(out) = &arguments.out else {
        printer.result(
            &text,
            "incamera-agreement-draft/1",
            &json!({ "text": text }),
        );
        return Ok(());
    };
    std::fs::write(out, &text)
        .or_fail(format!("`{}` was not written", out.display()))
        .map_err(|failure| failure.hint("name a file in a folder that can be written"))?;
    let blanks = text.matches(BLANK).count();
    let next = match blanks {
        0 => "read it and change it, then: incamera agreement check".to_owned(),
        1 => "1 place says FILL IN; then: incamera agreement check".to_owned(),
        some => format!("{some} places say FILL IN; then: incamera agreement check"),
    };
    let guide = printer.guide(format!("\n  next  {next}"));
    let shown = format!("a starting file is in {}{guide}", out.display());
    printer.result(
        shown,
        "incamera-agreement-draft/1",
        &json!({ "file": out, "blanks": blanks }),
    );
    Ok(())
}

/// An agreement is never overwritten.
fn free(out: &Path) -> Done {
    match out.exists() {
        true => Err(
            Failure::usage(format!("`{}` is there already", out.display()))
                .hint("name another file: an agreement is never overwritten"),
        ),
        false => Ok(()),
    }
}

fn text(arguments: &AgreementNew, printer: &Printer) -> Result<String, Failure> {
    let parties = arguments.parties.iter().map(|path| read_public(path));
    let parties: Vec<PublicFile> = parties.collect::<Result<_, _>>()?;
    each_once(&parties)?;
    let room = room(arguments)?;
    match arguments.template {
        Some(Template::AdMeasurement) => ad_measurement(arguments, &parties, room, printer),
        None => own_data(arguments, &parties, room, printer),
    }
}

/// The example, with its data sets as they are proposed from files of the same names.
fn ad_measurement(
    arguments: &AgreementNew,
    parties: &[PublicFile],
    room: RoomInputs,
    printer: &Printer,
) -> Result<String, Failure> {
    let purposes = ["ads", "measurement"].into_iter();
    let purposes = purposes.filter_map(|name| name.parse().ok()).collect();
    let proposals = proposals(arguments, purposes, printer)?;
    let ids = id_kind(&proposals);
    let data = proposals.iter().map(|proposal| {
        let owner = owner_ad_measurement(&proposal.dataset);
        let section = proposal.section(&owner, ids.as_ref());
        (proposal.dataset.clone(), section)
    });
    let mut inputs = AdMeasurement {
        name: Some(arguments.name.clone()),
        expires: Some(arguments.expires.unwrap_or_else(default_expiry)),
        room_url: room.url,
        tee: room.tee,
        measurement: room.measurement,
        data: data.collect(),
        ids,
        ..AdMeasurement::default()
    };
    for public in parties {
        add_party(&mut inputs, public)?;
    }
    Ok(template_ad_measurement(&inputs))
}

/// What files say, without a question.
fn own_data(
    arguments: &AgreementNew,
    parties: &[PublicFile],
    room: RoomInputs,
    printer: &Printer,
) -> Result<String, Failure> {
    let proposals = proposals(arguments, PurposeSet::default(), printer)?;
    let (providers, owners): (Vec<_>, Vec<_>) = parties.iter().partition(|public| public.provider);
    let inputs_of = |parties: Vec<&PublicFile>| parties.into_iter().map(party).collect();
    let parties: Result<Vec<PartyInputs>, Failure> = inputs_of(owners);
    let parties = parties?;
    let (owner, ids) = (owner_own_data(&parties), id_kind(&proposals));
    let sections = proposals.iter();
    let data = sections.map(|proposal| proposal.section(&owner, ids.as_ref()));
    let mut inputs = OwnData::default();
    inputs.name.clone_from(&arguments.name);
    inputs.expires = Some(arguments.expires.unwrap_or_else(default_expiry));
    inputs.data = data.collect();
    inputs.providers = inputs_of(providers)?;
    (inputs.parties, inputs.room, inputs.ids) = (parties, room, ids);
    Ok(template_own_data(&inputs))
}

/// Looks at each file.
fn proposals(
    arguments: &AgreementNew,
    purposes: PurposeSet,
    printer: &Printer,
) -> Result<Vec<Proposal>, Failure> {
    let hints = Hints { purposes };
    let mut proposals: Vec<Proposal> = Vec::new();
    for path in &arguments.data {
        let shown = Source::shown(path);
        let bar = printer.progress(&format!("reading {}", shown.display()), None);
        let proposal = propose(path, &hints, &mut |rows| bar.set_position(rows));
        bar.finish_and_clear();
        let proposal = proposal.map_err(|error| {
            let object = match &error {
                ProposeError::Source(error) => mend_source(error),
                _ => None,
            };
            Failure::failed(format!("nothing is proposed from `{}`", shown.display()))
                .because(&error)
                .or_hint(object.unwrap_or("give a .csv with a line of names, or a .parquet file"))
        })?;
        let same = |other: &Proposal| other.dataset == proposal.dataset;
        if proposals.iter().any(same) {
            return Err(
                Failure::usage(format!("two files are named `{}`", proposal.dataset))
                    .hint("a data set is named after its file: rename one"),
            );
        }
        proposals.push(proposal);
    }
    Ok(proposals)
}

/// The kind of id that people are matched by: the first that is found.
fn id_kind(proposals: &[Proposal]) -> Option<IdKind> {
    proposals.iter().find_map(Proposal::id_kind).cloned()
}

fn room(arguments: &AgreementNew) -> Result<RoomInputs, Failure> {
    let mut room = RoomInputs::default();
    if let Some(url) = &arguments.room_url {
        let parsed = url.parse().or_fail(format!("`{url}` is no URL of a room"));
        let parsed = parsed.map_err(|failure| {
            failure
                .exit(Exit::Usage)
                .hint("write it like `--room-url https://room.example:7443`")
        });
        room.url = Some(parsed?);
    }
    if arguments.insecure_simulated_tee {
        room.tee = Some(TeeKind::Simulated);
        room.measurement = Some(own_measurement()?);
    }
    Ok(room)
}

fn party(public: &PublicFile) -> Result<PartyInputs, Failure> {
    let url = public.url.parse().or_fail("a public file is malformed")?;
    Ok(PartyInputs {
        name: Some(public.name.clone()),
        signs: Some(public.signs),
        service: Some(public.service),
        receives: public.receives.clone(),
        url: Some(url),
        people: Some(public.people),
    })
}

fn default_expiry() -> Date {
    let days = now().0 / 86_400 + DEFAULT_DAYS;
    Date::from_days(i32::try_from(days).unwrap_or(i32::MAX))
}

fn own_measurement() -> Result<Measurement, Failure> {
    incamera_room::own_measurement().or_fail("this program was not measured")
}

fn read_public(path: &Path) -> Result<PublicFile, Failure> {
    let file = match path.is_dir() {
        true => path.join("public.toml"),
        false => path.to_owned(),
    };
    let what = format!("the public file `{}` was not read", file.display());
    PublicFile::load(&file).or_fail(what).map_err(|failure| {
        failure.or_hint("name a party's folder or its public.toml: `incamera init` makes both")
    })
}

/// One party is one section: a second one would silently take its place.
fn each_once(parties: &[PublicFile]) -> Done {
    let mut names: Vec<_> = parties.iter().map(|public| &public.name).collect();
    names.sort();
    let twice = names.windows(2).find_map(|pair| match pair {
        [one, other] if one == other => Some(*one),
        _ => None,
    });
    match twice {
        Some(name) => Err(Failure::usage(format!("`{name}` is given twice"))
            .hint("name each party once by `--with`; two parties of one name need two names: `incamera init --name`")),
        None => Ok(()),
    }
}

/// Providers beside the two owners: the one with an analyst is the mailer, the other one the
/// shop.
fn add_party(inputs: &mut AdMeasurement, public: &PublicFile) -> Done {
    let party = party(public)?;
    if public.provider {
        inputs.providers.push(party);
        return Ok(());
    }
    let analyst = public.analysts.iter().next();
    let is_mailer =
        public.name.as_str() == "mailer" || (public.name.as_str() != "shop" && analyst.is_some());
    let place = match is_mailer {
        true => &mut inputs.mailer,
        false => &mut inputs.shop,
    };
    if let Some(other) = &place.name {
        let role = if is_mailer { "mailer" } else { "shop" };
        let what = format!("`{other}` and `{}` would both be the {role}", public.name);
        return Err(Failure::usage(what)
            .why("the example is between one shop and one mailer, and providers")
            .hint("the mailer is called so, or has an analyst (`incamera init --analyst`), and no other owner has one; for other agreements leave `--for` out"));
    }
    *place = party;
    if is_mailer {
        inputs.analyst = analyst.map(|(name, _)| name.clone());
        inputs.analyst_key = analyst.map(|(_, key)| *key);
    }
    Ok(())
}
