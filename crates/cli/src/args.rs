//! What can be asked: a noun, then a verb.

mod drivers;

mod asking;

mod exports;

mod links;
mod matching;

mod planning;

mod proposing;
mod providing;

mod rewriting;

mod sealing;

use std::path::PathBuf;

use clap::{ArgGroup, Args, Parser, Subcommand, ValueEnum};
use incamera_types::{AnalystName, DatasetName, PartyName, PurposeName, QueryName};

pub use drivers::{Evidence, EvidenceTrust, QueryToken};

pub use asking::{QueryCheck, QueryExplain, QueryReceive, QueryRun, QueryTemplate, WhichQuery};

pub use exports::Exports;

pub use links::{LinksPut, LinksRemove, LinksSend, MatchLinks};
pub use matching::{AskedConsents, Instructions, MatchRun, MatchSplit, WrittenForm, WrittenIds};

pub use planning::MatchPlan;

pub use proposing::{QueryApprove, QueryPropose};

pub use providing::{Provider, ProviderCeremony, ProviderKeys};

pub use rewriting::{
    DataConsent, DataForget, DataRetag, DataRevoke, DataRotate, People, Rewriting,
};

pub use sealing::{DataSeal, OwnFile};

/// Compute a joint answer from data that nobody shows.
#[derive(Debug, Parser)]
#[command(name = "incamera", version, about, long_about = LONG)]
pub struct Arguments {
    /// What to do.
    #[command(subcommand)]
    pub command: Command,
    /// Show the result, or the failure, as one JSON document.
    #[arg(long, global = true)]
    pub json: bool,
    /// Show neither notes nor progress.
    #[arg(long, short, global = true)]
    pub quiet: bool,
}

const LONG: &str = "\
Compute a joint answer from data that nobody shows.

Organisations match identities without revealing them, seal data under keys bound to
purposes, and hand it to a clean room that proves what code it runs. Only approved, noisy
aggregates come out.

Exit codes: 0 done, 1 failed, 2 wrong usage, 3 refused by policy, 4 attestation not
verified, 5 budget exhausted, 130 `match run` ended by Ctrl-C.

See it all at work:  incamera demo";

/// The nouns.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Make a party's folder: keys, key ring, configuration.
    Init(Init),
    /// Play the whole story on generated data, adversaries included.
    #[cfg(feature = "simulated")]
    Demo(Demo),
    /// Check a file offline: an agreement, a proposal, a manifest or a release with its receipt.
    Verify(Verify),
    /// What a party has agreed to, sealed and spent.
    Status(PartyFolder),
    /// The signed file that says who may learn what.
    #[command(subcommand)]
    Agreement(Agreement),
    /// A party's service.
    #[command(subcommand)]
    Party(Party),
    /// A provider: evaluates parties' ids for matching, and does not see them.
    #[command(subcommand)]
    Provider(Provider),
    /// A room, where queries run.
    #[command(subcommand)]
    Room(Room),
    /// The file or token with a party's secret keys.
    #[command(subcommand)]
    Ring(Ring),
    /// Match identities: with the other party, through providers, or alone.
    #[command(subcommand)]
    Match(Match),
    /// Seal data and hand it to the room.
    #[command(subcommand)]
    Data(Data),
    /// Ask a question of the agreement.
    #[command(subcommand)]
    Query(Query),
    /// What proves which code a room runs.
    #[command(subcommand)]
    Evidence(Evidence),
}

/// Which party's folder a command works in.
#[derive(Debug, Args)]
pub struct PartyFolder {
    /// The party's folder.
    #[arg(
        long,
        short,
        env = "INCAMERA_PARTY",
        default_value = ".",
        value_name = "DIR"
    )]
    pub party: PathBuf,
}

/// Which agreement a command works under.
#[derive(Debug, Args)]
pub struct UnderAgreement {
    /// The agreement; the only one in the party's folder where not named.
    #[arg(long, short, value_name = "FILE")]
    pub agreement: Option<PathBuf>,
}

