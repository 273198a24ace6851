/* JSON: what was read and printed reads and prints the same again. */
#include "syntax/json.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct arena arena = ARENA_INIT(16 * 1024 * 1024);
	struct json_value *value, *again;
	if (json_parse(str_of((const char *)data, size), &arena, &value) == 0) {
		struct buf first = BUF_INIT(16 * 1024 * 1024), second = BUF_INIT(16 * 1024 * 1024);
		json_print(value, &first);
		if (buf_error(&first) || json_parse(buf_str(&first), &arena, &again) < 0)
			abort();
		json_print(again, &second);
		if (!str_eq(buf_str(&first), buf_str(&second)))
			abort();
		buf_free(&first);
		buf_free(&second);
	}
	arena_free(&arena);
	return 0;
}
