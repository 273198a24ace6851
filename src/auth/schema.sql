-- directory.db: who exists here. Owned by the process auth (or by the command line while the server is down).
-- Version 4. A change here comes with a numbered step in directory.c (db/migrate.h).
--
--   domain ──< address ──> account            an address of an account
--                 │
--                 └──< alias_target >── address   an address that leads to others
--   account ──< app_password                    further passwords of an account
--   pop3_choice                                what is said of POP3 for a domain, an account or an app password
--   shard_order                                what shards still have to be told

-- Domains that we receive mail for. Names are folded (auth/address.h).
CREATE TABLE domain (
	name    TEXT NOT NULL PRIMARY KEY,
	created INTEGER NOT NULL               -- seconds since 1970
) STRICT, WITHOUT ROWID;

-- An account is its id: 16 random bytes that never return. Addresses point to it, so an address that is removed and given
-- anew leads to a new account and never to old mail.
CREATE TABLE account (
	id       BLOB NOT NULL PRIMARY KEY CHECK (length(id) = 16),
	shard    INTEGER NOT NULL CHECK (shard >= 0),  -- where its mail is
	password TEXT NOT NULL,                -- encoded Argon2id hash
	created  INTEGER NOT NULL,             -- seconds since 1970
	enabled  INTEGER NOT NULL CHECK (enabled IN (0, 1)), -- 0: no login; mail still arrives
	made     INTEGER NOT NULL CHECK (made IN (0, 1)),    -- 1 once the shard has confirmed that it exists there
	quota_messages INTEGER CHECK (quota_messages >= 0),  -- limits of what it may hold. NULL: the server's default; 0: none
	quota_bytes    INTEGER CHECK (quota_bytes >= 0),
	moving_to      INTEGER CHECK (moving_to >= 0)        -- shard that it is being moved to; NULL: it stays
) STRICT, WITHOUT ROWID;

CREATE INDEX account_by_shard ON account (shard);

-- Who stands in for a postmaster (directory_resolve), of all domains, and (address_by_age) of one: asked by strangers, so
-- it must not be a walk over all accounts.
CREATE INDEX account_by_created ON account (created);

-- Local part and domain, folded. With an account it is that account's; without one it is an alias.
CREATE TABLE address (
	domain  TEXT NOT NULL REFERENCES domain (name),
	local   TEXT NOT NULL,
	account BLOB REFERENCES account (id) ON DELETE CASCADE,
	created INTEGER,                       -- as the account's; NULL: an alias
	PRIMARY KEY (domain, local)
) STRICT, WITHOUT ROWID;

CREATE INDEX address_alias ON address (domain, local) WHERE account IS NULL;
CREATE INDEX address_postmaster ON address (domain) WHERE local = 'postmaster';
CREATE INDEX address_by_account ON address (account) WHERE account IS NOT NULL;
CREATE INDEX address_by_age ON address (domain, created, local) WHERE account IS NOT NULL;

-- Where an alias leads: to addresses of this directory, accounts or other aliases; never in a circle.
CREATE TABLE alias_target (
	domain        TEXT NOT NULL,
	local         TEXT NOT NULL,
	target_domain TEXT NOT NULL,
	target_local  TEXT NOT NULL,
	PRIMARY KEY (domain, local, target_domain, target_local),
	FOREIGN KEY (domain, local) REFERENCES address (domain, local) ON DELETE CASCADE,
	FOREIGN KEY (target_domain, target_local) REFERENCES address (domain, local) ON DELETE CASCADE
) STRICT, WITHOUT ROWID;

CREATE INDEX alias_target_by_target ON alias_target (target_domain, target_local);

-- Further passwords of an account, for one program or device each (auth/app_password.h).
CREATE TABLE app_password (
	number    INTEGER PRIMARY KEY CHECK (number > 0), -- random; shards know by it what its logins have hidden
	account   BLOB NOT NULL REFERENCES account (id) ON DELETE CASCADE,
	name      TEXT NOT NULL,
	hash      BLOB NOT NULL CHECK (length(hash) = 32), -- HMAC-SHA-256 under the account's id
	protocols INTEGER NOT NULL CHECK (protocols BETWEEN 1 AND 7), -- bits: 1 IMAP, 2 POP3, 4 SMTP
	created   INTEGER NOT NULL,            -- seconds since 1970
	last_used INTEGER                      -- the same, to the hour; NULL: never
) STRICT;

CREATE UNIQUE INDEX app_password_name ON app_password (account, name);
CREATE UNIQUE INDEX app_password_hash ON app_password (account, hash);

-- What is said of POP3 for one domain, account or app password (auth/pop3_settings.h). NULL: nothing; a place further off
-- decides.
CREATE TABLE pop3_choice (
	domain       TEXT UNIQUE REFERENCES domain (name) ON DELETE CASCADE,
	account      BLOB UNIQUE REFERENCES account (id) ON DELETE CASCADE,
	app_password INTEGER UNIQUE REFERENCES app_password (number) ON DELETE CASCADE,
	mode         INTEGER CHECK (mode BETWEEN 0 AND 3),     -- enum pop3_mode
	days         INTEGER CHECK (days BETWEEN 1 AND 3650),
	trash        INTEGER CHECK (trash IN (0, 1)),
	seen         INTEGER CHECK (seen IN (0, 1)),
	mailbox      TEXT,
	CHECK ((domain IS NOT NULL) + (account IS NOT NULL) + (app_password IS NOT NULL) = 1)
) STRICT;

CREATE INDEX pop3_choice_mode ON pop3_choice (mode);
CREATE INDEX pop3_choice_days ON pop3_choice (days);

-- Orders to shards, kept until the shard says that it has carried them out, and repeated after any restart. The account of
-- a DESTROY is gone from `account` already: this row is all that is left of it. Limits are those that `account` has when the
-- order is sent.
CREATE TABLE shard_order (
	number  INTEGER PRIMARY KEY AUTOINCREMENT, -- in the order they were given; never used again
	shard   INTEGER NOT NULL,
	kind    INTEGER NOT NULL CHECK (kind BETWEEN 0 AND 3), -- enum directory_order_kind
	account BLOB NOT NULL CHECK (length(account) = 16),
	login   INTEGER NOT NULL DEFAULT 0     -- FORGET_LOGIN: the app password that is gone
) STRICT;

CREATE INDEX shard_order_by_shard ON shard_order (shard, number);
