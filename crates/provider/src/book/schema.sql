-- What a party has told providers of links between its ids, so that it can take it back, and
-- what they are still to be told. It never leaves the party's folder.

-- Which id of one kind goes with which of another, until when it may count, and the purposes of
-- the agreement when it was put (each between two blanks).
CREATE TABLE edges (
    agreement_id BLOB NOT NULL,
    epoch        INTEGER NOT NULL,
    from_kind    TEXT NOT NULL,
    to_kind      TEXT NOT NULL,
    from_id      TEXT NOT NULL,
    to_id        TEXT NOT NULL,
    expires      INTEGER NOT NULL DEFAULT 0,
    under        TEXT NOT NULL DEFAULT '',
    PRIMARY KEY (agreement_id, epoch, from_kind, to_kind, from_id, to_id)
) STRICT, WITHOUT ROWID;
CREATE INDEX edges_to ON edges (agreement_id, to_kind, to_id);

-- What stands at providers, or will; entries of nothing have no `from_id`.
CREATE TABLE entries (
    agreement_id BLOB NOT NULL,
    epoch        INTEGER NOT NULL,
    label        BLOB NOT NULL,
    from_kind    TEXT NOT NULL,
    to_kind      TEXT NOT NULL,
    from_id      TEXT,
    purpose      TEXT NOT NULL,
    expires      INTEGER NOT NULL,
    value        BLOB NOT NULL,
    PRIMARY KEY (agreement_id, epoch, label)
) STRICT, WITHOUT ROWID;
CREATE INDEX entries_of ON entries (agreement_id, epoch, from_kind, to_kind, from_id);
CREATE INDEX entries_until ON entries (expires);

-- Labels that a provider is still to be told of: to store what stands in `entries`, or, where
-- nothing does, to drop it. Where it is `gone`, what the provider may have there must not count.
CREATE TABLE due (
    agreement_id BLOB NOT NULL,
    epoch        INTEGER NOT NULL,
    provider     TEXT NOT NULL,
    label        BLOB NOT NULL,
    gone         INTEGER NOT NULL CHECK (gone IN (0, 1)),
    PRIMARY KEY (agreement_id, epoch, provider, label)
) STRICT, WITHOUT ROWID;
CREATE INDEX due_next ON due (agreement_id, epoch, provider, gone DESC, label);
