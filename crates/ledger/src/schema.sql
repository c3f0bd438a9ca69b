-- Version 1. Times are seconds since 1970-01-01 UTC, losses integers (rho 10^-12,
-- delta0 10^-18), digests 32 bytes.

-- Whose ledger this is: one row.
CREATE TABLE party (
    only INTEGER PRIMARY KEY CHECK (only = 1),
    name TEXT NOT NULL
) STRICT;

-- The newest manifest of each data set.
CREATE TABLE manifests (
    agreement_id  BLOB NOT NULL,
    dataset       TEXT NOT NULL,
    version       INTEGER NOT NULL CHECK (version > 0),
    digest        BLOB NOT NULL,
    signed        BLOB NOT NULL,
    registered_at INTEGER NOT NULL,
    PRIMARY KEY (agreement_id, dataset)
) STRICT;

-- One noise seed a request digest, encrypted under the key ring.
CREATE TABLE seeds (
    request    BLOB PRIMARY KEY,
    commitment BLOB NOT NULL,
    sealed     BLOB NOT NULL,
    kept       INTEGER NOT NULL DEFAULT 0 CHECK (kept IN (0, 1)) -- a charge hangs on it
) STRICT;

-- The own manifests that a seed's request names.
CREATE TABLE seed_manifests (
    request  BLOB NOT NULL REFERENCES seeds (request) ON DELETE CASCADE,
    manifest BLOB NOT NULL,
    PRIMARY KEY (request, manifest)
) STRICT, WITHOUT ROWID;
CREATE INDEX seed_manifests_by_manifest ON seed_manifests (manifest);

-- Open reservations. What they hold counts as spent until they expire.
CREATE TABLE reservations (
    request      BLOB NOT NULL REFERENCES seeds (request) ON DELETE CASCADE,
    room_key     BLOB NOT NULL,
    agreement_id BLOB NOT NULL,
    counterparty TEXT NOT NULL,
    analyst      TEXT NOT NULL,
    rho          INTEGER NOT NULL CHECK (rho >= 0),
    delta0       INTEGER NOT NULL CHECK (delta0 >= 0),
    expires      INTEGER NOT NULL,
    taken        INTEGER NOT NULL DEFAULT 0 CHECK (taken IN (0, 1)), -- committed: holds nothing
    PRIMARY KEY (request, room_key)
) STRICT, WITHOUT ROWID;

-- What was spent. Never updated, never deleted.
CREATE TABLE charges (
    request      BLOB NOT NULL,
    commitments  BLOB NOT NULL,
    commitment   BLOB NOT NULL,
    agreement_id BLOB NOT NULL,
    rho          INTEGER NOT NULL CHECK (rho >= 0),
    delta0       INTEGER NOT NULL CHECK (delta0 >= 0),
    at           INTEGER NOT NULL,
    PRIMARY KEY (request, commitments)
) STRICT;
CREATE INDEX charges_by_agreement ON charges (agreement_id, rho, delta0);

-- The log of each agreement id: leaves and their hashes. Never updated, never deleted.
CREATE TABLE log (
    agreement_id BLOB NOT NULL,
    position     INTEGER NOT NULL CHECK (position >= 0),
    entry        BLOB NOT NULL,
    leaf_hash    BLOB NOT NULL,
    PRIMARY KEY (agreement_id, position)
) STRICT;

CREATE TRIGGER charges_stay_changed BEFORE UPDATE ON charges
BEGIN SELECT RAISE(ABORT, 'a charge is never changed'); END;
CREATE TRIGGER charges_stay BEFORE DELETE ON charges
BEGIN SELECT RAISE(ABORT, 'a charge is never deleted'); END;
CREATE TRIGGER log_stays_changed BEFORE UPDATE ON log
BEGIN SELECT RAISE(ABORT, 'a log entry is never changed'); END;
CREATE TRIGGER log_stays BEFORE DELETE ON log
BEGIN SELECT RAISE(ABORT, 'a log entry is never deleted'); END;
