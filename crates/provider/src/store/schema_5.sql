-- From version 4 to 5: when this provider signed for new shares of a key.
CREATE TABLE refreshes (
    agreement_id BLOB NOT NULL,
    epoch        INTEGER NOT NULL,
    at           INTEGER NOT NULL
) STRICT;