/// Arguments of `init`.
#[derive(Debug, Args)]
pub struct Init {
    /// The folder to make.
    pub folder: PathBuf,
    /// The party's name, as it will stand in agreements.
    #[arg(long)]
    pub name: PartyName,
    /// Where the service listens.
    #[arg(long, default_value = "127.0.0.1:7443")]
    pub listen: std::net::SocketAddr,
    /// Where `/healthz` listens.
    #[arg(long)]
    pub health: Option<std::net::SocketAddr>,
    /// The URL that agreements will name; made of `--listen` where not named.
    #[arg(long)]
    pub url: Option<String>,
    /// How many people the party's data are about: declared and public, to foretell errors.
    #[arg(long, default_value_t = 100_000)]
    pub people: u64,
    /// Also make a key for this analyst.
    #[arg(long)]
    pub analyst: Vec<AnalystName>,
    /// Only make the key that opens answers, in a folder that is there and has none.
    #[arg(long)]
    pub receive_key: bool,
    /// Make the folder of a provider, which evaluates others' ids: with a `provider.toml`.
    #[arg(long, conflicts_with_all = ["analyst", "people", "receive_key"])]
    pub provider: bool,
    /// Let this party grant to simulated rooms. Protects nothing: for trying out.
    #[cfg(feature = "simulated")]
    #[arg(long)]
    pub insecure_accept_simulated: bool,
    /// A file with the passphrase of the key ring; made at random where not named.
    #[arg(long, value_name = "FILE")]
    pub passphrase_file: Option<PathBuf>,
    /// An age X25519 identity (`age-keygen -o FILE`) that opens the key ring instead.
    #[arg(long, value_name = "FILE", conflicts_with = "passphrase_file")]
    pub ring_identity: Option<PathBuf>,
    /// An OpenSSH Ed25519 private key, used for nothing else, that opens the key ring instead.
    #[arg(long, value_name = "FILE", conflicts_with_all = ["passphrase_file", "ring_identity"])]
    pub ring_ssh_key: Option<PathBuf>,
    /// The PKCS#11 library of a token that keeps the purpose keys inside.
    #[arg(long, value_name = "FILE", requires = "token_pin_file", conflicts_with_all = ["passphrase_file", "ring_identity", "ring_ssh_key"])]
    pub token_module: Option<PathBuf>,
    /// The token's label.
    #[arg(long, value_name = "TEXT", requires = "token_module")]
    pub token_label: Option<String>,
    /// The token's serial number, where labels do not tell tokens apart.
    #[arg(
        long,
        value_name = "TEXT",
        requires = "token_module",
        conflicts_with = "token_label"
    )]
    pub token_serial: Option<String>,
    /// A file with the token's user PIN.
    #[arg(long, value_name = "FILE", requires = "token_module")]
    pub token_pin_file: Option<PathBuf>,
}

/// The verbs of `ring`.
#[derive(Debug, Subcommand)]
pub enum Ring {
    /// What kind of ring it is, how many keys it has and who can recover it; never a key.
    Show(PartyFolder),
    /// Who can recover the ring: list, add or remove public keys.
    Recipients(RingRecipients),
    /// Make a new, empty ring where the old one is lost: data are then sealed again.
    New(RingNew),
    /// Make a new ring of the recovery file, with a recovery identity.
    Recover(RingRecover),
    /// Copy the ring under a new passphrase, identity or OpenSSH key.
    Change(RingChange),
    /// Give programs on this machine the keys of one purpose of your own sealed data.
    Serve(RingServe),
}

/// Arguments of `ring recipients`.
#[derive(Debug, Args)]
pub struct RingRecipients {
    /// Whose ring.
    #[command(flatten)]
    pub of: PartyFolder,
    /// Also write the recovery file for this public key: `age1...` or `ssh-ed25519 AAAA...`.
    #[arg(long, value_name = "KEY")]
    pub add: Vec<String>,
    /// Write it no more for this public key.
    #[arg(long, value_name = "KEY")]
    pub remove: Vec<String>,
}

