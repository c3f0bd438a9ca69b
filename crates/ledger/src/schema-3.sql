-- Version 3.

-- Which file that version was; unknown where an earlier program saw it last.
ALTER TABLE versions ADD COLUMN digest BLOB;

-- Version 1 did not write down what a seed's request reads, so nothing would ever erase those
-- that it made: they go now, and their questions cost again. Charges stay.
DELETE FROM seeds WHERE request NOT IN (SELECT request FROM seed_reads);
