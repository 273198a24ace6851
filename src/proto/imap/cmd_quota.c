/* cmd_quota.c: GETQUOTA and GETQUOTAROOT (RFC 9208, 4.1). All mailboxes of an account have one quota root, "", or none
 * where nothing is limited: a QUOTA without a resource cannot be written (7), and Thunderbird refuses it. Limits are set
 * by the command line, not over IMAP: QUOTASET is not offered, and SETQUOTA is no command here (4.1.3). */
#include "proto/imap/session_private.h"
#include "syntax/imap_name.h"

#define ROOT       STR("")
#define BLOCK_SIZE 1024 /* octets in the unit of STORAGE (5.1) */

static void put_resource(struct outq *out, bool *first, struct str name, uint64_t used, uint64_t limit)
{
	if (!*first)
		outq_add(out, STR(" "));
	*first = false;
	outq_add(out, name);
	outq_addf(out, " %llu %llu", (unsigned long long)used, (unsigned long long)limit);
}

static bool has_root(const struct imap_session *s)
{
	struct account_counts limits = account_limits(s->account);
	return limits.bytes > 0 || limits.messages > 0;
}

/* Resources without a limit are not named (4.2.1). A limit below one block is one: 0 would mean that nothing fits. */
static void put_quota(struct imap_session *s)
{
	struct account_counts used = account_counts(s->account), limits = account_limits(s->account);
	struct outq *out = imap_output(s);
	uint64_t blocks = limits.bytes / BLOCK_SIZE;
	bool first = true;
	outq_add(out, STR("* QUOTA \"\" ("));
	if (limits.bytes > 0)
		put_resource(out, &first, STR("STORAGE"), used.bytes / BLOCK_SIZE + (used.bytes % BLOCK_SIZE != 0),
		             blocks > 0 ? blocks : 1);
	if (limits.messages > 0)
		put_resource(out, &first, STR("MESSAGE"), used.messages, limits.messages);
	outq_add(out, STR(")\r\n"));
}

enum imap_step imap_cmd_getquota(struct imap_session *s)
{
	if (!has_root(s) || !str_eq(imap_command_of(s)->quota_root, ROOT)) {
		imap_no(s, "NONEXISTENT", "There is no such quota root.");
		return IMAP_STEP_DONE;
	}
	put_quota(s);
	imap_ok(s, NULL, "GETQUOTA completed.");
	return IMAP_STEP_DONE;
}

/* The mailbox need not exist (4.1.2). */
enum imap_step imap_cmd_getquotaroot(struct imap_session *s)
{
	struct buf name = BUF_INIT(8 * MAILBOX_NAME_MAX);
	imap_put_mailbox(&name, imap_command_of(s)->mailbox);
	if (buf_error(&name) < 0) {
		imap_no(s, "LIMIT", "That name is too long.");
	} else {
		outq_add(imap_output(s), STR("* QUOTAROOT "));
		outq_add(imap_output(s), buf_str(&name));
		if (has_root(s)) {
			outq_add(imap_output(s), STR(" \"\"\r\n"));
			put_quota(s);
		} else {
			outq_add(imap_output(s), STR("\r\n"));
		}
		imap_ok(s, NULL, "GETQUOTAROOT completed.");
	}
	buf_free(&name);
	return IMAP_STEP_DONE;
}
