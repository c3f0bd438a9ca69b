//! Arrow Flight SQL: approved queries as prepared statements, for database drivers.
//!
//! # What a client says
//! | where | what |
//! |---|---|
//! | `authorization: Bearer TOKEN` | a token that `incamera query token` made |
//! | `x-incamera-agreement` | the digest of the agreement's version, or the agreement id |
//! | `x-incamera-purpose` | the purpose that it asks for |
//! | statement | the name of an approved query, or its SQL as the agreement has it |
//! | parameters | one row: by name, or else in order of name |
//!
//! # What happens
//! The room makes the request and signs it with the token's key; from there on everything is as
//! for `incamera query run`: the same checks, rounds, charge, noise and receipt. The answer is
//! [`incamera_query::frame`], with the receipt's file (base64) as `incamera.release` in the
//! schema's metadata. Nothing is kept between the steps: handles and tickets say all, and are
//! checked anew.

mod arguments;
mod client;

pub use arguments::parameters;

use std::pin::Pin;
use std::sync::Arc;

use arrow::record_batch::RecordBatch;
use arrow_flight::encode::FlightDataEncoderBuilder;
use arrow_flight::error::FlightError;
use arrow_flight::flight_service_server::{FlightService, FlightServiceServer};
use arrow_flight::sql::metadata::{SqlInfoData, SqlInfoDataBuilder};
use arrow_flight::sql::server::{FlightSqlService, PeekableFlightDataStream};
use arrow_flight::sql::{
    ActionClosePreparedStatementRequest, ActionCreatePreparedStatementRequest,
    ActionCreatePreparedStatementResult, Any, CommandGetSqlInfo, CommandPreparedStatementQuery,
    CommandStatementQuery, DoPutPreparedStatementResult, SqlInfo, TicketStatementQuery,
};
use arrow_flight::{
    Action, FlightDescriptor, FlightEndpoint, FlightInfo, IpcMessage, SchemaAsIpc, Ticket,
};
use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use bytes::Bytes;
use futures::{Stream, TryStreamExt as _};
use incamera_agreement::Query;
use incamera_net::status::{Problem, ProblemKind};
use incamera_query::{frame, table};
use incamera_release::Request as Asked;
use incamera_types::limits::MAX_REQUEST_BYTES;
use incamera_types::{DatasetName, ManifestDigest, Params, QueryName};
use incamera_wire::v1::{Answer, ReleaseFile, Signed, Statement};
use incamera_wire::{Format, decode, encode};
use prost::Message as _;
use tokio::sync::mpsc;
use tonic::service::Interceptor;
use tonic::service::interceptor::InterceptedService;
use tonic::{Request, Response, Status};

use self::client::Client;
use crate::identity::now;
use crate::run;
use crate::service::State;

/// How long a request that the room makes is good for, in seconds.
const REQUEST_LIFETIME_S: u64 = 600;
/// What may be asked about the server at a time: the library makes a column of each.
const MOST_INFO: usize = 256;
/// Events of a run that wait.
const EVENTS_UNDER_WAY: usize = 8;

/// The service with its gate and its size limits.
pub(crate) fn service(state: Arc<State>) -> InterceptedService<FlightServiceServer<Flight>, Gate> {
    let gate = Gate {
        state: state.clone(),
    };
    let flight = FlightServiceServer::new(Flight { state });
    InterceptedService::new(flight.max_decoding_message_size(MAX_REQUEST_BYTES), gate)
}

/// Lets no call in whose token does not hold, whatever it calls, and before anything that it
/// sends is waited for.
#[derive(Clone)]
pub(crate) struct Gate {
    state: Arc<State>,
}

impl Interceptor for Gate {
    fn call(&mut self, mut request: Request<()>) -> Result<Request<()>, Status> {
        let agreement = self.state.active().map_err(told)?;
        let client = Client::read(request.metadata(), agreement, now()).map_err(told)?;
        request.extensions_mut().insert(Arc::new(client));
        Ok(request)
    }
}

