/* sasl.c: the exchange of PLAIN and LOGIN. Owned by an engine, wiped and freed by sasl_end. A response that has no form
 * is a value, which the engine answers. */
#include "proto/sasl.h"

#include "base/checked.h"
#include "base/mem.h"
#include "text/base64.h"

static const struct str names[] = {
#define SASL_MECHANISM_NAME(name, text) [name] = STR_INIT(text),
	SASL_MECHANISM_LIST(SASL_MECHANISM_NAME)
#undef SASL_MECHANISM_NAME
};

static void wipe(struct buf *b)
{
	if (b->p)
		mem_wipe(b->p, b->size);
	buf_free(b);
}

void sasl_end(struct sasl *sasl)
{
	wipe(&sasl->user);
	wipe(&sasl->response);
	*sasl = (struct sasl){ 0 };
}

bool sasl_begin(struct sasl *sasl, struct str mechanism)
{
	sasl_end(sasl);
	for (size_t i = 0; i < COUNT_OF(names); i++) {
		if (str_ieq(mechanism, names[i])) {
			sasl->mechanism = (enum sasl_mechanism)i;
			sasl->user = BUF_INIT(SASL_PLAIN_USER_MAX);
			sasl->response = BUF_INIT(SASL_PLAIN_MAX);
			return true;
		}
	}
	return false;
}

struct str sasl_name(const struct sasl *sasl)
{
	return names[sasl->mechanism];
}

struct str sasl_challenge(const struct sasl *sasl)
{
	switch (sasl->mechanism) {
	case SASL_PLAIN:
		return STR("");
	case SASL_LOGIN:
		/* "Username:" and "Password:": section 2.2 allows them because clients look for them. */
		return sasl->has_user ? STR("UGFzc3dvcmQ6") : STR("VXNlcm5hbWU6");
	}
	return STR("");
}

static enum sasl_step take_plain(struct str response, struct str *user, struct str *password)
{
	struct sasl_plain plain;
	int err = sasl_plain_parse(response, &plain);
	if (err != 0)
		return err == ERR_SYNTAX ? SASL_MALFORMED : SASL_DENIED;
	*user = plain.user;
	*password = plain.password;
	return SASL_ASK;
}

/* The name first, then the password; with the bounds of PLAIN. */
static enum sasl_step take_login(struct sasl *sasl, struct str response, struct str *user, struct str *password)
{
	size_t max = sasl->has_user ? SASL_PLAIN_PASSWORD_MAX : SASL_PLAIN_USER_MAX;
	if (response.n == 0 || str_find_byte(response, '\0') >= 0 || !str_is_utf8(response))
		return SASL_MALFORMED;
	if (response.n > max)
		return SASL_DENIED;
	if (!sasl->has_user) {
		buf_add(&sasl->user, response);
		sasl->has_user = true;
		return SASL_CHALLENGE;
	}
	*user = buf_str(&sasl->user);
	*password = response;
	return SASL_ASK;
}

/* `response` is sasl->response: it lives as long as the exchange. */
static enum sasl_step take(struct sasl *sasl, struct str *user, struct str *password)
{
	struct str response = buf_str(&sasl->response);
	switch (sasl->mechanism) {
	case SASL_PLAIN:
		return take_plain(response, user, password);
	case SASL_LOGIN:
		return take_login(sasl, response, user, password);
	}
	return SASL_MALFORMED;
}

enum sasl_step sasl_take(struct sasl *sasl, struct str response, struct str *user, struct str *password)
{
	buf_clear(&sasl->response);
	buf_add(&sasl->response, response);
	return buf_error(&sasl->response) ? SASL_DENIED : take(sasl, user, password);
}

enum sasl_step sasl_take_base64(struct sasl *sasl, struct str line, struct str *user, struct str *password)
{
	buf_clear(&sasl->response);
	int err = str_eq(line, STR("=")) ? 0 : base64_decode(line, &sasl->response);
	if (err != 0)
		return err == ERR_LIMIT ? SASL_DENIED : SASL_MALFORMED;
	return take(sasl, user, password);
}
