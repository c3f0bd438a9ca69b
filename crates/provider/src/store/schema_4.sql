-- From version 3 to 4: one share waited of each key, and another one took its place.
CREATE TABLE shares_4 (
    agreement_id BLOB NOT NULL,
    epoch        INTEGER NOT NULL,
    waits        INTEGER NOT NULL CHECK (waits IN (0, 1)),
    number       INTEGER NOT NULL,
    place        INTEGER NOT NULL,
    sealed       BLOB NOT NULL,
    statement    BLOB NOT NULL
) STRICT;
INSERT INTO shares_4 SELECT agreement_id, epoch, waits, number, place, sealed, statement FROM shares;
DROP TABLE shares;
ALTER TABLE shares_4 RENAME TO shares;
CREATE UNIQUE INDEX shares_that_count ON shares (agreement_id, epoch) WHERE waits = 0;