/// Flight SQL over the room.
#[derive(Clone)]
pub(crate) struct Flight {
    state: Arc<State>,
}

impl Flight {
    /// Who calls, as the [`Gate`] found out.
    fn client<T>(request: &Request<T>) -> Result<Arc<Client>, Problem> {
        let client = request.extensions().get::<Arc<Client>>();
        client
            .cloned()
            .ok_or_else(|| Problem::internal("a call came past the gate"))
    }

    /// The request that a statement stands for, signed with the token's key. Reads manifests:
    /// for a thread that may wait.
    fn signed(
        &self,
        client: &Client,
        query: &QueryName,
        params: Params,
    ) -> Result<Signed, Problem> {
        let request = self.request(client, query, params)?;
        let expires = now().plus(REQUEST_LIFETIME_S);
        request
            .sign_by_token(client.token(), expires, &mut rand::rng())
            .map_err(Problem::internal)
    }

    fn request(
        &self,
        client: &Client,
        query: &QueryName,
        params: Params,
    ) -> Result<Asked, Problem> {
        let agreement = client.agreement();
        let query = client.query(query.as_str())?;
        let digest = |dataset: &DatasetName| -> Result<(DatasetName, ManifestDigest), Problem> {
            let manifest = run::stored(&self.state, agreement, dataset)?;
            Ok((dataset.clone(), manifest.digest()))
        };
        let manifests = query.datasets().into_iter().map(digest);
        let manifests = manifests.collect::<Result<_, _>>()?;
        let measurement = self.state.identity.measurement();
        let request = Asked::new(agreement, &query.name, params, &manifests, measurement);
        let request = request.map_err(|error| {
            Problem::new(ProblemKind::Refused, "request-refused", error.to_string())
        })?;
        Ok(request.for_purpose(client.purpose().clone()))
    }

    /// Asks, as the token's analyst.
    async fn ask(
        &self,
        client: Arc<Client>,
        query: QueryName,
        params: Params,
    ) -> Result<ReleaseFile, Problem> {
        let flight = self.clone();
        let signed =
            tokio::task::spawn_blocking(move || flight.signed(&client, &query, params)).await;
        let signed = signed.map_err(Problem::internal)??;
        let (events, mut receiver) = mpsc::channel(EVENTS_UNDER_WAY);
        let state = Arc::clone(&self.state);
        // On its own: once an owner has charged, all are to have charged, whoever hangs up.
        let running =
            tokio::spawn(async move { run::run_for_bearer(&state, &signed, &events).await });
        while receiver.recv().await.is_some() {} // Drivers are told no steps.
        running.await.map_err(Problem::internal)?
    }

    /// The answer to a statement, and its receipt.
    async fn answer(
        &self,
        client: Arc<Client>,
        statement: &Statement,
    ) -> Result<RecordBatch, Problem> {
        let (query, params) = fits(&client, statement)?;
        let name = query.name.clone();
        let release = self.ask(client.clone(), name, params.clone()).await?;
        let answer = &release.answer;
        let answer: Answer = decode(answer, answer.len()).map_err(Problem::internal)?;
        let table =
            table(&answer, client.agreement(), query, &params).map_err(Problem::internal)?;
        let batch = frame(&answer, &table).map_err(Problem::internal)?;
        let mut schema = batch.schema().as_ref().clone();
        let receipt = BASE64_STANDARD.encode(encode(&release));
        schema.metadata.insert("incamera.release".into(), receipt);
        batch
            .with_schema(Arc::new(schema))
            .map_err(Problem::internal)
    }

    async fn stream<T>(
        &self,
        handle: &[u8],
        request: &Request<T>,
    ) -> Result<Response<<Self as FlightService>::DoGetStream>, Status> {
        let client = Self::client(request).map_err(told)?;
        let statement = statement(handle).map_err(told)?;
        let batch = self.answer(client, &statement).await;
        Ok(one(batch.map_err(told)?))
    }
}

