"""Parquet encryption in PyArrow with an owner's own In Camera keys.

`incamera ring serve --party DIR --purpose PURPOSE` gives keys on this machine, for one purpose
and until it is stopped; this client asks it. It needs PyArrow and the standard library.

    import incamera_kms
    table = incamera_kms.read_columns("shop/sealed/ID/purchases", ["day", "amount"], "shop")
"""

import base64
import http.client
import json
import os
import pathlib
import urllib.parse
import warnings

import pyarrow
import pyarrow.parquet
import pyarrow.parquet.encryption as encryption

_FORMAT = "incamera-ring-endpoint/1"
_FILE = "ring-endpoint.json"
_CONF = "incamera_endpoint"
_TIMEOUT_S = 60


class EndpointError(Exception):
    """The endpoint is not there, or cannot answer."""


class Refused(EndpointError):
    """There is no such key to give: the reason says why.

    `kind` is `not-for-purpose` for a part that no column of is sealed for the purpose, `replaced`
    for one that the newest version does not have, and None for every other reason.
    """

    def __init__(self, reason, kind=None):
        super().__init__(reason)
        self.kind = kind


def _document(path):
    path = pathlib.Path(path)
    if path.is_dir():
        path = path / _FILE
    try:
        document = json.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise EndpointError(
            f"`{path}` cannot be read: is `incamera ring serve` running?"
        ) from error
    if document.get("format") != _FORMAT:
        raise EndpointError(
            f"`{path}` is not {_FORMAT}: a newer version of this client may read it"
        )
    return document


def _ask(path, verb, question):
    """Posts `question` to the endpoint that the file at `path` names."""
    endpoint = _document(path)
    url = urllib.parse.urlsplit(endpoint["url"])
    connection = http.client.HTTPConnection(url.hostname, url.port, timeout=_TIMEOUT_S)
    try:
        connection.request(
            "POST",
            f"/v1/{verb}",
            body=json.dumps(question),
            headers={
                "Authorization": f"Bearer {endpoint['token']}",
                "Content-Type": "application/json",
            },
        )
        response = connection.getresponse()
        status, body = response.status, response.read()
    except (OSError, http.client.HTTPException) as error:
        raise EndpointError(
            f"nothing answers at {endpoint['url']}: run `incamera ring serve`"
        ) from error
    finally:
        connection.close()
    try:
        answer = json.loads(body)
    except ValueError as error:
        raise EndpointError(f"the answer ({status}) is not JSON") from error
    if status == 200:
        return answer
    reason = answer.get("error", f"the endpoint answered {status}")
    if status == 403:
        raise Refused(reason, answer.get("kind"))
    raise EndpointError(reason)


class KmsClient(encryption.KmsClient):
    """PyArrow's key management client, answered by `incamera ring serve`."""

    def __init__(self, configuration):
        super().__init__()
        self._path = configuration.custom_kms_conf[_CONF]
        # PyArrow asks for a column's key again and again while a file is open.
        self._keys = {}

    def wrap_key(self, key_bytes, master_key_identifier):
        """Has a new key of a file that is written wrapped for its data set."""
        question = {
            "key": base64.b64encode(key_bytes).decode("ascii"),
            "master_key_id": master_key_identifier,
        }
        return _ask(self._path, "wrap", question)["wrapped_key"]

    def unwrap_key(self, wrapped_key, master_key_identifier):
        """Gets a key of a sealed part, if it is sealed for the endpoint's purpose."""
        if isinstance(wrapped_key, bytes):
            wrapped_key = wrapped_key.decode("ascii")
        asked = (wrapped_key, master_key_identifier)
        if asked not in self._keys:
            question = {"wrapped_key": wrapped_key, "master_key_id": master_key_identifier}
            answer = _ask(self._path, "unwrap", question)
            self._keys[asked] = base64.b64decode(answer["key"])
        return self._keys[asked]


def connection(endpoint):
    """How PyArrow reaches the endpoint of a party's folder, or of the file that names it."""
    return encryption.KmsConnectionConfig(
        kms_instance_id="incamera-ring",
        kms_instance_url="local",
        custom_kms_conf={_CONF: os.fspath(endpoint)},
    )


def factory():
    """PyArrow's crypto factory with this client; it must live as long as its files are open."""
    return encryption.CryptoFactory(KmsClient)


def open_parts(folder, endpoint):
    """Opens each part of a sealed data set that has a column for the endpoint's purpose.

    Parts of people who did not agree to the purpose are passed over: they have no key for it. So
    are files that the newest version does not have, beside those that it has. Every other
    refusal is raised, and so is the last one where no part opens. Gives pairs of a `ParquetFile`
    and the factory that must outlive it.
    """
    refused, opened = None, False
    for path in sorted(pathlib.Path(folder, "parts").glob("*.parquet")):
        crypto = factory()
        properties = crypto.file_decryption_properties(connection(endpoint))
        try:
            part = pyarrow.parquet.ParquetFile(path, decryption_properties=properties)
        except Refused as refusal:
            if refusal.kind is None:
                raise
            if refused is None or refusal.kind == "replaced":
                refused = refusal
            continue
        opened = True
        yield part, crypto
    if not opened:
        raise refused or EndpointError(f"`{folder}` has no parts: is it a sealed data set?")


def read_columns(folder, columns, endpoint):
    """Reads `columns` of a sealed data set, in this order, from every part that the purpose opens.

    Parts that were sealed before the data set had one of the columns are left out, as the room
    leaves them out of a query that reads it; a warning says how many. Raises `Refused` for a
    column that is not sealed for the purpose, and for one that no part has. Where `columns` is
    None, all are read, and all parts must have the same.
    """
    tables, lacking, without = [], set(), 0
    for part, _crypto in open_parts(folder, endpoint):
        missing = set(columns or ()) - set(part.schema_arrow.names)
        if missing:
            lacking |= missing
            without += 1
            continue
        table = part.read(columns=columns)
        tables.append(table if columns is None else table.select(columns))
    names = ", ".join(f"`{name}`" for name in sorted(lacking))
    if not tables:
        raise Refused(f"no part that opens for the purpose has the column {names}")
    if without:
        warnings.warn(
            f"{without} of {without + len(tables)} parts were sealed without {names}: their rows "
            "are left out until the data set is sealed again",
            stacklevel=2,
        )
    if any(table.schema.names != tables[0].schema.names for table in tables):
        raise ValueError("parts have different columns: name those to read")
    return pyarrow.concat_tables(tables)


def write_table(table, path, master_key, endpoint, *, column_keys=None, **options):
    """Writes a Parquet file that `incamera data seal` reads, and nobody without the ring.

    `master_key` is the name of the data set, or `DATASET/NAME`; `column_keys` maps further
    such names to lists of columns, and the other columns are encrypted as the footer is.
    `options` are those of PyArrow's `EncryptionConfiguration`.
    """
    keys = {"column_keys": column_keys} if column_keys else {"uniform_encryption": True}
    configuration = encryption.EncryptionConfiguration(
        footer_key=master_key, **{"data_key_length_bits": 256, "double_wrapping": False}, **keys
    )
    for name, value in options.items():
        setattr(configuration, name, value)
    crypto = factory()
    properties = crypto.file_encryption_properties(connection(endpoint), configuration)
    pyarrow.parquet.write_table(table, path, encryption_properties=properties)
