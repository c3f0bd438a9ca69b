-- From version 2 to 3: entries were counted anew with each message.
CREATE TABLE link_counts (
    agreement_id BLOB NOT NULL,
    epoch        INTEGER NOT NULL,
    source       TEXT NOT NULL,
    entries      INTEGER NOT NULL,
    PRIMARY KEY (agreement_id, epoch, source)
) STRICT, WITHOUT ROWID;
INSERT INTO link_counts
SELECT agreement_id, epoch, source, count(*) FROM links GROUP BY agreement_id, epoch, source;
CREATE TRIGGER links_added AFTER INSERT ON links BEGIN
    INSERT INTO link_counts VALUES (NEW.agreement_id, NEW.epoch, NEW.source, 1)
    ON CONFLICT (agreement_id, epoch, source) DO UPDATE SET entries = entries + 1;
END;
CREATE TRIGGER links_gone AFTER DELETE ON links BEGIN
    UPDATE link_counts SET entries = entries - 1
    WHERE agreement_id = OLD.agreement_id AND epoch = OLD.epoch AND source = OLD.source;
END;