/// A problem for a program that shows messages and nothing else: what to do stands in it, too.
fn told(problem: Problem) -> Status {
    let hint = problem.hint_text().map(str::to_owned);
    let said = match &hint {
        Some(hint) => format!("{}; {hint}", problem.message()),
        None => problem.message().to_owned(),
    };
    problem.saying(said).into()
}

/// A stream of one batch.
fn one(batch: RecordBatch) -> Response<Pin<Box<DataStream>>> {
    let schema = batch.schema();
    let batches = futures::stream::once(async move { Ok(batch) });
    let data = FlightDataEncoderBuilder::new()
        .with_schema(schema)
        .build(batches)
        .map_err(|error: FlightError| Status::from(Problem::internal(error)));
    Response::new(Box::pin(data))
}

type DataStream = dyn Stream<Item = Result<arrow_flight::FlightData, Status>> + Send;

/// A handle or ticket of this room, or of the one that ran before it.
fn statement(handle: &[u8]) -> Result<Statement, Problem> {
    let malformed = || {
        Problem::new(
            ProblemKind::Invalid,
            "malformed-statement",
            "the statement's handle is not one that a room made",
        )
        .hint("prepare the statement again")
    };
    let statement: Statement = decode(handle, MAX_REQUEST_BYTES).map_err(|_| malformed())?;
    let known = Format::Statement.expect(&statement.format);
    known.map_err(|_| malformed())?;
    Ok(statement)
}

/// What can be said of a statement without looking at the data: the token covers its query, and
/// its parameters fit.
fn fits<'a>(client: &'a Client, statement: &Statement) -> Result<(&'a Query, Params), Problem> {
    let query = client.query(&statement.query)?;
    Ok((query, arguments::params(query, statement)?))
}

/// Where an answer is to be had: here, with this ticket.
fn info(
    ticket: &impl arrow_flight::sql::ProstMessageExt,
    descriptor: FlightDescriptor,
) -> Response<FlightInfo> {
    let ticket = Ticket::new(ticket.as_any().encode_to_vec());
    let endpoint = FlightEndpoint::new().with_ticket(ticket);
    let info = FlightInfo::new()
        .with_endpoint(endpoint)
        .with_descriptor(descriptor);
    Response::new(info)
}

fn sql_info() -> Result<SqlInfoData, Problem> {
    let mut builder = SqlInfoDataBuilder::new();
    builder.append(SqlInfo::FlightSqlServerName, "In Camera room");
    builder.append(SqlInfo::FlightSqlServerVersion, env!("CARGO_PKG_VERSION"));
    builder.append(SqlInfo::FlightSqlServerReadOnly, true);
    builder.append(SqlInfo::FlightSqlServerSql, true);
    builder.append(SqlInfo::FlightSqlServerSubstrait, false);
    builder.build().map_err(Problem::internal)
}

fn ipc(schema: &arrow::datatypes::Schema) -> Result<Bytes, Problem> {
    let options = Default::default();
    let message: IpcMessage = SchemaAsIpc::new(schema, &options)
        .try_into()
        .map_err(|error: arrow::error::ArrowError| Problem::internal(error))?;
    Ok(message.0)
}

#[tonic::async_trait]
impl FlightSqlService for Flight {
    type FlightService = Self;

    async fn do_action_create_prepared_statement(
        &self,
        asked: ActionCreatePreparedStatementRequest,
        request: Request<Action>,
    ) -> Result<ActionCreatePreparedStatementResult, Status> {
        let client = Self::client(&request).map_err(told)?;
        let query = client.query(&asked.query).map_err(told)?;
        Ok(ActionCreatePreparedStatementResult {
            prepared_statement_handle: arguments::statement(query).into(),
            // What an answer looks like, the answer says.
            dataset_schema: Bytes::new(),
            parameter_schema: ipc(&arguments::schema(query))?,
        })
    }

