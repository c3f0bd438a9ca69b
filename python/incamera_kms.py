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
    """There is no such key to give: the reason says why."""


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
    kind = Refused if status == 403 else EndpointError
    raise kind(answer.get("error", f"the endpoint answered {status}"))


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

    Parts of people who did not agree to the purpose are passed over: they have no key for it.
    Gives pairs of a `ParquetFile` and the factory that must outlive it.
    """
    for path in sorted(pathlib.Path(folder, "parts").glob("*.parquet")):
        crypto = factory()
        properties = crypto.file_decryption_properties(connection(endpoint))
        try:
            yield pyarrow.parquet.ParquetFile(path, decryption_properties=properties), crypto
        except Refused:
            continue


def read_columns(folder, columns, endpoint):
    """Reads `columns` of a sealed data set from every part that the purpose opens.

    Raises `Refused` for a column that is not sealed for the purpose.
    """
    tables = [part.read(columns=columns) for part, _crypto in open_parts(folder, endpoint)]
    if not tables:
        raise Refused("no part of the data set is sealed for the purpose")
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
