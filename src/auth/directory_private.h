/* directory_private.h: what directory.c (open, domains, accounts, orders) and directory_alias.c (aliases, lists,
 * resolving) share: the connection, the prepared statements, and a transaction's frame. Nobody else includes it. */
#ifndef AUTH_DIRECTORY_PRIVATE_H
#define AUTH_DIRECTORY_PRIVATE_H

#include "auth/directory.h"
#include "db/sqlite.h"

/* name, SQL; one prepared statement each */
#define DIRECTORY_STATEMENTS(X)                                                                                        \
	X(domain_insert, "INSERT INTO domain (name, created) VALUES (?1, ?2)")                                         \
	X(domain_delete, "DELETE FROM domain WHERE name = ?1")                                                         \
	X(domain_find, "SELECT 1 FROM domain WHERE name = ?1")                                                         \
	X(domain_used, "SELECT 1 FROM address WHERE domain = ?1 LIMIT 1")                                              \
	X(domain_list, "SELECT name FROM domain WHERE name > ?1 ORDER BY name LIMIT ?2")                               \
	X(domain_only, "SELECT max(name) FROM domain HAVING count(*) = 1")                                             \
	X(account_insert,                                                                                              \
	  "INSERT INTO account (id, shard, password, created, enabled, made) VALUES (?1, ?2, ?3, ?4, 1, 0)")           \
	X(account_delete, "DELETE FROM account WHERE id = ?1")                                                         \
	X(account_password, "UPDATE account SET password = ?2 WHERE id = ?1")                                          \
	X(account_quota, "UPDATE account SET quota_messages = ?2, quota_bytes = ?3 WHERE id = ?1")                     \
	X(account_may_log_in, "SELECT 1 FROM account WHERE id = ?1 AND enabled = 1")                                   \
	X(account_made, "UPDATE account SET made = 1 WHERE id = ?1")                                                   \
	X(account_find,                                                                                                \
	  "SELECT id, shard, password, account.created, enabled, made, domain, local, quota_messages, quota_bytes, moving_to "  \
	  "FROM address JOIN account ON account.id = address.account WHERE domain = ?1 AND local = ?2")                                          \
	X(account_list,                                                                                                \
	  "SELECT id, shard, password, account.created, enabled, made, domain, local, quota_messages, quota_bytes, moving_to "  \
	  "FROM address JOIN account ON account.id = address.account WHERE (domain, local) > (?1, ?2) AND (?3 = '' OR domain = ?3) "             \
	  "ORDER BY domain, local LIMIT ?4")                                                                           \
	X(account_oldest,                                                                                              \
	  "SELECT domain, local FROM account CROSS JOIN address ON address.account = account.id "                      \
	  "ORDER BY account.created, domain, local LIMIT 1")                                                           \
	X(account_oldest_in,                                                                                           \
	  "SELECT domain, local FROM address WHERE domain = ?1 AND account IS NOT NULL ORDER BY created, local LIMIT 1") \
	X(shard_counts, "SELECT shard, count(*) FROM account GROUP BY shard")                                          \
	X(address_insert, "INSERT INTO address (domain, local, account, created) VALUES (?1, ?2, ?3, ?4)")             \
	X(address_delete, "DELETE FROM address WHERE domain = ?1 AND local = ?2 AND account IS NULL")                  \
	X(address_find,                                                                                                \
	  "SELECT id, shard, made FROM address LEFT JOIN account ON account.id = address.account "                     \
	  "WHERE domain = ?1 AND local = ?2")                                                                          \
	X(address_postmaster,                                                                                          \
	  "SELECT domain, local FROM address WHERE local = 'postmaster' ORDER BY domain LIMIT 1")                      \
	X(alias_insert,                                                                                                \
	  "INSERT INTO alias_target (domain, local, target_domain, target_local) VALUES (?1, ?2, ?3, ?4)")             \
	X(alias_delete,                                                                                                \
	  "DELETE FROM alias_target WHERE domain = ?1 AND local = ?2 AND target_domain = ?3 AND target_local = ?4")    \
	X(alias_delete_empty,                                                                                          \
	  "DELETE FROM address WHERE account IS NULL AND NOT EXISTS (SELECT 1 FROM alias_target t "                    \
	  "WHERE t.domain = address.domain AND t.local = address.local)")                                              \
	X(alias_targets,                                                                                               \
	  "SELECT target_domain, target_local FROM alias_target WHERE domain = ?1 AND local = ?2 "                     \
	  "ORDER BY target_domain, target_local")                                                                      \
	X(alias_sources,                                                                                               \
	  "SELECT domain, local FROM alias_target WHERE target_domain = ?1 AND target_local = ?2 "                     \
	  "ORDER BY domain, local")                                                                                    \
	X(alias_list,                                                                                                  \
	  "SELECT t.domain, t.local, t.target_domain, t.target_local FROM "                                            \
	  "(SELECT domain, local FROM address WHERE account IS NULL AND (domain, local) > (?1, ?2) "                   \
	  "AND (?3 = '' OR domain = ?3) ORDER BY domain, local LIMIT ?4) JOIN alias_target t USING (domain, local) "   \
	  "ORDER BY 1, 2, 3, 4")                                                                                       \
	X(app_insert,                                                                                                  \
	  "INSERT INTO app_password (number, account, name, hash, protocols, created) VALUES (?1, ?2, ?3, ?4, ?5, ?6)") \
	X(app_count, "SELECT count(*) FROM app_password WHERE account = ?1")                                           \
	X(app_find, "SELECT number FROM app_password WHERE account = ?1 AND name = ?2")                                \
	X(app_exists, "SELECT 1 FROM app_password WHERE number = ?1 AND account = ?2")                                 \
	X(app_delete, "DELETE FROM app_password WHERE number = ?1")                                                    \
	X(app_list,                                                                                                    \
	  "SELECT number, name, protocols, created, last_used FROM app_password WHERE account = ?1 ORDER BY name")     \
	X(app_check, "SELECT number, protocols, last_used FROM app_password WHERE account = ?1 AND hash = ?2")         \
	X(app_used, "UPDATE app_password SET last_used = ?2 WHERE number = ?1")                                        \
	X(pop3_read,                                                                                                   \
	  "SELECT 1, mode, days, trash, seen, mailbox FROM pop3_choice WHERE domain = ?1 UNION ALL "                   \
	  "SELECT 2, mode, days, trash, seen, mailbox FROM pop3_choice WHERE account = ?2 UNION ALL "                  \
	  "SELECT 3, mode, days, trash, seen, mailbox FROM pop3_choice WHERE app_password = ?3")                       \
	X(pop3_delete, "DELETE FROM pop3_choice WHERE domain = ?1 OR account = ?2 OR app_password = ?3")               \
	X(pop3_insert, "INSERT INTO pop3_choice VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8)")                              \
	X(pop3_expire,                                                                                                 \
	  "SELECT EXISTS (SELECT 1 FROM pop3_choice WHERE mode = 1), EXISTS (SELECT 1 FROM pop3_choice WHERE mode = 3), " \
	  "EXISTS (SELECT 1 FROM pop3_choice WHERE mode >= 0), (SELECT min(days) FROM pop3_choice)")                   \
	X(order_insert, "INSERT INTO shard_order (shard, kind, account, login) VALUES (?1, ?2, ?3, ?4)")               \
	X(account_moving, "UPDATE account SET moving_to = ?2, made = 0 WHERE id = ?1")                                 \
	X(account_moved, "UPDATE account SET shard = ?2, moving_to = NULL, made = 0 WHERE id = ?1 AND moving_to IS NOT NULL") \
	X(account_moves, "SELECT id, shard, moving_to FROM account WHERE moving_to IS NOT NULL")                       \
	X(order_of_account, "SELECT 1 FROM shard_order WHERE account = ?1 LIMIT 1")                                    \
	X(order_delete, "DELETE FROM shard_order WHERE number = ?1")                                                   \
	X(order_list,                                                                                                  \
	  "SELECT number, kind, account, quota_messages, quota_bytes, login FROM shard_order LEFT JOIN account a "     \
	  "ON a.id = shard_order.account WHERE shard_order.shard = ?1 AND number > ?2 ORDER BY number LIMIT ?3")       \
	X(counts,                                                                                                      \
	  "SELECT (SELECT count(*) FROM domain), (SELECT count(*) FROM account), "                                     \
	  "(SELECT count(*) FROM address WHERE account IS NULL), (SELECT count(*) FROM shard_order)")

