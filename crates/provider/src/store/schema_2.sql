-- From version 1 to 2: a label had one entry, whoever stored first.
CREATE TABLE links_2 (
    agreement_id BLOB NOT NULL,
    epoch        INTEGER NOT NULL,
    label        BLOB NOT NULL,
    purpose      TEXT NOT NULL,
    source       TEXT NOT NULL,
    expires      INTEGER NOT NULL,
    value        BLOB NOT NULL,
    PRIMARY KEY (agreement_id, epoch, label, source)
) STRICT, WITHOUT ROWID;
INSERT INTO links_2 SELECT agreement_id, epoch, label, purpose, source, expires, value FROM links;
DROP TABLE links;
ALTER TABLE links_2 RENAME TO links;
CREATE INDEX links_of ON links (agreement_id, epoch, source);
CREATE INDEX links_until ON links (expires);
