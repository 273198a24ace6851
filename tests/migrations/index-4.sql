-- index.db as version 4 made it.
CREATE TABLE account (
  number      INTEGER PRIMARY KEY,
  id          BLOB NOT NULL UNIQUE,
  removed     INTEGER NOT NULL DEFAULT 0,
  created     INTEGER NOT NULL,
  uidvalidity INTEGER NOT NULL,
  modseq      INTEGER NOT NULL,
  next        INTEGER NOT NULL,
  messages    INTEGER NOT NULL DEFAULT 0,
  bytes       INTEGER NOT NULL DEFAULT 0,
  quota_messages INTEGER,
  quota_bytes    INTEGER
) STRICT;
CREATE TABLE mailbox (
  number      INTEGER PRIMARY KEY AUTOINCREMENT,
  account     INTEGER NOT NULL,
  name        TEXT NOT NULL,
  uidvalidity INTEGER NOT NULL,
  special_use INTEGER NOT NULL,
  keywords    BLOB NOT NULL
) STRICT;
CREATE UNIQUE INDEX mailbox_name ON mailbox (account, name);
CREATE TABLE subscription (
  account INTEGER NOT NULL,
  name    TEXT NOT NULL,
  PRIMARY KEY (account, name)
) STRICT, WITHOUT ROWID;
CREATE TABLE run (
  number   INTEGER PRIMARY KEY AUTOINCREMENT,
  account  INTEGER NOT NULL,
  mailbox  INTEGER NOT NULL,
  uid_base INTEGER NOT NULL,
  modseq   INTEGER NOT NULL
) STRICT;
CREATE INDEX run_mailbox ON run (mailbox, uid_base);
CREATE TABLE page (
  key     INTEGER PRIMARY KEY,
  entries BLOB NOT NULL
) STRICT;
CREATE TABLE message (
  key         INTEGER PRIMARY KEY,
  segment     INTEGER NOT NULL,
  offset      INTEGER NOT NULL,
  size        INTEGER NOT NULL,
  date        INTEGER NOT NULL,
  zone        INTEGER NOT NULL,
  traits      INTEGER NOT NULL,
  header_size INTEGER NOT NULL,
  lines       INTEGER NOT NULL,
  envelope    BLOB NOT NULL,
  structure   BLOB NOT NULL,
  body        BLOB NOT NULL,
  parts       BLOB NOT NULL,
  headers     BLOB NOT NULL
) STRICT;
CREATE TABLE change (
  key     INTEGER PRIMARY KEY,
  mailbox INTEGER NOT NULL,
  kind    INTEGER NOT NULL,
  time    INTEGER NOT NULL,
  uids    BLOB NOT NULL
) STRICT;
CREATE TABLE expunged (
  key     INTEGER PRIMARY KEY,
  mailbox INTEGER NOT NULL,
  time    INTEGER NOT NULL,
  entries BLOB NOT NULL
) STRICT;
CREATE TABLE delivery (
  key  BLOB PRIMARY KEY,
  time INTEGER NOT NULL
) STRICT, WITHOUT ROWID;
CREATE INDEX delivery_time ON delivery (time);
CREATE TABLE forgotten (
  key INTEGER PRIMARY KEY
) STRICT;
CREATE TABLE pop3_hidden (
  mailbox INTEGER NOT NULL,
  login   INTEGER NOT NULL,
  uids    BLOB NOT NULL,
  PRIMARY KEY (mailbox, login)
) STRICT, WITHOUT ROWID;
CREATE TABLE pop3_due (
  due     INTEGER NOT NULL,
  mailbox INTEGER NOT NULL,
  trash   INTEGER NOT NULL,
  uids    BLOB NOT NULL,
  PRIMARY KEY (due, mailbox, trash)
) STRICT, WITHOUT ROWID;
CREATE INDEX pop3_due_mailbox ON pop3_due (mailbox);
CREATE TABLE pop3_uidl (
  key  INTEGER PRIMARY KEY,
  text TEXT NOT NULL
) STRICT;
CREATE UNIQUE INDEX pop3_uidl_text ON pop3_uidl (key >> 40, text);
CREATE TABLE segment (
  number   INTEGER PRIMARY KEY,
  end      INTEGER NOT NULL,
  messages INTEGER NOT NULL DEFAULT 0,
  bytes    INTEGER NOT NULL DEFAULT 0
) STRICT;
