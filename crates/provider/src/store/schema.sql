-- Everything is durable before anybody is answered. No table holds a point or an id.

CREATE TABLE provider (
    only INTEGER PRIMARY KEY CHECK (only = 1),
    name TEXT NOT NULL
) STRICT;

-- The highest version of each agreement that was ever in force.
CREATE TABLE versions (
    agreement_id BLOB PRIMARY KEY,
    version      INTEGER NOT NULL,
    digest       BLOB NOT NULL
) STRICT;

-- The share that counts, and beside it those that were signed for and whose key statement not
-- all have signed yet, as far as is known here (`waits`). `statement` is the file of the first,
-- the body of the others.
CREATE TABLE shares (
    agreement_id BLOB NOT NULL,
    epoch        INTEGER NOT NULL,
    waits        INTEGER NOT NULL CHECK (waits IN (0, 1)),
    number       INTEGER NOT NULL,
    place        INTEGER NOT NULL,
    sealed       BLOB NOT NULL,
    statement    BLOB NOT NULL
) STRICT;
CREATE UNIQUE INDEX shares_that_count ON shares (agreement_id, epoch) WHERE waits = 0;

-- When this provider signed for new shares of a key: so many a day, and no more.
CREATE TABLE refreshes (
    agreement_id BLOB NOT NULL,
    epoch        INTEGER NOT NULL,
    at           INTEGER NOT NULL
) STRICT;

-- The runs that a party was counted for, and of each how many points.
CREATE TABLE sessions (
    id           INTEGER PRIMARY KEY,
    agreement_id BLOB NOT NULL,
    epoch        INTEGER NOT NULL,
    party        TEXT NOT NULL,
    kind         TEXT NOT NULL,
    nonce        BLOB NOT NULL,
    size         INTEGER NOT NULL,
    evaluated    INTEGER NOT NULL DEFAULT 0,
    UNIQUE (agreement_id, epoch, party, kind, nonce)
) STRICT;

-- Digests of the last batches of a run: one of them is answered again for nothing.
CREATE TABLE batches (
    id      INTEGER PRIMARY KEY,
    session INTEGER NOT NULL REFERENCES sessions (id),
    digest  BLOB NOT NULL
) STRICT;
CREATE INDEX batches_of ON batches (session, id);

-- An entry is known by label and source: owners' entries under one label stand side by side.
CREATE TABLE links (
    agreement_id BLOB NOT NULL,
    epoch        INTEGER NOT NULL,
    label        BLOB NOT NULL,
    purpose      TEXT NOT NULL,
    source       TEXT NOT NULL,
    expires      INTEGER NOT NULL,
    value        BLOB NOT NULL,
    PRIMARY KEY (agreement_id, epoch, label, source)
) STRICT, WITHOUT ROWID;
CREATE INDEX links_of ON links (agreement_id, epoch, source);
CREATE INDEX links_until ON links (expires);

-- How many entries each source stores: kept beside them, so that no message counts them all.
CREATE TABLE link_counts (
    agreement_id BLOB NOT NULL,
    epoch        INTEGER NOT NULL,
    source       TEXT NOT NULL,
    entries      INTEGER NOT NULL,
    PRIMARY KEY (agreement_id, epoch, source)
) STRICT, WITHOUT ROWID;
CREATE TRIGGER links_added AFTER INSERT ON links BEGIN
    INSERT INTO link_counts VALUES (NEW.agreement_id, NEW.epoch, NEW.source, 1)
    ON CONFLICT (agreement_id, epoch, source) DO UPDATE SET entries = entries + 1;
END;
CREATE TRIGGER links_gone AFTER DELETE ON links BEGIN
    UPDATE link_counts SET entries = entries - 1
    WHERE agreement_id = OLD.agreement_id AND epoch = OLD.epoch AND source = OLD.source;
END;