/// What a new ring opens with.
#[derive(Debug, Args)]
#[group(required = true, multiple = false)]
pub struct NewLock {
    /// A file with the new ring's passphrase.
    #[arg(long, value_name = "FILE")]
    pub passphrase_file: Option<PathBuf>,
    /// An age X25519 identity that opens the new ring.
    #[arg(long, value_name = "FILE")]
    pub ring_identity: Option<PathBuf>,
    /// An OpenSSH Ed25519 private key that opens the new ring.
    #[arg(long, value_name = "FILE")]
    pub ring_ssh_key: Option<PathBuf>,
}

/// Arguments of `ring new`.
#[derive(Debug, Args)]
pub struct RingNew {
    /// The ring to make; nothing is overwritten.
    #[arg(long, value_name = "FILE")]
    pub out: PathBuf,
    /// What opens it.
    #[command(flatten)]
    pub lock: NewLock,
}

/// Arguments of `ring recover`.
#[derive(Debug, Args)]
pub struct RingRecover {
    /// Whose ring.
    #[command(flatten)]
    pub of: PartyFolder,
    /// The recovery identity: an age identity file or an OpenSSH private key.
    #[arg(long, value_name = "FILE")]
    pub identity: PathBuf,
    /// The recovery file; the one beside the party's ring where not named.
    #[arg(long, value_name = "FILE")]
    pub from: Option<PathBuf>,
    /// The ring to make; nothing is overwritten.
    #[arg(long, value_name = "FILE")]
    pub out: PathBuf,
    /// What opens it.
    #[command(flatten)]
    pub lock: NewLock,
}

/// Arguments of `ring change`.
#[derive(Debug, Args)]
pub struct RingChange {
    /// Whose ring.
    #[command(flatten)]
    pub of: PartyFolder,
    /// The ring to make; nothing is overwritten.
    #[arg(long, value_name = "FILE")]
    pub out: PathBuf,
    /// What opens it.
    #[command(flatten)]
    pub lock: NewLock,
}

/// Arguments of `demo`.
#[cfg(feature = "simulated")]
#[derive(Debug, Args)]
pub struct Demo {
    /// The folder that will hold everything.
    #[arg(default_value = "incamera-demo")]
    pub folder: PathBuf,
    /// People in the generated data: 100 to 10,000,000.
    #[arg(long, default_value_t = 100_000, value_parser = clap::value_parser!(u32).range(100..=10_000_000))]
    pub people: u32,
    /// The seed of the generated data.
    #[arg(long, default_value_t = 1)]
    pub seed: u64,
    /// Leave the parties and the room running until Ctrl-C.
    #[arg(long)]
    pub stay: bool,
}

/// Arguments of `verify`.
#[derive(Debug, Args)]
pub struct Verify {
    /// The file.
    pub file: PathBuf,
    /// The agreement that it belongs to; its signatures lie beside it.
    #[arg(long, short, value_name = "FILE")]
    pub agreement: Option<PathBuf>,
    #[command(flatten)]
    pub exports: Exports,
}

/// Verbs of `agreement`.
#[derive(Debug, Subcommand)]
pub enum Agreement {
    /// Write a commented starting file.
    New(AgreementNew),
    /// Check the file, and that each query reads just what it declares.
    Check(AgreementFile),
    /// Explain it in words: who, what, why, how long, what risk remains, what is left.
    Show(AgreementShow),
    /// Sign it: writes FILE.PARTY.sig, which `ssh-keygen -Y verify` accepts.
    Sign(AgreementSign),
    /// Say in words what a new version changes.
    Diff(AgreementDiff),
}

/// Which starting file.
#[derive(Clone, Copy, Debug, ValueEnum)]
pub enum Template {
    /// A shop and a mailer measure a campaign.
    AdMeasurement,
}

