-- Version 4.

-- The proposal whose query was charged; none where the agreement has the query.
ALTER TABLE charges ADD COLUMN proposal BLOB;
