/* sasl_plain.c: reads and prints the one message of SASL PLAIN. Pure. */
#include "syntax/sasl_plain.h"

#include "base/buf.h"

int sasl_plain_parse(struct str message, struct sasl_plain *out)
{
	if (message.n > SASL_PLAIN_MAX)
		return ERR_LIMIT;
	struct str rest = message;
	struct str authzid = str_cut(&rest, '\0');
	struct str user = str_cut(&rest, '\0');
	if (!rest.p || user.n == 0 || rest.n == 0 || str_find_byte(rest, '\0') >= 0 || !str_is_utf8(message))
		return ERR_SYNTAX;
	if (user.n > SASL_PLAIN_USER_MAX || rest.n > SASL_PLAIN_PASSWORD_MAX)
		return ERR_LIMIT;
	if (authzid.n && !str_eq(authzid, user))
		return ERR_DENIED;
	out->user = user;
	out->password = rest;
	return 0;
}

void sasl_plain_print(const struct sasl_plain *plain, struct buf *out)
{
	buf_add_byte(out, '\0');
	buf_add(out, plain->user);
	buf_add_byte(out, '\0');
	buf_add(out, plain->password);
}
