-- Version 1. A file of this kind is never changed once it is released; changes are another file.

-- What this database knows of itself.
CREATE TABLE meta (
    key   TEXT PRIMARY KEY,
    value ANY NOT NULL
) STRICT, WITHOUT ROWID;

-- One row for each log; kept in step with ops.
CREATE TABLE logs (
    ref          INTEGER PRIMARY KEY,
    author       BLOB NOT NULL,
    log          BLOB NOT NULL,
    conversation BLOB NOT NULL,
    height       INTEGER NOT NULL,
    head         BLOB NOT NULL,
    hlc          INTEGER NOT NULL,
    UNIQUE (author, log)
) STRICT;

-- Every signed entry, in this node's order of arrival.
CREATE TABLE ops (
    position       INTEGER PRIMARY KEY,
    id             BLOB NOT NULL,
    log_ref        INTEGER NOT NULL,
    seq            INTEGER NOT NULL,
    kind           INTEGER NOT NULL,
    hlc            INTEGER NOT NULL,
    agent          TEXT,
    document_epoch INTEGER,
    signature      BLOB NOT NULL,
    header         BLOB NOT NULL,
    payload        BLOB NOT NULL
) STRICT;
CREATE UNIQUE INDEX ops_by_log ON ops (log_ref, seq);
-- Ids are random, so each op changes another page of this index. Eight bytes tell ids apart as well as 32 do, and the
-- whole index stays in memory for longer.
CREATE INDEX ops_by_id ON ops (substr(id, 1, 8));
CREATE INDEX ops_by_document ON ops (log_ref, document_epoch) WHERE document_epoch IS NOT NULL;

-- What history filters messages by.
CREATE TABLE messages (
    position    INTEGER PRIMARY KEY,
    log_ref     INTEGER NOT NULL,
    agent       TEXT,
    type        TEXT NOT NULL,
    everybody   INTEGER NOT NULL,
    ms          INTEGER NOT NULL,
    correlation TEXT
) STRICT;
CREATE INDEX messages_by_correlation ON messages (correlation) WHERE correlation IS NOT NULL;

-- For whom messages are that are not for everybody.
CREATE TABLE recipients (
    position INTEGER NOT NULL,
    node     BLOB NOT NULL,
    agent    TEXT NOT NULL,
    PRIMARY KEY (position, node, agent)
) STRICT, WITHOUT ROWID;

-- What is for the agents of this node, and how far each has been handed it.
CREATE TABLE inbox (
    agent    TEXT NOT NULL,
    position INTEGER NOT NULL,
    PRIMARY KEY (agent, position)
) STRICT, WITHOUT ROWID;
CREATE TABLE cursors (
    agent    TEXT PRIMARY KEY,
    position INTEGER NOT NULL
) STRICT, WITHOUT ROWID;

-- How far other nodes have this node's logs.
CREATE TABLE reaches (
    node   BLOB NOT NULL,
    author BLOB NOT NULL,
    log    BLOB NOT NULL,
    height INTEGER NOT NULL,
    PRIMARY KEY (node, author, log)
) STRICT, WITHOUT ROWID;

-- How far agents have been handed logs.
CREATE TABLE surfaced (
    node   BLOB NOT NULL,
    agent  TEXT NOT NULL,
    author BLOB NOT NULL,
    log    BLOB NOT NULL,
    seq    INTEGER NOT NULL,
    PRIMARY KEY (node, agent, author, log)
) STRICT, WITHOUT ROWID;

CREATE TABLE acknowledgements (
    message BLOB NOT NULL,
    node    BLOB NOT NULL,
    agent   TEXT NOT NULL,
    PRIMARY KEY (message, node, agent)
) STRICT, WITHOUT ROWID;

CREATE TABLE members (
    node  BLOB PRIMARY KEY,
    chain BLOB NOT NULL
) STRICT, WITHOUT ROWID;

-- Tickets that this node issued; expires in milliseconds since 1970.
CREATE TABLE tickets (
    id      BLOB PRIMARY KEY,
    secret  BLOB NOT NULL,
    expires INTEGER NOT NULL,
    used_by BLOB
) STRICT, WITHOUT ROWID;

-- The document epoch of each author that counts. Older ones are history.
CREATE TABLE documents (
    author       BLOB NOT NULL,
    conversation BLOB NOT NULL,
    epoch        INTEGER NOT NULL,
    PRIMARY KEY (author, conversation)
) STRICT, WITHOUT ROWID;

-- Proofs that a node contradicted itself: seq is the first position with two entries, common the entry before it.
CREATE TABLE forks (
    author       BLOB NOT NULL,
    log          BLOB NOT NULL,
    seq          INTEGER NOT NULL,
    conversation BLOB NOT NULL,
    common       BLOB NOT NULL,
    proof        BLOB NOT NULL,
    PRIMARY KEY (author, log, seq)
) STRICT, WITHOUT ROWID;

-- Where nodes were reached; addresses is a JSON list, last_seen in milliseconds since 1970.
CREATE TABLE peers (
    node      BLOB PRIMARY KEY,
    addresses TEXT NOT NULL,
    last_seen INTEGER NOT NULL
) STRICT, WITHOUT ROWID;

-- The whole history for people: SELECT * FROM audit ORDER BY position.
CREATE VIEW audit AS
SELECT o.position,
       strftime('%Y-%m-%dT%H:%M:%fZ', (o.hlc >> 16) / 1000.0, 'unixepoch') AS at,
       lower(hex(l.author)) AS author,
       o.agent,
       CASE o.kind
           WHEN 1 THEN 'log start' WHEN 2 THEN 'certificate' WHEN 3 THEN 'message' WHEN 4 THEN 'receipt'
           WHEN 5 THEN 'change' WHEN 6 THEN 'checkpoint' WHEN 7 THEN 'fork proof' ELSE 'kind ' || o.kind
       END AS kind,
       m.type,
       CASE WHEN o.kind = 3 AND substr(o.payload, 1, 1) = x'00' AND json_valid(CAST(substr(o.payload, 2) AS TEXT))
           THEN json_extract(CAST(substr(o.payload, 2) AS TEXT), '$.text')
       END AS text,
       m.correlation,
       lower(hex(l.conversation)) AS conversation,
       lower(hex(l.log)) AS log,
       o.seq,
       lower(hex(o.id)) AS id
FROM ops o
LEFT JOIN logs l ON l.ref = o.log_ref
LEFT JOIN messages m ON m.position = o.position;
