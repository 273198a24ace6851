-- schema.sql: the data model of one shard (index.db). Every fact about its mail that can change, and what was derived from a
-- message when it came. Message bytes are in segment files (db/bodylog.h).
--
-- Numbers, and how keys are made of them: an account has a number of 23 bits here, messages, entries and changes have numbers of
-- 40 bits in their account. A key is account << 40 | number, so that the rows of one account lie together.

CREATE TABLE account (
  number      INTEGER PRIMARY KEY,        -- 1 to 2^23 - 1
  id          BLOB NOT NULL UNIQUE,       -- 16 random bytes, the name of the account in the directory
  removed     INTEGER NOT NULL DEFAULT 0, -- 1: destroyed; its rows are being removed little by little. 2 to 4: parked (store/parking.c), with another id
  created     INTEGER NOT NULL,           -- seconds since 1970
  uidvalidity INTEGER NOT NULL,           -- the last one given to a mailbox; grows
  modseq      INTEGER NOT NULL,           -- floors of the two counters: what rows that are gone had reached; the counters are the larger
  next        INTEGER NOT NULL,           -- of these and what is in change and expunged (modseq) and message (next number of message or entry)
  messages    INTEGER NOT NULL DEFAULT 0, -- entries in mailboxes now,
  bytes       INTEGER NOT NULL DEFAULT 0, -- and the sum of their sizes: what quotas count
  quota_messages INTEGER,                 -- limits. NULL: the server's default; 0: none
  quota_bytes    INTEGER,
  renaming       BLOB                     -- what many mailboxes are called from now on, whose rows follow little by little (store/renaming.c): up to which
                                          -- number they did, the old name and the new one. NULL: every row has its name
) STRICT;

CREATE TABLE mailbox (
  number      INTEGER PRIMARY KEY AUTOINCREMENT, -- never given twice
  account     INTEGER NOT NULL,
  name        TEXT NOT NULL,     -- UTF-8, separator '/', "INBOX" in capitals
  uidvalidity INTEGER NOT NULL,
  special_use INTEGER NOT NULL,  -- enum special_use
  keywords    BLOB NOT NULL      -- names in the order of their bits: each a varint length and bytes
) STRICT;
CREATE UNIQUE INDEX mailbox_name ON mailbox (account, name);

-- Names a client asked to see in LSUB; such a mailbox may or may not exist.
CREATE TABLE subscription (
  account INTEGER NOT NULL,
  name    TEXT NOT NULL,
  PRIMARY KEY (account, name)
) STRICT, WITHOUT ROWID;

-- The entries of a mailbox are the pages of its runs, in order of uid. Uids in the pages count from uid_base; an entry without a modseq of its own
-- has the run's. So a large copy builds a run page by page, unattached (mailbox 0), and one small transaction attaches it. Unattached
-- runs are removed at start.
CREATE TABLE run (
  number   INTEGER PRIMARY KEY AUTOINCREMENT, -- below 2^31; never given twice
  account  INTEGER NOT NULL,
  mailbox  INTEGER NOT NULL,  -- 0: not attached
  uid_base INTEGER NOT NULL,
  modseq   INTEGER NOT NULL
) STRICT;
CREATE INDEX run_mailbox ON run (mailbox, uid_base);

-- About 120 entries each (store/page.h has the form). The header of the mailbox's last page has its uidnext and where \Recent begins.
CREATE TABLE page (
  key     INTEGER PRIMARY KEY, -- run << 32 | number of the page in the run
  entries BLOB NOT NULL
) STRICT;

CREATE TABLE message (
  key         INTEGER PRIMARY KEY, -- account << 40 | number
  segment     INTEGER NOT NULL,    -- where the bytes are
  offset      INTEGER NOT NULL,
  size        INTEGER NOT NULL,
  date        INTEGER NOT NULL,    -- internal date, seconds since 1970
  zone        INTEGER NOT NULL,    -- minutes east of UTC, as it was given
  traits      INTEGER NOT NULL,    -- enum message_trait
  header_size INTEGER NOT NULL,
  lines       INTEGER NOT NULL,
  envelope    BLOB NOT NULL,       -- struct message_derived
  structure   BLOB NOT NULL,
  body        BLOB NOT NULL,
  parts       BLOB NOT NULL,
  headers     BLOB NOT NULL
) STRICT;

-- One row per command and mailbox; kept for a while, for clients that come back and ask what happened.
CREATE TABLE change (
  key     INTEGER PRIMARY KEY, -- account << 40 | modseq
  mailbox INTEGER NOT NULL,
  kind    INTEGER NOT NULL,    -- enum change_kind
  time    INTEGER NOT NULL,    -- seconds since 1970
  uids    BLOB NOT NULL        -- base/set.h
) STRICT;

-- What was expunged, as it was, until the undelete window is over.
CREATE TABLE expunged (
  key     INTEGER PRIMARY KEY, -- account << 40 | modseq of the expunge
  mailbox INTEGER NOT NULL,
  time    INTEGER NOT NULL,
  entries BLOB NOT NULL        -- packed as a page
) STRICT;

-- Deliveries whose answers may not have reached the sender: the same one again is not stored twice.
CREATE TABLE delivery (
  key  BLOB PRIMARY KEY,  -- 16 bytes (ipc/smtp_shard.h)
  time INTEGER NOT NULL
) STRICT, WITHOUT ROWID;
CREATE INDEX delivery_time ON delivery (time);

-- Messages that lost an entry for good, when its row of the undelete log went: another entry may still have them, which the next sweep
-- (store/sweep.c) finds out; those that none has go.
CREATE TABLE forgotten (
  key INTEGER PRIMARY KEY -- as in message
) STRICT;

-- Uids of a mailbox that a POP3 login does not see any more (store/pop3.h). Some may be gone from the mailbox.
CREATE TABLE pop3_hidden (
  mailbox INTEGER NOT NULL,
  login   INTEGER NOT NULL, -- 0: the password of the account; else the number of an app password in the directory
  uids    BLOB NOT NULL,    -- base/set.h
  PRIMARY KEY (mailbox, login)
) STRICT, WITHOUT ROWID;

-- Uids that are deleted at a time to come, if they are still in the mailbox then.
CREATE TABLE pop3_due (
  due     INTEGER NOT NULL, -- seconds since 1970
  mailbox INTEGER NOT NULL,
  trash   INTEGER NOT NULL, -- 1: they go to the trash
  uids    BLOB NOT NULL,    -- base/set.h
  PRIMARY KEY (due, mailbox, trash)
) STRICT, WITHOUT ROWID;
CREATE INDEX pop3_due_mailbox ON pop3_due (mailbox);

-- What POP3's UIDL says of entries that were imported with a unique id of another server's; of all others it says their id.
-- A row goes when its entry leaves the undelete log.
CREATE TABLE pop3_uidl (
  key  INTEGER PRIMARY KEY, -- account << 40 | id of the entry
  text TEXT NOT NULL
) STRICT;
CREATE UNIQUE INDEX pop3_uidl_text ON pop3_uidl (key >> 40, text);

-- Committed ends: what lies behind them in the files is cut off at start. A segment to which no row of `message` points can go.
CREATE TABLE segment (
  number   INTEGER PRIMARY KEY,
  end      INTEGER NOT NULL,
  messages INTEGER NOT NULL DEFAULT 0, -- rows of `message` that point here
  bytes    INTEGER NOT NULL DEFAULT 0  -- and the sum of their sizes
) STRICT;
