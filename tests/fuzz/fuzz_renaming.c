/* What an account's row says of a RENAME under way: damage is refused; what was read renames its mailbox and what lies
 * below it, and nothing that is done. */
#include "store/renaming.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct renaming_facts facts;
	struct buf name = BUF_INIT(2 * MAILBOX_NAME_MAX), old = BUF_INIT(2 * MAILBOX_NAME_MAX);
	if (renaming_read(str_of((const char *)data, size), &facts)) {
		buf_add(&old, facts.from);
		buf_add(&old, STR("/below"));
		if (renaming_apply(&facts, facts.done, facts.from, &name))
			abort();
		if (facts.done < UINT32_MAX) {
			if (!renaming_apply(&facts, facts.done + 1, facts.from, &name) || !str_eq(buf_str(&name), facts.to))
				abort();
			if (!renaming_apply(&facts, UINT32_MAX, buf_str(&old), &name) || name.n != facts.to.n + 6 ||
			    !str_starts(buf_str(&name), facts.to) || !str_eq(str_from(buf_str(&name), facts.to.n), STR("/below")))
				abort();
		}
	}
	buf_free(&name);
	buf_free(&old);
	return 0;
}