/// Arguments of `agreement new`.
#[derive(Debug, Args)]
#[command(group(ArgGroup::new("from").args(["template", "data"]).required(true).multiple(true)))]
pub struct AgreementNew {
    /// What the agreement is for.
    #[arg(long = "for", value_enum)]
    pub template: Option<Template>,
    /// Propose columns, types and bounds from CSV or Parquet files, or folders of such, each a
    /// data set named after it. Shows no value of a file.
    #[arg(long, value_name = "FILE|DIR", num_args = 1..)]
    pub data: Vec<PathBuf>,
    /// Where to write it; standard output where not named.
    #[arg(long, short, value_name = "FILE")]
    pub out: Option<PathBuf>,
    /// The agreement's name.
    #[arg(long, default_value = "spring-campaign")]
    pub name: String,
    /// Its last day; 180 days from now where not named.
    #[arg(long, value_name = "YEAR-MONTH-DAY")]
    pub expires: Option<incamera_types::Date>,
    /// Fill in a party from its public file: `incamera init` writes DIR/public.toml. With
    /// providers among them ids are matched through these.
    #[arg(long = "with", value_name = "DIR|FILE")]
    pub parties: Vec<PathBuf>,
    /// The room's URL.
    #[arg(long, value_name = "URL")]
    pub room_url: Option<String>,
    /// Accept a simulated room that runs this program. Protects nothing: for trying out.
    #[arg(long)]
    pub insecure_simulated_tee: bool,
}

/// An agreement file.
#[derive(Debug, Args)]
pub struct AgreementFile {
    /// The agreement.
    pub file: PathBuf,
}

/// Arguments of `agreement show`.
#[derive(Debug, Args)]
pub struct AgreementShow {
    /// The agreement.
    pub file: PathBuf,
    /// The folder of the party that asks its service what it has spent; found by itself where
    /// FILE lies in a party's folder.
    #[arg(long, short, value_name = "DIR")]
    pub party: Option<PathBuf>,
}

/// Arguments of `agreement sign`.
#[derive(Debug, Args)]
pub struct AgreementSign {
    /// The agreement.
    pub file: PathBuf,
    #[command(flatten)]
    pub party: PartyFolder,
}

/// Arguments of `agreement diff`.
#[derive(Debug, Args)]
pub struct AgreementDiff {
    /// The version in force.
    pub old: PathBuf,
    /// The proposed version.
    pub new: PathBuf,
}

/// Verbs of `party`.
#[derive(Debug, Subcommand)]
pub enum Party {
    /// Run the party's service until it is stopped.
    Serve(PartyFolder),
}

/// Verbs of `room`.
#[derive(Debug, Subcommand)]
pub enum Room {
    /// Run a clean room until it is stopped.
    Serve(RoomServe),
    /// What this program would attest: the measurement for the agreement.
    Measure,
}

/// Arguments of `room serve`.
#[derive(Debug, Args)]
pub struct RoomServe {
    /// The room's configuration.
    #[arg(long, default_value = "room.toml", value_name = "FILE")]
    pub config: PathBuf,
}

/// Verbs of `match`.
#[derive(Debug, Subcommand)]
pub enum Match {
    /// Match with the other party, which runs the same command.
    Run(MatchRun),
    /// Read very many ids once, into a file for each part that they are matched in.
    Split(MatchSplit),
    /// What matching takes, by each method: time, memory, bytes.
    Plan(MatchPlan),
    /// Links between ids of two kinds, which providers keep and cannot read.
    #[command(subcommand)]
    Links(MatchLinks),
}

/// Verbs of `data`.
#[derive(Debug, Subcommand)]
pub enum Data {
    /// Encrypt a file's columns under keys bound to purposes.
    Seal(DataSeal),
    /// Hand sealed data sets to the room, after checking its evidence.
    Push(DataPush),
    /// What a sealed data set tells somebody without keys.
    Inspect(DataInspect),
    /// How much of your own file a query's clamps would hide; counted at home, told to nobody.
    Clipped(DataClipped),
    /// Bring sealed data sets to the purposes of the agreement's newest version.
    Retag(DataRetag),
    /// Take people's consent to a purpose out of all sealed data sets.
    Consent(DataConsent),
    /// Take people out of all sealed data sets, the consents and the crosswalk.
    Forget(DataForget),
    /// End a purpose of sealed data sets: destroy its keys.
    Revoke(DataRevoke),
    /// Make new keys for sealed data sets, and destroy the old ones.
    Rotate(DataRotate),
}

