-- Version 4: what is urgent is found whatever else waits, and what was held can be let through later.

-- The column held is 0 for what was never held or was handed out since, 1 for what is held, 2 for what was held and is
-- let through by now: it waits wherever the cursor stands.
ALTER TABLE inbox ADD COLUMN urgent INTEGER NOT NULL DEFAULT 0;
CREATE INDEX inbox_urgent ON inbox (agent, position) WHERE urgent;
