//! One module for each noun.

mod agreement;
mod agreement_diff;
mod agreement_new;
mod asked;
mod before;
mod behind;
mod clipped;
mod data;
#[cfg(feature = "simulated")]
mod demo;
mod drivers;
mod home;
mod ids;
mod init;
mod keeping;
mod kept_until;
mod match_plan;
mod matching;
mod own_data;
mod parameters;
mod practice;
mod proposals;
mod providing;
mod query;
mod query_template;
mod receive;
mod register;
mod rewrite;
mod ring;
mod ring_serve;
mod room_client;
mod seal;
mod serve;
mod small;
mod status;
mod verify;
mod whose;

use crate::args::{
    Agreement, Command, Data, Evidence, Match, Party, Provider, ProviderKeys, Query, Ring, Room,
};
use crate::failure::{Done, Failure};
use crate::printer::Printer;

/// Does what was asked.
pub fn run(command: Command, printer: &Printer) -> Done {
    match command {
        Command::Init(arguments) => init::run(&arguments, printer),
        #[cfg(feature = "simulated")]
        Command::Demo(arguments) => demo::run(&arguments, printer),
        Command::Verify(arguments) => verify::run(&arguments, printer),
        Command::Status(arguments) => status::run(&arguments, printer),
        Command::Agreement(verb) => match verb {
            Agreement::New(arguments) => agreement_new::run(&arguments, printer),
            Agreement::Check(arguments) => agreement::check(&arguments, printer),
            Agreement::Show(arguments) => agreement::show(&arguments, printer),
            Agreement::Sign(arguments) => agreement::sign(&arguments, printer),
            Agreement::Diff(arguments) => agreement_diff::run(&arguments, printer),
        },
        Command::Party(Party::Serve(arguments)) => serve::party(&arguments, printer),
        Command::Provider(verb) => match verb {
            Provider::Serve(arguments) => serve::provider(&arguments, printer),
            Provider::Keys(ProviderKeys::Make(arguments)) => providing::make(&arguments, printer),
            Provider::Keys(ProviderKeys::Refresh(arguments)) => {
                providing::refresh(&arguments, printer)
            }
            Provider::Keys(ProviderKeys::Finish(arguments)) => {
                providing::finish(&arguments, printer)
            }
            Provider::Status(arguments) => providing::status(&arguments, printer),
        },
        Command::Room(Room::Serve(arguments)) => serve::room(&arguments, printer),
        Command::Room(Room::Measure) => serve::measure(printer),
        Command::Ring(verb) => match verb {
            Ring::Show(arguments) => ring::show(&arguments, printer),
            Ring::Recipients(arguments) => ring::recipients(&arguments, printer),
            Ring::New(arguments) => ring::new(&arguments, printer),
            Ring::Recover(arguments) => ring::recover(&arguments, printer),
            Ring::Change(arguments) => ring::change(&arguments, printer),
            Ring::Serve(arguments) => ring_serve::run(&arguments, printer),
        },
        Command::Match(Match::Run(arguments)) => matching::run(&arguments, printer),
        Command::Match(Match::Split(arguments)) => matching::split::run(&arguments, printer),
        Command::Match(Match::Links(verb)) => matching::links::run(&verb, printer),
        Command::Match(Match::Plan(arguments)) => match_plan::run(&arguments, printer),
        Command::Data(verb) => match verb {
            Data::Seal(arguments) => seal::run(&arguments, printer),
            Data::Push(arguments) => data::push(&arguments, printer),
            Data::Inspect(arguments) => data::inspect(&arguments, printer),
            Data::Clipped(arguments) => clipped::run(&arguments, printer),
            Data::Retag(arguments) => rewrite::retag(&arguments, printer),
            Data::Consent(arguments) => rewrite::consent(&arguments, printer),
            Data::Forget(arguments) => rewrite::forget(&arguments, printer),
            Data::Revoke(arguments) => rewrite::revoke(&arguments, printer),
            Data::Rotate(arguments) => rewrite::rotate(&arguments, printer),
        },
        Command::Query(verb) => match verb {
            Query::Explain(arguments) => query::explain(&arguments, printer),
            Query::Check(arguments) => query::check_worst(&arguments, printer),
            Query::Run(arguments) if arguments.practice => practice::run(&arguments, printer),
            Query::Run(arguments) => query::run(&arguments, printer),
            Query::Receive(arguments) => receive::run(&arguments, printer),
            Query::Template(arguments) => query_template::run(&arguments, printer),
            Query::Propose(arguments) => proposals::propose(&arguments, printer),
            Query::Approve(arguments) => proposals::approve(&arguments, printer),
            Query::Token(arguments) => drivers::token(&arguments, printer),
        },
        Command::Evidence(Evidence::Trust(arguments)) => drivers::trust(&arguments, printer),
    }
}

/// Runs asynchronous work to its end.
pub(crate) fn block_on<T>(work: impl Future<Output = Result<T, Failure>>) -> Result<T, Failure> {
    tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()
        .map_err(|error| Failure::failed("the program did not start its threads").because(&error))?
        .block_on(work)
}