/// Arguments of `data clipped`.
#[derive(Debug, Args)]
pub struct DataClipped {
    #[command(flatten)]
    pub party: PartyFolder,
    #[command(flatten)]
    pub under: UnderAgreement,
    /// The data set of the agreement, one of the party's own.
    pub dataset: DatasetName,
    #[command(flatten)]
    pub file: OwnFile,
    /// The query whose clamps are looked at.
    #[arg(long)]
    pub query: QueryName,
    /// The proposal that has the query.
    #[arg(long, value_name = "FILE")]
    pub proposal: Option<PathBuf>,
    /// Parameters of the query: NAME=VALUE.
    #[arg(value_name = "NAME=VALUE")]
    pub params: Vec<String>,
}

/// Arguments of `data push`.
#[derive(Debug, Args)]
pub struct DataPush {
    #[command(flatten)]
    pub party: PartyFolder,
    #[command(flatten)]
    pub under: UnderAgreement,
    /// The data sets; all sealed ones where none is named.
    pub datasets: Vec<DatasetName>,
    /// Refuse a version that leaves out a part of the newest one that was pushed.
    #[arg(long, conflicts_with = "replace")]
    pub append: bool,
    /// Let the version take the place of the one before, whatever it leaves out: what is done
    /// if nothing is said.
    #[arg(long)]
    pub replace: bool,
}

/// Arguments of `data inspect`.
#[derive(Debug, Args)]
pub struct DataInspect {
    /// A sealed data set's folder, or its manifest.
    pub path: PathBuf,
}

/// Verbs of `query`.
#[derive(Debug, Subcommand)]
pub enum Query {
    /// The bounded plan in words, its cost and expected error, before anything is spent.
    Explain(QueryExplain),
    /// What the query reveals at worst, in words: for an owner who is asked to agree to it.
    Check(QueryCheck),
    /// Ask: attest the room, sign the request, show the answer.
    Run(QueryRun),
    /// Fetch the answers that the room has sealed to your party, and open them.
    Receive(QueryReceive),
    /// List questions that many parties have, or write one as a section of an agreement.
    Template(QueryTemplate),
    /// Propose a query that the agreement has not, for the owners to approve.
    Propose(QueryPropose),
    /// Approve a proposed query for your data; list proposals, or take an approval back.
    Approve(QueryApprove),
    /// Make a token, with which database drivers ask in the analyst's name for a while.
    Token(QueryToken),
}

/// Arguments of `ring serve`.
#[derive(Debug, Args)]
#[command(long_about = RING_SERVE)]
pub struct RingServe {
    #[command(flatten)]
    pub party: PartyFolder,
    #[command(flatten)]
    pub under: UnderAgreement,
    /// The one purpose whose keys are given, a leaf of the agreement.
    #[arg(long)]
    pub purpose: PurposeName,
    /// Where to listen, on this machine only; a free port where it is 0.
    #[arg(long, default_value = "127.0.0.1:0", value_name = "ADDRESS")]
    pub listen: std::net::SocketAddr,
    /// Where to write address and token; `ring-endpoint.json` in the party's folder where not
    /// named.
    #[arg(long, value_name = "FILE")]
    pub token_file: Option<PathBuf>,
}

const RING_SERVE: &str = "\
Give programs on this machine the keys of one purpose of your own sealed data.

Until Ctrl-C, a program that has the token (PyArrow with the client in python/) gets the keys
of the columns that the newest version of a data set has for the purpose, and of no others.
It may also have keys wrapped for a file that it encrypts, which `data seal` then reads. Each
request is in `ring-access.log` before its answer leaves. The party's service has no part in
this, and nobody else's data are opened by it.

Example:  incamera ring serve --party shop --purpose measurement";
