/* keyword.c: which names can be keywords. No state, no failure. */
#include "mail/keyword.h"

#include "store/store.h"

bool mail_keyword_is_valid(struct str name)
{
	for (size_t i = 0; i < name.n; i++) {
		char c = name.p[i];
		if (c <= ' ' || c >= 0x7f || str_find_byte(STR("(){%*\"\\]"), c) >= 0)
			return false;
	}
	return name.n > 0 && name.n <= KEYWORD_NAME_MAX;
}
