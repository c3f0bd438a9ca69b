"""Ask an In Camera room through Arrow Flight SQL, with the ADBC driver.

    import incamera_flight
    with incamera_flight.connect("https://room.example:7443", token="query.token",
                                 certificate="room.pem", agreement="...", purpose="measurement") as room:
        answer = incamera_flight.ask(room, "lift", {"from": date(2026, 3, 1), "until": date(2026, 5, 31)})

`incamera evidence trust` attests the room and writes its certificate, `incamera query token`
makes the token and says the agreement's digest and the purposes. Needs `adbc-driver-flightsql`
and `pyarrow`.
"""

import base64
from pathlib import Path

import adbc_driver_flightsql.dbapi as flight_sql
import pyarrow as pa
from adbc_driver_flightsql import DatabaseOptions

HEADER = DatabaseOptions.RPC_CALL_HEADER_PREFIX.value


def connect(url, *, token, certificate, agreement, purpose):
    """A connection to the room at `url`; `token` and `certificate` name files."""
    if not url.startswith("https://"):
        raise ValueError("a room's url begins with https://: the token is for TLS alone")
    address = url.replace("https://", "grpc+tls://", 1)
    return flight_sql.connect(
        address,
        db_kwargs={
            DatabaseOptions.TLS_ROOT_CERTS.value: Path(certificate).read_text(),
            DatabaseOptions.AUTHORIZATION_HEADER.value: "Bearer " + Path(token).read_text().strip(),
            HEADER + "x-incamera-agreement": agreement,
            HEADER + "x-incamera-purpose": purpose,
        },
        # Each question is answered and charged by itself: there is nothing to roll back.
        autocommit=True,
    )


def ask(room, query, parameters=None):
    """The answer to an approved query, as a table: each number with its range at 95 %."""
    with room.cursor() as cursor:
        cursor.adbc_statement.set_sql_query(query)
        if parameters:
            cursor.adbc_statement.prepare()
            row = pa.RecordBatch.from_pylist([dict(parameters)])
            cursor.adbc_statement.bind(row)
        stream, _ = cursor.adbc_statement.execute_query()
        return pa.RecordBatchReader.from_stream(stream).read_all()


def keep_receipt(answer, path):
    """Writes answer and receipt to a file that `incamera verify` checks."""
    Path(path).write_bytes(base64.b64decode(answer.schema.metadata[b"incamera.release"]))
