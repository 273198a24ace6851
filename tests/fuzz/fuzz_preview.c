/* fuzz_preview.c: the preview of any message is well-formed text without line ends, and not longer than it may be. */
#include "mail/preview.h"

#include "text/utf8.h"

#include <stdlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static struct mail_preview *preview;

static void end(void)
{
	mail_preview_free(&preview);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	const struct mime_limits limits = MIME_LIMITS_DEFAULT;
	size_t length, characters = 0;
	if (!preview) {
		preview = mail_preview_new(&limits);
		atexit(end);
	}
	struct str text = mail_preview_of(preview, str_of((const char *)data, size));
	if (!str_is_utf8(text) || text.n > PREVIEW_MAX)
		abort();
	for (; text.n > 0; text = str_from(text, length), characters++)
		if (utf8_first(text, &length) < ' ')
			abort();
	if (characters > PREVIEW_CHARACTERS)
		abort();
	return 0;
}
