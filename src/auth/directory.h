/* directory.h: who exists: domains, accounts, their addresses, aliases, and the orders that shards still have to be
 * given. One SQLite database, directory.db; its data model is schema.sql. Every change is durable when the call
 * returns. Addresses and domains may be given in any spelling (auth/address.h); they come back folded.
 *
 * All functions can also fail with what the disk has to say: ERR_IO, ERR_NO_SPACE, ERR_CORRUPT. A failed change changes
 * nothing. */
#ifndef AUTH_DIRECTORY_H
#define AUTH_DIRECTORY_H

#include "auth/address.h"
#include "base/account_id.h"

#define DIRECTORY_FILE "directory.db" /* in the store's folder */

#define DIRECTORY_PASSWORD_MAX 256 /* bytes of an encoded hash */
#define DIRECTORY_TARGETS_MAX  1000 /* accounts that one address leads to: the largest max_alias_targets */

struct directory_settings {
	uint16_t shards;            /* of the store: 1 or more */
	uint32_t max_alias_targets; /* accounts that one address may lead to */
	uint32_t max_alias_depth;   /* aliases that may lead to aliases */
	struct str delimiter;       /* of user+detail: one byte, or empty for none */
};

struct directory;

/* Opens folder/directory.db, making or migrating it; takes its lock, waiting at most wait_ms for another process.
 * ERR_UNAVAILABLE: somebody else has it open; ERR_UNSUPPORTED: made by a newer Mansio. *what (may be NULL): what failed,
 * for the log; a static text. */
int directory_open(struct str folder, const struct directory_settings *settings, uint32_t wait_ms,
		   struct directory **out, const char **what) MUST_CHECK;

/* When it was opened, the log of the last changes ended in one that is not whole: a power cut leaves that of one that nobody was
 * told of; damage may leave it of the last one that somebody was. */
bool directory_log_was_torn(const struct directory *directory);
void directory_free(struct directory **directory);

/* Calls changed() whenever something is written, before the function that writes it returns. It may not use the
 * directory. */
void directory_on_change(struct directory *directory, void (*changed)(void *owner), void *owner);

#define DIRECTORY_SNAPSHOT_FILE "snapshot.db" /* beside it, while a backup is made */

/* Begins a copy of the directory in that file (db/snapshot.h); free it before the directory. */
struct snapshot;
int directory_snapshot(struct directory *directory, struct str path, struct snapshot **out) MUST_CHECK;

/* --- domains --- */

/* ERR_EXISTS; ERR_SYNTAX, ERR_LIMIT: not a domain name. */
int directory_domain_add(struct directory *directory, struct str domain) MUST_CHECK;
/* ERR_NOT_FOUND; ERR_STATE: it still has addresses. */
int directory_domain_remove(struct directory *directory, struct str domain) MUST_CHECK;
/* 0 or ERR_NOT_FOUND. */
int directory_domain_find(struct directory *directory, struct str domain) MUST_CHECK;

/* --- accounts --- */

/* What an account may hold. DIRECTORY_QUOTA_DEFAULT: as much as the server's default says; 0: no limit. */
#define DIRECTORY_QUOTA_DEFAULT (-1)
#define DIRECTORY_QUOTA_KEEP    (-2) /* to directory_account_set_quota: this limit stays as it is */
struct directory_quota {
	int64_t messages, bytes;
};

#define DIRECTORY_NOT_MOVING (-1)

struct directory_account {
	struct account_id id;
	uint16_t shard;
	bool enabled, made;
	int32_t moving_to; /* shard, or DIRECTORY_NOT_MOVING */
	int64_t created;
	struct directory_quota quota;
	struct folded_address address; /* its first one */
	char password[DIRECTORY_PASSWORD_MAX];
	size_t password_n;
};

/* A new account with a new id in the shard that has the fewest, and the order to that shard. password: encoded hash.
 * ERR_NOT_FOUND: the domain is not ours; ERR_EXISTS: the address is an account's or an alias; ERR_SYNTAX, ERR_LIMIT. */
int directory_account_add(struct directory *directory, struct str address, struct str password,
			  struct directory_account *out) MUST_CHECK;
/* The account whose address this is, exactly (no alias, no detail). ERR_NOT_FOUND. */
int directory_account_find(struct directory *directory, struct str address, struct directory_account *out) MUST_CHECK;
/* Whether there still is such an account, and it may log in: 0 or ERR_NOT_FOUND. */
int directory_account_may_log_in(struct directory *directory, const struct account_id *id) MUST_CHECK;
/* The account that a login name means: an address of it, or its local part alone if we have one domain only. */
int directory_login_find(struct directory *directory, struct str user, struct directory_account *out) MUST_CHECK;
int directory_account_set_password(struct directory *directory, struct str address, struct str password) MUST_CHECK;
/* New limits, and the order to its shard. *out: the account with them. */
int directory_account_set_quota(struct directory *directory, struct str address, const struct directory_quota *quota,
				struct directory_account *out) MUST_CHECK;
/* Account and addresses are gone at once; its shard gets the order to destroy the mail. Aliases lose it as a target;
 * those that led nowhere else are gone too (directory_aliases_of tells beforehand). *out: what it was. */
/* ERR_STATE: it is on its way to another shard. */
int directory_account_remove(struct directory *directory, struct str address, struct directory_account *out) MUST_CHECK;

