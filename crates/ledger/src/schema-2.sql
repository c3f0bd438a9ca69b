-- Version 2.

-- The signed requests that were charged anew: each at most once. Never updated, never deleted.
CREATE TABLE envelopes (
    envelope    BLOB PRIMARY KEY,
    request     BLOB NOT NULL,
    commitments BLOB NOT NULL,
    FOREIGN KEY (request, commitments) REFERENCES charges (request, commitments)
) STRICT;
CREATE TRIGGER envelopes_stay_changed BEFORE UPDATE ON envelopes
BEGIN SELECT RAISE(ABORT, 'a charged request is never changed'); END;
CREATE TRIGGER envelopes_stay BEFORE DELETE ON envelopes
BEGIN SELECT RAISE(ABORT, 'a charged request is never deleted'); END;

-- The manifests of all owners read that a seed's request names, and when it was last reserved.
CREATE TABLE seed_reads (
    request      BLOB NOT NULL REFERENCES seeds (request) ON DELETE CASCADE,
    agreement_id BLOB NOT NULL,
    dataset      TEXT NOT NULL,
    manifest     BLOB NOT NULL,
    at           INTEGER NOT NULL,
    PRIMARY KEY (request, dataset)
) STRICT, WITHOUT ROWID;
CREATE INDEX seed_reads_by_dataset ON seed_reads (agreement_id, dataset);

-- The highest version of each agreement that was ever in force here.
CREATE TABLE versions (
    agreement_id BLOB PRIMARY KEY,
    version      INTEGER NOT NULL CHECK (version > 0)
) STRICT;
