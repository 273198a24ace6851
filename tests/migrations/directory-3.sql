-- auth/directory.db as version 3 made it.
CREATE TABLE domain (
	name    TEXT NOT NULL PRIMARY KEY,
	created INTEGER NOT NULL
) STRICT, WITHOUT ROWID;
CREATE TABLE account (
	id       BLOB NOT NULL PRIMARY KEY CHECK (length(id) = 16),
	shard    INTEGER NOT NULL CHECK (shard >= 0),
	password TEXT NOT NULL,
	created  INTEGER NOT NULL,
	enabled  INTEGER NOT NULL CHECK (enabled IN (0, 1)),
	made     INTEGER NOT NULL CHECK (made IN (0, 1)),
	quota_messages INTEGER CHECK (quota_messages >= 0),
	quota_bytes    INTEGER CHECK (quota_bytes >= 0),
	moving_to      INTEGER CHECK (moving_to >= 0)
) STRICT, WITHOUT ROWID;
CREATE INDEX account_by_shard ON account (shard);
CREATE INDEX account_by_created ON account (created);
CREATE TABLE address (
	domain  TEXT NOT NULL REFERENCES domain (name),
	local   TEXT NOT NULL,
	account BLOB REFERENCES account (id) ON DELETE CASCADE,
	PRIMARY KEY (domain, local)
) STRICT, WITHOUT ROWID;
CREATE INDEX address_alias ON address (domain, local) WHERE account IS NULL;
CREATE INDEX address_postmaster ON address (domain) WHERE local = 'postmaster';
CREATE INDEX address_by_account ON address (account) WHERE account IS NOT NULL;
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
CREATE TABLE app_password (
	number    INTEGER PRIMARY KEY CHECK (number > 0),
	account   BLOB NOT NULL REFERENCES account (id) ON DELETE CASCADE,
	name      TEXT NOT NULL,
	hash      BLOB NOT NULL CHECK (length(hash) = 32),
	protocols INTEGER NOT NULL CHECK (protocols BETWEEN 1 AND 7),
	created   INTEGER NOT NULL,
	last_used INTEGER
) STRICT;
CREATE UNIQUE INDEX app_password_name ON app_password (account, name);
CREATE UNIQUE INDEX app_password_hash ON app_password (account, hash);
CREATE TABLE pop3_choice (
	domain       TEXT UNIQUE REFERENCES domain (name) ON DELETE CASCADE,
	account      BLOB UNIQUE REFERENCES account (id) ON DELETE CASCADE,
	app_password INTEGER UNIQUE REFERENCES app_password (number) ON DELETE CASCADE,
	mode         INTEGER CHECK (mode BETWEEN 0 AND 3),
	days         INTEGER CHECK (days BETWEEN 1 AND 3650),
	trash        INTEGER CHECK (trash IN (0, 1)),
	seen         INTEGER CHECK (seen IN (0, 1)),
	mailbox      TEXT,
	CHECK ((domain IS NOT NULL) + (account IS NOT NULL) + (app_password IS NOT NULL) = 1)
) STRICT;
CREATE INDEX pop3_choice_mode ON pop3_choice (mode);
CREATE INDEX pop3_choice_days ON pop3_choice (days);
CREATE TABLE shard_order (
	number  INTEGER PRIMARY KEY AUTOINCREMENT,
	shard   INTEGER NOT NULL,
	kind    INTEGER NOT NULL CHECK (kind BETWEEN 0 AND 3),
	account BLOB NOT NULL CHECK (length(account) = 16),
	login   INTEGER NOT NULL DEFAULT 0
) STRICT;
CREATE INDEX shard_order_by_shard ON shard_order (shard, number);