    async fn do_action_close_prepared_statement(
        &self,
        _closed: ActionClosePreparedStatementRequest,
        request: Request<Action>,
    ) -> Result<(), Status> {
        Self::client(&request).map(drop).map_err(told)
    }

    async fn do_put_prepared_statement_query(
        &self,
        bound: CommandPreparedStatementQuery,
        request: Request<PeekableFlightDataStream>,
    ) -> Result<DoPutPreparedStatementResult, Status> {
        let client = Self::client(&request).map_err(told)?;
        let statement = statement(&bound.prepared_statement_handle).map_err(told)?;
        let query = client.query(&statement.query).map_err(told)?;
        let statement = arguments::bound(query, request.into_inner()).await;
        let statement = statement.map_err(told)?;
        Ok(DoPutPreparedStatementResult {
            prepared_statement_handle: Some(encode(&statement).into()),
        })
    }

    async fn get_flight_info_prepared_statement(
        &self,
        asked: CommandPreparedStatementQuery,
        request: Request<FlightDescriptor>,
    ) -> Result<Response<FlightInfo>, Status> {
        let client = Self::client(&request).map_err(told)?;
        let statement = statement(&asked.prepared_statement_handle).map_err(told)?;
        fits(&client, &statement).map_err(told)?;
        Ok(info(&asked, request.into_inner()))
    }

    async fn do_get_prepared_statement(
        &self,
        asked: CommandPreparedStatementQuery,
        request: Request<Ticket>,
    ) -> Result<Response<<Self as FlightService>::DoGetStream>, Status> {
        self.stream(&asked.prepared_statement_handle, &request)
            .await
    }

    async fn get_flight_info_statement(
        &self,
        asked: CommandStatementQuery,
        request: Request<FlightDescriptor>,
    ) -> Result<Response<FlightInfo>, Status> {
        let client = Self::client(&request).map_err(told)?;
        let query = client.query(&asked.query).map_err(told)?;
        let handle = arguments::statement(query);
        let asks = statement(&handle).map_err(told)?;
        fits(&client, &asks).map_err(told)?;
        let ticket = TicketStatementQuery {
            statement_handle: handle.into(),
        };
        Ok(info(&ticket, request.into_inner()))
    }

    async fn do_get_statement(
        &self,
        ticket: TicketStatementQuery,
        request: Request<Ticket>,
    ) -> Result<Response<<Self as FlightService>::DoGetStream>, Status> {
        self.stream(&ticket.statement_handle, &request).await
    }

    async fn get_flight_info_sql_info(
        &self,
        asked: CommandGetSqlInfo,
        request: Request<FlightDescriptor>,
    ) -> Result<Response<FlightInfo>, Status> {
        Self::client(&request).map_err(told)?;
        Ok(info(&asked, request.into_inner()))
    }

    async fn do_get_sql_info(
        &self,
        asked: CommandGetSqlInfo,
        request: Request<Ticket>,
    ) -> Result<Response<<Self as FlightService>::DoGetStream>, Status> {
        Self::client(&request).map_err(told)?;
        if asked.info.len() > MOST_INFO {
            let what = "fewer things about the server may be asked at a time";
            return Err(told(Problem::new(ProblemKind::Invalid, "too-much", what)));
        }
        let data = sql_info()?;
        let batch = asked.into_builder(&data).build();
        Ok(one(batch.map_err(Problem::internal)?))
    }

    async fn register_sql_info(&self, _id: i32, _result: &SqlInfo) {}

    async fn do_get_fallback(
        &self,
        _request: Request<Ticket>,
        _message: Any,
    ) -> Result<Response<<Self as FlightService>::DoGetStream>, Status> {
        let offered = "a room answers approved queries and nothing else";
        let problem = Problem::new(ProblemKind::Invalid, "not-offered", offered);
        Err(told(problem.hint("`incamera agreement show` lists them")))
    }
}

#[cfg(test)]
#[cfg(feature = "simulated")]
#[allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing)]
mod tests;
