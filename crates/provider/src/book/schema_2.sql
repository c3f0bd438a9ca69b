-- From version 1 to 2: pairs stood as long as entries of theirs did, under whatever purposes.
ALTER TABLE edges ADD COLUMN expires INTEGER NOT NULL DEFAULT 0;
ALTER TABLE edges ADD COLUMN under TEXT NOT NULL DEFAULT '';
UPDATE edges SET expires = (
    SELECT coalesce(max(entries.expires), 0) FROM entries
    WHERE entries.agreement_id = edges.agreement_id AND entries.epoch = edges.epoch
    AND entries.from_kind = edges.from_kind AND entries.to_kind = edges.to_kind
    AND entries.from_id = edges.from_id
);