/* --- aliases --- */

/* The alias `address` leads to these targets as well (made if it was not there); all or none. Target: an account or
 * an alias of ours, exactly. ERR_NOT_FOUND: no such domain or target; ERR_EXISTS: it leads there already, or address
 * is an account's; ERR_STATE: it would lead in a circle; ERR_LIMIT: over max_alias_depth or max_alias_targets;
 * ERR_SYNTAX. *failed: which target it was, n if it was the alias itself. */
int directory_alias_add(struct directory *directory, struct str address, const struct str *targets, uint32_t n,
			uint32_t *failed) MUST_CHECK;
/* Without these targets, or (n is 0) altogether; all or none. Aliases that lead to an alias that goes are treated as
 * with accounts. ERR_NOT_FOUND. */
int directory_alias_remove(struct directory *directory, struct str address, const struct str *targets, uint32_t n,
			   uint32_t *failed) MUST_CHECK;

/* --- lists: in order of domain and local part, after `after` (an address or domain; empty: from the start), at most
 * `max`. A callback's result other than 0 ends the list and is returned. The slices live during the call. The
 * callbacks must not call the directory. --- */

typedef int directory_text_fn(void *owner, struct str text);
typedef int directory_account_fn(void *owner, const struct directory_account *account);
/* Called once for each target; rows of one alias follow each other. */
typedef int directory_alias_fn(void *owner, struct str address, struct str target);

int directory_domains(struct directory *directory, struct str after, uint32_t max, directory_text_fn *fn,
		      void *owner) MUST_CHECK;
/* domain: only of this one; empty: of all. */
int directory_accounts(struct directory *directory, struct str domain, struct str after, uint32_t max,
		       directory_account_fn *fn, void *owner) MUST_CHECK;
/* max counts aliases. */
int directory_aliases(struct directory *directory, struct str domain, struct str after, uint32_t max,
		      directory_alias_fn *fn, void *owner) MUST_CHECK;
/* The aliases that lead to this address directly. */
int directory_aliases_of(struct directory *directory, struct str address, directory_text_fn *fn,
			 void *owner) MUST_CHECK;
/* What an alias leads to directly; nothing where the address is none. */
int directory_alias_targets(struct directory *directory, struct str alias, directory_text_fn *fn, void *owner) MUST_CHECK;

struct directory_counts {
	uint64_t domains, accounts, aliases, orders;
};
int directory_count(struct directory *directory, struct directory_counts *out) MUST_CHECK;

/* --- where mail goes --- */

struct directory_target {
	struct account_id account;
	uint16_t shard;
};

struct directory_targets {
	struct directory_target list[DIRECTORY_TARGETS_MAX];
	uint32_t n;
};

/* Which accounts mail to this address is for, each once. local+detail is looked up as it stands first, then without what
 * follows the last delimiter, and so on: where the name itself has the delimiter, the longest address that there is has it.
 * Postmaster (RFC 5321, 4.5.1), with one of our domains or none, is always somebody: postmaster@ that domain; else the
 * postmaster of the first domain that has one; else the oldest account of that domain; else the oldest account of all.
 *
 * ERR_DENIED: the domain is not ours; ERR_NOT_FOUND: nobody there; ERR_LIMIT: aliases over the bounds or in a circle;
 * ERR_UNAVAILABLE: an account that is not made yet, or postmaster where there is no account at all. */
int directory_resolve(struct directory *directory, struct str address, struct directory_targets *out) MUST_CHECK;

/* --- accounts that go to another shard (directory_move.c) --- */

/* It begins: nobody logs in, mail for it has to be tried again. *out: the account, with moving_to. ERR_NOT_FOUND;
 * ERR_LIMIT: there is no such shard; ERR_EXISTS: it is there; ERR_STATE: it is on its way already; ERR_UNAVAILABLE: a
 * shard still has an order for it. */
int directory_move_begin(struct directory *directory, struct str address, uint16_t to,
			 struct directory_account *out) MUST_CHECK;
/* It is over: the account lives there (moved: all of it is on disk there, parked), or stays. Both shards get their
 * orders. ERR_NOT_FOUND: the account was removed meanwhile. */
int directory_move_end(struct directory *directory, const struct directory_account *account, bool moved) MUST_CHECK;

/* --- orders to shards --- */

enum directory_order_kind {
	DIRECTORY_CREATE,  /* with its limits */
	DIRECTORY_DESTROY,
	DIRECTORY_QUOTA,   /* its limits are these now */
	DIRECTORY_FORGET_LOGIN, /* an app password is gone: what it has hidden from POP3 too */
	DIRECTORY_ORDER_COUNT,
};

struct directory_order {
	int64_t number;
	uint16_t shard;
	enum directory_order_kind kind;
	struct account_id account;
	struct directory_quota quota; /* CREATE, QUOTA: as it is when the order is read */
	uint64_t login;               /* FORGET_LOGIN: number of the app password */
};

/* The shard's orders after that number, oldest first; at most `max` into `list`, how many into *n. */
int directory_orders(struct directory *directory, uint16_t shard, int64_t after, uint32_t max,
		     struct directory_order *list, uint32_t *n) MUST_CHECK;
/* The shard has carried it out: it is forgotten; a created account counts as made. */
int directory_order_done(struct directory *directory, const struct directory_order *order) MUST_CHECK;

#endif
