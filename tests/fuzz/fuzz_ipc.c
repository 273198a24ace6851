/* fuzz_ipc.c: all decoders of ipc/. The first byte chooses the message; what is accepted must encode to as many
 * bytes again (numbers of varying length have one form that we write, so bytes may differ only there), and that must
 * decode again. */
#include "ipc/test_recode.h"
#include "ipc/ticket.h"

#include "base/checked.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void one_message(size_t which, struct str body)
{
	struct buf once = BUF_INIT(4 * 1024 * 1024), twice = BUF_INIT(4 * 1024 * 1024);
	if (test_recoders[which](body, &once) == 0) {
		if (once.failed || once.n > body.n)
			abort();
		if (test_recoders[which](buf_str(&once), &twice) != 0 || !str_eq(buf_str(&once), buf_str(&twice)))
			abort();
	}
	buf_free(&once);
	buf_free(&twice);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static struct mac *key;
	struct str all = str_of((const char *)data, size);
	struct ticket ticket;
	if (size == 0)
		return 0;
	one_message(data[0] % COUNT_OF(test_recoders), str_from(all, 1));
	if (!key)
		key = mac_new(STR("key"));
	/* Nobody guesses a MAC. */
	if (ticket_open(all, key, 0, &ticket) == 0)
		abort();
	return 0;
}
