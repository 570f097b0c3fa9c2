-- Version 2: notes.

-- Which entries are changes of a note.
CREATE TABLE notes (
    conversation BLOB NOT NULL,
    name         TEXT NOT NULL,
    position     INTEGER NOT NULL,
    PRIMARY KEY (conversation, name, position)
) STRICT, WITHOUT ROWID;

-- The whole history for people, with notes.
DROP VIEW audit;
CREATE VIEW audit AS
SELECT o.position,
       strftime('%Y-%m-%dT%H:%M:%fZ', (o.hlc >> 16) / 1000.0, 'unixepoch') AS at,
       lower(hex(l.author)) AS author,
       o.agent,
       CASE o.kind
           WHEN 1 THEN 'log start' WHEN 2 THEN 'certificate' WHEN 3 THEN 'message' WHEN 4 THEN 'receipt'
           WHEN 5 THEN 'change' WHEN 6 THEN 'checkpoint' WHEN 7 THEN 'fork proof' WHEN 8 THEN 'note'
           ELSE 'kind ' || o.kind
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
