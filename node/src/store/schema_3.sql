-- Version 3: what is held, what expires, threads.

-- Held for an agent whose attention is elsewhere; and when it is not handed out any more, in milliseconds since 1970.
ALTER TABLE inbox ADD COLUMN held INTEGER NOT NULL DEFAULT 0;
ALTER TABLE inbox ADD COLUMN expires INTEGER;
CREATE INDEX inbox_held ON inbox (agent, position) WHERE held;

-- Messages that an agent has been handed by themselves, beside what surfaced says of whole logs.
CREATE TABLE handed (
    message BLOB NOT NULL,
    node    BLOB NOT NULL,
    agent   TEXT NOT NULL,
    PRIMARY KEY (message, node, agent)
) STRICT, WITHOUT ROWID;

-- The message that one answers.
ALTER TABLE messages ADD COLUMN reply_to BLOB;
CREATE INDEX messages_by_reply ON messages (reply_to) WHERE reply_to IS NOT NULL;