enum directory_statement {
#define STATEMENT_ENUM(name, sql) STATEMENT_##name,
	DIRECTORY_STATEMENTS(STATEMENT_ENUM)
#undef STATEMENT_ENUM
	STATEMENT_COUNT
};

struct directory {
	struct db db;
	sqlite3_stmt *statements[STATEMENT_COUNT];
	uint16_t shards;
	int64_t *counts; /* accounts by shard; to be counted anew unless `counted` */
	bool counted;
	uint32_t max_alias_targets, max_alias_depth;
	bool has_delimiter;
	char delimiter;
	void (*changed)(void *owner); /* or NULL */
	void *changed_owner;
};

/* A statement of the list above for this scope, reset at its end. */
#define USING(variable, directory, name) DB_USING(variable, (directory)->statements[STATEMENT_##name])

static inline void bind_address(sqlite3_stmt *stmt, int first, const struct folded_address *address)
{
	db_bind_text(stmt, first, address->domain);
	db_bind_text(stmt, first + 1, address->local);
}

/* Where a page of a list begins; the statement reads it until it is reset. */
struct directory_page {
	struct folded_address after;
	char domain[ADDRESS_DOMAIN_MAX];
};

/* Binds 1 to 4 of account_list or alias_list to what comes after `after` (empty: from the start) in `domain` (empty: in
 * all), at most `max`. ERR_SYNTAX: one of them is none. */
int directory_bind_page(sqlite3_stmt *stmt, struct str domain, struct str after, uint32_t max,
			struct directory_page *page) MUST_CHECK;

/* Ends the transaction that db_begin began: commits if err is 0, else rolls back. The result of the whole. */
int directory_finish(struct directory *directory, int err) MUST_CHECK;

/* local@domain from two columns; ERR_CORRUPT if they are none. */
int directory_column_address(sqlite3_stmt *stmt, int domain_column, struct folded_address *out) MUST_CHECK;

/* In a transaction. login: 0 but for FORGET_LOGIN. */
int directory_order_add(struct directory *directory, uint16_t shard, enum directory_order_kind kind,
			const struct account_id *account, uint64_t login) MUST_CHECK;

/* Moves that were under way when the directory was closed (directory_move.c): the accounts stay where they are. */
int directory_moves_take_back(struct directory *directory) MUST_CHECK;

/* The step to version 3 that SQL cannot do (directory_domains.c). */
int directory_fold_domains(struct db *db) MUST_CHECK;

/* Deletes aliases without a target, and those that led to them alone, and so on. */
int directory_delete_empty_aliases(struct directory *directory) MUST_CHECK;

#endif
